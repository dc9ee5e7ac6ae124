"""OpenBSD's autoinstall: QUESTION = ANSWER, a template for disklabel, and a set of one's own.

A line whose question is never asked is passed over in silence, a question without an answer takes
its default or ends the installation, and one that takes another disk does not look back. Source:
distrib/miniroot/install.sub of 7.7 and 7.8, autoinstall(8), disklabel(8) AUTOMATIC DISK ALLOCATION.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, ClassVar

from deployer.answers.checks import check_scripts, check_shell, finding_at
from deployer.core.families import Answer
from deployer.errors import Finding

# As the installer asks them; a line answers one when its left side is whole words of it, in a row.
_ONCE = (
    "Terminal type?", "Choose your keyboard layout ('?' or 'L' for list)",
    "System hostname? (short form, e.g. 'foo')", "Default IPv4 route? (IPv4 address or 'none')",
    "IPv6 default router? (IPv6 address or 'none')", "DNS domain name? (e.g. 'example.com')",
    "DNS nameservers? (IP address list or 'none')", "Password for root account?",
    "Public ssh key for root account?", "Start sshd(8) by default?",
    "Do you expect to run the X Window System?",
    "Do you want the X Window System to be started by xenodm(1)?",
    "Change the default console to com0?", "Which speed should com0 use?",
    "Setup a user? (enter a lower-case loginname, or 'no')", "Full name for user USER?",
    "Password for user USER?", "Public ssh key for user USER",
    "Allow root ssh login? (yes, no, prohibit-password)",
    "What timezone are you in? ('?' for list)",
    "Which disk is the root disk? ('?' for details)",
    "Encrypt the root disk with a (p)assphrase or (k)eydisk?", "New passphrase?",
    "Use (W)hole disk MBR, whole disk (G)PT or (E)dit?",
    "Use (W)hole disk MBR, whole disk (G)PT, (O)penBSD area or (E)dit?",
    "Use (A)uto layout, (E)dit auto layout, or create (C)ustom layout?",
    "URL to autopartitioning template for disklabel?",
)  # fmt: skip
_OFTEN = (
    "Network interface to configure? (name, lladdr, '?', or 'done')",
    "Symbolic (host) name for IF?", "IPv4 address for IF? (or 'autoconf' or 'none')",
    "Netmask for IF?", "IPv6 address for IF? (or 'autoconf' or 'none')",
    "IPv6 prefix length for IF?", "Which interface:tag should IF be on?",
    "Which disk do you wish to initialize?", "Location of sets? (disk http nfs or 'done')",
    "Pathname to the sets? (or 'done')", "Is the disk partition already mounted?",
    "Which disk contains the install media?", "Which IF partition has the install sets?",
    "HTTP proxy URL? (e.g. 'http://proxy:8080', or 'none')",
    "HTTP Server? (hostname, list#, 'done' or '?')", "Server directory?",
    "Server IP address or hostname?", "Filesystem on server to mount?",
    "Use TCP transport? (requires TCP-capable NFS server)",
    "Set name(s)? (or 'abort' or 'done')", "INSTALL.ARCH not found. Use sets found here anyway?",
    "Directory does not contain SHA256.sig. Continue without verification?",
    "Cannot determine prefetch area. Continue without verification?",
    "Cannot fetch SHA256.sig. Continue without verification?",
    "Signature check of SHA256.sig failed. Continue without verification?",
    "Unverified sets: SET. Continue without verification?",
    "Checksum test for SET failed. Continue anyway?", "Fetching of SET failed. Continue anyway?",
    "Installation of SET failed. Continue anyway?", "Continue anyway?",
    "Are you *SURE* your install is complete without 'SET'?",
    "Time appears wrong. Set to 'DATE'?",
    # Of earlier releases; files that are kept for several have them, and nobody asks.
    "Which network interface do you wish to configure? (or 'done')",
    "Unable to connect using https. Use http instead?", "Use http instead?",
    "Start ntpd(8) by default?", "NTP server? (hostname or 'default')",
    "Use DUIDs rather than device names in fstab?", "Use (W)hole disk or (E)dit the MBR?",
)  # fmt: skip
_NEEDED = {
    "System hostname? (short form, e.g. 'foo')": "the installation ends where DHCP has none",
    "Password for root account?": "the installation ends",
}
# Enough to see what is wrong with a file that is something else.
_FINDINGS = 30
_NAMES = re.compile(r"\b(USER|IF|SET|ARCH|DATE)\b")
_DEVICE = re.compile(r"(?:/dev/)?((?:sd|wd)[0-9]{1,3})", re.ASCII)
_BCRYPT = re.compile(r"\$2[aby]\$[0-9]{2}\$[A-Za-z0-9./]{53}", re.ASCII)
_NO_PASSWORD = "*" * 13
_SIZE = re.compile(r"\*|[0-9]+(\.[0-9]+)?[bkmgt%]?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Line:
    number: int
    question: str
    answer: str


def parse(text: str, file: str) -> tuple[list[Line], list[Finding]]:
    """All answers, and the lines that the installer passes over; it splits at the first `=`."""
    lines: list[Line] = []
    findings: list[Finding] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if len(findings) == _FINDINGS:
            break
        question, equals, answer = line.strip(" \t").partition("=")
        question, answer = question.strip(" \t"), answer.strip(" \t")
        if equals and question and answer:
            lines.append(Line(number, question, answer))
        else:
            problem = f"{line.strip()[:80]!r} is not QUESTION = ANSWER, and would be passed over"
            findings.append(finding_at(file, number, problem))
    return lines, findings


@lru_cache(maxsize=4096)
def asked(question: str) -> str | None:
    """The installer's question that a line with this left side answers."""
    left = question.lower().split()
    return next((known for known, words in _patterns().items() if _answers(left, words)), None)


