"""curtin's storage actions as Subiquity takes them: what each may say by itself.

Subiquity ignores a key that it does not know, and a match that it does not know holds for every
disk.
https://curtin.readthedocs.io/en/latest/topics/storage.html; subiquity/models/filesystem.py
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from deployer.answers.grammars.netplan import Model

_SIZE = re.compile(r"\d+(\.\d+)?([BKMGTP]|%)?", re.ASCII | re.IGNORECASE)


def _size(value: int | str) -> int | str:
    if isinstance(value, str) and not _SIZE.fullmatch(value):
        raise ValueError("must be a size such as 512M, 20G or 50%, a number of bytes, or -1")
    if isinstance(value, int) and value < -1:
        raise ValueError("must be -1 (the rest), or more than 0")
    return value


Size = Annotated[int | str, AfterValidator(_size)]
Wipe = Literal["superblock", "superblock-recursive", "pvremove", "zero", "random"]


class Match(Model):
    """Which disk; every other key would be passed over, and any disk match."""

    serial: str | None = None
    model: str | None = None
    vendor: str | None = None
    path: str | None = None
    id_path: str | None = None
    devpath: str | None = None
    ssd: bool | None = None
    size: Literal["largest", "smallest"] | None = None
    install_media: bool | None = Field(default=None, alias="install-media")

    @property
    def says_something(self) -> bool:
        return bool(self.model_fields_set)


class Action(Model):
    id: str = Field(min_length=1)
    preserve: bool | None = None

    def refers_to(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """(field, id of another action, kinds that it may be of)."""
        return []


_DEVICES = ("disk", "partition", "raid", "lvm_partition", "dm_crypt")


class Disk(Action):
    type: Literal["disk"]
    match: Match | list[Match] | None = None
    serial: str | None = None
    path: str | None = None
    wwn: str | None = None
    ptable: Literal["gpt", "msdos", "dos", "vtoc", "unsupported"] | None = None
    wipe: Wipe | None = None
    name: str | None = None
    grub_device: bool | None = None
    multipath: str | None = None
    device_id: str | None = None
    nvme_controller: str | None = None

    @property
    def is_chosen(self) -> bool:
        matches = self.match if isinstance(self.match, list) else [self.match]
        by_match = all(match is not None and match.says_something for match in matches)
        return bool(self.serial or self.path or (matches and by_match))


class Partition(Action):
    type: Literal["partition"]
    device: str
    size: Size
    flag: Literal[
        "boot", "bios_grub", "prep", "swap", "lvm", "raid", "home", "msftres", "linux", "extended",
        "logical", "mbr", "",
    ] | None = None  # fmt: skip
    number: int | None = Field(default=None, ge=1, le=128)
    wipe: Wipe | None = None
    grub_device: bool | None = None
    name: str | None = None
    partition_name: str | None = None
    partition_type: str | None = None
    offset: Size | None = None
    resize: bool | None = None
    multipath: str | None = None
    uuid: str | None = None
    path: str | None = None

    def refers_to(self) -> list[tuple[str, str, tuple[str, ...]]]:
        return [("device", self.device, ("disk", "raid"))]


class Raid(Action):
    type: Literal["raid"]
    name: str
    raidlevel: int | str
    devices: list[str] = Field(default_factory=list)
    spare_devices: list[str] = Field(default_factory=list)
    ptable: Literal["gpt", "msdos", "dos"] | None = None
    wipe: Wipe | None = None
    metadata: str | None = None
    container: str | None = None
    path: str | None = None

    @model_validator(mode="after")
    def _level_is_one(self) -> Raid:
        level = str(self.raidlevel).removeprefix("raid")
        least = {"0": 2, "1": 2, "5": 3, "6": 4, "10": 4, "stripe": 2, "mirror": 2, "container": 2}
        if level not in least:
            raise ValueError(
                f"raidlevel {self.raidlevel} is none of: raid0, 1, 5, 6, 10, container"
            )
        if not self.preserve and self.container is None and len(self.devices) < least[level]:
            raise ValueError(f"raidlevel {self.raidlevel} needs {least[level]} devices")
        return self

    def refers_to(self) -> list[tuple[str, str, tuple[str, ...]]]:
        parts = [("devices", device, _DEVICES) for device in self.devices]
        spare = [("spare_devices", device, _DEVICES) for device in self.spare_devices]
        return [
            *parts,
            *spare,
            *([("container", self.container, ("raid",))] if self.container else []),
        ]


class VolumeGroup(Action):
    type: Literal["lvm_volgroup"]
    name: str
    devices: list[str] = Field(min_length=1)

    def refers_to(self) -> list[tuple[str, str, tuple[str, ...]]]:
        return [("devices", device, _DEVICES) for device in self.devices]


class LogicalVolume(Action):
    type: Literal["lvm_partition"]
    name: str
    volgroup: str
    size: Size | None = None
    wipe: Wipe | None = None
    path: str | None = None

    def refers_to(self) -> list[tuple[str, str, tuple[str, ...]]]:
        return [("volgroup", self.volgroup, ("lvm_volgroup",))]


class DmCrypt(Action):
    type: Literal["dm_crypt"]
    volume: str
    key: str | None = Field(default=None, min_length=1)
    keyfile: str | None = None
    options: list[str] | None = None
    recovery_key: bool | dict[str, str] | None = None
    dm_name: str | None = None
    path: str | None = None

    @model_validator(mode="after")
    def _has_a_key(self) -> DmCrypt:
        if not self.preserve and (self.key is None) == (self.keyfile is None):
            raise ValueError("it needs a key or a keyfile, and not both")
        return self

    def refers_to(self) -> list[tuple[str, str, tuple[str, ...]]]:
        return [("volume", self.volume, _DEVICES)]


class Format(Action):
    type: Literal["format"]
    volume: str
    fstype: Literal[
        "ext2", "ext3", "ext4", "xfs", "btrfs", "fat", "fat12", "fat16", "fat32", "vfat", "swap",
        "jfs", "reiserfs", "ntfs", "zfsroot",
    ]  # fmt: skip
    label: str | None = None
    uuid: str | None = None
    extra_options: list[str] | None = None

    def refers_to(self) -> list[tuple[str, str, tuple[str, ...]]]:
        return [("volume", self.volume, _DEVICES)]


class Mount(Action):
    type: Literal["mount"]
    path: str | None = None
    device: str | None = None
    fstype: str | None = None
    options: str | None = None
    spec: str | None = None

    @model_validator(mode="after")
    def _path_is_one(self) -> Mount:
        if self.path and not self.path.startswith("/") and self.path != "none":
            raise ValueError("path must begin with '/'; of swap it is empty")
        return self

    def refers_to(self) -> list[tuple[str, str, tuple[str, ...]]]:
        return [("device", self.device, ("format",))] if self.device else []


class ZPool(Action):
    type: Literal["zpool"]
    pool: str
    vdevs: list[str] = Field(min_length=1)
    mountpoint: str | None = None
    pool_properties: dict[str, Any] | None = None
    fs_properties: dict[str, Any] | None = None
    default_features: bool | None = None
    encryption_style: str | None = None
    keyfile: str | None = None

    def refers_to(self) -> list[tuple[str, str, tuple[str, ...]]]:
        return [("vdevs", device, _DEVICES) for device in self.vdevs]


class Zfs(Action):
    type: Literal["zfs"]
    pool: str
    volume: str
    properties: dict[str, Any] | None = None

    def refers_to(self) -> list[tuple[str, str, tuple[str, ...]]]:
        return [("pool", self.pool, ("zpool",))]


class Other(Action):
    """Rare hardware, taken as it comes."""

    type: Literal["dasd", "nvme_controller", "device"]
    device_id: str | None = None
    blocksize: int | None = None
    disk_layout: str | None = None
    label: str | None = None
    mode: str | None = None
    transport: str | None = None
    tcp_addr: str | None = None
    tcp_port: int | None = None
    path: str | None = None


AnyAction = Annotated[
    Disk | Partition | Raid | VolumeGroup | LogicalVolume | DmCrypt | Format | Mount | ZPool | Zfs
    | Other,
    Field(discriminator="type"),
]  # fmt: skip
