"""ESXi's scripted installation ("weasel"): the grammar of ks.cfg.

It is no Red Hat kickstart, and no public validator knows it. Grammar: Broadcom, "VMware ESXi
Installation and Setup" 7.0 and 8.0, "Installation and Upgrade Script Commands". Any
error there is a screen that waits for a key, in front of which nobody sits.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

# The manual's list, and the keyboard layouts of profiles that mean one of them.
KEYBOARDS = {
    "be": "Belgian", "br": "Brazilian", "hr": "Croatian", "cz": "Czechoslovakian", "dk": "Danish",
    "ee": "Estonian", "fi": "Finnish", "fr": "French", "de": "German", "gr": "Greek",
    "is": "Icelandic", "it": "Italian", "jp": "Japanese", "latam": "Latin American",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ru": "Russian", "si": "Slovenian",
    "es": "Spanish", "se": "Swedish", "ch-fr": "Swiss French", "ch": "Swiss German",
    "tr": "Turkish", "ua": "Ukrainian", "gb": "United Kingdom", "uk": "United Kingdom",
    "us": "US Default", "us-dvorak": "US Dvorak",
}  # fmt: skip

# Option → whether it has a value; None: it may have one.
_Options = dict[str, bool | None]
_COMMANDS: dict[str, _Options] = {
    "vmaccepteula": {},
    "accepteula": {},
    "rootpw": {"--iscrypted": False},
    "install": {
        "--disk": True, "--drive": True, "--firstdisk": None, "--ignoressd": False,
        "--overwritevmfs": False, "--overwritevsan": False, "--preservevmfs": False,
        "--novmfsondisk": False, "--forceunsupportedinstall": False,
    },
    "clearpart": {
        "--drives": True, "--alldrives": False, "--ignoredrives": True, "--firstdisk": None,
        "--overwritevmfs": False,
    },
    "network": {
        "--bootproto": True, "--device": True, "--ip": True, "--netmask": True, "--gateway": True,
        "--nameserver": True, "--hostname": True, "--vlanid": True, "--addvmportgroup": True,
    },
    "keyboard": {},
    "serialnum": {"--esx": True},
    "vmserialnum": {"--esx": True},
    "reboot": {"--noeject": False},
    "%include": {},
    "include": {},
    "paranoid": {},
    "dryrun": {},
}  # fmt: skip
# Known, and not what a deployment is for.
_OTHER_TASKS = {"upgrade", "installorupgrade", "dryrun"}
_GONE = {"part", "partition", "autopart", "virtualdisk", "esxlocation"}
_SINCE_8: _Options = {
    "--dpupcislots": True, "--ignoreprereqwarnings": False, "--ignoreprereqerrors": False,
}  # fmt: skip
_SECTIONS: dict[str, set[str]] = {
    "%pre": {"--interpreter"},
    "%post": {"--interpreter", "--timeout", "--ignorefailure"},
    "%firstboot": {"--interpreter"},
}
_HASH = re.compile(r"\$6\$(rounds=\d{4,9}\$)?[A-Za-z0-9./]{1,16}\$[A-Za-z0-9./]{20,100}", re.ASCII)
_DISK = re.compile(r"(/vmfs/devices/disks/)?(mpx|naa|eui|t10|vml)\.[A-Za-z0-9._:%#+-]+", re.ASCII)
_DEVICE = re.compile(r"vmnic\d{1,3}|([0-9a-f]{2}:){5}[0-9a-f]{2}", re.ASCII | re.IGNORECASE)
_KEY = re.compile(r"[0-9A-Z]{5}(-[0-9A-Z]{5}){4}", re.ASCII)


@dataclass
class Command:
    """One line of ks.cfg before its sections."""

    line: int
    name: str
    options: dict[str, str | None] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)


@dataclass
class Section:
    """A script; `body` begins in the line after `line`."""

    line: int
    name: str
    options: dict[str, str | None]
    body: list[str] = field(default_factory=list)


@dataclass
class Script:
    """A ks.cfg, read."""

    commands: list[Command] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    problems: list[tuple[int | None, str]] = field(default_factory=list)

    def named(self, *names: str) -> list[Command]:
        return [command for command in self.commands if command.name in names]


# --- reading ----------------------------------------------------------------------------------


def parse(text: str, release: str) -> Script:
    """All commands and sections, and what is wrong with single lines."""
    script, section = Script(), None
    for number, line in enumerate(text.split("\n"), start=1):
        begins = line.split(maxsplit=1)[0] if line.startswith("%") and line.strip() else ""
        if begins and begins != "%include":
            section = _section(script, number, line)
        elif section is not None:
            section.body.append(line)
        elif line.strip() and not line.lstrip().startswith("#"):
            _command(script, number, line, release)
    return script


def _words(script: Script, number: int, line: str) -> list[str] | None:
    try:
        return shlex.split(line, comments=True)
    except ValueError as error:
        script.problems.append((number, f"{error} in {line.strip()!r}"))
        return None


def _section(script: Script, number: int, line: str) -> Section:
    words = _words(script, number, line) or [line.split()[0]]
    options = dict(_option(word) for word in words[1:])
    section = Section(number, words[0], options)
    if words[0] == "%end":
        script.problems.append(
            (number, "there is no %end here: a section ends where the next begins")
        )
    elif words[0] not in _SECTIONS:
        known = ", ".join(_SECTIONS)
        script.problems.append((number, f"there is no section {words[0]}; there are {known}"))
    else:
        for name in options.keys() - _SECTIONS[words[0]]:
            script.problems.append((number, f"{words[0]} has no option {name}"))
    script.sections.append(section)
    return section


def _option(word: str) -> tuple[str, str | None]:
    name, equals, value = word.partition("=")
    return name.lower(), value if equals else None


def _command(script: Script, number: int, line: str, release: str) -> None:
    words = _words(script, number, line)
    if not words:
        return
    name = words[0]
    if name in _GONE:
        script.problems.append((number, f"{name} is gone since ESXi 7.0, which stops at it"))
        return
    if name in _OTHER_TASKS:
        script.problems.append((number, f"{name}: a deployment installs; write `install` instead"))
        return
    if name not in _COMMANDS:
        script.problems.append((number, f"there is no command {name!r}, and ESXi stops at it"))
        return
    options = _COMMANDS[name]
    if name == "install" and release != "7.0":
        options = {**options, **_SINCE_8}
    command = Command(number, name)
    rest = iter(words[1:])
    for word in rest:
        if not word.startswith("--"):
            command.words.append(word)
            continue
        option, value = _option(word)
        if option not in options:
            script.problems.append((number, f"{name} has no option {option}"))
            continue
        if options[option] and value is None:
            value = next(rest, None)
        if options[option] and not value:
            script.problems.append((number, f"{name} {option} needs a value"))
        if options[option] is False and value is not None:
            script.problems.append((number, f"{name} {option} takes no value"))
        command.options[option] = value
    script.commands.append(command)


# --- judging ----------------------------------------------------------------------------------

Problems = Iterator[tuple[int | None, str]]


def problems(script: Script, context: dict[str, Any]) -> Problems:
    release = context["release"]["version"]
    yield from _once(script)
    for command in script.commands:
        judge = _JUDGES.get(command.name)
        if judge is not None:
            yield from judge(command, release)
    yield from _disk_is_chosen(script)
    if context["host"].get("secure_boot"):
        problem = (
            "the host has Secure Boot on, and ESXi runs no %firstboot then: nobody would set up the"
            " new system, or say that it runs; install with it off (secure_boot: false)"
        )
        yield None, problem


def _once(script: Script) -> Problems:
    wanted = {
        "vmaccepteula": ("vmaccepteula", "accepteula"), "install": ("install",),
        "rootpw": ("rootpw",), "network": ("network",), "reboot": ("reboot",),
    }  # fmt: skip
    missing = {
        "vmaccepteula": "the licence is not accepted, so ESXi stops and asks: write vmaccepteula",
        "rootpw": "there is no rootpw, and root must have a password",
        "network": "there is no network command: it would take the first NIC that has a link",
        "reboot": "there is no reboot: the installer would wait for a key when it is done",
    }
    includes = bool(script.named("%include", "include"))
    for name, spellings in wanted.items():
        found = script.named(*spellings)
        for again in found[1:]:
            yield again.line, f"{name} stands in line {found[0].line} already"
        if not found and name in missing and not (includes and name in ("rootpw", "network")):
            yield None, missing[name]


def _disk_is_chosen(script: Script) -> Problems:
    has_pre = any(section.name == "%pre" for section in script.sections)
    includes = script.named("%include", "include")
    if not script.named("install") and not (includes and has_pre):
        yield None, "there is no install command, and no %pre that writes one for %include"
    for include in includes:
        if len(include.words) != 1:
            yield include.line, f"{include.name} takes the path of one file"
        elif not has_pre:
            yield include.line, f"nothing writes {include.words[0]}: there is no %pre"


def _install(command: Command, release: str) -> Problems:
    given = command.options
    disk = given.get("--disk") or given.get("--drive")
    if "--firstdisk" in given:
        yield command.line, "--firstdisk takes whatever disk comes first; name one by --disk"
    elif disk is None:
        yield command.line, "install names no disk; write --disk="
    elif not _DISK.fullmatch(disk):
        yield (
            command.line,
            f"{disk!r} is no disk's name, which begins with naa., t10., eui. or mpx.",
        )
    if "--overwritevmfs" in given and "--preservevmfs" in given:
        yield command.line, "--overwritevmfs and --preservevmfs exclude each other"
    if "--overwritevmfs" not in given and "--preservevmfs" not in given:
        problem = (
            "where the disk has a datastore the installer stops and asks; write --overwritevmfs or"
            " --preservevmfs"
        )
        yield command.line, problem
    if command.words:
        yield command.line, f"install does not know {command.words[0]!r}"


def _clearpart(command: Command, release: str) -> Problems:
    for option in ("--alldrives", "--firstdisk", "--ignoredrives"):
        if option in command.options:
            yield command.line, f"clearpart {option} wipes disks that nobody named; write --drives="
    drives = command.options.get("--drives")
    for disk in (drives or "").split(","):
        if drives is not None and not _DISK.fullmatch(disk):
            yield command.line, f"{disk!r} is no name of a disk"


def _rootpw(command: Command, release: str) -> Problems:
    if len(command.words) != 1:
        yield command.line, "rootpw takes one password"
    elif "--iscrypted" not in command.options:
        yield command.line, "the password is in the clear; write rootpw --iscrypted and its hash"
    elif not _HASH.fullmatch(command.words[0]):
        yield command.line, "ESXi takes a SHA-512 hash alone: `mkpasswd -m sha-512` makes one"


def _network(command: Command, release: str) -> Problems:
    given = command.options
    device, protocol = given.get("--device"), given.get("--bootproto")
    if protocol not in ("dhcp", "static"):
        yield command.line, f"--bootproto is dhcp or static, not {protocol!r}"
    if device is None:
        yield command.line, "without --device it takes the first NIC that has a link; give a MAC"
    elif not _DEVICE.fullmatch(device):
        yield command.line, f"--device is a MAC or vmnicN, not {device!r}"
    needed = ("--ip", "--netmask", "--gateway")
    if protocol == "static":
        for option in needed:
            if not given.get(option):
                yield command.line, f"a static address needs {option} too"
    elif protocol == "dhcp" and (extra := [o for o in needed if o in given]):
        yield command.line, f"with DHCP there is no {extra[0]}"
    yield from _addresses(command)
    vlan = given.get("--vlanid")
    if vlan is not None and not (vlan.isascii() and vlan.isdigit() and int(vlan) <= 4095):
        yield command.line, f"--vlanid is a number up to 4095, not {vlan!r}"
    if given.get("--addvmportgroup") not in (None, "0", "1"):
        yield command.line, "--addvmportgroup is 0 or 1"


def _addresses(command: Command) -> Problems:
    given = command.options
    for option in ("--ip", "--netmask", "--gateway", "--nameserver"):
        for text in (given.get(option) or "").split(",") if given.get(option) else []:
            if not _is_ipv4(text):
                yield command.line, f"{option}: {text!r} is no IPv4 address"
    ip, netmask, gateway = (given.get(o) or "" for o in ("--ip", "--netmask", "--gateway"))
    if not all(map(_is_ipv4, (ip, netmask, gateway))):
        return
    try:
        net = ipaddress.ip_network(f"{ip}/{netmask}", strict=False)
    except ValueError:
        yield command.line, f"--netmask: {netmask!r} is no netmask"
        return
    if ipaddress.ip_address(gateway) not in net:
        yield command.line, f"--gateway {gateway} is not in {net}"


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _keyboard(command: Command, release: str) -> Problems:
    name = command.words[0] if len(command.words) == 1 else " ".join(command.words)
    if len(command.words) != 1 or name not in KEYBOARDS.values():
        known = ", ".join(sorted(set(KEYBOARDS.values())))
        yield (
            command.line,
            f"there is no keyboard {name!r} (quote one that has a blank): {known}",
        )


def _serialnum(command: Command, release: str) -> Problems:
    key = command.options.get("--esx")
    if release not in ("7.0", "8.0"):
        yield command.line, f"ESX {release} has no serial numbers; it is licensed by files"
    elif key is None or not _KEY.fullmatch(key):
        yield command.line, "--esx is five groups of five letters and digits"


_JUDGES: dict[str, Callable[[Command, str], Problems]] = {
    "install": _install, "clearpart": _clearpart, "rootpw": _rootpw, "network": _network,
    "keyboard": _keyboard, "serialnum": _serialnum, "vmserialnum": _serialnum,
}  # fmt: skip