@lru_cache(maxsize=1)
def _patterns() -> dict[str, list[re.Pattern[str]]]:
    """Each word of each question; a name in it stands for any word."""
    return {known: [_pattern(word) for word in known.split()] for known in (*_ONCE, *_OFTEN)}


def _pattern(word: str) -> re.Pattern[str]:
    ends = word.endswith("?")
    parts = _NAMES.split(word.removesuffix("?"))
    text = "".join(r"[^\s?]+" if _NAMES.fullmatch(p) else re.escape(p.lower()) for p in parts)
    return re.compile(text + (r"\??" if ends else ""))


def _answers(left: list[str], words: list[re.Pattern[str]]) -> bool:
    """Whole words in a row, as the installer's own pattern has it."""
    return any(
        all(word.fullmatch(given) for word, given in zip(words[start:], left, strict=False))
        for start in range(len(words) - len(left) + 1)
    )


def _disk_name(path: str) -> str:
    """sd0 of /dev/sd0; what is none is shown as it is, for the check to name."""
    found = _DEVICE.fullmatch(path)
    return found[1] if found else path or "?"


def _prefix_length(netmask: str) -> str:
    return str(ipaddress.ip_network(f"0.0.0.0/{netmask}").prefixlen)


class OpenBsd:
    name = "openbsd"
    filters: ClassVar = {"disk_name": _disk_name, "prefix_length": _prefix_length}

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        path = answer.path
        if answer.format == "shell":
            return [*check_shell(text, "sh", path, path), *check_scripts(context, _SCRIPTS, path)]
        if path == "install.conf":
            lines, findings = parse(text, path)
            judged = islice(_judged(lines, path), _FINDINGS)
            return [*findings, *judged, *_setting(lines, path, context)]
        if path == "disklabel":
            return list(islice(_disklabel(text, path), _FINDINGS))
        return (
            []
            if context["release"]["set"] in text.split()
            else [
                finding_at(
                    path, None, f"{context['release']['set']} is not listed, so it is not taken"
                )
            ]
        )


