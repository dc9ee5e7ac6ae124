"""Debian's own installer: the grammar of a preseed file, stricter than the installer's own.

`debconf-set-selections --checkonly` accepts unknown types and questions, bad booleans, and a
backslash that swallows the next line; the installer then asks, or waits, on the machine. Grammar:
bin/debconf-set-selections of the installer itself (releases 11 to 13), and appendix B of its guide.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from deployer.answers.checks import check_scripts, check_shell, finding_at
from deployer.core.families import Answer
from deployer.core.text import is_plain_line
from deployer.errors import Finding

# What the installer's own debconf knows; another one passes there in silence.
TYPES = frozenset({"string", "boolean", "select", "multiselect", "password", "note", "error"})
# A preseed names the type that its writer thinks of; the installer looks at the value alone. These
# are alike: a text. Between a text and a boolean, or a note, there is no such freedom.
_TEXTS = frozenset({"string", "select", "multiselect", "password"})
_INSTALLER_OWNERS = frozenset({"d-i", "tasksel", "popularity-contest"})
# Packages of the new system ask what only they know, and answers for them name them as owner.
_QUESTIONS_FILE = Path(__file__).with_name("debian_questions.txt")
# Without an answer to these, the installer asks even at priority critical.
_REQUIRED = (
    "debian-installer/locale", "partman/confirm", "partman/confirm_nooverwrite",
    "partman/choose_partition", "finish-install/reboot_in_progress",
)  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """One answer: `d-i netcfg/hostname string web01`, and the line where it begins."""

    line: int
    owner: str
    question: str
    type: str
    value: str


class _Broken(Exception):
    """A line that the installer would not read as it is meant."""


def parse(text: str, file: str) -> tuple[list[Selection], list[Finding]]:
    """All answers in `text`, and what is wrong with the lines that are none."""
    selections: list[Selection] = []
    findings: list[Finding] = []
    for number, line in _joined(text, findings, file):
        try:
            selections.append(_selection(number, line))
        except _Broken as problem:
            findings.append(finding_at(file, number, str(problem)))
    return selections, findings


def _joined(text: str, findings: list[Finding], file: str) -> Iterator[tuple[int, str]]:
    """Logical lines with the number of their first one. Comments begin in the first column."""
    began, pending = 0, ""
    for number, line in enumerate(text.split("\n"), start=1):
        if "\r" in line:
            findings.append(finding_at(file, number, "the line has a carriage return"))
            continue
        if line.startswith("#") or not line.strip():
            if pending:
                problem = "a backslash continues this line, and nothing follows"
                findings.append(finding_at(file, began, problem))
                pending = ""
            continue
        began = began if pending else number
        if line.endswith("\\"):
            pending += line[:-1].strip() + " "
            continue
        yield began, pending + line.strip()
        pending = ""
    if pending:
        findings.append(
            finding_at(file, began, "a backslash continues this line, and nothing follows")
        )


def _selection(number: int, line: str) -> Selection:
    words = re.split(r"[ \t]+", line, maxsplit=2)
    if len(words) < 3:
        raise _Broken(f"{line!r} needs owner, question, type and value")
    owner, question, rest = words
    # One blank ends the type; a second one would become part of the value.
    kind, _, value = rest.partition(" ") if "\t" not in rest else rest.partition("\t")
    if value != value.strip():
        raise _Broken(f"{question}: the value has blanks around it, which the installer keeps")
    return Selection(number, owner, question, kind, value)


@lru_cache(maxsize=1)
def questions() -> dict[str, frozenset[str]]:
    """Question → types, of the installer and of its guide's example."""
    lines = _QUESTIONS_FILE.read_text(encoding="utf-8").splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    return {name: frozenset(types) for name, *types in words}


