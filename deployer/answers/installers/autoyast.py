"""AutoYaST, the installer of SLES and Leap 15: the grammar of its profile, and what would stop it.

Its own schema sees unknown elements, and takes any value for any leaf. A wrong value, a list that
is not called one, or a question that nobody answers shows on the machine only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from xml.parsers import expat

from deployer.answers.installers import suse_network
from deployer.answers.installers.base import check_shell
from deployer.core.families import Answer
from deployer.core.profiles import is_password_hash
from deployer.errors import Finding

NAMESPACE = "http://www.suse.com/1.0/yast2ns"
CONFIG = "http://www.suse.com/1.0/configns"
_ELEMENTS_FILE = Path(__file__).with_name("autoyast_elements.txt")
_DEEPEST = 40  # a profile needs ten
_TYPED = frozenset({"boolean", "integer", "symbol", "list"})


@dataclass
class Node:
    """An element: where it begins, what type its writer gave it, and what it holds."""

    name: str
    line: int
    type: str | None
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def child(self, path: str) -> Node | None:
        """The first element at `path`, such as general/mode."""
        found: Node | None = self
        for name in path.split("/"):
            found = next((c for c in found.children if c.name == name), None) if found else None
        return found

    def value(self, path: str) -> str | None:
        """The text at `path`; YaST removes the blanks around it."""
        found = self.child(path)
        return found.text.strip() if found else None

    def all(self, path: str) -> list[Node]:
        """The entries of the list at `path`."""
        found = self.child(path)
        return found.children if found else []


class _Refused(Exception):
    """XML that is not read any further; `line` is where."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line, self.problem = line, problem


Problem = tuple[int | None, str]


class _Reader:
    """Builds nodes out of expat's events. Without a DOCTYPE there is no entity to expand."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._open: list[Node] = []
        # The text is decoded already; what its first line says of an encoding does not hold.
        self._parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype

    def read(self, text: str) -> Node:
        try:
            self._parser.Parse(text.encode(), True)
        except expat.ExpatError as error:
            raise _Refused(error.lineno, f"it is no XML: {expat.ErrorString(error.code)}") from None
        assert self.root is not None
        return self.root

    def _doctype(self, *_: Any) -> None:
        raise _Refused(
            self._parser.CurrentLineNumber,
            "a DOCTYPE can define entities and is refused; AutoYaST needs none, remove the line",
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        line = self._parser.CurrentLineNumber
        if len(self._open) >= _DEEPEST:
            raise _Refused(line, f"elements are nested more than {_DEEPEST} deep")
        namespace, _, name = tag.rpartition(" ")
        if namespace not in (NAMESPACE, ""):
            self.problems.append((line, f"<{name}> is of another namespace than {NAMESPACE}"))
        node = Node(name, line, self._type(name, line, attributes))
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
            if namespace != NAMESPACE:
                self.problems.append((line, f'<{name}> needs xmlns="{NAMESPACE}"'))
        self._open.append(node)

    def _type(self, name: str, line: int, attributes: dict[str, str]) -> str | None:
        given = {
            key: attributes[key] for key in ("t", "type", f"{CONFIG} type") if key in attributes
        }
        if unknown := sorted(set(attributes) - set(given)):
            self.problems.append(
                (line, f"<{name}> has the attribute {unknown[0]!r}, not known here")
            )
        if len(given) > 1:
            self.problems.append((line, f"<{name}> has its type twice, which YaST refuses to read"))
        return next(iter(given.values()), None)

    def _characters(self, text: str) -> None:
        self._open[-1].text += text

    def _end(self, _: str) -> None:
        self._open.pop()


# --- elements and their types ------------------------------------------------------------------


@cache
def elements() -> dict[str, tuple[str, frozenset[str]]]:
    """Path → type, and the words or entries that it may hold."""
    lines = _ELEMENTS_FILE.read_text(encoding="utf-8").splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    known = {path: (kind, frozenset(rest)) for path, kind, *rest in words}
    for kind, own in _SCRIPT_ELEMENTS.items():
        known[f"scripts/{kind}/script"] = ("map", frozenset())
        for name in own:
            known[f"scripts/{kind}/script/{name}"] = _SCRIPT_TYPES[name]
    return known


_SCRIPT_TYPES: dict[str, tuple[str, frozenset[str]]] = {
    "filename": ("string", frozenset()),
    "interpreter": ("string", frozenset()),
    "location": ("string", frozenset()),
    "source": ("string", frozenset()),
    "debug": ("boolean", frozenset()),
    "feedback": ("boolean", frozenset()),
    "feedback_type": ("string", frozenset({"message", "warning", "error"})),
    "notification": ("string", frozenset()),
    "param-list": ("any", frozenset()),
    "rerun": ("boolean", frozenset()),
    "chrooted": ("boolean", frozenset()),
}
_SCRIPT = [name for name in _SCRIPT_TYPES if name != "chrooted"]
_SCRIPT_ELEMENTS = {
    "pre-scripts": _SCRIPT, "postpartitioning-scripts": _SCRIPT, "post-scripts": _SCRIPT,
    "chroot-scripts": [*_SCRIPT, "chrooted"],
    # systemd runs these, not YaST.
    "init-scripts": ["filename", "location", "source", "debug"],
}  # fmt: skip


def _grammar(node: Node, path: str) -> Iterator[Problem]:
    """Whether what `node` holds is what AutoYaST knows at `path`."""
    kind, words = elements()[path] if path else ("map", frozenset[str]())
    yield from _typed(node, kind)
    if kind == "any":
        yield from _readable(node)
    elif kind == "map":
        yield from _map(node, path)
    elif kind == "list":
        yield from _list(node, path, words)
    else:
        yield from _leaf(node, kind, words)


def _typed(node: Node, kind: str) -> Iterator[Problem]:
    if kind in _TYPED and node.type is None:
        yield (
            node.line,
            f'<{node.name}> needs t="{kind}"; without, YaST takes it for something else',
        )
    elif kind != "any" and node.type not in (None, kind):
        yield node.line, f'<{node.name}> is t="{kind}", not {node.type!r}'


def _readable(node: Node) -> Iterator[Problem]:
    """What YaST's reader says of any element (yast-yast2, library/xml/src/modules/XML.rb)."""
    if node.type not in (None, "string", "disksize", "symbol", "integer", "boolean", "list", "map"):
        yield node.line, f"<{node.name}> is of type {node.type!r}, which YaST does not know"
    if node.type in ("boolean", "integer", "symbol"):
        yield from _leaf(node, node.type, frozenset())
    if node.children and node.text.strip() and node.type is None:
        yield node.line, f"<{node.name}> holds both text and elements"
    for child in node.children:
        yield from _readable(child)


