"""What pykickstart lets pass, and an unattended installation would trip over.

Each rule is a generator of findings; RULES is their list. `facts` are the release's own, out of
family.yaml.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any

from deployer.answers.checks import check_shell
from deployer.answers.grammars.kickstart import SCRIPTS, Command, Kickstart, Section
from deployer.core.profiles import is_password_hash
from deployer.errors import Finding

_SOURCES = (
    "url",
    "nfs",
    "cdrom",
    "harddrive",
    "liveimg",
    "ostreesetup",
    "ostreecontainer",
    "bootc",
)
_WITHOUT_PACKAGES = ("liveimg", "ostreesetup", "ostreecontainer", "bootc")
_OFF = {"poweroff": "stays off", "shutdown": "stays off", "halt": "waits for a key"}
_LAYOUT = (
    "autopart",
    "part",
    "partition",
    "raid",
    "volgroup",
    "logvol",
    "btrfs",
    "mount",
    "reqpart",
)
_MEMBERS = {"0": 2, "1": 2, "4": 3, "5": 3, "6": 4, "10": 2}
_PHONE_HOME = "see the kickstart that `deployer check` shows without answer_files"


# --- what would be asked ------------------------------------------------------------------------


def asks_nothing(ks: Kickstart, facts: dict[str, Any]) -> Iterator[Finding]:
    """A question in an unattended installation is its end."""
    for name in ("lang", "keyboard", "timezone"):
        if not ks.named(name):
            yield ks.finding(None, f"there is no {name}, so the installer would ask", f"add {name}")
    if not ks.named("rootpw") and not any(_is_admin(user) for user in ks.named("user")):
        problem = "there is neither rootpw nor a user in the group wheel; the installer would ask"
        yield ks.finding(None, problem, "add `rootpw --lock`, or a user with --groups=wheel")
    if not ks.named(*_SOURCES):
        problem = "nothing says where packages come from, so the installer would ask"
        yield ks.finding(None, problem, "add `url --url=...`")
    elif not ks.scripts("%packages") and not ks.named(*_WITHOUT_PACKAGES):
        problem = "there is no %packages, so the installer would ask"
        yield ks.finding(None, problem, "add %packages, and %end after them")
    for command in ks.named("firstboot"):
        if command.has("--enable") or command.has("--enabled") or command.has("--reconfig"):
            problem = "the new system would ask at its first boot"
            yield ks.finding(command.line, problem, "write `firstboot --disable`")


def one_environment(ks: Kickstart, facts: dict[str, Any]) -> Iterator[Finding]:
    """The last one would win, without a word."""
    lines = [
        (number, line.strip())
        for section in ks.scripts("%packages")
        for number, line in enumerate(section.body, start=section.line + 1)
        if line.lstrip().startswith("@^")
    ]
    for number, name in lines[1:]:
        problem = f"{name}: {lines[0][1]} in line {lines[0][0]} is an environment already"
        yield ks.finding(number, problem, "keep one; @GROUP, without ^, adds to it")


def _is_admin(user: Command) -> bool:
    return "wheel" in (user.value("--groups") or "").split(",")


def restarts(ks: Kickstart, facts: dict[str, Any]) -> Iterator[Finding]:
    """One word on what follows; the new system calls at its first boot, so it must start."""
    found = ks.named("reboot", *_OFF)
    if not found:
        problem = "nothing says what follows, so the installer would wait for a key"
        yield ks.finding(None, problem, "add `reboot`")
    for command in found[1:]:
        problem = f"{command.name}: {found[0].name} in line {found[0].line} says so already"
        yield ks.finding(command.line, problem, "keep one of them")
    for command in found[:1]:
        if command.name in _OFF:
            problem = f"{command.name}: the machine {_OFF[command.name]} and never calls first_boot"
            yield ks.finding(command.line, problem, "write `reboot`")


# --- disks --------------------------------------------------------------------------------------


def _included(ks: Kickstart) -> list[Command]:
    """What %pre writes and the installer then reads."""
    lines = [line for script in ks.scripts("%pre") for line in script.body]
    written = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return [c for c in ks.named("%include") if c.operands and c.operands[0] in written]


def includes(ks: Kickstart, facts: dict[str, Any]) -> Iterator[Finding]:
    known = [command.line for command in _included(ks)]
    remedy = "write its lines here, or have a %pre write that file"
    for command in ks.named("%include", "%ksappend"):
        if command.line not in known:
            what = command.operands[0] if command.operands else "nothing"
            yield ks.finding(command.line, f"{command.name}: nobody can check {what}", remedy)
    for section in ks.sections:
        for number, line in enumerate(section.body, start=section.line + 1):
            if line.lstrip().startswith(("%include", "%ksappend")):
                yield ks.finding(number, "an include within a section cannot be checked", remedy)


def disks(ks: Kickstart, facts: dict[str, Any]) -> Iterator[Finding]:
    """It writes to disks that were chosen, and to no other."""
    if _included(ks):
        return
    if not ks.named(*_LAYOUT):
        problem = "nothing says how the disk is divided, so the installer would ask"
        yield ks.finding(None, problem, "add %include of a file that %pre writes, or `autopart`")
    only = [command.value("--only-use") for command in ks.named("ignoredisk")]
    chosen = {_disk(name) for names in only if names for name in names.split(",")}
    if not chosen:
        problem = "no disk is chosen, so every disk of the machine could be written"
        yield ks.finding(None, problem, "add `ignoredisk --only-use=DISK`, or let %pre ask for it")
        return
    for command in ks.commands:
        for option in ("--drives", "--ondisk", "--ondrive", "--boot-drive"):
            named = {_disk(name) for name in (command.value(option) or "").split(",") if name}
            for other in sorted(named - chosen):
                problem = f"{command.name} {option}: {other} is none of the disks that may be used"
                yield ks.finding(command.line, problem, f"choose among {', '.join(sorted(chosen))}")
    if not ks.named("zerombr"):
        problem = "without zerombr, a disk with an unreadable label makes the installer ask"
        yield ks.finding(None, problem, "add `zerombr`")


def _disk(name: str) -> str:
    return name.strip().removeprefix("/dev/")


def boots(ks: Kickstart, facts: dict[str, Any]) -> Iterator[Finding]:
    """Partitions by hand: one that the firmware starts from, and a root."""
    parts = ks.named("part", "partition", "raid", "logvol", "btrfs")
    if _included(ks) or not parts or ks.named("autopart", "mount"):
        return
    made = {command.operands[0] for command in parts if command.operands}
    if "/" not in made:
        yield ks.finding(None, "no partition is mounted as /", "add one")
    if ks.named("reqpart") or made & {"/boot/efi", "biosboot", "prepboot"}:
        return
    labels = [command.value("--disklabel") for command in ks.named("clearpart")]
    if (facts["gpt"] and "msdos" not in labels and "mbr" not in labels) or "gpt" in labels:
        problem = (
            "neither UEFI nor BIOS could start it: on GPT there is no /boot/efi and no biosboot"
        )
        yield ks.finding(None, problem, "add `reqpart --add-boot`, which makes what is needed")


def volumes(ks: Kickstart, facts: dict[str, Any]) -> Iterator[Finding]:
    """What is built on something has it: a mirror its members, a group its volumes."""
    if _included(ks):
        return
    parts, raids = ks.named("part", "partition"), ks.named("raid")
    made = {c.operands[0] for c in parts + raids if c.operands}
    made |= {
        f"pv.{n}" for c in raids for n in [c.value("--device")] if n and c.operands[:1] == ["pv"]
    }
    for command in parts:
        sized = ("--size", "--recommended", "--hibernation", "--onpart", "--usepart")
        if not any(command.has(option) for option in sized):
            yield ks.finding(command.line, "part: it has no size", "add --size=MIB, or --grow too")
    for command in raids:
        yield from _mirror(ks, command, made)
    groups = {c.operands[0]: c for c in ks.named("volgroup") if c.operands}
    for command in groups.values():
        for volume in command.operands[1:]:
            if volume not in made:
                problem = f"volgroup: no part or raid makes {volume}"
                yield ks.finding(command.line, problem, f"add `part {volume} ...`")
    for command in ks.named("logvol"):
        group = command.value("--vgname")
        if group is not None and group not in groups and not command.has("--useexisting"):
            problem = f"logvol: there is no volgroup {group}"
            yield ks.finding(command.line, problem, f"add `volgroup {group} pv.1`")


def _mirror(ks: Kickstart, command: Command, made: set[str]) -> Iterator[Finding]:
    members = [word for word in command.operands[1:] if word.startswith("raid.")]
    for member in members:
        if member not in made:
            problem = f"raid: no part makes {member}"
            yield ks.finding(command.line, problem, f"add `part {member} --size=... --ondisk=...`")
    level = re.sub(r"\D", "", command.value("--level") or "")
    if not command.has("--useexisting") and len(members) < _MEMBERS.get(level, 0):
        problem = f"raid: level {level} needs {_MEMBERS[level]} members, and has {len(members)}"
        yield ks.finding(command.line, problem, "add a member on each disk")


# --- network ------------------------------------------------------------------------------------


def network(ks: Kickstart, facts: dict[str, Any]) -> Iterator[Finding]:
    remedy = "write addresses as 10.0.0.7, with --netmask and a --gateway in their network"
    for command in ks.named("network"):
        for problem in _addresses(command):
            yield ks.finding(command.line, f"network: {problem}", remedy)


def _addresses(command: Command) -> Iterator[str]:
    ip, mask, gateway = (command.value(o) for o in ("--ip", "--netmask", "--gateway"))
    ipv6 = command.value("--ipv6")
    if command.value("--bootproto") == "static" and not ip and not ipv6:
        yield "static, and it has no --ip"
    if ip and not mask:
        yield f"--ip={ip} has no --netmask"
    servers = [s for s in (command.value("--nameserver") or "").split(",") if s]
    for address in [a for a in (ip, gateway) if a] + servers:
        if not _is(ipaddress.ip_address, address):
            yield f"{address} is no address"
    if ipv6 not in (None, "auto", "dhcp", "ignore") and not _is(ipaddress.ip_interface, ipv6 or ""):
        yield f"{ipv6} is no address"
    if ip and mask and not _is(ipaddress.ip_network, f"0.0.0.0/{mask}"):
        yield f"{mask} is no netmask"
    elif ip and mask and gateway and _is(ipaddress.ip_interface, f"{ip}/{mask}"):
        net = ipaddress.ip_interface(f"{ip}/{mask}").network
        if _is(ipaddress.ip_address, gateway) and ipaddress.ip_address(gateway) not in net:
            yield f"the gateway {gateway} is not in {net}"


def _is(kind: Callable[[str], Any], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


# --- secrets ------------------------------------------------------------------------------------


def passwords(ks: Kickstart, facts: dict[str, Any]) -> Iterator[Finding]:
    """Hashed, in a way that the new system knows."""
    for command in ks.named("rootpw", "user", "sshpw"):
        text = command.value("--password") if command.name == "user" else " ".join(command.operands)
        if not text or text[0] in "!*":
            continue
        remedy = "write --iscrypted and what `mkpasswd -m sha512crypt` prints"
        if not command.has("--iscrypted"):
            yield ks.finding(command.line, f"{command.name}: a password in the clear", remedy)
        elif not is_password_hash(text):
            yield ks.finding(command.line, f"{command.name}: this is no crypt(3) hash", remedy)
        elif text.split("$")[1] not in facts["hashes"]:
            problem = f"{command.name}: this release knows no hash of type ${text.split('$')[1]}$"
            yield ks.finding(command.line, problem, remedy)
    for command in ks.named("bootloader"):
        if command.has("--password") and not command.has("--iscrypted"):
            remedy = "write --iscrypted and what `grub2-mkpasswd-pbkdf2` prints"
            yield ks.finding(command.line, "bootloader: a password in the clear", remedy)
    for command in ks.named("autopart", "part", "partition", "raid", "logvol"):
        if command.has("--encrypted") and not command.value("--passphrase"):
            problem = f"{command.name}: without --passphrase the installer would ask for one"
            yield ks.finding(command.line, problem, "add it; secrets are known to templates")


# --- scripts ------------------------------------------------------------------------------------


def scripts(ks: Kickstart, facts: dict[str, Any]) -> Iterator[Finding]:
    for section in ks.scripts(*SCRIPTS):
        if section.header.has("--erroronfail"):
            problem = f"{section.name} --erroronfail: a failure would show a dialog that waits"
            remedy = "remove it; let the script call installer_failed by itself"
            yield ks.finding(section.line, problem, remedy)
        yield from _shell(ks, section)
    if not ks.scripts("%onerror"):
        problem = (
            "there is no %onerror, so an installation that fails would look like one that waits"
        )
        yield ks.finding(None, problem, f"add one that calls installer_failed; {_PHONE_HOME}")
    for section in ks.scripts("%post"):
        for number, line in enumerate(section.body, start=section.line + 1):
            if re.match(r"\s*(systemctl\s+)?(reboot|poweroff|halt|shutdown)\b", line):
                problem = "%post: the installer is not finished when it runs"
                yield ks.finding(number, problem, "write `reboot` as a command of the kickstart")


def _shell(ks: Kickstart, section: Section) -> Iterator[Finding]:
    program = (section.header.value("--interpreter") or "/bin/sh").rpartition("/")[2]
    if program not in ("sh", "bash"):
        return
    # EL's sh is bash.
    for found in check_shell("\n".join(section.body) + "\n", "bash", ks.file, section.name):
        line = section.line + found.line if found.line else section.line
        yield ks.finding(line, found.message, found.remedy)


def templates(ks: Kickstart, facts: dict[str, Any]) -> Iterator[Finding]:
    for command in ks.commands:
        if any("{{" in arg or "{%" in arg for arg in command.args):
            problem = f"{command.name}: a template's mark is left"
            yield ks.finding(command.line, problem, "set `template: true` beside the content")


RULES: list[Callable[[Kickstart, dict[str, Any]], Iterator[Finding]]] = [
    asks_nothing, one_environment, restarts, includes, disks, boots, volumes, network, passwords,
    scripts, templates,
]  # fmt: skip
