"""FreeBSD's bsdinstall, scripted: variables and shell, then a second script for the new system.

The first line that begins with `#!` ends the first part, also inside a quoted text. Nothing checks
either part before the machine runs it. Source: bsdinstall(8) of 14 and 15, scripts/script,
scripts/zfsboot and partedit/scripted.c.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, ClassVar

from deployer.answers.checks import check_shell, finding_at
from deployer.core.families import Answer
from deployer.errors import Finding

KNOWN = frozenset({
    "DISTRIBUTIONS", "PARTITIONS", "COMPONENTS", "BSDINSTALL_DISTDIR", "BSDINSTALL_DISTSITE",
    "BSDINSTALL_CHROOT", "BSDINSTALL_LOG", "BSDINSTALL_TMPETC", "BSDINSTALL_TMPBOOT",
    "BSDINSTALL_SKIP_FIRMWARE", "BSDINSTALL_SKIP_HARDENING", "BSDINSTALL_SKIP_HOSTNAME",
    "BSDINSTALL_SKIP_KEYMAP", "BSDINSTALL_SKIP_MANUAL", "BSDINSTALL_SKIP_SERVICES",
    "BSDINSTALL_SKIP_TIME", "BSDINSTALL_SKIP_USERS", "BSDINSTALL_SKIP_FINALCONFIG",
    "BSDINSTALL_PKG_REPOS_DIR", "BSDINSTALL_CONFIGCURRENT", "ROOTPASS_ENC", "ROOTPASS_PLAIN",
    "ZFSBOOT_POOL_NAME", "ZFSBOOT_POOL_CREATE_OPTIONS", "ZFSBOOT_BEROOT_NAME", "ZFSBOOT_POOL_SIZE",
    "ZFSBOOT_BOOTFS_NAME", "ZFSBOOT_VDEV_TYPE", "ZFSBOOT_FORCE_4K_SECTORS", "ZFSBOOT_BOOT_TYPE",
    "ZFSBOOT_GELI_ENCRYPTION", "ZFSBOOT_GELI_KEY_FILE", "ZFSBOOT_GELI_POOL_NAME",
    "ZFSBOOT_BOOT_POOL", "ZFSBOOT_BOOT_POOL_CREATE_OPTIONS", "ZFSBOOT_BOOT_POOL_NAME",
    "ZFSBOOT_BOOT_POOL_SIZE", "ZFSBOOT_DISKS", "ZFSBOOT_SWAP_SIZE", "ZFSBOOT_SWAP_ENCRYPTION",
    "ZFSBOOT_SWAP_MIRROR", "ZFSBOOT_DATASETS", "ZFSBOOT_CONFIRM_LAYOUT",
    "ZFSBOOT_PARTITION_SCHEME", "ZFSBOOT_GNOP_4K_FORCE_ALIGN", "ZFSBOOT_DATASET_NAME",
})  # fmt: skip
# Enough to see what is wrong with a file that is something else.
_FINDINGS = 30
_OURS = ("ZFSBOOT_", "BSDINSTALL_", "ROOTPASS_")
_AT_LEAST = {"stripe": 1, "mirror": 2, "raid10": 4, "raidz1": 3, "raidz2": 4, "raidz3": 5}
_SCHEMES = {"GPT", "MBR", "BSD"}
_TYPES = {
    "freebsd-ufs", "freebsd-zfs", "freebsd-swap", "freebsd-boot", "freebsd", "efi", "fat32",
    "ms-basic-data", "bios-boot",
}  # fmt: skip
_BOOT = {"efi", "freebsd-boot"}
_ASSIGNMENT = re.compile(
    r"""^[ \t]*(export[ \t]+)?([A-Za-z_]\w*)=("[^"]*"|'[^']*'|[^\s;"']*)""", re.ASCII | re.MULTILINE
)
_SIZE = re.compile(r"auto|\d+(\.\d+)?[KMGT]?B?", re.ASCII | re.IGNORECASE)
# Targets of bsdinstall that ask, and commands that do.
_ASKS = re.compile(
    r"\s*(?:bsdinstall\s+(?:rootpass|adduser|keymap|hostname|netconfig|time|services|autopart"
    r"|partedit|hardening)\b.*|passwd(?:\s+root)?|adduser|tzsetup)\s*"
)
_PKG = re.compile(r"\bpkg\s+(?:install|upgrade|delete|autoremove)\b(.*)")
_YES = re.compile(r"(?:^|\s)(?:-[a-zA-Z]*y|--yes)\b")
# echo 'secret' | pw useradd ... -h 0
_PLAIN = re.compile(r"\b(?:echo|printf)\b[^|]*\|\s*pw\b.*\s-h\s?0")
_LONGEST = 1000  # a line of a person's; what comes from elsewhere must not cost a second