def _map(node: Node, path: str) -> Iterator[Problem]:
    if node.text.strip():
        yield node.line, f"<{node.name}> holds elements, and this text is none"
    seen: dict[str, int] = {}
    for child in node.children:
        if child.name in seen:
            yield (
                child.line,
                f"<{child.name}> stands in line {seen[child.name]} already, and YaST keeps one",
            )
        seen[child.name] = child.line
        inner = f"{path}/{child.name}".lstrip("/")
        if inner in elements():
            yield from _grammar(child, inner)
        else:
            yield child.line, f"AutoYaST knows no <{child.name}> in {_shown(path)}"


def _list(node: Node, path: str, names: frozenset[str]) -> Iterator[Problem]:
    if node.text.strip():
        yield node.line, f"<{node.name}> is a list, and this text is no entry"
    first = next((f"{path}/{name}" for name in (*sorted(names), "listentry")
                  if f"{path}/{name}" in elements()), None)  # fmt: skip
    for child in node.children:
        if child.name not in names | {"listentry"}:
            entries = " or ".join(sorted(names | {"listentry"}))
            yield child.line, f"<{child.name}> is no entry of {_shown(path)}; write {entries}"
            continue
        own = f"{path}/{child.name}"
        if own in elements() or first:
            yield from _grammar(child, own if own in elements() else str(first))


def _leaf(node: Node, kind: str, words: frozenset[str]) -> Iterator[Problem]:
    text = node.text.strip()
    if node.children:
        yield node.children[0].line, f"<{node.name}> holds a value, and no elements"
    elif kind == "boolean" and text not in ("true", "false"):
        yield node.line, f"<{node.name}> is true or false, not {text!r}"
    elif kind == "integer" and not re.fullmatch(r"-?[0-9]{1,18}", text):
        yield node.line, f"<{node.name}> is a number, not {text!r}"
    elif kind == "symbol" and not text:
        yield node.line, f"<{node.name}> is empty, which YaST refuses to read"
    elif words and text not in words:
        yield node.line, f"<{node.name}> is {', '.join(sorted(words))}, not {text!r}"


