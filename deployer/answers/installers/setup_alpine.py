"""Alpine's setup-alpine: an answer file that is read as shell, and the overlay that starts it.

Nothing checks such a file before the machine reads it: an unknown variable is ignored, and what is
not answered is asked. What asks, or would install nothing, is a finding here. Source: alpine-conf,
setup-alpine.in and setup-disk.in of 3.20 to 3.23.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from deployer.answers.checks import check_scripts, check_shell, finding_at
from deployer.core.families import Answer
from deployer.errors import Finding

# What setup-alpine itself reads; each is a question when it is missing, but for the second line.
ASKED = frozenset({
    "KEYMAPOPTS", "HOSTNAMEOPTS", "INTERFACESOPTS", "TIMEZONEOPTS", "PROXYOPTS", "APKREPOSOPTS",
    "SSHDOPTS", "NTPOPTS", "USEROPTS", "DISKOPTS",
})  # fmt: skip
OPTIONAL = frozenset(
    {"DNSOPTS", "DEVDOPTS", "LBUOPTS", "APKCACHEOPTS", "ROOTSSHKEY", "USERSSHKEY", "DEFAULT_DISK"}
)
# What setup-disk reads, which is a process of its own.
EXPORTED = frozenset({
    "ERASE_DISKS", "KERNELOPTS", "BOOTLOADER", "USE_EFI", "DISKLABEL", "ROOTFS", "BOOTFS", "VARFS",
    "BOOT_SIZE", "SWAP_SIZE", "ROOT_SIZE", "MKFS_OPTS_BOOT", "MKFS_OPTS_ROOT", "MKFS_OPTS_VAR",
    "SYSROOT", "RASPBERRY_PI", "FORCE_BOOTFS",
})  # fmt: skip
KNOWN = ASKED | OPTIONAL | EXPORTED
# Enough to see what is wrong with a file that is something else.
_FINDINGS = 30
_LINUX_FILE_SYSTEMS = {"ext2", "ext3", "ext4", "btrfs", "xfs", "vfat"}
_WORD = re.compile(r"""(?:[^\s'"\\;&|<>()`]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+""", re.DOTALL)
_SPACE = re.compile(r"(?:\s|\\\n|#[^\n]*)+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_REPOSITORY = re.compile(r"(?:@\S+ )?(?:https?|ftp)://[^\s/]+(?:/\S*)?|/\S+")
_VERSION = re.compile(r"/(v\d+\.\d+|edge|latest-stable)/")


@dataclass(frozen=True)
class Assignment:
    """NAME=value as the shell has it, quotes removed and nothing expanded; where it begins."""

    line: int
    value: str


@dataclass
class Answers:
    """What a file sets; `wrong` is (line, problem) of what it does besides."""

    values: dict[str, Assignment]
    exported: set[str]
    wrong: list[tuple[int | None, str]]


def parse(text: str) -> Answers:
    """Assignments, exported or not; the first thing that is none of them is where it goes wrong."""
    answers = Answers({}, set(), [])
    exporting = 0  # the line of an `export` whose words these are
    for line, word in _words(text, answers):
        if len(answers.wrong) > _FINDINGS:
            break
        if word == "export":
            exporting = line
            continue
        exports = exporting == line
        name, equals, raw = word.partition("=")
        if not _NAME.fullmatch(name) or not (equals or exports):
            answers.wrong.append((line, f"{word[:60]!r} is a command; answers only assign"))
            continue
        if exports:
            answers.exported.add(name)
        # A quoted value may have several lines, and more words may follow where it ends.
        exporting += word.count("\n") if exports else 0
        if not equals:
            continue
        if name in answers.values:
            was = answers.values[name].line
            answers.wrong.append((line, f"{name} was set in line {was} already"))
        answers.values[name] = Assignment(line, _unquoted(raw))
    return answers


def _words(text: str, answers: Answers) -> Iterator[tuple[int, str]]:
    at, line = 0, 1
    while at < len(text):
        for pattern in (_SPACE, _WORD):
            if found := pattern.match(text, at):
                if pattern is _WORD:
                    yield line, found[0]
                line += found[0].count("\n")
                at = found.end()
                break
        else:
            problem = f"{text[at]!r} begins a command or a quote that does not end; quote the value"
            answers.wrong.append((line, problem))
            return


def _unquoted(raw: str) -> str:
    try:
        return "".join(shlex.split(raw, comments=False)) if raw else ""
    except ValueError:
        return raw


class SetupAlpine:
    name = "setup_alpine"

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        path = answer.path
        if path == "answers":
            judged = islice(_answers(text, path, context), _FINDINGS)
            return check_shell(text, "sh", path, path) or list(judged)
        if answer.format == "shell":
            return [
                *check_shell(text, "sh", path, path),
                *check_scripts(context, _SCRIPTS.get(path.rsplit("/", 1)[-1], {}), path),
            ]
        if path.endswith("/etc/apk/world"):
            return list(_world(text, path))
        if path.endswith("/etc/apk/repositories"):
            return list(_repositories(_lines(text), path, context))
        return []


def _answers(text: str, file: str, context: dict[str, Any]) -> Iterator[Finding]:
    answers = parse(text)
    for line, problem in answers.wrong:
        yield finding_at(file, line, problem)
    yield from _names(answers, file)
    values = answers.values
    if "DISKOPTS" in values:
        yield from _disks(values, file)
    if "INTERFACESOPTS" in values:
        yield from _interfaces(values, file)
    if "APKREPOSOPTS" in values:
        given = values["APKREPOSOPTS"]
        urls = [word for word in given.value.split() if not re.fullmatch(r"-[a-zA-Z0-9]+", word)]
        yield from _repositories([(given.line, url) for url in urls], file, context)
    for name in ("ROOTFS", "BOOTFS", "VARFS"):
        if name in values and values[name].value not in _LINUX_FILE_SYSTEMS:
            known = ", ".join(sorted(_LINUX_FILE_SYSTEMS))
            yield finding_at(file, values[name].line, f"{name} must be one of {known}")
    for name in ("BOOT_SIZE", "SWAP_SIZE", "ROOT_SIZE"):
        if name in values and not values[name].value.isdecimal():
            yield finding_at(file, values[name].line, f"{name} must be a number of MB")


def _names(answers: Answers, file: str) -> Iterator[Finding]:
    for name, given in answers.values.items():
        if name not in KNOWN:
            near = difflib.get_close_matches(name[:60], KNOWN, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield finding_at(file, given.line, f"setup-alpine reads no variable {name}{hint}")
        elif name in EXPORTED and name not in answers.exported:
            problem = f"{name} is not exported, so setup-disk, another process, does not see it"
            yield finding_at(file, given.line, problem)
        elif name in ASKED and not given.value.strip():
            yield finding_at(file, given.line, f"{name} is empty, so setup-alpine would ask")
    for name in sorted(ASKED - set(answers.values)):
        yield finding_at(file, None, f"{name} is not set, so setup-alpine would ask")


def _disks(values: dict[str, Assignment], file: str) -> Iterator[Finding]:
    given = values["DISKOPTS"]
    line, words = given.line, given.value.split()
    disks: list[str] = []
    options: dict[str, str] = {}
    while words:
        word = words.pop(0)
        if word in ("-m", "-s", "-k", "-o", "-b"):
            options[word] = words.pop(0) if words else ""
        elif re.fullmatch(r"-[eLqrv]+", word):
            options |= {f"-{letter}": "" for letter in word[1:]}
        elif word.startswith("-"):
            yield finding_at(file, line, f"DISKOPTS: setup-disk has no option {word}")
        else:
            disks.append(word)
    yield from _disk_options(options, file, line)
    if not disks or disks == ["none"]:
        yield finding_at(file, line, "DISKOPTS names no disk, so nothing would be installed")
    elif len(disks) > 2:
        problem = f"DISKOPTS names {len(disks)} disks, which setup-disk makes a RAID 5"
        yield finding_at(file, line, problem)
    for disk in disks:
        if not disk.startswith(("/dev/", "$")) and disk != "none":
            yield finding_at(file, line, f"DISKOPTS: {disk} is no device")
    erased = values.get("ERASE_DISKS")
    if erased is not None and erased.value != " ".join(disks):
        problem = (
            f"ERASE_DISKS is {erased.value!r} and DISKOPTS names {' '.join(disks)!r}; unless they"
            " are the same, word for word, setup-disk asks"
        )
        yield finding_at(file, erased.line, problem)


def _disk_options(options: dict[str, str], file: str, line: int) -> Iterator[Finding]:
    mode = options.get("-m")
    if mode is None:
        yield finding_at(file, line, "DISKOPTS has no -m, so setup-disk would ask for the mode")
    elif mode in ("crypt", "cryptsys") or "-e" in options:
        yield finding_at(file, line, "DISKOPTS: encryption asks for its passphrase at the terminal")
    elif mode != "sys":
        yield finding_at(file, line, f"DISKOPTS: mode {mode!r} installs no system; use -m sys")
    if "-s" in options and not options["-s"].isdecimal():
        yield finding_at(file, line, "DISKOPTS: -s needs the size of swap in MB")


def _interfaces(values: dict[str, Assignment], file: str) -> Iterator[Finding]:
    """interfaces(5) as setup-interfaces -i takes it."""
    first, text = values["INTERFACESOPTS"].line, values["INTERFACESOPTS"].value
    if text.strip() == "none":
        return
    stanza, by_dhcp = False, False
    for number, line in enumerate(text.split("\n"), first):
        word, *rest = line.split() or [""]
        if word in ("", "source", "source-directory") or word.startswith("#"):
            continue
        if word in ("auto", "iface") or word.startswith("allow-"):
            if not rest:
                yield finding_at(file, number, f"INTERFACESOPTS: {word} names no interface")
            stanza = word == "iface"
            by_dhcp = by_dhcp or (stanza and rest[1:] != ["inet", "loopback"] and "dhcp" in rest)
        elif not stanza:
            yield finding_at(file, number, f"INTERFACESOPTS: {word!r} stands in no iface stanza")
        elif word in ("address", "gateway") and not _is_address(rest, prefix=word == "address"):
            yield finding_at(file, number, f"INTERFACESOPTS: {line.strip()!r} has no such address")
    if not by_dhcp and "DNSOPTS" not in values:
        problem = "DNSOPTS is not set and no interface uses DHCP, so setup-alpine would ask"
        yield finding_at(file, first, problem)


def _is_address(words: list[str], prefix: bool) -> bool:
    if len(words) != 1:
        return False
    try:
        if prefix:
            ipaddress.ip_interface(words[0])
        else:
            ipaddress.ip_address(words[0])
    except ValueError:
        return words[0].startswith("$")
    return True


def _repositories(
    given: list[tuple[int, str]], file: str, context: dict[str, Any]
) -> Iterator[Finding]:
    """Of another version than the kernel, a module or a library would not fit."""
    version = f"v{context['release']['version']}"
    own = {each["url"] for each in context["profile"]["repositories"]}
    for line, url in given:
        if not _REPOSITORY.fullmatch(url):
            yield finding_at(file, line, f"{url[:80]!r} is no repository of apk")
            continue
        found = _VERSION.search(url + "/")
        if url not in own and found is not None and found[1] != version:
            problem = f"{url} is of {found[1]}, and the profile installs {version}"
            yield finding_at(file, line, problem)


def _world(text: str, file: str) -> Iterator[Finding]:
    names = {name: line for line, name in _lines(text)}
    for name, line in names.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._-]*([<>=~@].+)?", name):
            yield finding_at(file, line, f"{name[:60]!r} is no package")
    for name in ("alpine-base", "curl"):
        if name not in names:
            yield finding_at(file, None, f"{name} is missing, which the live system needs")


def _lines(text: str) -> list[tuple[int, str]]:
    lines = enumerate(text.split("\n"), start=1)
    return [(n, line.strip()) for n, line in lines if line.strip() and not line.startswith("#")]


_SCRIPTS = {"deployer.start": {"pre": "sh"}, "system.sh": {"post": "sh", "first_boot": "sh"}}

INSTALLER = SetupAlpine()
