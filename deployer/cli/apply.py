"""`deployer apply`: makes the server know what the files say, and touches nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from deployer.cli import output
from deployer.cli.connection import connect
from deployer.cli.failures import ApiError

if TYPE_CHECKING:
    from deployer.cli.client import Client
    from deployer.cli.compare import Difference
    from deployer.cli.fleet import Item

# Fewer than this are asked for one by one; for more, the whole list is quicker.
_ONE_BY_ONE = 25
_STYLES = {"created": ("+", "green"), "changed": ("~", "yellow"), "unchanged": ("=", "dim")}


@dataclass(frozen=True)
class Step:
    """What is to be done about one item, and why."""

    item: Item
    current: dict[str, Any] | None
    differences: list[Difference]

    @property
    def outcome(self) -> str:
        if self.current is None:
            return "created"
        return "changed" if self.differences else "unchanged"


def apply(
    ctx: typer.Context,
    files: Annotated[
        list[Path],
        typer.Option("-f", "--file", metavar="DIR|FILE", help="YAML, INI or CSV; repeatable."),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change; change nothing.")
    ] = False,
    secrets: Annotated[
        bool,
        typer.Option(
            "--secrets",
            help="Send secrets again; the server never shows them, so they cannot be compared.",
        ),
    ] = False,
) -> None:
    """Create or change hosts, profiles and receivers as files describe them; twice is once.

    YAML: documents that begin with `kind: host`, `kind: profile` or `kind: receiver`.

    INI: an inventory, with groups of lines like `web01 mac=52:54:00:12:34:56 label.rack=a1`.

    CSV: the columns name, macs, uuid, serial, protected and label.KEY.

    A field of a host that its file does not mention is left as it is.
    """
    from deployer.cli import fleet

    items = fleet.read(files)
    with connect(ctx) as api:
        steps = _plan(api, items, secrets)
        _refuse_unprotecting(steps)
        if dry_run:
            _show_plan(steps)
            return
        failed = _carry_out(api, steps)
    _summarise(steps, failed)
    raise typer.Exit(1 if failed else 0)


def _plan(api: Client, items: list[Item], secrets: bool) -> list[Step]:
    from deployer.cli import compare

    known = _Known(api, items)
    steps = []
    for item in items:
        current = known.get(item)
        steps.append(Step(item, current, compare.of_item(item, current, secrets=secrets)))
    return steps


class _Known:
    """What the server has of these items."""

    def __init__(self, api: Client, items: list[Item]) -> None:
        self._api = api
        self._lists: dict[str, dict[str, Any]] = {}
        for kind in {item.kind for item in items}:
            if sum(item.kind == kind for item in items) > _ONE_BY_ONE:
                self._lists[kind] = {found["name"]: found for found in api.items(f"/{kind}s")}

    def get(self, item: Item) -> dict[str, Any] | None:
        if item.kind in self._lists:
            found: dict[str, Any] | None = self._lists[item.kind].get(item.name)
            return found
        return self._api.find(_path(item))


def _path(item: Item) -> str:
    from deployer.cli.client import segment

    return f"/{item.kind}s/{segment(item.name)}"


def _refuse_unprotecting(steps: list[Step]) -> None:
    """Protection is lifted by a person who means it, never by a file."""
    from deployer.errors import Finding, Invalid

    findings = [
        Finding(
            f"protected: {step.item.name} is protected, and files do not lift protection",
            f"`deployer hosts unprotect {step.item.name}`, if it may be reinstalled",
            file=step.item.record.file, line=step.item.record.line_of(("protected",)),
            field="protected", value=False,
        )
        for step in steps
        for difference in step.differences
        if step.current and difference.field == "protected" and difference.new is False
    ]  # fmt: skip
    if findings:
        raise Invalid("protection would be lifted; nothing was sent", findings=findings)


def _show_plan(steps: list[Step]) -> None:
    from deployer.cli import compare

    for step in steps:
        if step.outcome == "unchanged":
            continue
        mark, style = _STYLES[step.outcome]
        output.say(output.safe(f"{mark} {step.item.kind} {step.item.name}", style))
        for difference in step.differences:
            for line in compare.lines(difference):
                if difference.field != "name":
                    output.say(output.safe_block(f"    {line}"))
    counts = _counts(steps)
    output.say(f"{counts} (dry run: nothing was sent)")


def _carry_out(api: Client, steps: list[Step]) -> list[Step]:
    """Those that failed, each of them said. A MAC that moves is freed before it is taken."""
    waiting = [step for step in steps if step.outcome != "unchanged"]
    errors: dict[str, ApiError] = {}
    while waiting:
        left = [step for step in waiting if not _done(api, step, errors)]
        conflicts = [s for s in left if errors[s.item.place].status == 409]
        if len(left) == len(waiting) or not conflicts:
            break
        waiting = left
    else:
        return []
    for step in left:
        output.console(stderr=True).print(
            Text.assemble(output.safe(f"{step.item.place}: {step.item.kind} {step.item.name}"))
        )
        output.show_error(errors[step.item.place])
    return left


def _done(api: Client, step: Step, errors: dict[str, ApiError]) -> bool:
    try:
        _send(api, step)
    except ApiError as error:
        if error.status in (401, 403):
            raise
        errors[step.item.place] = error
        return False
    mark, style = _STYLES[step.outcome]
    output.say(output.safe(f"{mark} {step.item.kind} {step.item.name} {step.outcome}", style))
    return True


def _send(api: Client, step: Step) -> None:
    item = step.item
    if step.current is None:
        api.send("POST", f"/{item.kind}s", item.body)
    elif item.kind == "host":
        changed = {difference.top for difference in step.differences}
        api.send("PATCH", _path(item), {k: v for k, v in item.body.items() if k in changed})
    else:
        api.send("PUT", _path(item), item.body)


def _counts(steps: Iterable[Step]) -> str:
    outcomes = [step.outcome for step in steps]
    return ", ".join(f"{outcomes.count(name)} {name}" for name in _STYLES)


def _summarise(steps: list[Step], failed: list[Step]) -> None:
    counts = _counts(step for step in steps if step not in failed)
    output.say(f"{counts}, {len(failed)} failed" if failed else counts)
