"""Ubuntu's installer: autoinstall in a cloud-config, checked more strictly than Subiquity does.

Subiquity ignores what it does not know, and takes the largest disk where none is named. Its own
schema says little of network and storage, and nothing of what refers to what.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import ValidationError

from deployer.answers.checks import check_scripts, check_shell, finding_at, finding_in
from deployer.answers.grammars import cloud_config
from deployer.answers.grammars.autoinstall import Autoinstall, too_new
from deployer.core.documents import Place, Unreadable, quoted, read
from deployer.core.families import Answer
from deployer.core.profiles import DISKS_OF
from deployer.errors import Finding

HEADER = "#cloud-config"
SIZE_LIMIT = 64 * 1024
_APT_WORD = re.compile(r"(?![\[#])[!#-~]+", re.ASCII)
# At the top they are of no use: cloud-init does not know them, and Subiquity does not see them.
# From 24.04 on it gives up.
_MISPLACED = frozenset({
    "version", "identity", "early-commands", "late-commands", "error-commands", "storage",
    "interactive-sections", "refresh-installer", "source", "drivers", "oem", "codecs", "shutdown",
    "ubuntu-pro", "user-data", "network", "proxy", "snaps", "kernel", "debconf-selections", "zdevs",
    "active-directory", "kernel-crash-dumps",
})  # fmt: skip
# The profile's own scripts stand quoted in ours, where their line numbers would mean nothing.
_SCRIPTS = {"agent.sh": {"pre": "sh"}, "system.sh": {"post": "bash", "first_boot": "bash"}}


def _apt_source(repository: dict[str, Any]) -> str:
    """One line of sources.list(5); curtin expands `$` in it, and apt splits it at blanks."""
    suite = repository["suite"] or "./"
    folder = suite.endswith("/")  # which has no components
    words = [repository["url"], suite, *([] if folder else repository["components"] or ["main"])]
    for word in words:
        if not _APT_WORD.fullmatch(word) or "$" in word:
            raise ValueError(
                f"{word!r} cannot be a word of an apt source: it has a blank, a quote or '$', or"
                " begins with '[' or '#'"
            )
    return " ".join(["deb", *words])


def _device_id(mount: str) -> str:
    """A name for the device under this mount point; no two mount points have the same one."""
    if mount == "/":
        return "root"
    name = mount[1:].replace("-", "--").replace("/", "-")
    return f"{name}+" if name in ("root", "swap") else name


class Subiquity:
    name = "subiquity"
    filters: ClassVar = {
        "cloud_yaml": quoted,
        "apt_source": _apt_source,
        "device_id": _device_id,
    }

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        if answer.format == "shell":
            return list(_shell(answer, text, context))
        if len(text.encode(errors="replace")) > SIZE_LIMIT:
            problem = f"it is larger than {SIZE_LIMIT} bytes, which cloud-init does not keep"
            return [finding_at(answer.path, None, problem)]
        try:
            documents = read(text, text_keys=True)
        except Unreadable as error:
            return [finding_at(answer.path, error.line, error.problem, error.remedy)]
        if len(documents) > 1:
            problem = "a second document begins here, which nobody reads"
            return [finding_at(answer.path, documents[1].first_line, problem)]
        judge = {"user-data": _user_data, "meta-data": _meta_data}.get(answer.path, _seed)
        line = documents[0].line if documents else lambda place: None
        return [
            finding_in(answer.path, line(place), place, problem)
            for place, problem in judge(text, documents[0].value if documents else None, context)
        ]


Problems = Iterator[tuple[Place, str]]


def _shell(answer: Answer, text: str, context: dict[str, Any]) -> Iterator[Finding]:
    shell = "bash" if text.startswith("#!/bin/bash") else "sh"
    yield from check_shell(text, shell, answer.path, answer.path)
    yield from check_scripts(context, _SCRIPTS.get(answer.path, {}), answer.path)


def _seed(text: str, value: Any, context: dict[str, Any]) -> Problems:
    """vendor-data and network-config: nothing, or a mapping."""
    if value is not None and not isinstance(value, dict):
        yield (), "it must be a mapping, or empty"


def _meta_data(text: str, value: Any, context: dict[str, Any]) -> Problems:
    values = value if isinstance(value, dict) else {}
    instance = values.get("instance-id")
    if not isinstance(instance, str) or not instance:
        yield (
            ("instance-id",),
            "instance-id is missing, and cloud-init would take the file for none",
        )


def _user_data(text: str, value: Any, context: dict[str, Any]) -> Problems:
    if text.split("\n", 1)[0].rstrip() != HEADER:
        yield (), f"its first line must be {HEADER}, or cloud-init passes it over"
    top = value
    if not isinstance(top, dict) or not isinstance(top.get("autoinstall"), dict):
        yield (), "it has no mapping `autoinstall`, so the installer would ask everything"
        return
    beside = {name: value for name, value in top.items() if name != "autoinstall"}
    for name in sorted(_MISPLACED & set(beside)):
        yield (name,), "it belongs below `autoinstall`"
        del beside[name]
    yield from cloud_config.problems(beside)
    for place, problem in _autoinstall(top["autoinstall"], context):
        yield ("autoinstall", *place), problem


def _autoinstall(given: dict[str, Any], context: dict[str, Any]) -> Problems:
    yield from too_new(given, context["release"]["version"])
    try:
        autoinstall = Autoinstall.model_validate(given)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False, include_context=False):
            yield tuple(each["loc"]), each["msg"].removeprefix("Value error, ")
        return
    yield from autoinstall.problems()
    yield from _commands(autoinstall)
    yield from _calls(autoinstall, given)
    yield from _places_for_disks(autoinstall, context)
    for place, problem in cloud_config.problems(autoinstall.user_data or {}):
        yield ("user-data", *place), problem


def _commands(autoinstall: Autoinstall) -> Problems:
    """`sh -n`: of all at once, and only where that fails of each, for it costs a process."""
    commands = list(autoinstall.commands())
    if not check_shell("".join(f"(\n{command}\n)\n" for _, command in commands), "sh", "", ""):
        return
    bad = [
        (place, found[0].message.removeprefix(": "))
        for place, command in commands[:_MOST_JUDGED]
        if (found := check_shell(command, "sh", "", ""))
    ]
    yield from bad or [((), "its commands are no shell when they are put one after another")]


_MOST_JUDGED = 40


def _calls(autoinstall: Autoinstall, given: dict[str, Any]) -> Problems:
    """Our agent.sh says it all; but it is there whether or not somebody runs it."""
    sections = {
        "early-commands": (autoinstall.early_commands, "installer_started"),
        "late-commands": (autoinstall.late_commands, "installer_finished"),
        "error-commands": (autoinstall.error_commands, "installer_failed"),
    }
    for section, (commands, call) in sections.items():
        said = "\n".join(str(command) for command in commands)
        if call not in said and "agent.sh" not in said:
            yield (section,), f"nothing in it calls {call}, so the deployment would time out"
    if "first_boot" not in str(given) and "agent.sh" not in str(autoinstall.late_commands):
        yield (), "nothing makes the new system call first_boot, so the deployment would time out"


def _places_for_disks(autoinstall: Autoinstall, context: dict[str, Any]) -> Problems:
    """agent.sh writes the chosen disks over names that match none."""
    early = "\n".join(str(command) for command in autoinstall.early_commands)
    if "agent.sh start" not in early or autoinstall.storage is None:
        return
    actions = autoinstall.storage.config or []
    paths = [action.path for action in actions if action.type == "disk"]
    wanted = DISKS_OF[context["profile"]["storage"]["layout"]]
    places = [f"/dev/deployer-disk-{number}" for number in range(1, wanted + 1)]
    if missing := [place for place in places if place not in paths]:
        yield (
            ("storage", "config"),
            (
                f"no disk has the path {' or '.join(missing)}, in whose place `agent.sh start`"
                " writes the disk that the profile's rule means"
            ),
        )


INSTALLER = Subiquity()
