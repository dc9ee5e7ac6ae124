"""curtin's storage actions as Subiquity takes them: `storage:` of an autoinstall.

Subiquity ignores a key that it does not know, and a match that it does not know holds for every
disk; a reference that leads nowhere is a traceback after the machine was wiped.
https://curtin.readthedocs.io/en/latest/topics/storage.html; subiquity/models/filesystem.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from deployer.answers.grammars.netplan import Model
from deployer.core.documents import Place

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


class LayoutOf(Model):
    name: Literal["lvm", "direct", "zfs", "hybrid"]
    match: Match | list[Match] | None = None
    sizing_policy: Literal["scaled", "all"] | None = Field(default=None, alias="sizing-policy")
    password: str | None = Field(default=None, min_length=1)
    mode: Literal["reformat_disk", "use_gap"] | None = None
    ptable: Literal["gpt", "msdos"] | None = None
    encrypted: bool | None = None
    recovery_key: dict[str, str] | None = Field(default=None, alias="recovery-key")
    reset_partition: bool | int | str | None = Field(default=None, alias="reset-partition")
    reset_partition_only: bool | None = Field(default=None, alias="reset-partition-only")


class Swap(Model):
    size: int | str | None = None
    filename: str | None = None
    maxsize: int | str | None = None
    force: bool | None = None


class Grub(Model):
    reorder_uefi: bool | None = None
    reorder_uefi_force_fallback: bool | None = None
    update_nvram: bool | None = None
    remove_old_uefi_loaders: bool | None = None
    remove_duplicate_entries: bool | None = None
    probe_additional_os: bool | None = None
    install_devices: list[str] | None = None
    replace_linux_default: bool | None = None
    terminal: str | None = None


class Storage(Model):
    layout: LayoutOf | None = None
    config: list[AnyAction] | None = None
    version: Literal[1, 2] | None = None
    swap: Swap | None = None
    grub: Grub | None = None

    def problems(self) -> Iterator[tuple[Place, str]]:
        """What no single action shows: (where, what is wrong)."""
        if self.layout is not None and self.config is not None:
            yield ("config",), "layout is given, so the installer passes this list over"
        elif self.config is not None:
            yield from _References(self.config).problems()
            yield from _sizes(self.config)
            yield from _disks(self.config)
            yield from _mounts(self.config)
        elif self.layout is None:
            yield (), "neither layout nor config: the installer would take the largest disk"
        elif self.layout.match is None or not _says_something(self.layout.match):
            yield ("layout",), "it has no match: the installer would take the largest disk"


def _says_something(match: Match | list[Match]) -> bool:
    given = match if isinstance(match, list) else [match]
    return bool(given) and all(each.says_something for each in given)


class _References:
    """Actions are taken in their order: what one refers to must have been before it."""

    def __init__(self, actions: list[Any]) -> None:
        self._actions = actions
        self._kinds: dict[str, str] = {}

    def problems(self) -> Iterator[tuple[Place, str]]:
        for number, action in enumerate(self._actions):
            place = ("config", number)
            for field, other, kinds in action.refers_to():
                kind = self._kinds.get(other)
                if kind is None:
                    yield (*place, field), f"there is no action {other!r} before this one"
                elif kind not in kinds:
                    yield (*place, field), f"{other!r} is a {kind}, and not: {', '.join(kinds)}"
            if action.id in self._kinds:
                yield (*place, "id"), f"two actions are called {action.id!r}"
            self._kinds[action.id] = action.type


def _sizes(actions: list[Any]) -> Iterator[tuple[Place, str]]:
    last = {_parent(action): number for number, action in enumerate(actions) if _parent(action)}
    for number, action in enumerate(actions):
        parent = _parent(action)
        if parent and action.size == -1 and last[parent] != number:
            place = ("config", number, "size")
            yield place, f"-1, the rest, must be the last one on {parent!r}"


def _parent(action: Any) -> str | None:
    found = {"partition": "device", "lvm_partition": "volgroup"}.get(action.type)
    return getattr(action, found) if found else None


def _disks(actions: list[Any]) -> Iterator[tuple[Place, str]]:
    disks = [(n, action) for n, action in enumerate(actions) if action.type == "disk"]
    if not disks:
        yield ("config",), "it names no disk"
    for number, disk in disks:
        if not disk.is_chosen:
            problem = "it has no serial, path or match: the installer would take any free disk"
            yield ("config", number), problem
    if disks and not any(getattr(action, "grub_device", False) for action in actions):
        yield (
            ("config",),
            (
                "nothing could start this system: no action has grub_device (the disk with BIOS,"
                " the EFI system partition with UEFI)"
            ),
        )


def _mounts(actions: list[Any]) -> Iterator[tuple[Place, str]]:
    seen: set[str] = set()
    for number, action in enumerate(actions):
        for path in _paths(action):
            if path in seen:
                yield ("config", number), f"{path} is mounted already"
            seen.add(path)
    if "/" not in seen:
        yield ("config",), "nothing is mounted at /"


def _paths(action: Any) -> Iterator[str]:
    path = None
    if action.type == "mount":
        path = action.path
    elif action.type == "zpool" and (action.fs_properties or {}).get("canmount") in ("on", True):
        path = action.mountpoint
    elif action.type == "zfs" and (action.properties or {}).get("canmount") in (
        "on",
        "noauto",
        True,
    ):
        path = action.properties.get("mountpoint")
    if isinstance(path, str) and path.startswith("/"):
        yield path
