"""ESXi's scripted installation ("weasel"): ks.cfg, boot.cfg and scripts in Python."""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from deployer.answers.checks import check_scripts, check_shell, finding_at
from deployer.answers.filters.esxi_network import network
from deployer.answers.grammars import esxi_boot_cfg, esxi_kickstart
from deployer.answers.grammars.esxi_kickstart import KEYBOARDS, Problems, Script, Section, parse
from deployer.core.families import Answer
from deployer.core.text import is_plain_line
from deployer.errors import Finding

_PYTHON = (3, 5)  # ESXi 7.0's, the oldest of those here
_LIMIT = 100_000
_CALLS = ("installer_started", "installer_finished", "first_boot")
_SCRIPTS = {"pre": "sh", "post": "sh", "first_boot": "sh"}


def _as_word(value: Any) -> str:
    """One word of ks.cfg, which is split as a shell does it, without expanding anything."""
    text = str(value)
    if not is_plain_line(text) or not text.isascii():
        raise ValueError(f"{text!r} cannot stand in ks.cfg: it is not one line of ASCII")
    return shlex.quote(text)


def _as_python(value: Any) -> str:
    """A literal, all of it ASCII and in one line."""
    return ascii(value)


def _keyboard_of(layout: str) -> str:
    known = KEYBOARDS.get(layout) or KEYBOARDS.get(layout.split("-")[0])
    if known is None:
        raise ValueError(f"keyboard: ESXi has none for {layout!r}; it has {', '.join(KEYBOARDS)}")
    return known


def _users(users: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: user[key] for key in ("name", "sudo", "ssh_keys")} for user in users]


class Weasel:
    name = "weasel"
    filters: ClassVar[dict[str, Callable[..., Any]]] = {
        "weasel": _as_word, "weasel_keyboard": _keyboard_of, "py": _as_python,
        "esxi_network": network, "esxi_users": _users,
    }  # fmt: skip

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        file = answer.path
        if file.endswith(".py"):
            return [*_python(text, file), *check_scripts(context, _SCRIPTS, file)]
        found = [finding_at(file, line, said) for line, said in _characters(text)]
        if file.endswith("boot.cfg"):
            problems = esxi_boot_cfg.problems(text, context)
            return [*found, *(finding_at(file, *each) for each in problems)]
        script = parse(text, context["release"]["version"])
        said = [*script.problems, *esxi_kickstart.problems(script, context), *_silent(text)]
        return [*found, *(finding_at(file, *each) for each in said), *_scripts(script, file)]


def _characters(text: str) -> Problems:
    if len(text) > _LIMIT:
        yield None, f"it has {len(text)} characters, more than {_LIMIT}"
    for number, line in enumerate(text.split("\n"), start=1):
        if "\r" in line or "\0" in line or not line.isascii():
            yield number, "the line has a carriage return, or a character that is not ASCII"
            return


def _silent(text: str) -> Problems:
    """agent.py stands beside an operator's own ks.cfg too, and says nothing unless it is called."""
    for call in _CALLS:
        if call not in text and (call == "first_boot" or "agent.py" not in text):
            yield None, f"nothing calls {call}, so the deployment would time out"


def _scripts(script: Script, file: str) -> Iterator[Finding]:
    for section in script.sections:
        interpreter = section.options.get("--interpreter") or "busybox"
        body = "\n".join(section.body) + "\n"
        for option, allowed in (("--ignorefailure", r"true|false"), ("--timeout", r"\d{1,6}")):
            value = section.options.get(option, "0" if option == "--timeout" else "true")
            if not re.fullmatch(allowed, value or "", re.ASCII):
                yield finding_at(
                    file, section.line, f"{section.name} {option}={value} is not known"
                )
        if interpreter == "python":
            yield from _python(body, file, section.line)
        elif interpreter == "busybox":
            yield from _shell(body, file, section)
        else:
            problem = f"--interpreter is busybox or python, not {interpreter!r}"
            yield finding_at(file, section.line, problem)


def _shell(body: str, file: str, section: Section) -> Iterator[Finding]:
    for found in check_shell(body, "sh", file, section.name):
        said = found.message.removeprefix(f"{section.name}: ")
        place = re.match(r"(\d+): ", said)  # dash has the number alone
        line = section.line + (int(place[1]) if place else found.line or 0)
        yield finding_at(file, line, f"{section.name}: {said.split(': ', 1)[-1]}")


def _python(text: str, file: str, before: int = 0) -> list[Finding]:
    """What Python of ESXi 7.0 cannot read; nothing is run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text, feature_version=_PYTHON)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = before + (getattr(error, "lineno", None) or 0)
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        return [finding_at(file, line or None, f"Python cannot read it: {said}")]
    return []


INSTALLER = Weasel()
