"""Anaconda: kickstart files, judged by pykickstart in the grammar of a release, and by our lint."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any, ClassVar

from deployer.answers.checks import check_shell
from deployer.answers.grammars.kickstart import judge, read
from deployer.answers.grammars.kickstart_lint import RULES
from deployer.core.families import Answer
from deployer.core.text import is_plain_line
from deployer.errors import Finding


def _as_kickstart(value: Any) -> str:
    """A value of a kickstart command, which is split as a shell would split it."""
    text = str(value)
    if not is_plain_line(text):
        raise ValueError(
            f"{text!r} cannot be in a kickstart command: it has a line break or control character"
        )
    return shlex.quote(text)


def _as_section_shell(value: Any) -> str:
    """Quoted for a shell script in a section: no line of it begins with `%`, which could end it."""
    return re.sub(r"\n(?=[^\S\n]*%)", "\n''", shlex.quote(str(value)))


def _of_family(addresses: list[str], family: str) -> list[str]:
    """Those of `ipv4` or `ipv6`."""
    return [address for address in addresses if (":" in address) == (family == "ipv6")]


class Anaconda:
    name = "anaconda"
    filters: ClassVar = {
        "ks": _as_kickstart, "ks_sh": _as_section_shell, "of_family": _of_family,
    }  # fmt: skip

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        facts = context["release"]
        found = read(text, answer.path)
        return [
            *found.findings,
            *judge(found, facts["pykickstart"]),
            *(finding for rule in RULES for finding in rule(found, facts)),
            *_profile(answer, context),
        ]


def _profile(answer: Answer, context: dict[str, Any]) -> Iterator[Finding]:
    """What stands in our own scripts as text, or is made on the machine only."""
    profile = context["profile"]
    if answer.path in profile["answer_files"]:
        return
    for name, script in profile["scripts"].items():
        if script:
            yield from check_shell(script, "bash", answer.path, f"scripts.{name}")
    yield from _file_systems(profile["storage"], context["release"])
    registration = profile["registration"] or {"key": "", "organization": ""}
    if bool(registration["key"]) != bool(registration["organization"]):
        problem = "registration: key and organization belong together"
        yield _of_field("registration", problem, "set both, or neither")


def _file_systems(storage: dict[str, Any], facts: dict[str, Any]) -> Iterator[Finding]:
    for volume in storage["volumes"]:
        fs, field = volume["fs"], f"storage.volumes.{volume['mount']}.fs"
        if fs and fs not in facts["file_systems"]:
            remedy = f"choose one of: {', '.join(facts['file_systems'])}"
            yield _of_field(field, f"{field}: this release's installer makes no {fs}", remedy)
        elif fs == "btrfs" and storage["layout"] != "plain":
            problem = f"{field}: the installer makes btrfs on partitions only"
            yield _of_field(field, problem, "use the layout plain, or another file system")


def _of_field(field: str, problem: str, remedy: str) -> Finding:
    return Finding(problem, remedy, file="ks.cfg", field=field)


INSTALLER = Anaconda()
