"""What differs between a description and what the server has, in words for a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from itertools import zip_longest
from typing import Any

from deployer.cli.fleet import Item
from deployer.core.text import MASK, may_be_secret


@dataclass(frozen=True)
class Difference:
    """One value; None is one that is not there."""

    field: str
    old: Any
    new: Any

    @property
    def top(self) -> str:
        return self.field.split(".")[0]


def of_item(item: Item, current: dict[str, Any] | None, *, secrets: bool) -> list[Difference]:
    """What applying `item` would change; all of it where there is nothing yet.

    A host keeps the fields that its file does not mention: serials and protection are often set
    elsewhere. All else is replaced as a whole. `secrets`: take masked values for changed.
    """
    if current is None:
        return list(_differences({}, item.body, "", secrets))
    wanted = item.full
    if item.kind == "host":
        wanted = {field: item.full[field] for field in item.body}
    return list(_differences({f: current.get(f) for f in wanted}, wanted, "", secrets))


def _differences(old: Any, new: Any, field: str, secrets: bool) -> Iterator[Difference]:
    pairs = _parts(old, new)
    if pairs is not None:
        for name, before, after in pairs:
            path = f"{field}.{name}" if field else name
            yield from _differences(before, after, path, secrets)
    elif old != new and (secrets or not (old == MASK and new)):
        yield Difference(field, old, new)


def _parts(old: Any, new: Any) -> list[tuple[str, Any, Any]] | None:
    """(name, old part, new part) of two mappings, or lists of them; None for anything else."""
    known = [value for value in (old, new) if value is not None]
    if known and all(isinstance(value, dict) for value in known):
        before, after = old or {}, new or {}
        return [(str(key), before.get(key), after.get(key)) for key in {**before, **after}]
    if known and all(isinstance(value, list) for value in known) and _hold_mappings(known):
        rows = zip_longest(old or [], new or [])
        return [(str(index), *pair) for index, pair in enumerate(rows)]
    return None


def _hold_mappings(lists: list[list[Any]]) -> bool:
    return any(isinstance(part, dict) for parts in lists for part in parts)


def lines(difference: Difference) -> list[str]:
    """One difference for a person; secrets are named, not shown."""
    field, old, new = difference.field, difference.old, difference.new
    if _is_secret(field):
        return [f"{field}: (secret) {'removed' if new is None else 'set'}"]
    if isinstance(old, list) and isinstance(new, list):
        marks = [f"+ {_show(v)}" for v in new if v not in old]
        marks += [f"- {_show(v)}" for v in old if v not in new]
        return [f"{field}: {'  '.join(marks) or 'another order'}"]
    if any("\n" in str(value) for value in (old, new)):
        return [f"{field}:", *_text_lines(str(old or ""), str(new or ""))]
    return [f"{field}: {_show(new)}" if old is None else f"{field}: {_show(old)} → {_show(new)}"]


def _text_lines(old: str, new: str) -> Iterator[str]:
    for line in unified_diff(old.splitlines(), new.splitlines(), n=1, lineterm=""):
        if not line.startswith(("---", "+++", "@@")):
            yield f"  {line}"


def _show(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_show, value)) or "(empty)"
    if isinstance(value, bool):
        return str(value).lower()
    return "(none)" if value is None else str(value)


def _is_secret(field: str) -> bool:
    """The same judgement as the server's own masks."""
    of_driver = field.startswith(("power.", "settings.")) and may_be_secret(field)
    if of_driver and field.endswith(".secret"):
        return False  # the name of one
    return of_driver or field.endswith("password_hash")
