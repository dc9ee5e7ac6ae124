"""`storage:` of an autoinstall: a layout, or actions that must fit together.

A reference that leads nowhere is a traceback after the machine was wiped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from deployer.answers.grammars.curtin_actions import AnyAction, Match
from deployer.answers.grammars.netplan import Model
from deployer.core.documents import Place


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
