"""What commands print: safe text, tables that fit a terminal, one JSON document, errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deployer.cli.failures import ConnectionLost
from deployer.core.explain import show_duration
from deployer.core.text import printable
from deployer.errors import ConfigurationError, DeployerError, Finding

COLOURS = {
    "ready": "green", "failed": "red", "cancelled": "dim", "queued": "cyan", "booting": "cyan",
    "installing": "cyan", "first_boot": "cyan", "verifying": "cyan",
}  # fmt: skip
# Nobody reads a pipe by eye: there, lines are never cut or wrapped.
_PIPE_WIDTH = 100_000


def console(*, stderr: bool = False) -> Console:
    """Looks at the stream each time, so that tests and pipes are seen."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr, highlight=False, markup=False, emoji=False,
        width=None if stream.isatty() else _PIPE_WIDTH,
    )  # fmt: skip


def safe(value: Any, style: str = "", limit: int = 2000) -> Text:
    """Text that others wrote: no markup, and control characters stay visible."""
    return Text(printable(str(value), limit), style=style)


def safe_block(text: str) -> Text:
    """A whole file, however long; tabs stay tabs."""
    return Text("\t".join(printable(part, len(part)) for part in text.rstrip("\n").split("\t")))


def say(text: str | Text) -> None:
    console().print(text)


def show(table: Table) -> None:
    """A table; in a pipe without the blanks that would fill the last column."""
    to = console()
    if to.is_terminal:
        to.print(table)
        return
    with to.capture() as captured:
        to.print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def note(text: str) -> None:
    """For the person, not for the pipe."""
    console(stderr=True).print(safe(text, "dim"))


def show_json(document: Any) -> None:
    """Exactly one document; ASCII, so that no escape sequence reaches the terminal."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def show_list(items: Iterable[Any]) -> None:
    """A list that was followed to its end, in the API's own shape."""
    show_json({"items": list(items), "next": None})


def one_line(value: Any, style: str = "") -> Text:
    """A cell that gives way, with an ellipsis, where the terminal is narrow."""
    text = safe(" ".join(str(value).split()), style)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def state(name: str | None) -> Text:
    return safe(name or "", COLOURS.get(name or "", ""))


def table(*columns: str, narrow: str = "") -> Table:
    """Plain columns; the one called `narrow` holds `one_line` cells and is cut first."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        made.add_column(name.upper(), no_wrap=name != narrow, overflow="ellipsis")
    return made


def facts(rows: Iterable[tuple[str, Any]]) -> Table:
    """A name and what it is, one per line; rows without a value are left out."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        if value not in (None, "", [], {}):
            made.add_row(name, value if isinstance(value, Text | Table) else safe(value))
    return made


def show_yaml(document: dict[str, Any], kind: str | None = None) -> None:
    """A description that may be kept as a file; what only the server says is a comment."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Scripts in their own lines."""

    def text(dumper: Any, value: str) -> Any:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    given = _without_empty({k: v for k, v in document.items() if k not in _SERVER_SAYS})
    if kind:
        given = {"kind": kind, **given}
    for name in _SERVER_SAYS:
        if document.get(name):
            console().print(safe(f"# {name}: {document[name]}", "dim"))
    sys.stdout.write(yaml.dump(given, Dumper=Dumper, sort_keys=False, width=78))


_SERVER_SAYS = ("id", "state", "created_at", "updated_at")


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return [_without_empty(v) for v in value] if isinstance(value, list) else value
    kept = {k: _without_empty(v) for k, v in value.items()}
    return {k: v for k, v in kept.items() if v not in (None, "", [], {})}


# --- time -------------------------------------------------------------------------------------


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def age(text: str | None) -> str:
    """How long ago; a clock that differs from the server's never shows less than nothing."""
    if text is None:
        return ""
    span = datetime.now(UTC) - moment(text)
    return show_duration(max(span, span * 0))


def clock_time(text: str) -> str:
    """In this machine's time zone; with the date when it is not today."""
    at = moment(text).astimezone()
    today = at.date() == datetime.now().astimezone().date()
    return f"{at:%H:%M:%S}" if today else f"{at:%Y-%m-%d %H:%M:%S}"


# --- errors -----------------------------------------------------------------------------------


def show_error(error: DeployerError) -> int:
    """One error on stderr; the exit code that goes with it."""
    err = console(stderr=True)
    err.print(Text("error: ", "bold red") + safe(error.message, limit=20_000))
    findings: list[Finding] = getattr(error, "findings", [])
    if len(findings) > 1 or any(found.file for found in findings):
        show_findings(findings, err)
    else:
        _show_remedy(error, err)
    return _exit_code(error)


def _show_remedy(error: DeployerError, err: Console) -> None:
    if error.field:
        value = "" if error.value is None else f"  value: {_brief(error.value)}"
        err.print(safe(f"  field: {error.field}{value}"))
    if error.remedy:
        err.print(safe(f"  remedy: {error.remedy}"))


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 200 else text[:200] + " …"


def _exit_code(error: DeployerError) -> int:
    if isinstance(error, ConnectionLost):
        return 3
    return 2 if isinstance(error, ConfigurationError) else 1


def show_findings(findings: Iterable[Finding], to: Console | None = None) -> None:
    """`file:line: message → remedy`, one per line."""
    for found in findings:
        (to or console()).print(_finding_line(found))


def _finding_line(found: Finding) -> Text:
    place = ":".join(str(part) for part in (found.file, found.line) if part is not None)
    message = found.message
    if found.field and not message.startswith(found.field):
        message = f"{found.field}: {message}"
    return Text.assemble(
        safe(f"{place}: " if place else "", "bold"),
        safe(message),
        safe(f" → {found.remedy}" if found.remedy else "", "cyan"),
    )
