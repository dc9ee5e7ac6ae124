"""Proxmox VE: answer.toml, its first-boot script, and what templates need to write them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from pydantic import ValidationError

from deployer.answers.checks import check_scripts, check_shell, finding_at
from deployer.answers.filters.proxmox_words import disks, network
from deployer.answers.grammars.proxmox_answer import KEYBOARDS, AnswerToml, spelled, version
from deployer.core.families import Answer
from deployer.errors import Finding

# Layouts of profiles whose name there is another one.
_KEYBOARD_OF = {
    "us": "en-us", "gb": "en-gb", "uk": "en-gb", "ch": "de-ch", "ch-fr": "fr-ch", "be": "fr-be",
    "ca": "fr-ca", "br": "pt-br",
}  # fmt: skip
_LIMIT = 1024 * 1024
_SCRIPTS = {"post": "bash", "first_boot": "bash"}


def _as_toml(value: Any) -> str:
    """A value as TOML 1.0 has it. JSON's strings are not always TOML's: U+007F must be escaped."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_as_toml, value))}]"
    if isinstance(value, dict):
        pairs = (f"{_as_toml(str(key))} = {_as_toml(each)}" for key, each in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if value is None:
        raise ValueError("TOML has no value for nothing; leave the line out")
    return '"' + "".join(map(_character, str(value))) + '"'


def _character(one: str) -> str:
    if one in '"\\':
        return "\\" + one
    if 0xD800 <= ord(one) <= 0xDFFF:
        raise ValueError("half a surrogate pair is no character")
    return f"\\u{ord(one):04X}" if ord(one) < 0x20 or ord(one) == 0x7F else one


def _keyboard(layout: str) -> str:
    for name in (layout, layout.split("-")[0]):
        found = _KEYBOARD_OF.get(name, name)
        if found in KEYBOARDS:
            return found
    raise ValueError(f"keyboard: Proxmox has none for {layout!r}; it has {', '.join(KEYBOARDS)}")


def _country(locale: str) -> str:
    found = re.match(r"[a-z]+_([A-Z]{2})", locale)
    return found[1].lower() if found else "us"


class Proxmox:
    name = "proxmox"
    filters: ClassVar[dict[str, Callable[..., Any]]] = {
        "toml": _as_toml, "proxmox_keyboard": _keyboard, "proxmox_country": _country,
        "proxmox_disks": disks, "proxmox_network": network,
    }  # fmt: skip

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        if answer.format == "shell":
            return [*_first_boot(text, answer.path), *check_scripts(context, _SCRIPTS, answer.path)]
        try:
            given = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
            place = re.search(r"line (\d+)", str(error))
            return [finding_at(answer.path, int(place[1]) if place else None, f"no TOML: {error}")]
        today, problems = spelled(given, version(context))
        try:
            AnswerToml.model_validate(today)
        except ValidationError as error:
            problems += [_problem(dict(each)) for each in error.errors()]
        problems += _own_rules(today)
        return [finding_at(answer.path, _line(text, field), f"{field}: {said}")
                for field, said in dict.fromkeys(problems)]  # fmt: skip


def _problem(error: dict[str, Any]) -> tuple[str, str]:
    parts = [str(part) for part in error["loc"]]
    said = {"extra_forbidden": "there is no such name, and the installer refuses it",
            "missing": "it is missing"}.get(error["type"], error["msg"])  # fmt: skip
    return ".".join(parts) or "the file", said.removeprefix("Value error, ")


def _own_rules(today: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the installer accepts, and would leave us without a word from the machine."""
    if not isinstance(today.get("post-installation-webhook"), dict):
        yield "post-installation-webhook", "without it nobody hears that the installation is done"
    if not isinstance(today.get("first-boot"), dict):
        yield "first-boot", "without it nobody hears that the new system runs"
    if (
        isinstance(settings := today.get("global"), dict)
        and settings.get("reboot-on-error") is True
    ):
        yield "global.reboot-on-error", "it would hide the error, and start from the network again"


def _line(text: str, field: str) -> int | None:
    """Where the last name of `field` stands first, in either spelling; where its table begins."""
    table, *names = [part.replace("_", "-") for part in field.split(".") if not part.isdigit()]
    begins, inside = None, False
    for number, line in enumerate(text.split("\n"), start=1):
        if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
            opened = header[1].split(".")
            inside = opened[0] == table
            begins = begins or (number if inside else None)
            if inside and names and opened[-1] == names[-1]:
                return number
        elif inside and names:
            key = line.partition("=")[0].replace("_", "-")
            if set(names) & {part.strip(" \t\"'") for part in key.split(".")}:
                return number
    return begins


def _first_boot(text: str, file: str) -> Iterator[Finding]:
    if not text.startswith("#!"):
        yield finding_at(file, 1, "the first line must name its interpreter, such as #!/bin/bash")
    if len(text.encode("utf-8", "replace")) > _LIMIT:
        yield finding_at(file, None, "it is larger than the installer takes, 1 MiB")
    interpreter = text.split("\n", 1)[0]
    if re.search(r"\b(ba|da)?sh\b", interpreter):
        yield from check_shell(text, "bash" if "bash" in interpreter else "sh", file, file)


INSTALLER = Proxmox()