def judge(selection: Selection) -> str | None:
    """What is wrong with one answer; None when nothing is."""
    name, kind, value = selection.question, selection.type, selection.value
    if kind == "seen":
        return None if value in ("true", "false") else f"{name}: seen is true or false"
    if kind not in TYPES:
        return f"{name}: there is no type {kind!r}"
    if kind == "boolean" and value not in ("true", "false"):
        return f"{name}: a boolean is true or false, not {value!r}"
    if re.search(r"\s#", value) and not name.endswith("_command"):
        return f"{name}: a comment after a value becomes part of it"
    if selection.owner not in _INSTALLER_OWNERS:
        return None
    known = questions().get(re.sub(r"/local[1-9]/", "/local0/", name))
    if known is None:
        return f"{name}: the installer has no such question"
    if kind not in known and not (kind in _TEXTS and known & _TEXTS):
        return f"{name}: its type is {' or '.join(sorted(known))}, not {kind}"
    if known == {"boolean"} and value not in ("true", "false"):
        return f"{name}: a boolean is true or false, not {value!r}"
    return None


def _as_preseed(value: Any) -> str:
    """The value of a preseed line: the line's end is its only end, so it cannot hold one."""
    text = str(value)
    if not is_plain_line(text) or text.endswith("\\") or text != text.strip():
        raise ValueError(
            f"{text!r} cannot be the value of a preseed line: it has a line break, a control"
            " character, a backslash at its end, or blanks around it"
        )
    return text


class DebianInstaller:
    name = "debian_installer"
    filters: ClassVar = {"preseed": _as_preseed}

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        if answer.format == "shell":
            shell = "bash" if text.startswith("#!/bin/bash") else "sh"
            own = check_scripts(context, _SCRIPTS.get(answer.path, {}), answer.path)
            return [*check_shell(text, shell, answer.path, answer.path), *own]
        selections, findings = parse(text, answer.path)
        findings += _tasks(context["profile"]["package_groups"])
        findings += _judged(selections, answer.path)
        # Its words say less than ours; it is asked for what ours may have overlooked.
        return findings or _debconf(text, answer.path)


def _judged(selections: list[Selection], file: str) -> Iterator[Finding]:
    seen: dict[tuple[str, str], int] = {}
    for selection in selections:
        if problem := judge(selection):
            yield finding_at(file, selection.line, problem)
        if selection.question.endswith("_command"):
            yield from _command(selection, file)
        key = (selection.question, "seen" if selection.type == "seen" else "")
        if key in seen:
            problem = f"{selection.question} was answered in line {seen[key]} already"
            yield finding_at(file, selection.line, problem)
        seen[key] = selection.line
    for question in _REQUIRED:
        if (question, "") not in seen:
            yield finding_at(file, None, f"{question} is not answered, so the installer would ask")


def _command(selection: Selection, file: str) -> Iterator[Finding]:
    for found in check_shell(selection.value, "sh", file, selection.question):
        yield finding_at(file, selection.line, found.message)


_SCRIPTS = {"agent.sh": {"pre": "sh"}, "system.sh": {"post": "bash", "first_boot": "bash"}}


def _tasks(groups: list[str]) -> Iterator[Finding]:
    """Groups of packages are tasksel's tasks; whether there is such a task, the machine sees."""
    for name in groups:
        if not re.fullmatch(r"[a-z0-9-]+", name):
            problem = (
                f"package_groups: {name!r} is no task of Debian's; they are named as web-server"
            )
            yield Finding(problem, "see `tasksel --list-tasks`", field="package_groups", value=name)


def _debconf(text: str, file: str) -> list[Finding]:
    """What debconf's own check says, where it is installed."""
    program = shutil.which("debconf-set-selections")
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, "--checkonly"], input=text, capture_output=True, text=True, timeout=20,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return []  # our own grammar, which is stricter, has judged it already
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return [finding_at(file, _line_in(line), line) for line in said] if done.returncode else []


def _line_in(message: str) -> int | None:
    place = re.search(r"line (\d+)", message)
    return int(place[1]) if place else None


INSTALLER = DebianInstaller()