def _judged(lines: list[Line], file: str) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for line in lines:
        known = asked(line.question)
        if known is None:
            shown = line.question[:80]
            words = [known.partition("?")[0] for known in _patterns()]
            near = difflib.get_close_matches(shown, words, 1, 0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            yield finding_at(file, line.number, f"the installer asks no {shown!r}{hint}")
            continue
        if known in seen and known in _ONCE:
            problem = f"{line.question!r} was answered in line {seen[known]} already"
            yield finding_at(file, line.number, problem)
        seen.setdefault(known, line.number)
        if wrong := _wrong(known, line.answer):
            yield finding_at(file, line.number, f"{line.question}: {wrong}")
    for needed, what in _NEEDED.items():
        if needed not in seen:
            yield finding_at(file, None, f"{needed!r} is not answered, so {what}")


def _wrong(known: str, answer: str) -> str | None:
    if known.startswith("Password for"):
        if _BCRYPT.fullmatch(answer) or answer == _NO_PASSWORD:
            return None
        return (
            "the answer is no bcrypt hash, so the installer takes it for a password in the clear;"
            f" give it a hash, or {_NO_PASSWORD} for none"
        )
    if known.startswith("Start ") and answer.lower() not in ("y", "yes", "n", "no"):
        return f"{answer!r} is neither yes nor no, and the installation ends"
    if known.startswith("Allow root ssh login") and answer.lower() not in (
        "yes", "no", "y", "n", "w", "p", "without-password", "prohibit-password",
    ):  # fmt: skip
        return f"{answer!r} is not yes, no or prohibit-password, and the installation ends"
    if known.startswith("Encrypt the root disk") and answer[0] not in "nN":
        return "the passphrase would stand here, in a file that is fetched without a token"
    return None


def _setting(lines: list[Line], file: str, context: dict[str, Any]) -> Iterator[Finding]:
    """The disk, which the installer would otherwise choose; and how it can talk with us."""
    path = context["profile"]["storage"]["disk"]["path"]
    wanted = _DEVICE.fullmatch(path or "")
    if wanted is None:
        yield Finding(
            f"{file}: storage.disk.path: OpenBSD's installer takes a disk by its name alone, and"
            f" this is {path!r}",
            "set storage.disk.path to its name there, such as /dev/sd0", file=file,
            field="storage.disk.path",
        )  # fmt: skip
    given = [line for line in lines if (asked(line.question) or "").startswith("Which disk is the")]
    if not given:
        problem = "no line names the root disk, so the installer would erase the first one"
        yield finding_at(file, None, problem)
    elif wanted and given[0].answer != wanted[1]:
        problem = f"the root disk is {given[0].answer!r}, and storage.disk.path is {path!r}"
        yield finding_at(file, given[0].number, problem)
    if context["urls"]["base"].startswith("https:"):
        yield Finding(
            f"{file}: the new system says that it is there by plain HTTP, and MACHINE_URL is https",
            "give MACHINE_URL an http:// address for these machines", file=file, field="urls",
        )  # fmt: skip


def _disklabel(text: str, file: str) -> Iterator[Finding]:
    mounts: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        mount, *rest = words
        if not mount.startswith("/") and mount not in ("swap", "raid"):
            problem = f"{mount[:60]!r} is no mount point, and neither swap nor raid"
            yield finding_at(file, number, problem)
        sizes = rest[0].split("-") if rest else []
        if not 1 <= len(rest) <= 2 or len(sizes) > 2 or not all(map(_SIZE.fullmatch, sizes)):
            problem = (
                f"{line.strip()[:80]!r} needs a size such as 2G or 2G-*, and at most a percentage"
            )
            yield finding_at(file, number, problem)
        elif len(rest) == 2 and not re.fullmatch(r"[0-9]{1,3}%", rest[1]):
            yield finding_at(file, number, f"{rest[1][:20]!r} is no percentage")
        if mount in mounts and mount != "raid":
            yield finding_at(file, number, f"{mount} stands in line {mounts[mount]} already")
        mounts[mount] = number
    if "/" not in mounts and "raid" not in mounts:
        yield finding_at(file, None, "nothing is mounted at /")


_SCRIPTS = {"post": "sh", "first_boot": "sh"}

INSTALLER = OpenBsd()
