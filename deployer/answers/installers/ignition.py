"""Ignition, of Flatcar and Fedora CoreOS: the grammar of its configs, stricter than its own.

Ignition ignores a key that it does not know, takes 644 for a mode (it is 01204) and a password for
a hash. `ignition-validate` 2.14 finds neither, and knows no spec after 3.3; where it is installed,
it is asked for what we may have overlooked.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any, ClassVar

from deployer.answers.checks import check_shell
from deployer.answers.filters import coreos
from deployer.answers.filters.links import host_of, links
from deployer.answers.grammars.ignition_rules import CORRECT, data_url, problems
from deployer.answers.grammars.ignition_spec import VERSIONS
from deployer.answers.places import Document, Path, Unreadable, read
from deployer.core.families import Answer
from deployer.errors import Finding


def _of_version(addresses: list[str], version: int) -> list[str]:
    return [text for text in addresses if ipaddress.ip_interface(text).version == version]


class Ignition:
    name = "ignition"
    filters: ClassVar = {
        "data_url": data_url, "host_of": host_of, "of_version": _of_version, "links": links,
        "coreos_disks": coreos.disks,
    }  # fmt: skip

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        if answer.format == "shell":
            return list(_script(answer, text, context))
        try:
            given = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            return [_unreadable(answer.path, error)]
        found = list(problems(given, answer.path, context))
        if found:
            document = _document(text)
            return [_finding(answer.path, document, *problem) for problem in found]
        scripts = _scripts(context, "post", "first_boot") if answer.path == "target.ign" else []
        return [*scripts, *_validated(answer.path, text)]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is given twice in one object, and the first would be lost")
    return made


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _unreadable(file: str, error: Exception) -> Finding:
    line = error.lineno if isinstance(error, json.JSONDecodeError) else None
    problem = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    where = f"{file}, line {line}" if line else file
    said = f"{where}: Ignition could not read it, and the machine would stop: {problem}"
    return Finding(said, "write JSON; Butane's YAML must be translated first", file=file, line=line)


def _script(answer: Answer, text: str, context: dict[str, Any]) -> Iterator[Finding]:
    yield from check_shell(text, "bash", answer.path, answer.path)
    yield from _scripts(context, "pre")
    if context["urls"]["disks"] not in text:
        yield Finding(
            f"{answer.path}: nobody chooses the disk, so any could be overwritten",
            "ask the server: include agent-curl.sh.j2, and call ask_for_disks", file=answer.path,
        )  # fmt: skip


# The profile's own scripts stand quoted in ours, where their line numbers would mean nothing.
def _scripts(context: dict[str, Any], *names: str) -> Iterator[Finding]:
    for name in names:
        if script := context["profile"]["scripts"][name]:
            yield from check_shell(script, "bash", f"scripts.{name}", f"scripts.{name}")


def _validated(file: str, text: str) -> list[Finding]:
    """What ignition-validate says, where it is installed; its warnings are ours too."""
    program = shutil.which("ignition-validate")
    version = json.loads(text)["ignition"]["version"]
    if program is None or VERSIONS.index(version) > VERSIONS.index("3.3.0"):
        return []
    done = subprocess.run(
        [program, "-"], input=text, capture_output=True, text=True, timeout=20, check=False
    )
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    found = []
    for line in said or (["ignition-validate refuses it"] if done.returncode else []):
        place = re.search(r"line (\d+)", line)
        number = int(place[1]) if place else None
        found.append(Finding(f"{file}: {line}", CORRECT, file=file, line=number))
    return found


def _document(text: str) -> Document | None:
    try:
        return next(iter(read(text)), None)
    except Unreadable:
        return None


def _finding(
    file: str, document: Document | None, place: Path, problem: str, remedy: str
) -> Finding:
    line = document.line(place) if document else None
    field = ".".join(str(part) for part in place)
    where = f"{file}, line {line}" if line else file
    said = f"{where}: {field}: {problem}" if field else f"{where}: {problem}"
    return Finding(said, remedy, file=file, line=line, field=field or None)


INSTALLER = Ignition()
