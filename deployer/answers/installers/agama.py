"""Agama, the installer of SLES and Leap 16: checks its JSON profile before a machine reads it.

Its own schema takes `{}`, an address like 999.1.1.1, and an alias that nothing has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, ClassVar

import yaml
from pydantic import ValidationError

from deployer.answers.checks import check_shell
from deployer.answers.filters import suse_network
from deployer.answers.grammars.agama_profile import Profile
from deployer.answers.grammars.agama_rules import Place, Problem, problems, text_of
from deployer.answers.installers.autoyast import IS_SHELL, MOST_FINDINGS, MOST_SCRIPTS
from deployer.core.families import Answer
from deployer.errors import Finding


class Agama:
    name = "agama"
    filters: ClassVar = {
        "dracut_ifname": suse_network.dracut_ifname,
        "dracut_ip": suse_network.dracut_ip,
    }

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        try:
            given = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            line = error.lineno if isinstance(error, json.JSONDecodeError) else None
            problem = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            return [_finding(answer.path, (), line, f"it is no JSON: {problem}")]
        try:
            profile = Profile.model_validate(given)
        except ValidationError as error:
            return list(_grammar(answer.path, text, given, error))
        wrong: list[Problem] = list(islice(problems(profile), MOST_FINDINGS))
        lines = _Lines(text) if wrong else None
        found = [_finding(answer.path, place, lines.of(place) if lines else None, problem)
                 for place, problem in wrong]  # fmt: skip
        return [*found, *_shells(answer, text, profile), *_ours(answer, context)]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is written twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


# What 16.0 does not have yet; later ones do (os-reference B3).
_LATER = {
    ("proxy",): "set proxy on the kernel line", ("ntp",): "write it in a post script",
    ("access",): "enable sshd in a post script", ("$schema",): "remove it",
    ("l10n",): "write localization", ("user", "sshPublicKey"): "write the keys in a post script",
    ("user", "sshPublicKeys"): "write the keys in a post script",
    ("root", "sshPublicKeys"): "write sshPublicKey", ("bootloader", "updateNvram"): "remove it",
}  # fmt: skip


def _grammar(file: str, text: str, given: Any, error: ValidationError) -> Iterator[Finding]:
    """One finding for each place; where several models could be meant, the closest one speaks."""
    lines = _Lines(text)
    seen: set[Place] = set()
    # Its inputs and contexts may be as large as the file.
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    for problem in sorted(errors[: 5 * MOST_FINDINGS], key=lambda p: -len(p["loc"])):
        if len(seen) == MOST_FINDINGS:
            return
        place = _in(given, problem["loc"])
        if any(other[: len(place)] == place for other in seen):
            continue
        seen.add(place)
        message = str(problem["msg"]).removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "Agama 16.0 has no such key"
        remedy = _LATER.get(tuple(str(part) for part in place))
        yield _finding(file, place, lines.of(place), message, remedy)


def _in(given: Any, loc: tuple[str | int, ...]) -> Place:
    """`loc` without the names of models that pydantic puts between."""
    place: list[str | int] = []
    for part in loc:
        if _has(given, part):
            given = given[part]
        elif isinstance(given, dict) and part == loc[-1]:
            place.append(part)  # a key that is missing
            break
        else:
            continue
        place.append(part)
    return tuple(place)


def _has(given: Any, part: str | int) -> bool:
    if isinstance(given, list):
        return isinstance(part, int) and part < len(given)
    return isinstance(given, dict) and part in given


class _Lines:
    """Where a value stands: JSON is YAML, and PyYAML tells lines."""

    def __init__(self, text: str) -> None:
        self._root: yaml.Node | None
        try:
            self._root = yaml.compose(text, Loader=yaml.CSafeLoader)
        except (yaml.YAMLError, RecursionError, ValueError):
            self._root = None

    def of(self, place: Place) -> int | None:
        """The line of `place`, or of the nearest that stands around it."""
        node, line = self._root, None
        for part in place:
            found = None
            if isinstance(node, yaml.MappingNode):
                pairs = {key.value: (key, value) for key, value in node.value}
                found = pairs.get(str(part))
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                found = (node.value[part],) * 2 if part < len(node.value) else None
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        return line or (self._root.start_mark.line + 1 if self._root else None)


def _shells(answer: Answer, text: str, profile: Profile) -> Iterator[Finding]:
    wrong = list(_wrong_scripts(profile))
    lines = _Lines(text) if wrong else None
    for place, problem in wrong[:MOST_FINDINGS]:
        yield _finding(answer.path, place, lines.of(place) if lines else None, problem)


def _wrong_scripts(profile: Profile) -> Iterator[Problem]:
    scripts = [each for each in profile.scripts.all() if text_of(each[2])]
    for kind, number, script in scripts[:MOST_SCRIPTS]:
        place: Place = ("scripts", kind, number)
        content = text_of(script)
        first = content.split("\n")[0]
        if not first.startswith("#!"):
            yield place, f"{script.name} does not begin with #!, so it cannot be run"
        elif IS_SHELL.search(first):
            for found in check_shell(content, "bash", "", script.name):
                inside = f" (its line {found.line})" if found.line else ""
                yield place, found.message + inside
    if len(scripts) > MOST_SCRIPTS:
        problem = f"there are {len(scripts)} scripts, and {MOST_SCRIPTS} at most are looked into"
        yield ("scripts",), problem


def _ours(answer: Answer, context: dict[str, Any]) -> Iterator[Finding]:
    """What the profile of the deployment asks for beyond what can be said in this file."""
    for name, script in context["profile"]["scripts"].items():
        if script:
            yield from check_shell(script, "bash", answer.path, f"scripts.{name}")
    machine = (context.get("machine") or {}).get("mac")
    if suse_network.dracut_ifname(context["host"], machine, suse_network.NAMED_NICS):
        yield Finding(
            f"network.interfaces: an Agama installer can be told the names of"
            f" {suse_network.NAMED_NICS} NICs, and these are more",
            "leave NICs out that the host does not need at its start",
            field="network.interfaces",
        )  # fmt: skip


def _finding(
    file: str, place: Place, line: int | None, problem: str, remedy: str | None = None
) -> Finding:
    where = f"{file}, line {line}" if line else file
    name = ".".join(str(part) for part in place)
    what = f"{name}: {problem}" if name and not problem.startswith(name) else problem
    return Finding(
        f"{where}: {what}",
        remedy or "correct the value in the profile or the host, or the file that holds this",
        file=file, line=line, field=name or None,
    )  # fmt: skip


INSTALLER = Agama()
