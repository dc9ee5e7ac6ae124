"""Disks as Agama's profile names and divides them. Its schema: storage.schema.json."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Text = Annotated[str, StringConstraints(max_length=4096)]
Count = Annotated[int, Field(ge=0, le=2**63)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


SizeText = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(\s*([KkMmGgTtPpEeZzYy][iI]?)?[Bb])?$")]
SizeValue = SizeText | Count
Limit = SizeValue | Literal["current"]


class SizeRange(Model):
    min: Limit
    max: Limit | None = None


Size = SizeValue | Annotated[list[Limit], Field(min_length=1, max_length=2)] | SizeRange
Alias = Annotated[str, Field(min_length=1, max_length=200)]
BaseName = Annotated[str, Field(pattern="^[^/]+$", max_length=100)]


class EqualSize(Model):
    equal: SizeValue


class GreaterSize(Model):
    greater: SizeValue


class LessSize(Model):
    less: SizeValue


class Condition(Model):
    """One of the three. There is none by serial: Agama's schema refuses it."""

    name: Annotated[str, Field(min_length=1)] | None = None
    size: SizeValue | EqualSize | GreaterSize | LessSize | None = None
    number: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Condition:
        if sum(x is not None for x in (self.name, self.size, self.number)) != 1:
            raise ValueError("a condition has a name, a size or a number; write one")
        return self


Order = (
    Literal["name", "size", "number"]
    | dict[Literal["name", "size", "number"], Literal["asc", "desc"]]
)


class Search(Model):
    condition: Condition | None = None
    sort: Order | list[Order] | None = None
    max: Annotated[int, Field(ge=1)] | None = None
    ifNotFound: Literal["skip", "error", "create"] = "error"


AnySearch = Annotated[str, Field(min_length=1)] | Search


class Luks1(Model):
    password: Annotated[str, Field(min_length=1)]
    cipher: Text | None = None
    keySize: int | None = None


class Luks2(Luks1):
    pbkdFunction: Literal["pbkdf2", "argon2i", "argon2id"] | None = None
    label: Text | None = None


class OnlyPassword(Model):
    password: Annotated[str, Field(min_length=1)]


class Encryption(Model):
    luks1: Luks1 | None = None
    luks2: Luks2 | None = None
    pervasiveLuks2: OnlyPassword | None = None
    tpmFde: OnlyPassword | None = None

    @model_validator(mode="after")
    def _one(self) -> Encryption:
        if len(self.model_fields_set) != 1:
            raise ValueError("write one of luks1, luks2, pervasiveLuks2 and tpmFde")
        return self


AnyEncryption = Encryption | Literal["protected_swap", "secure_swap", "random_swap"]


class BtrfsOptions(Model):
    snapshots: bool | None = None


class Btrfs(Model):
    btrfs: BtrfsOptions


class FileSystem(Model):
    reuseIfPossible: bool = False
    type: (
        Literal["bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "nfs",
                "nilfs2", "ntfs", "reiserfs", "swap", "tmpfs", "vfat", "xfs"] | Btrfs | None
    ) = None  # fmt: skip
    label: Text | None = None
    path: Annotated[str, Field(pattern="^(/.*|swap)$")] | None = None
    mountBy: Literal["device", "id", "label", "path", "uuid"] | None = None
    mkfsOptions: list[Text] = Field(default_factory=list)
    mountOptions: list[Text] = Field(default_factory=list)


class Device(Model):
    """What partitions, logical volumes, disks and RAIDs have in common."""

    search: AnySearch | None = None
    alias: Alias | None = None
    encryption: AnyEncryption | None = None
    filesystem: FileSystem | None = None


class Generate(Model):
    partitions: Literal["default", "mandatory"] | None = None
    logicalVolumes: Literal["default", "mandatory"] | None = None
    targetDevices: list[Alias] | None = None
    encryption: AnyEncryption | None = None
    stripes: Annotated[int, Field(ge=1, le=128)] | None = None
    stripeSize: SizeValue | None = None


class Partition(Device):
    id: Literal["linux", "swap", "lvm", "raid", "esp", "prep", "bios_boot"] | None = None
    size: Size | None = None
    delete: Literal[True] | None = None
    deleteIfNeeded: Literal[True] | None = None
    generate: Literal["default", "mandatory"] | Generate | None = None

    @model_validator(mode="after")
    def _only_what_goes_together(self) -> Partition:
        _alone(self, "generate", set())
        _alone(self, "delete", {"search"})
        _alone(self, "deleteIfNeeded", {"search", "size"})
        return self


def _alone(entry: Model, what: str, others: set[str]) -> None:
    given = entry.model_fields_set
    if what in given and given - others - {what}:
        beside = ", ".join(sorted(given - others - {what}))
        raise ValueError(f"{what} stands without {beside}")
    if what in given and "search" in others and "search" not in given:
        raise ValueError(f"{what} needs a search that says what")


class Partitioned(Device):
    ptableType: Literal["gpt", "msdos", "dasd"] | None = None
    partitions: list[Partition] = Field(default_factory=list)

    @model_validator(mode="after")
    def _partitions_or_a_file_system(self) -> Partitioned:
        if "partitions" in self.model_fields_set and (self.filesystem or self.encryption):
            raise ValueError("a device has partitions, or is formatted as a whole")
        return self


class Drive(Partitioned):
    pass


class MdRaid(Partitioned):
    name: BaseName | None = None
    level: Literal["raid0", "raid1", "raid5", "raid6", "raid10"] | None = None
    parity: Text | None = None
    chunkSize: SizeValue | None = None
    devices: list[Alias] = Field(default_factory=list)


class LogicalVolume(Device):
    name: BaseName | None = None
    size: Size | None = None
    stripes: Annotated[int, Field(ge=1, le=128)] | None = None
    stripeSize: SizeValue | None = None
    pool: Literal[True] | None = None
    usedPool: Alias | None = None
    delete: Literal[True] | None = None
    deleteIfNeeded: Literal[True] | None = None
    generate: Literal["default", "mandatory"] | Generate | None = None


class PvGenerator(Model):
    generate: list[Alias] | Generate


class VolumeGroup(Model):
    name: BaseName
    search: AnySearch | None = None
    extentSize: SizeValue | None = None
    physicalVolumes: list[Alias | PvGenerator] = Field(default_factory=list)
    logicalVolumes: list[LogicalVolume] = Field(default_factory=list)


class BootPartitions(Model):
    configure: bool
    device: Alias | None = None


class Storage(Model):
    boot: BootPartitions | None = None
    drives: list[Drive] = Field(default_factory=list)
    volumeGroups: list[VolumeGroup] = Field(default_factory=list)
    mdRaids: list[MdRaid] = Field(default_factory=list)
