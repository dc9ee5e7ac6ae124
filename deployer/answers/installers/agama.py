"""Agama, the installer of SLES and Leap 16: checks its JSON profile before a machine reads it.

Its own schema takes `{}`, an address like 999.1.1.1, and an alias that nothing has.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, ClassVar

from pydantic import ValidationError

from deployer.answers.checks import CORRECT, check_shell, finding_at, finding_in
from deployer.answers.filters import suse_network
from deployer.answers.grammars.agama_profile import Profile
from deployer.answers.grammars.agama_rules import Problem, problems, text_of
from deployer.answers.installers.autoyast import IS_SHELL, MOST_FINDINGS, MOST_SCRIPTS
from deployer.core.documents import Place, Unreadable, line_of, read_json
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
            given = read_json(text)
        except Unreadable as error:
            return [finding_at(answer.path, error.line, f"it is no JSON: {error.problem}")]
        try:
            profile = Profile.model_validate(given)
        except ValidationError as error:
            return list(_grammar(answer.path, text, given, error))
        wrong = [*islice(problems(profile), MOST_FINDINGS), *_wrong_scripts(profile)]
        line = line_of(text) if wrong else lambda place: None
        found = [finding_in(answer.path, line(place), place, problem) for place, problem in wrong]
        return [*found, *_ours(answer, context)]


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
    line = line_of(text)
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
        remedy = _LATER.get(tuple(str(part) for part in place), CORRECT)
        yield finding_in(file, line(place), place, message, remedy)


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


INSTALLER = Agama()
