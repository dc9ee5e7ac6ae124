"""What every check needs: a finding about a line of a file, and shells that parse scripts."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from deployer.core.documents import Place
from deployer.errors import Finding

CORRECT = "correct the value in the profile or the host, or the template that writes this line"


def finding_at(file: str, line: int | None, problem: str, remedy: str = CORRECT) -> Finding:
    """What is wrong in a line of an answer file; without a line, in all of it."""
    where = f"{file}, line {line}" if line else file
    return Finding(f"{where}: {problem}", remedy, file=file, line=line)


def finding_in(
    file: str, line: int | None, place: Place, problem: str, remedy: str = CORRECT
) -> Finding:
    """What is wrong with the value at `place` of an answer file that is a tree of values."""
    field = ".".join(str(part) for part in place) or None
    said = f"{field}: {problem}" if field and not problem.startswith(field) else problem
    return replace(finding_at(file, line, said, remedy), field=field)


def places_of(names: list[str], given: Any, place: Place = ()) -> Iterator[Place]:
    """Where in `given` the value `names` stands, in each entry of the lists on the way there."""
    if isinstance(given, list):
        for number, each in enumerate(given):
            yield from places_of(names, each, (*place, number))
    elif not names:
        yield place
    elif isinstance(given, dict) and names[0] in given:
        yield from places_of(names[1:], given[names[0]], (*place, names[0]))


def check_scripts(
    context: dict[str, Any], shells: Mapping[str, str], file: str
) -> Iterator[Finding]:
    """The profile's own scripts, each for the shell that runs it. They stand quoted in `file`,
    where their line numbers would mean nothing."""
    for name, shell in shells.items():
        if script := context["profile"]["scripts"][name]:
            yield from check_shell(script, shell, file, f"scripts.{name}")


def check_shell(script: str, shell: str, file: str, field: str) -> list[Finding]:
    """Parse `script` with `bash -n` or `sh -n`; nothing is run."""
    said = _said_of(script, shell)
    if said is None:
        return []
    place = re.search(r"line (\d+)", said)
    line = int(place[1]) if place else None
    problem = said.split(": ", 1)[-1]
    remedy = "correct the shell script"
    return [Finding(f"{field}: {problem}", remedy, file=file, line=line, field=field)]


# Most scripts are the same for every host, and starting a shell takes longer than all the rest.
@lru_cache(maxsize=256)
def _said_of(script: str, shell: str) -> str | None:
    """The first line of what `shell` says against `script`, if it does."""
    try:
        done = subprocess.run(
            [shell, "-n"], input=script, capture_output=True, text=True, timeout=10, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{shell}: it is not parsed within ten seconds"
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or ["it is no shell script"])[0]
