"""The disk rule: which disk is installed, or in plain words why none.

The rule is applied to the list that the live system reports, before anything is written. Not
exactly one match is an abort: no answer is better than the wrong disk.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from deployer.core.sizes import Size, show_size
from deployer.core.text import Line

DiskType = Literal["hdd", "ssd", "nvme"]
# An empty condition would hold for every disk whose firmware keeps silent.
Given = Annotated[Line, Field(min_length=1)]
OneOf = Annotated[list[Given], Field(min_length=1, max_length=8)]


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

    def identity(self) -> dict[str, Any]:
        """What is kept of a chosen disk, and compared when it is reported again."""
        return self.model_dump(include={"name", "path", "size", "serial", "wwn", "model"})

    def describe(self) -> str:
        marks = [self.path, show_size(self.size)]
        marks += [f"serial {self.serial}"] if self.serial else []
        marks += [self.model.strip()] if self.model else []
        return " ".join(marks)


class DiskRule(BaseModel):
    """Every condition given must hold; `pick` says what to do when several disks pass.

    `all` takes each of them, and all that `serial` or `wwn` name must be there.
    """

    model_config = ConfigDict(extra="forbid")

    serial: Given | OneOf | None = None  # of several, for layouts on several disks: any of them
    wwn: Given | OneOf | None = None
    model: Given | None = None  # part of the model name, case does not count
    path: Given | None = None
    min_size: Size | None = None
    max_size: Size | None = None
    type: DiskType | None = None
    pick: Literal["smallest", "largest", "only", "all"] = "only"  # all: not to install on

    def describe(self) -> str:
        sizes = {"min_size", "max_size"}
        given = self.model_dump(exclude_none=True)
        return ", ".join(f"{k}: {show_size(v) if k in sizes else v}" for k, v in given.items())


# Seldom the machine's own: a backup disk, or a LUN that others use too. lsblk's words for TRAN.
_EXTERNAL = {"usb", "ieee1394", "fc", "fcoe", "iscsi"}


class NoDisk(Exception):
    """No disk, or no single one, fits; the message lists each disk with its reason."""


def _differs(wanted: str | list[str] | None, found: str | None) -> bool:
    if wanted is None:
        return False
    names = [wanted] if isinstance(wanted, str) else wanted
    return (found or "").strip().casefold() not in [name.strip().casefold() for name in names]


def _misfit(rule: DiskRule, disk: Disk, needed: int) -> str | None:
    """Why `disk` cannot be the one; None when it can."""
    if disk.removable:
        return "removable"
    if disk.read_only:
        return "read-only"
    if disk.transport in _EXTERNAL and not (rule.serial or rule.wwn):
        return f"attached by {disk.transport}; only its serial or WWN can choose it"
    if _differs(rule.serial, disk.serial):
        return f"its serial is {disk.serial or 'unknown'}"
    if _differs(rule.wwn, disk.wwn):
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


def _picked(rule: DiskRule, fitting: list[Disk], count: int) -> list[Disk] | None:
    """`count` disks in the order of the report; None when others would do as well."""
    if rule.pick == "only" or len(fitting) < count:
        return fitting if len(fitting) == count else None
    by_size = sorted(fitting, key=lambda disk: disk.size, reverse=rule.pick == "largest")
    if len(fitting) > count and by_size[count - 1].size == by_size[count].size:
        return None
    chosen = {id(disk) for disk in by_size[:count]}
    return [disk for disk in fitting if id(disk) in chosen]


def choose(rule: DiskRule, disks: list[Disk], needed: int = 0, count: int = 1) -> list[Disk]:
    """The `count` disks that `rule` means, each at least `needed` bytes large; NoDisk otherwise.

    Several are for a layout that mirrors them, so they must be of one size; but for `pick: all`,
    which asks for no count.
    """
    judged = [(disk, _misfit(rule, disk, needed)) for disk in disks]
    fitting = [disk for disk, misfit in judged if misfit is None]
    wwns = [d.wwn.strip().casefold() for d in fitting if d.wwn]
    if len(wwns) != len(set(wwns)):
        raise NoDisk(
            "two paths lead to one disk (same WWN): "
            + "; ".join(d.describe() for d in fitting)
            + ". Multipath disks are not written to; unplug one path or name another disk"
        )
    if rule.pick == "all":
        return _all_of(rule, judged)
    chosen = _picked(rule, fitting, count)
    if chosen is not None and len({disk.size for disk in chosen}) == 1:
        return chosen
    problem = f"{_problem(chosen, len(fitting), count)} the rule ({rule.describe()})"
    raise NoDisk(f"{problem}. {_seen(judged)} {_remedy(len(fitting), count)}")


Judged = list[tuple[Disk, str | None]]


def _all_of(rule: DiskRule, judged: Judged) -> list[Disk]:
    """A disk that was named and is not there may hold what was to be wiped."""
    fitting = [disk for disk, misfit in judged if misfit is None]
    missing = [
        f"{field} {name}"
        for field in ("serial", "wwn")
        if isinstance(named := getattr(rule, field), list)
        for name in named
        if all(_differs(name, getattr(disk, field)) for disk in fitting)
    ]
    if fitting and not missing:
        return fitting
    problem = f"no disk has {' and none has '.join(missing)}" if missing else "no disk fits"
    raise NoDisk(
        f"{problem}, by the rule ({rule.describe()}). {_seen(judged)}"
        " Correct storage.disk in the profile, or look whether a disk has failed"
    )


def _seen(judged: Judged) -> str:
    seen = "; ".join(f"{disk.describe()} ({misfit or 'fits'})" for disk, misfit in judged)
    return f"Seen: {seen or 'no disk at all'}."


def _problem(chosen: list[Disk] | None, fitting: int, count: int) -> str:
    if chosen is not None:
        return "disks of different sizes fit"
    if fitting == 0:
        return "no disk fits"
    wanted = f", and {count} are needed," if count > 1 else ""
    return f"{fitting} disk{'s fit' if fitting > 1 else ' fits'}{wanted}"


def _remedy(fitting: int, count: int) -> str:
    if fitting == 0:
        return "Correct storage.disk in the profile"
    if count == 1:
        return "Name one by serial or size"
    return f"Name {count} of one size, by `serial: [..., ...]` or by size"
