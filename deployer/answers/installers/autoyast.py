"""AutoYaST, the installer of SLES and Leap 15: checks its profile before a machine reads it.

A wrong value, a list that is not called one, or a question that nobody answers would show on the
machine only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, ClassVar

from deployer.answers.checks import check_shell
from deployer.answers.filters import openpgp, suse_network
from deployer.answers.grammars.autoyast_profile import SCRIPTS, Node, Reader, Refused, grammar
from deployer.answers.grammars.autoyast_rules import line_of, problems
from deployer.core.families import Answer
from deployer.errors import Finding

# How much is told of one file, and parsed of it: an operator's may hold thousands of either.
MOST_FINDINGS = 100
MOST_SCRIPTS = 40
# One that names no interpreter is a shell's (yast-autoinstallation, lib/autoinstall/script.rb).
IS_SHELL = re.compile(r"\b(ba)?sh\b")


def _shells(profile: Node, file: str) -> Iterator[Finding]:
    scripts = [s for kind in SCRIPTS for s in profile.all(f"scripts/{kind}") if _is_shell(s)]
    for script in scripts[:MOST_SCRIPTS]:
        source = script.child("source")
        name = script.value("filename") or "a script"
        for found in check_shell(source.text if source else "", "bash", file, name):
            line = line_of(script, "source") + (found.line or 1) - 1
            yield _finding(file, line, found.message, found.remedy)
    if len(scripts) > MOST_SCRIPTS:
        problem = f"there are {len(scripts)} scripts, and {MOST_SCRIPTS} at most are looked into"
        yield _finding(file, scripts[MOST_SCRIPTS].line, problem)


def _is_shell(script: Node) -> bool:
    source = script.value("source") or ""
    first = source.split("\n")[0]
    interpreter = script.value("interpreter") or "shell"
    own = not first.startswith("#!") or IS_SHELL.search(first)
    return bool(source and own and (interpreter == "shell" or IS_SHELL.search(interpreter)))


def _cdata(value: Any) -> str:
    """Text of many lines that stays readable in XML; whatever it holds, it stays one text."""
    text = str(value)
    for character in text:
        if not _is_xml(character):
            raise ValueError(f"{character!r} cannot stand in XML")
    return "<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>"


def _is_xml(character: str) -> bool:
    """https://www.w3.org/TR/xml/#charsets"""
    code = ord(character)
    return (
        character in "\t\n\r" or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code > 0xFFFF
    )


class AutoYast:
    name = "autoyast"
    filters: ClassVar = {
        "cdata": _cdata,
        "gpg_fingerprint": openpgp.fingerprint,
        "gpg_key_id": openpgp.key_id,
        "suse_interfaces": suse_network.interfaces,
        "linuxrc_network": suse_network.linuxrc_network,
    }

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        reader = Reader()
        try:
            profile = reader.read(text)
        except Refused as refused:
            return [_finding(answer.path, refused.line, refused.problem)]
        except (UnicodeEncodeError, ValueError) as error:
            return [_finding(answer.path, None, f"it is no XML: {error}")]
        if profile.name != "profile":
            return [_finding(answer.path, profile.line, "the first element is not <profile>")]
        wrong = chain(reader.problems, grammar(profile, ""), problems(profile))
        told = islice(wrong, MOST_FINDINGS)
        found = [_finding(answer.path, line, problem) for line, problem in told]
        return [*found, *_shells(profile, answer.path), *_own_scripts(answer, context)]


def _own_scripts(answer: Answer, context: dict[str, Any]) -> Iterator[Finding]:
    """The profile's scripts stand quoted in ours, where a line number would mean nothing."""
    for name, script in context["profile"]["scripts"].items():
        if script:
            yield from check_shell(script, "bash", answer.path, f"scripts.{name}")


def _finding(file: str, line: int | None, problem: str, remedy: str | None = None) -> Finding:
    where = f"{file}, line {line}" if line else file
    remedy = remedy or "correct the value in the profile or the host, or the file that holds this"
    return Finding(f"{where}: {problem}", remedy, file=file, line=line)


INSTALLER = AutoYast()
