"""AutoYaST, the installer of SLES and Leap 15: checks its profile before a machine reads it.

A wrong value, a list that is not called one, or a question that nobody answers would show on the
machine only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from deployer.answers.installers import openpgp, suse_network
from deployer.answers.installers.autoyast_profile import SCRIPTS, Node, Reader, Refused, grammar
from deployer.answers.installers.autoyast_rules import problems
from deployer.answers.installers.base import check_shell
from deployer.core.families import Answer
from deployer.errors import Finding

# What runs a script that does not say it (yast-autoinstallation, lib/autoinstall/script.rb).
_SHELLS = {"shell": "bash", "/bin/sh": "bash", "/bin/bash": "bash", "/usr/bin/bash": "bash"}


def _shells(profile: Node, file: str) -> Iterator[Finding]:
    for kind in SCRIPTS:
        for script in profile.all(f"scripts/{kind}"):
            source = script.child("source")
            shell = _SHELLS.get(script.value("interpreter") or "shell")
            if source is None or shell is None or not source.text.strip():
                continue
            first = source.text.strip().split("\n")[0]
            if first.startswith("#!") and "sh" not in first:
                continue
            name = script.value("filename") or kind
            for found in check_shell(source.text, shell, file, name):
                line = source.line + (found.line or 1) - 1
                yield _finding(file, line, found.message, found.remedy)


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
        wrong = [*reader.problems, *grammar(profile, ""), *problems(profile)]
        found = [_finding(answer.path, line, problem) for line, problem in wrong]
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
