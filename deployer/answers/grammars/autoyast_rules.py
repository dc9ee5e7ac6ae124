"""What AutoYaST would read, and nobody would want: questions, passwords in the clear, any disk."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from deployer.answers.grammars.autoyast_profile import SCRIPTS, Node, Problem
from deployer.core.profiles import is_password_hash


def problems(profile: Node) -> Iterator[Problem]:
    """All of them, with the line where each stands."""
    for rule in (_questions, _accounts, _disks, _network, _scripts, _software):
        yield from rule(profile)


# --- questions ---------------------------------------------------------------------------------


def _questions(profile: Node) -> Iterator[Problem]:
    """All that would wait for somebody, who is not there."""
    mode = profile.child("general/mode")
    confirm = profile.child("general/mode/confirm")
    if confirm is None or confirm.text.strip() != "false":
        line = (confirm or mode or profile).line
        yield line, "<confirm> is not false, so the installer would wait for a yes"
    asking = {
        "general/mode/confirm_base_product_license": "the installer would ask for the licence",
        "general/mode/halt": "the machine would switch itself off before it is ready",
    }  # fmt: skip
    for path, problem in asking.items():
        if profile.value(path) == "true":
            yield line_of(profile, path), f"<{path.rpartition('/')[2]}> is true: {problem}"
    for path in ("general/ask-list", "general/semi-automatic"):
        if profile.all(path):
            yield line_of(profile, path), f"<{path[8:]}> shows dialogues, and waits"
    ends = ("general/mode/final_reboot", "general/mode/final_halt")
    if all(profile.value(path) == "true" for path in ends):
        yield line_of(profile, ends[1]), "<final_reboot> and <final_halt> are both true; choose one"
    yield from _reports(profile)
    for kind in ("add_on_products", "add_on_others"):
        for entry in profile.all(f"add-on/{kind}"):
            for name in ("ask_on_error", "confirm_license"):
                if entry.value(name) == "true":
                    yield (
                        line_of(entry, name),
                        f"<{name}> is true: the installer would ask, and wait",
                    )


def _reports(profile: Node) -> Iterator[Problem]:
    """A report is shown for ever unless it has a time-out (yast-yast2, Report.rb: 0 by default)."""
    for kind in ("errors", "warnings", "messages", "yesno_messages"):
        if profile.value(f"report/{kind}/show") == "false":
            continue
        seconds = profile.value(f"report/{kind}/timeout") or ""
        if not re.fullmatch(r"[0-9]+", seconds) or int(seconds[:9]) == 0:
            found = profile.child(f"report/{kind}") or profile.child("report") or profile
            yield (
                found.line,
                f"<report> gives {kind} no <timeout>, so the first one would wait for ever",
            )


def line_of(node: Node, path: str) -> int:
    found = node.child(path)
    return found.line if found else node.line


# --- accounts ----------------------------------------------------------------------------------


def _accounts(profile: Node) -> Iterator[Problem]:
    users = profile.all("users")
    if not any(user.value("username") == "root" for user in users):
        line = line_of(profile, "users")
        yield (
            line,
            "there is no <user> root; name it, with <user_password>!</user_password> to lock it",
        )
    named: dict[str, int] = {}
    for user in users:
        name = user.value("username") or ""
        if name in named:
            yield user.line, f"the user {name!r} stands in line {named[name]} already"
        named[name] = user.line
        yield from _password(user, f"the password of {name!r}", "user_password")
    for group in profile.all("groups"):
        yield from _password(group, f"the password of the group {group.value('groupname')!r}",
                             "group_password")  # fmt: skip


def _password(owner: Node, whose: str, element: str) -> Iterator[Problem]:
    text = owner.value(element)
    if not text:
        return
    if owner.value("encrypted") != "true":
        yield (
            line_of(owner, element),
            f'{whose} is in the clear; write its hash, and <encrypted t="boolean">true</encrypted>',
        )
    elif not is_password_hash(text) and not re.fullmatch(r"[!*x]+|!\S*", text):
        yield (
            line_of(owner, element),
            f"{whose} is no crypt(3) hash, and nobody could log in with it",
        )


# --- disks -------------------------------------------------------------------------------------

_PLACEHOLDER = "/dev/disk/by-id/deployer-disk-"
_SIZE = re.compile(r"max|auto|[0-9]{1,15}(\.[0-9]{1,6})?\s*(%|([KMGTP]i?)?B?)", re.IGNORECASE)
# lvm(8), "valid names"; with the group it must be shorter than 128.
_LV_NAME = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,99}")
_USE = re.compile(r"all|linux|free|[0-9]+(,\s*[0-9]+)*")


def _disks(profile: Node) -> Iterator[Problem]:
    scripts = [s.value("source") or "" for s in profile.all("scripts/pre-scripts")]
    by_script = any("/tmp/profile/modified.xml" in source for source in scripts)
    drives = profile.all("partitioning")
    if not drives:
        yield (
            line_of(profile, "partitioning"),
            "no <drive> says which disk may be written, so the installer would choose",
        )
    for drive in drives:
        yield from _drive(drive, by_script)
    yield from _mounts(drives)
    yield from _parts_of(drives)


def _kind(drive: Node) -> str:
    return drive.value("type") or "CT_DISK"


def _drive(drive: Node, by_script: bool) -> Iterator[Problem]:
    device = drive.value("device") or ""
    if _kind(drive) in ("CT_DISK", "CT_DMMULTIPATH"):
        if not device and not drive.all("skip_list"):
            yield drive.line, "<drive> has no <device>, so the installer would take any disk"
        if device and not device.startswith("/dev/"):
            yield line_of(drive, "device"), f"<device> is a path in /dev, not {device!r}"
        if device.startswith(_PLACEHOLDER) and not by_script:
            yield (
                line_of(drive, "device"),
                f"{device} is no disk, and no pre-script writes /tmp/profile/modified.xml",
            )
    use = drive.value("use")
    if use is not None and not _USE.fullmatch(use):
        yield (
            line_of(drive, "use"),
            f"<use> is all, linux, free or numbers of partitions, not {use!r}",
        )
    for partition in drive.all("partitions"):
        size = partition.value("size")
        if size and not _SIZE.fullmatch(size):
            yield line_of(partition, "size"), f"<size> is such as 20G, 50% or max, not {size!r}"
        mount = partition.value("mount")
        if mount and mount != "swap" and not mount.startswith("/"):
            yield line_of(partition, "mount"), f"<mount> is an absolute path or swap, not {mount!r}"
        name = partition.value("lv_name")
        if name is not None and not _LV_NAME.fullmatch(name):
            yield line_of(partition, "lv_name"), f"{name!r} cannot be the name of a logical volume"
        if partition.child("crypt_method") and partition.child("crypt_fs"):
            yield (
                line_of(partition, "crypt_fs"),
                "<crypt_fs> is the old word for <crypt_method>; write the one",
            )
        encrypted = (
            partition.value("crypt_method") in ("luks1", "luks2")
            or partition.value("crypt_fs") == "true"
        )
        if encrypted and not partition.value("crypt_key"):
            yield (
                partition.line,
                "an encrypted <partition> needs its <crypt_key>, or the installer asks",
            )


def _mounts(drives: list[Node]) -> Iterator[Problem]:
    mounted: dict[str, int] = {}
    for partition in (p for drive in drives for p in drive.all("partitions")):
        mount = partition.value("mount")
        if not mount or mount == "swap":
            continue
        if mount in mounted:
            yield partition.line, f"{mount} is mounted in line {mounted[mount]} already"
        mounted[mount] = partition.line
    if mounted and "/" not in mounted:
        yield drives[0].line, "no partition is mounted at /"


def _parts_of(drives: list[Node]) -> Iterator[Problem]:
    """Each volume group and RAID has both its parts and a <drive> that says what it is."""
    parts = [p for drive in drives for p in drive.all("partitions")]
    for kind, element, shown in (("CT_LVM", "lvm_group", "/dev/{}"), ("CT_MD", "raid_name", "{}")):
        made = {drive.value("device") or "": drive for drive in drives if _kind(drive) == kind}
        used = {shown.format(p.value(element)): p for p in parts if p.value(element)}
        for name, part in used.items():
            if name not in made:
                yield part.line, f"<{element}>: no <drive> of type {kind} has the device {name}"
        for name, drive in made.items():
            if name not in used:
                yield drive.line, f"no partition has the <{element}> of {name}"


# --- networks ----------------------------------------------------------------------------------


def _network(profile: Node) -> Iterator[Problem]:
    names: dict[str, int] = {}
    for nic in profile.all("networking/interfaces"):
        name = nic.value("name") or nic.value("device") or ""
        if name in names:
            yield nic.line, f"the interface {name!r} stands in line {names[name]} already"
        names[name] = nic.line
        yield from _interface(nic)
    for route in profile.all("networking/routing/routes"):
        gateway = route.value("gateway") or ""
        if gateway not in ("-", "") and not _is_address(gateway):
            yield line_of(route, "gateway"), f"<gateway> is an address, not {gateway!r}"
    for server in profile.all("networking/dns/nameservers"):
        if not _is_address(server.text.strip()):
            yield server.line, f"<nameserver> is an address, not {server.text.strip()!r}"
    for rule in profile.all("networking/net-udev"):
        value = rule.value("value") or ""
        if rule.value("rule") == "ATTR{address}" and not _MAC.fullmatch(value):
            yield line_of(rule, "value"), f"<value> is a MAC, not {value!r}"


_MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")


def _interface(nic: Node) -> Iterator[Problem]:
    if not (nic.value("name") or nic.value("device")):
        yield nic.line, "<interface> needs a <name>"
    address, prefix = nic.value("ipaddr"), nic.value("prefixlen")
    if address and not _is_address(address.partition("/")[0]):
        yield line_of(nic, "ipaddr"), f"<ipaddr> is an address, not {address!r}"
    elif address and prefix and not _is_address(f"{address.partition('/')[0]}/{prefix}"):
        yield line_of(nic, "prefixlen"), f"<prefixlen> {prefix} is none of {address}"
    if nic.value("bootproto") == "static" and not address and not nic.child("aliases"):
        yield nic.line, "<bootproto> is static, and there is no <ipaddr>; YaST would break here"
    vlan = nic.value("vlan_id")
    if vlan is not None and not (vlan.isdecimal() and len(vlan) < 5 and 1 <= int(vlan) <= 4094):
        yield line_of(nic, "vlan_id"), f"<vlan_id> is a number from 1 to 4094, not {vlan!r}"
    if vlan is not None and not nic.value("etherdevice"):
        yield nic.line, "a VLAN needs its <etherdevice>"
    if nic.value("bonding_master") == "yes" and not nic.value("bonding_slave0"):
        yield nic.line, "a bond needs its <bonding_slave0>"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return "%" not in text


# --- scripts, software -------------------------------------------------------------------------


def _scripts(profile: Node) -> Iterator[Problem]:
    one_stage = profile.value("general/mode/second_stage") == "false"
    named: dict[str, int] = {}
    for kind in SCRIPTS:
        for script in profile.all(f"scripts/{kind}"):
            if one_stage and kind == "post-scripts":
                yield (
                    script.line,
                    "<second_stage> is false, so no post-script runs; make it a chroot-script",
                )
            name = script.value("filename") or ""
            if name and name in named:
                yield (
                    script.line,
                    f"the script {name!r} stands in line {named[name]} already, which it replaces",
                )
            named[name] = script.line
            yield from _script(script)


def _script(script: Node) -> Iterator[Problem]:
    given = [name for name in ("source", "location") if script.value(name)]
    if len(given) != 1:
        yield script.line, "<script> has either <source> or <location>"
    if script.value("feedback") == "true":
        yield line_of(script, "feedback"), "<feedback> is true: its output would be shown, and wait"
    if "/" in (script.value("filename") or ""):
        yield line_of(script, "filename"), "<filename> is a name, not a path"


def _software(profile: Node) -> Iterator[Problem]:
    for pattern in profile.all("software/patterns"):
        if pattern.text.strip().startswith("^"):
            yield (
                pattern.line,
                f"{pattern.text.strip()!r} is an environment, which SUSE has not; name a pattern",
            )
    register = profile.child("suse_register")
    if register and register.value("do_registration") == "true":
        server = register.value("reg_server")
        if not register.value("reg_code") and not server:
            yield (
                register.line,
                "<suse_register> has neither <reg_code> nor <reg_server>, and registers nothing",
            )