def _shown(path: str) -> str:
    return f"<{path.rpartition('/')[2]}>" if path else "a profile"


# --- beyond grammar: questions ---------------------------------------------------------------------


def _questions(profile: Node) -> Iterator[Problem]:
    """All that would wait for somebody, who is not there."""
    mode = profile.child("general/mode")
    confirm = profile.child("general/mode/confirm")
    if confirm is None or confirm.text.strip() != "false":
        line = (confirm or mode or profile).line
        yield line, "<confirm> is not false, so the installer would wait for a yes"
    asking = {
        "general/mode/confirm_base_product_license": "the installer would ask whether the licence is accepted",
        "general/mode/halt": "the machine would switch itself off after the first stage, before it is ready",
    }  # fmt: skip
    for path, problem in asking.items():
        if profile.value(path) == "true":
            yield _line(profile, path), f"<{path.rpartition('/')[2]}> is true: {problem}"
    for path in ("general/ask-list", "general/semi-automatic"):
        if profile.all(path):
            yield _line(profile, path), f"<{path.rpartition('/')[2]}> shows dialogues, and waits"
    ends = ("general/mode/final_reboot", "general/mode/final_halt")
    if all(profile.value(path) == "true" for path in ends):
        yield _line(profile, ends[1]), "<final_reboot> and <final_halt> are both true; choose one"
    yield from _reports(profile)
    for kind in ("add_on_products", "add_on_others"):
        for entry in profile.all(f"add-on/{kind}"):
            for name in ("ask_on_error", "confirm_license"):
                if entry.value(name) == "true":
                    yield _line(entry, name), f"<{name}> is true: the installer would ask, and wait"


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


def _line(node: Node, path: str) -> int:
    found = node.child(path)
    return found.line if found else node.line


# --- beyond grammar: accounts ---------------------------------------------------------------------


def _accounts(profile: Node) -> Iterator[Problem]:
    users = profile.all("users")
    if not any(user.value("username") == "root" for user in users):
        line = _line(profile, "users")
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
            _line(owner, element),
            f'{whose} is in the clear; write its hash, and <encrypted t="boolean">true</encrypted>',
        )
    elif not is_password_hash(text) and not re.fullmatch(r"[!*x]+|!\S*", text):
        yield _line(owner, element), f"{whose} is no crypt(3) hash, and nobody could log in with it"


# --- beyond grammar: disks ---------------------------------------------------------------------

_PLACEHOLDER = "/dev/disk/by-id/deployer-disk-"
_SIZE = re.compile(r"max|auto|[0-9]{1,15}(\.[0-9]{1,6})?\s*(%|([KMGTP]i?)?B?)", re.IGNORECASE)
_USE = re.compile(r"all|linux|free|[0-9]+(,\s*[0-9]+)*")


