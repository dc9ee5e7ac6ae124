"""From files to hosts, profiles and receivers, all of them checked before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from deployer.cli import formats
from deployer.cli.formats import Record
from deployer.core.documents import Place
from deployer.core.inventory import HostSpec
from deployer.core.profiles import ProfileSpec
from deployer.core.receivers import ReceiverSpec
from deployer.core.text import masks_in
from deployer.errors import Finding, Invalid

KINDS: dict[str, type[BaseModel]] = {
    "profile": ProfileSpec, "host": HostSpec, "receiver": ReceiverSpec,
}  # fmt: skip
_KINDS = "kind: host, kind: profile or kind: receiver"
_LARGEST_FILE = 64 * 1024 * 1024


@dataclass(frozen=True)
class Item:
    """What passed its rules: `body` as it was written, `full` with defaults."""

    kind: str
    name: str
    spec: HostSpec | ProfileSpec | ReceiverSpec
    body: dict[str, Any]
    full: dict[str, Any]
    record: Record

    @property
    def place(self) -> str:
        return f"{self.record.file}:{self.record.line}"


def read(paths: Iterable[Path]) -> list[Item]:
    """Kind by kind, in the order of KINDS; Invalid holds a finding for everything that is wrong."""
    findings: list[Finding] = []
    items = [
        item
        for file in _files(paths, findings)
        for record in _records(file, findings)
        if (item := _item(record, findings)) is not None
    ]
    findings += _duplicates(items)
    if findings:
        problems = "one problem" if len(findings) == 1 else f"{len(findings)} problems"
        findings.sort(key=lambda found: (found.file or "", found.line or 0))
        raise Invalid(f"{problems}; nothing was sent", findings=findings)
    if not items:
        raise Invalid(
            "there is no host, profile or receiver in these files", field="-f",
            remedy=f"write documents that begin with {_KINDS}",
        )  # fmt: skip
    return sorted(items, key=lambda item: list(KINDS).index(item.kind))


def _files(paths: Iterable[Path], findings: list[Finding]) -> Iterator[Path]:
    """Each file once; from folders, those that we can read."""
    seen: set[Path] = set()
    for path in paths:
        found = [path]
        if path.is_dir():
            found = [
                p for p in sorted(path.rglob("*")) if _is_ours(p.relative_to(path)) and p.is_file()
            ]
        if not found or not path.exists():
            names = ", ".join("." + name for name in formats.READERS)
            problem = "holds no file that ends in " + names if path.exists() else "does not exist"
            findings.append(Finding(problem, "give another folder or file", file=str(path)))
            continue
        yield from (file for file in found if file.resolve() not in seen)
        seen.update(file.resolve() for file in found)


def _is_ours(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.suffix[1:].lower() in formats.READERS


def _records(file: Path, findings: list[Finding]) -> list[Record]:
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise Invalid(f"{file}: larger than 64 MiB", remedy="is this the right file?")
        # Spreadsheets begin their UTF-8 with a mark.
        return formats.read(file.read_text(encoding="utf-8-sig"), str(file))
    except Invalid as error:
        findings.append(Finding(error.message, error.remedy or "correct the file"))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        findings.append(Finding("is not UTF-8", "save it as UTF-8", file=str(file), line=line))
    except OSError as error:
        findings.append(Finding(str(error), "make it readable", file=str(file)))
    return []


# --- one record -------------------------------------------------------------------------------


def _item(record: Record, findings: list[Finding]) -> Item | None:
    """The record as an item; what is wrong with it is added to `findings`."""
    if not isinstance(record.data, dict):
        findings.append(_finding(record, (), "is no mapping", "begin it with `kind: host`"))
        return None
    data = dict(record.data)
    kind = data.pop("kind", None)
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        problem = "is missing" if kind is None else f"there is no kind {kind!r}"
        findings.append(_finding(record, ("kind",), problem, f"write {_KINDS}"))
        return None
    if problems := list(_include_files(record, data)):
        findings += problems
        return None
    masks = list(_masks(record, data))
    if masks:
        findings += masks
        return None
    try:
        json.dumps(data, allow_nan=False, default=str)
        spec = model.model_validate(data)
        full = spec.model_dump(mode="json")
        body = spec.model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        findings += _broken_rules(record, model, data, error)
        return None
    except (ValueError, TypeError):
        findings.append(
            _finding(record, ("vars",), "holds a value that JSON has not", "use text and numbers")
        )
        return None
    assert isinstance(spec, HostSpec | ProfileSpec | ReceiverSpec)
    return Item(str(kind), spec.name, spec, body, full, record)


def _include_files(record: Record, data: dict[str, Any]) -> Iterator[Finding]:
    """`answer_files: {ks.cfg: {file: web.ks}}`: the text of the file that lies beside this one."""
    given = data.get("answer_files")
    if not isinstance(given, dict):
        return
    data["answer_files"] = included = dict(given)
    for name, entry in given.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
            continue
        file = Path(record.file).parent / entry["file"]
        others = {key: value for key, value in entry.items() if key != "file"}
        try:
            included[name] = {**others, "content": file.read_text(encoding="utf-8-sig")}
        except (OSError, ValueError) as error:
            place = ("answer_files", name, "file")
            remedy = "name a readable UTF-8 file, as seen from this one"
            yield _finding(record, place, str(error), remedy, str(file))


def _finding(record: Record, place: Place, message: str, remedy: str, value: Any = None) -> Finding:
    field = ".".join(str(step) for step in place)
    return Finding(
        message,
        remedy,
        file=record.file,
        line=record.line_of(place),
        field=field or None,
        value=value,
    )


def _broken_rules(
    record: Record, model: type[BaseModel], data: dict[str, Any], error: ValidationError
) -> Iterator[Finding]:
    seen: set[Place] = set()
    for problem in error.errors():
        place = _written(problem["loc"], data, missing=problem["type"] == "missing")
        # A value that may be of several types breaks the rules of each; the first says enough.
        if place in seen:
            continue
        seen.add(place)
        value, shown = problem["input"], ""
        known = problem["type"] != "extra_forbidden"
        if known and isinstance(value, str | int | float | bool) and not _secret(place):
            shown = f" (it is {value!r})"
        message = _MESSAGES.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
        remedy = _remedy(problem["type"], place, model, value)
        yield _finding(record, place, message + shown, remedy, value)


_MESSAGES = {"missing": "is missing", "extra_forbidden": "there is no such field"}


def _written(loc: Place, data: Any, *, missing: bool) -> Place:
    """`loc` without the steps that pydantic adds for itself, such as the arms of a union."""
    place: list[str | int] = []
    for step in loc:
        inside = dict(enumerate(data)) if isinstance(data, list) else data
        if isinstance(inside, dict) and step in inside:
            data = inside[step]
            place.append(step)
    return (*place, loc[-1]) if missing and loc else tuple(place)


def _secret(place: Place) -> bool:
    return any(word in str(step) for step in place for word in ("password", "secret", "token"))


def _remedy(type_: str, place: Place, model: type[BaseModel], value: Any) -> str:
    if type_ == "extra_forbidden":
        fields = list(model.model_fields)
        close = get_close_matches(str(place[-1]), fields, 1) if len(place) == 1 else []
        return f"did you mean {close[0]}?" if close else "remove it; it is not known here"
    if type_ == "missing":
        return "add it"
    if type_ == "string_type" and isinstance(value, int | float):
        return f'put it in quotes: "{value}"'
    return "correct it"


def _masks(record: Record, value: Any) -> Iterator[Finding]:
    """What `hosts show` printed instead of a secret must not become the secret."""
    for place in masks_in(value):
        yield _finding(record, place, "is a mask, not the secret", "write the secret itself")


# --- across files -----------------------------------------------------------------------------


def _duplicates(items: list[Item]) -> Iterator[Finding]:
    """One name, MAC or UUID in two places: both are named."""
    hosts = [item for item in items if item.kind == "host"]
    for kind in KINDS:
        yield from _twice([i for i in items if i.kind == kind], "name", lambda item: [item.name])
    yield from _twice(hosts, "macs", lambda item: item.full["macs"])
    yield from _twice(hosts, "uuid", lambda item: [item.full["uuid"]] if item.full["uuid"] else [])


def _twice(items: list[Item], field: str, values: Callable[[Item], list[str]]) -> Iterator[Finding]:
    first: dict[str, Item] = {}
    for item in items:
        for value in values(item):
            other = first.setdefault(value, item)
            if other is not item and (field == "name" or other.name != item.name):
                message = f"{field}: {value} of {item.name} is also that of {other.name}"
                if field == "name":
                    message = f"{field}: {item.kind} {value} is described twice"
                line = other.record.line_of((field,))
                yield _finding(
                    item.record, (field,), f"{message} in {other.record.file}:{line}",
                    "correct or remove one of them", value,
                )  # fmt: skip
