"""Files in which fleets are described: YAML, INI and CSV, each read into plain records."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from deployer.core.documents import Place, read_file
from deployer.errors import Invalid


@dataclass(frozen=True)
class Record:
    """What stands for one host or profile, and where; it may still be anything."""

    data: Any
    file: str
    line: int
    line_of: Callable[[Place], int]


def read(text: str, file: str) -> list[Record]:
    """The records of one file, by its ending; Invalid names the line."""
    reader = READERS.get(file.rpartition(".")[2].lower())
    if reader is None:
        raise Invalid(
            f"{file}: this kind of file is not known", field="-f", value=file,
            remedy=f"give a file that ends in {', '.join('.' + name for name in READERS)}",
        )  # fmt: skip
    return list(reader(text, file))


# --- YAML -------------------------------------------------------------------------------------


def _yaml(text: str, file: str) -> Iterator[Record]:
    for document in read_file(text, file):
        if document.value is not None:
            yield Record(document.value, file, document.first_line, document.line)


# --- INI --------------------------------------------------------------------------------------

_SECTION = re.compile(r"\[([A-Za-z0-9._-]+)(:[a-z]+)?\]\s*([#;].*)?", re.ASCII)


def _ini(text: str, file: str) -> Iterator[Record]:
    """An inventory as Ansible has them: `[group]`, then `NAME mac=... label.rack=a1`.

    The group becomes the label `group`; `[group:vars]` holds cells for all its hosts.
    """
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1)]
    lines = [(n, line) for n, line in lines if line and line[0] not in "#;"]
    shared = _shared_cells(lines, file)
    for number, group, part, line in _with_sections(lines, file):
        if part is None:
            cells = _words(line, file, number)
            common = {"label.group": group, **shared.get(group, {})} if group else {}
            yield _host({**common, **cells}, file, number)


def _shared_cells(lines: list[tuple[int, str]], file: str) -> dict[str, dict[str, str]]:
    shared: dict[str, dict[str, str]] = {}
    for number, group, part, line in _with_sections(lines, file):
        if part == ":vars":
            key, equals, value = line.partition("=")
            if not equals:
                raise _bad_line(file, number, f"{line!r} is no KEY=VALUE", "write label.rack=a1")
            shared.setdefault(group, {})[key.strip()] = value.strip()
    return shared


def _with_sections(
    lines: list[tuple[int, str]], file: str
) -> Iterator[tuple[int, str, str | None, str]]:
    """(line number, group, `:vars` or None, line) for every line that is no heading."""
    group, part = "", None
    for number, line in lines:
        if line.startswith("["):
            match = _SECTION.fullmatch(line)
            if match is None or match[2] not in (None, ":vars"):
                raise _bad_line(
                    file, number, f"the heading {line} is not understood",
                    "write [group] or [group:vars]; say more with label.KEY=VALUE",
                )  # fmt: skip
            group, part = match[1], match[2]
        else:
            yield number, group, part, line


def _words(line: str, file: str, number: int) -> dict[str, str]:
    """`web01 mac=... label.rack=a1` as cells; what begins with # ends the line."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise _bad_line(file, number, f"{str(error).lower()}", "close the quotes") from None
    end = next((i for i, word in enumerate(words) if word.startswith("#")), len(words))
    cells: dict[str, str] = {}
    for word in words[:end]:
        key, equals, value = word.partition("=")
        if not equals and not cells:
            key, value = "name", word
        elif not equals:
            raise _bad_line(file, number, f"{word!r} is no KEY=VALUE", "write NAME mac=...")
        if key in cells:
            raise _bad_line(file, number, f"{key} is given twice", "write it once")
        cells[key] = value
    return {key: value for key, value in cells.items() if not key.startswith("ansible_")}


# --- CSV --------------------------------------------------------------------------------------


def _csv(text: str, file: str) -> Iterator[Record]:
    """A first line with the names of the columns, then one line per host."""
    heading = text.partition("\n")[0]
    # Where the comma is the decimal sign, spreadsheets separate with semicolons.
    delimiter = "," if "," in heading or ";" not in heading else ";"
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not columns:
                columns = cells
            elif len(cells) > len(columns):
                raise _bad_line(
                    file, rows.line_num, f"{len(cells)} cells, but {len(columns)} columns",
                    "put cells that hold a comma in double quotes",
                )  # fmt: skip
            else:
                yield _host(dict(zip(columns, cells, strict=False)), file, rows.line_num)
    except csv.Error as error:
        raise _bad_line(file, rows.line_num, str(error), "correct the quotes") from None


# --- cells ------------------------------------------------------------------------------------

_PLAIN = {"name", "uuid", "serial", "protected", "local_boot", "secure_boot"}
_GROUPED = {"label": "labels", "var": "vars"}


def _host(cells: dict[str, str], file: str, line: int) -> Record:
    """A host from named cells; an empty cell says nothing."""
    data: dict[str, Any] = {"kind": "host"}
    for key, value in cells.items():
        prefix, dot, rest = key.partition(".")
        if value == "":
            continue
        if key in ("mac", "macs"):
            data["macs"] = data.get("macs", []) + re.findall(r"[^\s;,]+", value)
        elif key in _PLAIN:
            data[key] = value
        elif dot and prefix in _GROUPED and rest:
            data.setdefault(_GROUPED[prefix], {})[rest] = value
        else:
            raise _bad_line(
                file, line, f"{key!r} is not known here",
                f"use {', '.join(['macs', *sorted(_PLAIN), 'label.KEY', 'var.KEY'])}; YAML can say"
                " everything",
            )  # fmt: skip
    return Record(data, file, line, lambda _place: line)


def _bad_line(file: str, line: int, problem: str, remedy: str) -> Invalid:
    return Invalid(f"{file}:{line}: {problem}", remedy=remedy)


READERS: dict[str, Callable[[str, str], Iterator[Record]]] = {
    "yaml": _yaml, "yml": _yaml, "ini": _ini, "csv": _csv,
}  # fmt: skip