def _of_version(addresses: list[str], version: int) -> list[str]:
    """Those of IPv4, or of IPv6: rc.conf(5) has a line for each."""
    return [each for each in addresses if ipaddress.ip_interface(each).version == version]


class BsdInstall:
    name = "bsdinstall"
    filters: ClassVar = {"ip_version": _of_version}

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        file = answer.path
        first, second, began = split(text)
        findings = [*check_shell(first, "sh", file, file)]
        for found in check_shell(second, "sh", file, file) if second else []:
            line = found.line + began - 1 if found.line else None
            problem = f"the script for the new system: {found.message}"
            findings.append(finding_at(file, line, problem))
        return [
            *findings,
            *islice(_variables(first, file), _FINDINGS),
            *islice(_lines_that_wait(text, file), _FINDINGS),
            *_setting(context, file),
            *_scripts(context, file),
        ]


def split(text: str) -> tuple[str, str, int]:
    """The two parts, and the line in which the second begins; as bsdinstall's own awk does it."""
    found = re.search(r"^#!", text, re.MULTILINE)
    if found is None:
        return text, "", 0
    return text[: found.start()], text[found.start() :], text.count("\n", 0, found.start()) + 1


def _variables(first: str, file: str) -> Iterator[Finding]:
    values: dict[str, tuple[int, str]] = {}
    exported = _exported(first)
    at, line = 0, 1
    for found in _ASSIGNMENT.finditer(first):
        line += first.count("\n", at, found.start(2))
        at = found.start(2)
        name, value = found[2], found[3].strip("\"'")
        values[name] = (line, value)
        if name.startswith(_OURS) and name not in KNOWN:
            near = difflib.get_close_matches(name[:60], KNOWN, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield finding_at(file, line, f"bsdinstall reads no variable {name}{hint}")
        elif name.startswith("ZFSBOOT_") and not (found[1] or name in exported):
            problem = f"{name} is not exported, so zfsboot, another process, does not see it"
            yield finding_at(file, line, problem)
        if name == "ROOTPASS_PLAIN":
            yield finding_at(file, line, "ROOTPASS_PLAIN is a password in the clear; use a hash")
    yield from _disks(values, file)


def _exported(first: str) -> set[str]:
    """By a line of its own: `export A B`."""
    lines = re.findall(r"^[ \t]*export[ \t]([^\n=]*)$", first, re.MULTILINE)
    return {name for line in lines for name in line.split()}


def _disks(values: dict[str, tuple[int, str]], file: str) -> Iterator[Finding]:
    if "ZFSBOOT_DISKS" in values:
        if "PARTITIONS" in values:
            problem = "ZFSBOOT_DISKS is set too, so PARTITIONS is not looked at"
            yield finding_at(file, values["PARTITIONS"][0], problem)
        yield from _zfs(values, file)
    elif "PARTITIONS" in values:
        line, text = values["PARTITIONS"]
        for problem in partition_problems(text):
            yield finding_at(file, line, f"PARTITIONS: {problem}")
    else:
        problem = "neither PARTITIONS nor ZFSBOOT_DISKS is set, so bsdinstall asks for a disk"
        yield finding_at(file, None, problem)


def _zfs(values: dict[str, tuple[int, str]], file: str) -> Iterator[Finding]:
    line, disks = values["ZFSBOOT_DISKS"]
    if not disks.strip():
        yield finding_at(file, line, "ZFSBOOT_DISKS names no disk")
    if values.get("nonInteractive", (0, ""))[1] != "YES":
        problem = "nonInteractive=YES is not exported, so zfsboot shows its menu and waits"
        yield finding_at(file, line, problem)
    at, kind = values.get("ZFSBOOT_VDEV_TYPE", (line, "stripe"))
    if "$" in kind:
        return
    if kind not in _AT_LEAST:
        known = ", ".join(sorted(_AT_LEAST))
        yield finding_at(file, at, f"ZFSBOOT_VDEV_TYPE is {kind!r}, and must be one of {known}")
    elif "$" not in disks and len(disks.split()) < _AT_LEAST[kind]:
        problem = f"a {kind} needs {_AT_LEAST[kind]} disks, and ZFSBOOT_DISKS is {disks!r}"
        yield finding_at(file, at, problem)
    if values.get("ZFSBOOT_GELI_ENCRYPTION", (0, ""))[1]:
        yield finding_at(
            file, values["ZFSBOOT_GELI_ENCRYPTION"][0],
            "geli asks for its passphrase at the terminal",
        )  # fmt: skip


def partition_problems(text: str) -> Iterator[str]:
    """scriptedpart's grammar: DISK [SCHEME] [{ SIZE TYPE [MOUNT], ... }] [; ...]."""
    mounts: list[str] = []
    whole = False
    for setup in text.split(";"):
        found = re.fullmatch(r"([^{}]*)(?:\{([^{}]*)\}([^{}]*))?", setup)
        if found is None:
            yield f"the braces of {setup.strip()[:80]!r} do not match"
            return
        words = f"{found[1]} {found[3] or ''}".split()
        if not words or words[0] == "DEFAULT":
            yield "it names no disk, so bsdinstall asks where there are several"
            return
        if len(words) > 2:
            yield f"after disk and scheme stands {words[2]!r}, which is neither"
        if len(words) == 2 and words[1].upper() not in _SCHEMES and "$" not in words[1]:
            yield f"there is no scheme {words[1]!r} to boot from; use GPT"
        whole = whole or found[2] is None
        yield from _each_partition(found[2] or "", mounts)
    if "/" not in mounts and not whole:
        yield "nothing is mounted at /"
    for mount in {mount for mount in mounts if mounts.count(mount) > 1}:
        yield f"{mount} is mounted twice"


def _each_partition(text: str, mounts: list[str]) -> Iterator[str]:
    entries = [entry.split() for entry in text.split(",") if entry.strip()]
    for number, words in enumerate(entries, start=1):
        shown = " ".join(words)
        if len(words) < 2 or len(words) > 3:
            yield f"{shown!r} must be size, type and at most a mount point"
            continue
        size, kind, *mount = words
        if not _SIZE.fullmatch(size) and "$" not in size:
            yield f"{shown!r}: {size!r} is no size such as 20G, and not `auto`"
        if size == "auto" and number < len(entries):
            yield f"{shown!r} takes all that is left, and {len(entries) - number} more follow"
        if kind not in _TYPES and "$" not in kind:
            yield f"{shown!r}: gpart has no type {kind!r} for it"
        if mount and not mount[0].startswith(("/", "$")) and mount[0] != "none":
            yield f"{shown!r}: {mount[0]!r} is no absolute path"
        if kind == "freebsd-ufs" and not mount:
            yield f"{shown!r} is mounted nowhere"
        mounts += [m for m in mount if kind not in _BOOT]


def _lines_that_wait(text: str, file: str) -> Iterator[Finding]:
    yes = re.search(r"ASSUME_ALWAYS_YES=['\"]?(?:yes|YES|true|1)", text)
    for number, line in enumerate(text.split("\n"), start=1):
        if line.lstrip().startswith("#") or len(line) > _LONGEST:
            continue
        if _ASKS.fullmatch(line):
            yield finding_at(file, number, f"{line.strip()!r} asks and waits")
        pkg = _PKG.search(line)
        if pkg and not yes and not _YES.search(pkg[1]):
            yield finding_at(file, number, "pkg asks unless it has -y; write `pkg install -y`")
        if _PLAIN.search(line):
            yield finding_at(file, number, "a password in the clear; give `pw` a hash, with -H 0")


def _setting(context: dict[str, Any], file: str) -> Iterator[Finding]:
    """What our own files cannot do, whatever the description says."""
    if context["urls"]["base"].startswith("https:"):
        yield Finding(
            f"{file}: FreeBSD's base system posts by plain HTTP alone, and MACHINE_URL is https",
            "give MACHINE_URL an http:// address for these machines", file=file, field="urls",
        )  # fmt: skip
    storage = context["profile"]["storage"]
    if storage["layout"] == "raid1" and storage["volumes"]:
        yield Finding(
            f"{file}: storage.volumes: a ZFS mirror has no partitions for them",
            "remove them, or use layout plain", file=file, field="storage.volumes",
        )  # fmt: skip


def _scripts(context: dict[str, Any], file: str) -> Iterator[Finding]:
    scripts = context["profile"]["scripts"]
    for name in ("pre", "post", "first_boot"):
        if scripts[name]:
            yield from check_shell(scripts[name], "sh", file, f"scripts.{name}")
    if scripts["pre"] and re.search(r"\n#!", scripts["pre"]):
        yield Finding(
            f"{file}: scripts.pre: a line that begins with `#!` would end the first part there",
            "begin it with a blank", file=file, field="scripts.pre",
        )  # fmt: skip


INSTALLER = BsdInstall()
