"""FAI: the grammar of a config space, as a tarball. https://fai-project.org/fai-guide/

`setup-storage -s` is the judge of disk_config where it is installed; it checks neither references
nor mount points, and knows nothing of the rest.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from deployer.answers.checks import check_scripts, check_shell, finding_at
from deployer.core.families import Answer
from deployer.errors import Finding

_CLASS = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)
# man setup-storage: what would keep data of whoever had the disk before.
_PRESERVES = re.compile(r"\bpreserve_(always|reinstall|lazy)\b")
_SECONDS = 20  # for setup-storage: the time that it takes grows with the square of the text
_SECTION = re.compile(r"disk_config\s+(\S+)")


class Fai:
    name = "fai"

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        member = answer.path.partition("/")[2]
        folder = member.partition("/")[0]
        if answer.format == "shell":
            found = check_shell(text, "bash", answer.path, member)
            return [*found, *check_scripts(context, _SCRIPTS.get(member, {}), answer.path)]
        if folder == "disk_config":
            return list(_disk_config(text, answer.path, context))
        if folder == "package_config":
            return list(_packages(text, answer.path))
        return []


_SCRIPTS = {"agent.sh": {"pre": "bash"}, "system.sh": {"post": "bash", "first_boot": "bash"}}


def _disk_config(text: str, file: str, context: dict[str, Any]) -> Iterator[Finding]:
    mounts: dict[str, int] = {}
    parts: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if match := _SECTION.match(line):
            section = match[1]
            if section.startswith("disk"):
                # gpt-bios: its first partition is the boot loader's, and is not counted.
                parts[section] = 0
            if _PRESERVES.search(line):
                yield finding_at(file, number, "preserve would keep what lay on the disk before")
            continue
        if section in parts:
            parts[section] += 1
        if len(words) > 1 and words[1].startswith("/"):
            if words[1] in mounts:
                before = mounts[words[1]]
                yield finding_at(file, number, f"{words[1]} is mounted in line {before} already")
            mounts[words[1]] = number
        for name, part in re.findall(r"\b(disk[0-9]+)\.([0-9]+)", line):
            if int(part) > parts.get(name, 0):
                yield finding_at(file, number, f"{name} has no partition {part}")
    if "/" not in mounts:
        yield finding_at(file, None, "nothing is mounted at /")
    yield from _setup_storage(text, file)


def _setup_storage(text: str, file: str) -> Iterator[Finding]:
    said = _said_of(text)
    if said:
        line = re.search(r"line (\d+)", said)
        yield finding_at(file, int(line[1]) if line else None, said.splitlines()[0].strip())


@lru_cache(maxsize=128)
def _said_of(text: str) -> str:
    """What FAI's own parser has against `text`; it needs no disks for that."""
    program = shutil.which("setup-storage", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        return ""
    with tempfile.TemporaryDirectory(prefix="deployer-fai-") as folder:
        config = Path(folder) / "disk_config"
        config.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run(
                [program, "-s", "-f", config], capture_output=True, text=True, timeout=_SECONDS,
                check=False,
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LOGDIR": folder,
                    "disklist": "sda sdb",
                },
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"setup-storage does not read it within {_SECONDS} seconds: make it shorter"
    return (done.stdout + done.stderr).strip() or "it is refused" if done.returncode else ""


def _packages(text: str, file: str) -> Iterator[Finding]:
    began = False
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] == "PACKAGES":
            began = True
            for name in words[2:]:
                if not _CLASS.fullmatch(name):
                    yield finding_at(file, number, f"{name} is no class: A to Z, 0 to 9 and _")
        elif not began:
            yield finding_at(file, number, f"{words[0]} stands before any PACKAGES line")


INSTALLER = Fai()
