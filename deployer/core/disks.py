"""The disk rule: which disk is installed, or in plain words why none.

The rule is applied to the list that the live system reports, before anything is written. Not
exactly one match is an abort: no answer is better than the wrong disk.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from deployer.core.sizes import Size, show_size
from deployer.core.text import Line

DiskType = Literal["hdd", "ssd", "nvme"]
# An empty condition would hold for every disk whose firmware keeps silent.
Given = Annotated[Line, Field(min_length=1)]


class Disk(BaseModel):
    """A disk as the live system sees it; `contents` are the signatures found on it."""

    model_config = ConfigDict(extra="ignore")

    name: Line
    path: Line
    size: int = Field(ge=0, le=2**63)
    serial: Line | None = None
    wwn: Line | None = None
    model: Line | None = None
    type: DiskType | None = None
    transport: Line | None = None
    removable: bool = False
    read_only: bool = False
    contents: list[Line] = Field(default_factory=list, max_length=256)

    def describe(self) -> str:
        marks = [self.path, show_size(self.size)]
        marks += [f"serial {self.serial}"] if self.serial else []
        marks += [self.model.strip()] if self.model else []
        return " ".join(marks)


class DiskRule(BaseModel):
    """Every condition given must hold; `pick` says what to do when several disks pass."""

    model_config = ConfigDict(extra="forbid")

    serial: Given | None = None
    wwn: Given | None = None
    model: Given | None = None  # part of the model name, case does not count
    path: Given | None = None
    min_size: Size | None = None
    max_size: Size | None = None
    type: DiskType | None = None
    pick: Literal["smallest", "largest", "only"] = "only"

    def describe(self) -> str:
        sizes = {"min_size", "max_size"}
        given = self.model_dump(exclude_none=True)
        return ", ".join(f"{k}: {show_size(v) if k in sizes else v}" for k, v in given.items())


# Seldom the machine's own: a backup disk, or a LUN that others use too. lsblk's words for TRAN.
_EXTERNAL = {"usb", "ieee1394", "fc", "fcoe", "iscsi"}


class NoDisk(Exception):
    """No disk, or no single one, fits; the message lists each disk with its reason."""


def _misfit(rule: DiskRule, disk: Disk, needed: int) -> str | None:
    """Why `disk` cannot be the one; None when it can."""

    def differs(wanted: str | None, found: str | None) -> bool:
        return wanted is not None and wanted.strip().casefold() != (found or "").strip().casefold()

    if disk.removable:
        return "removable"
    if disk.read_only:
        return "read-only"
    if disk.transport in _EXTERNAL and not (rule.serial or rule.wwn):
        return f"attached by {disk.transport}; only its serial or WWN can choose it"
    if differs(rule.serial, disk.serial):
        return f"its serial is {disk.serial or 'unknown'}"
    if differs(rule.wwn, disk.wwn):
        return f"its WWN is {disk.wwn or 'unknown'}"
    if rule.model is not None and rule.model.casefold() not in (disk.model or "").casefold():
        return f"its model is {disk.model or 'unknown'}"
    if rule.path is not None and rule.path not in (disk.path, disk.name):
        return f"its path is {disk.path}"
    if rule.type is not None and rule.type != disk.type:
        return f"its type is {disk.type or 'unknown'}"
    if disk.size < max(rule.min_size or 0, needed):
        least = max(rule.min_size or 0, needed)
        return f"{disk.size} bytes, smaller than {show_size(least)} ({least} bytes)"
    if rule.max_size is not None and disk.size > rule.max_size:
        return f"{disk.size} bytes, larger than {show_size(rule.max_size)}"
    return None


def _single(rule: DiskRule, fitting: list[Disk]) -> Disk | None:
    if rule.pick == "only" or not fitting:
        return fitting[0] if len(fitting) == 1 else None
    sizes = [d.size for d in fitting]
    wanted = min(sizes) if rule.pick == "smallest" else max(sizes)
    return next(d for d in fitting if d.size == wanted) if sizes.count(wanted) == 1 else None


def choose(rule: DiskRule, disks: list[Disk], needed: int = 0) -> Disk:
    """The one disk that `rule` means, at least `needed` bytes large; NoDisk otherwise."""
    judged = [(disk, _misfit(rule, disk, needed)) for disk in disks]
    fitting = [disk for disk, misfit in judged if misfit is None]
    wwns = [d.wwn.strip().casefold() for d in fitting if d.wwn]
    if len(wwns) != len(set(wwns)):
        raise NoDisk(
            "two paths lead to one disk (same WWN): "
            + "; ".join(d.describe() for d in fitting)
            + ". Multipath disks are not installed; unplug one path or name another disk"
        )
    disk = _single(rule, fitting)
    if disk is not None:
        return disk
    seen = "; ".join(f"{disk.describe()} ({misfit or 'fits'})" for disk, misfit in judged)
    problem = f"{len(fitting)} disks fit" if fitting else "no disk fits"
    raise NoDisk(
        f"{problem} the rule ({rule.describe()}). Seen: {seen or 'no disk at all'}."
        f" {'Name one by serial or size' if fitting else 'Correct storage.disk in the profile'}"
    )
