"""Ignition, of Flatcar and Fedora CoreOS: the grammar of its configs, stricter than its own.

Ignition ignores a key that it does not know, takes 644 for a mode (it is 01204) and a password for
a hash. `ignition-validate` 2.14 finds neither, and knows no spec after 3.3; where it is installed,
it is asked for what we may have overlooked.
"""

from __future__ import annotations

import ipaddress
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any, ClassVar

from deployer.answers.checks import CORRECT, check_shell, finding_at, finding_in
from deployer.answers.filters import coreos
from deployer.answers.filters.links import host_of, links
from deployer.answers.grammars.ignition_rules import data_url, problems
from deployer.answers.grammars.ignition_spec import VERSIONS
from deployer.core.documents import Unreadable, line_of, read_json
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
            given = read_json(text)
        except Unreadable as error:
            return [_unreadable(answer.path, error)]
        found = list(problems(given, answer.path, context))
        if found:
            line = line_of(text)
            return [finding_in(answer.path, line(place), place, *said) for place, *said in found]
        scripts = _scripts(context, "post", "first_boot") if answer.path == "target.ign" else []
        return [*scripts, *_validated(answer.path, text)]


def _unreadable(file: str, error: Unreadable) -> Finding:
    problem = f"Ignition could not read it, and the machine would stop: {error.problem}"
    remedy = "write JSON; Butane's YAML must be translated first"
    return finding_at(file, error.line, problem, remedy)


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
    version = read_json(text)["ignition"]["version"]
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


INSTALLER = Ignition()