def _disks(profile: Node) -> Iterator[Problem]:
    scripts = [s.value("source") or "" for s in profile.all("scripts/pre-scripts")]
    by_script = any("/tmp/profile/modified.xml" in source for source in scripts)
    drives = profile.all("partitioning")
    if not drives and not by_script:
        yield (
            _line(profile, "partitioning"),
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
        if not device and not drive.all("skip_list") and not by_script:
            yield drive.line, "<drive> has no <device>, so the installer would take any disk"
        if device and not device.startswith("/dev/"):
            yield _line(drive, "device"), f"<device> is a path in /dev, not {device!r}"
        if device.startswith(_PLACEHOLDER) and not by_script:
            yield (
                _line(drive, "device"),
                f"{device} is no disk, and no pre-script writes /tmp/profile/modified.xml with the chosen one",
            )
    use = drive.value("use")
    if use is not None and not _USE.fullmatch(use):
        yield (
            _line(drive, "use"),
            f"<use> is all, linux, free or numbers of partitions, not {use!r}",
        )
    for partition in drive.all("partitions"):
        size = partition.value("size")
        if size and not _SIZE.fullmatch(size):
            yield _line(partition, "size"), f"<size> is such as 20G, 50% or max, not {size!r}"
        mount = partition.value("mount")
        if mount and mount != "swap" and not mount.startswith("/"):
            yield _line(partition, "mount"), f"<mount> is an absolute path or swap, not {mount!r}"
        if partition.child("crypt_method") and partition.child("crypt_fs"):
            yield (
                _line(partition, "crypt_fs"),
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


# --- beyond grammar: networks ----------------------------------------------------------------------


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
            yield _line(route, "gateway"), f"<gateway> is an address, not {gateway!r}"
    for server in profile.all("networking/dns/nameservers"):
        if not _is_address(server.text.strip()):
            yield server.line, f"<nameserver> is an address, not {server.text.strip()!r}"
    for rule in profile.all("networking/net-udev"):
        value = rule.value("value") or ""
        if rule.value("rule") == "ATTR{address}" and not _MAC.fullmatch(value):
            yield _line(rule, "value"), f"<value> is a MAC, not {value!r}"


_MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")


def _interface(nic: Node) -> Iterator[Problem]:
    if not (nic.value("name") or nic.value("device")):
        yield nic.line, "<interface> needs a <name>"
    address, prefix = nic.value("ipaddr"), nic.value("prefixlen")
    if address and not _is_address(address.partition("/")[0]):
        yield _line(nic, "ipaddr"), f"<ipaddr> is an address, not {address!r}"
    elif address and prefix and not _is_address(f"{address.partition('/')[0]}/{prefix}"):
        yield _line(nic, "prefixlen"), f"<prefixlen> {prefix} is none of {address}"
    if nic.value("bootproto") == "static" and not address and not nic.child("aliases"):
        yield nic.line, "<bootproto> is static, and there is no <ipaddr>; YaST would break here"
    vlan = nic.value("vlan_id")
    if vlan is not None and not (vlan.isdecimal() and len(vlan) < 5 and 1 <= int(vlan) <= 4094):
        yield _line(nic, "vlan_id"), f"<vlan_id> is a number from 1 to 4094, not {vlan!r}"
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


# --- beyond grammar: scripts, software --------------------------------------------------------------


def _scripts(profile: Node) -> Iterator[Problem]:
    one_stage = profile.value("general/mode/second_stage") == "false"
    named: dict[str, int] = {}
    for kind in _SCRIPT_ELEMENTS:
        for script in profile.all(f"scripts/{kind}"):
            if one_stage and kind == "post-scripts":
                yield (
                    script.line,
                    "a post-script never runs, for <second_stage> is false; make it a chroot-script",
                )
            name = script.value("filename") or ""
            if name and name in named:
                yield (
                    script.line,
                    f"the script {name!r} stands in line {named[name]} already, and one would replace the other",
                )
            named[name] = script.line
            yield from _script(script)


def _script(script: Node) -> Iterator[Problem]:
    given = [name for name in ("source", "location") if script.value(name)]
    if len(given) != 1:
        yield script.line, "<script> has either <source> or <location>"
    if script.value("feedback") == "true":
        yield _line(script, "feedback"), "<feedback> is true: its output would be shown, and wait"
    if "/" in (script.value("filename") or ""):
        yield _line(script, "filename"), "<filename> is a name, not a path"


# What runs a script that does not say it (yast-autoinstallation, lib/autoinstall/script.rb).
_SHELLS = {"shell": "bash", "/bin/sh": "bash", "/bin/bash": "bash", "/usr/bin/bash": "bash"}


def _shells(profile: Node, file: str) -> Iterator[Finding]:
    for kind in _SCRIPT_ELEMENTS:
        for script in profile.all(f"scripts/{kind}"):
            source = script.child("source")
            shell = _SHELLS.get(script.value("interpreter") or "shell")
            if source is None or shell is None or not source.text.strip():
                continue
            first = source.text.strip().split("\n")[0]
            if first.startswith("#!") and "sh" not in first:
                continue
            name = script.value("filename") or kind
            for found in check_shell(source.text, shell, file, name):
                line = source.line + (found.line or 1) - 1
                yield _finding(file, line, found.message, found.remedy)


def _software(profile: Node) -> Iterator[Problem]:
    for pattern in profile.all("software/patterns"):
        if pattern.text.strip().startswith("^"):
            yield (
                pattern.line,
                f"{pattern.text.strip()!r} is an environment, which SUSE does not have; name a pattern",
            )
    register = profile.child("suse_register")
    if register and register.value("do_registration") == "true":
        server = register.value("reg_server")
        if not register.value("reg_code") and not server:
            yield (
                register.line,
                "<suse_register> has neither <reg_code> nor <reg_server>, so nothing can be registered",
            )


# --- filters of templates ------------------------------------------------------------------------


def _cdata(value: Any) -> str:
    """Text of many lines that stays readable in XML; whatever it holds, it stays one text."""
    text = str(value)
    for character in text:
        if not _is_xml(character):
            raise ValueError(f"{character!r} cannot stand in XML")
    return "<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>"


def _is_xml(character: str) -> bool:
    """https://www.w3.org/TR/xml/#charsets"""
    code = ord(character)
    return (
        character in "\t\n\r" or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code > 0xFFFF
    )


def gpg_fingerprint(armoured: Any) -> str:
    """The fingerprint of an armoured public key. https://www.rfc-editor.org/rfc/rfc9580#section-5.5.4"""
    body = _key_packet(str(armoured))
    if body[:1] == b"\x06":
        return hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper()
    digest = hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False)
    return digest.hexdigest().upper()


def gpg_key_id(armoured: Any) -> str:
    """The long key ID, by which YaST knows a key."""
    fingerprint = gpg_fingerprint(armoured)
    return fingerprint[:16] if len(fingerprint) == 64 else fingerprint[-16:]


def _key_packet(text: str) -> bytes:
    """The body of the first packet, which is the key itself."""
    armour = re.search(
        r"-----BEGIN PGP PUBLIC KEY BLOCK-----\n(?:[^\n]+\n)*?\n(.*?)\n(?:=|-----END)", text, re.S
    )
    try:
        data = base64.b64decode("".join(armour[1].split()), validate=True) if armour else b""
    except binascii.Error:
        data = b""
    if len(data) < 4 or ((data[0] & 0xBC) != 0x98 and data[0] != 0xC6):
        raise ValueError("the key of a repository is no armoured OpenPGP public key")
    length, start = _packet_length(data)
    return data[start : start + length]


def _packet_length(data: bytes) -> tuple[int, int]:
    """(length, where the body begins), of an old packet or a new one."""
    if data[0] != 0xC6:
        size = 1 << (data[0] & 3)
        return int.from_bytes(data[1 : 1 + size], "big"), 1 + size
    if data[1] < 192:
        return data[1], 2
    if data[1] < 224:
        return ((data[1] - 192) << 8) + data[2] + 192, 3
    return int.from_bytes(data[2:6], "big"), 6


class AutoYast:
    name = "autoyast"
    filters: ClassVar = {
        "cdata": _cdata,
        "gpg_fingerprint": gpg_fingerprint,
        "gpg_key_id": gpg_key_id,
        "suse_interfaces": suse_network.interfaces,
        "linuxrc_network": suse_network.linuxrc_network,
    }

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        reader = _Reader()
        try:
            profile = reader.read(text)
        except _Refused as refused:
            return [_finding(answer.path, refused.line, refused.problem)]
        except (UnicodeEncodeError, ValueError) as error:
            return [_finding(answer.path, None, f"it is no XML: {error}")]
        if profile.name != "profile":
            return [_finding(answer.path, profile.line, "the first element is not <profile>")]
        problems = [*reader.problems, *_grammar(profile, "")]
        for rule in (_questions, _accounts, _disks, _network, _scripts, _software):
            problems += rule(profile)
        found = [_finding(answer.path, line, problem) for line, problem in problems]
        return [*found, *_shells(profile, answer.path), *_own_scripts(answer, context)]


def _own_scripts(answer: Answer, context: dict[str, Any]) -> Iterator[Finding]:
    """The profile's scripts stand quoted in ours, where a line number would mean nothing."""
    for name, script in context["profile"]["scripts"].items():
        if script:
            yield from check_shell(script, "bash", answer.path, f"scripts.{name}")


def _finding(file: str, line: int | None, problem: str, remedy: str | None = None) -> Finding:
    where = f"{file}, line {line}" if line else file
    remedy = remedy or "correct the value in the profile or the host, or the file that holds this"
    return Finding(f"{where}: {problem}", remedy, file=file, line=line)


INSTALLER = AutoYast()
