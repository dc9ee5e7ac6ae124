"""What is wrong with an Ignition config: its grammar, and what Ignition misreads in silence."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from pydantic import ValidationError

from deployer.answers.checks import CORRECT, places_of
from deployer.answers.grammars.ignition_spec import (
    INTRODUCED,
    VERSIONS,
    Config,
    Disk,
    Group,
    Raid,
    Resource,
    Unit,
    User,
)
from deployer.core.documents import Place
from deployer.core.profiles import is_password_hash

# (where in the file, what is wrong, what would help)
Problem = tuple[Place, str, str]

_SCHEMES = frozenset({"http", "https", "tftp", "s3", "gs", "arn", "data"})
# Written as octal numbers, and read as decimal ones: "644" would be 01204.
_OCTAL_LOOKS = frozenset(
    int(f"{special}{mode}")
    for special in ("", "1", "2", "4")
    for mode in (400, 440, 444, 500, 550, 555, 600, 640, 644, 660, 664, 666, 700, 711, 750, 755,
                 770, 775, 777)
)  # fmt: skip
# sshd(8), AUTHORIZED_KEYS: options, type, key, comment.
_SSH_KEY = re.compile(
    r"(?:(?P<options>[a-z][^\r\n]*?) )?"
    r"(?:ssh-(?:ed25519|rsa|dss)|ecdsa-sha2-nistp(?:256|384|521)"
    r"|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)(?:-cert-v01@openssh\.com)?"
    r" [A-Za-z0-9+/]{16,}={0,3}(?: [^\r\n]*)?\s*"
)  # fmt: skip
_HASH = re.compile(r"(sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128})")
_HASHERS: dict[str, Callable[[bytes], Any]] = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}
_LEAST_DEVICES = {"linear": 1, "raid0": 1, "raid1": 2, "raid4": 3, "raid5": 3, "raid6": 4,
                  "raid10": 2, "0": 1, "1": 2, "4": 3, "5": 3, "6": 4, "10": 2, "stripe": 1,
                  "mirror": 2}  # fmt: skip
_UNIT = re.compile(
    r"[A-Za-z0-9:_.\\@-]{1,240}\.(service|socket|device|mount|automount|swap|target|path|timer"
    r"|snapshot|slice|scope)"
)
_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_MAIN_SECTION = {"service": "Service", "timer": "Timer", "mount": "Mount", "socket": "Socket",
                 "swap": "Swap", "path": "Path", "automount": "Automount"}  # fmt: skip


def data_url(text: str) -> str:
    """`text` in a URL, RFC 2397; percent signs instead of base64, so that people can read it."""
    return "data:," + quote(str(text), safe="/:=@")


def contents_of(source: str) -> bytes:
    """What a data URL holds; ValueError when it holds nothing that can be read."""
    head, comma, body = source.removeprefix("data:").partition(",")
    if not comma:
        raise ValueError("has no comma, and so no content")
    raw = unquote_to_bytes(body)
    if re.search(r"%(?![0-9A-Fa-f]{2})", body):
        raise ValueError("has a '%' that begins no escape")
    return b64decode(raw, validate=True) if head.endswith(";base64") else raw


def problems(given: Any, file: str, context: dict[str, Any]) -> Iterator[Problem]:
    """All that is wrong with `given`, the content of `file`."""
    try:
        config = Config.model_validate(given)
    except ValidationError as error:
        for each in error.errors()[:20]:
            yield _grammar(each["loc"], each["type"], each["msg"])
        return
    yield from _versions(given, config.ignition.version, context)
    yield from _nodes(config)
    yield from _resources(config, remote=file != "target.ign")
    yield from _accounts(config)
    for name in ("shouldExist", "shouldNotExist"):
        given_once = getattr(config.kernelArguments, name)
        yield from _twice(("kernelArguments", name), None, given_once)
    for number, unit in enumerate(config.systemd.units):
        yield from _unit(("systemd", "units", number), unit)
    yield from _twice(("systemd", "units"), "name", [u.name for u in config.systemd.units])
    yield from _storage(config)
    if file == "live.ign":
        yield from _live(config, context["urls"])


def _grammar(place: Place, kind: str, message: str) -> Problem:
    if kind == "extra_forbidden":
        problem = "Ignition knows no such key, and would ignore it without a word"
        return place, problem, "correct its name; keys are written likeThis"
    if place and place[-1] == "mode":
        problem = f"a mode is a decimal number from 0 to 4095: {message}"
        return place, problem, "write 0644 as 420, 0600 as 384, 0755 as 493"
    return place, message, CORRECT


# --- rules --------------------------------------------------------------------------------------


def _versions(given: Any, version: str, context: dict[str, Any]) -> Iterator[Problem]:
    place = ("ignition", "version")
    if version not in VERSIONS:
        known = ", ".join(VERSIONS)
        yield place, f"{version!r} is no version that is known here", f"write one of: {known}"
        return
    newest = context["release"].get("newest_ignition", VERSIONS[-1])
    if VERSIONS.index(version) > VERSIONS.index(newest):
        yield place, f"this release reads Ignition up to {newest}, not {version}", f"write {newest}"
    for name, since in INTRODUCED.items():
        if VERSIONS.index(version) < VERSIONS.index(since):
            for found in places_of(name.split("."), given):
                problem = f"it came with Ignition {since}, and this file is {version}"
                yield found, problem, f"set ignition.version to {since}, or leave it out"


def _nodes(config: Config) -> Iterator[Problem]:
    seen: dict[str, Place] = {}
    for kind in ("directories", "files", "links"):
        for number, node in enumerate(getattr(config.storage, kind)):
            place: Place = ("storage", kind, number)
            yield from _path((*place, "path"), node.path)
            if node.path in seen:
                problem = f"{node.path} is written twice, and Ignition refuses the file"
                yield (*place, "path"), problem, "write each path once"
            seen[node.path] = place
            mode = getattr(node, "mode", None)
            if mode in _OCTAL_LOOKS:
                problem = f"{mode} is read as a decimal number, and would be 0{mode:o}"
                yield (*place, "mode"), problem, f"write {int(str(mode), 8)}, which is 0{mode}"
            if kind == "links" and not node.target:
                yield place, "a link needs its target", CORRECT


def _path(place: Place, path: str) -> Iterator[Problem]:
    if not path.startswith("/"):
        yield place, f"{path!r} must be an absolute path", CORRECT
    elif path != "/" and (path.endswith("/") or "//" in path or "/../" in f"{path}/"):
        yield place, f"{path!r} must be a plain path, without '//', '..' or a last '/'", CORRECT


def _resources(config: Config, remote: bool) -> Iterator[Problem]:
    found: list[tuple[Place, Resource]] = []
    for number, file in enumerate(config.storage.files):
        place: Place = ("storage", "files", number)
        found.append(((*place, "contents"), file.contents))
        found += [((*place, "append", n), each) for n, each in enumerate(file.append)]
    for number, luks in enumerate(config.storage.luks):
        found.append((("storage", "luks", number, "keyFile"), luks.keyFile))
    head: Place = ("ignition", "config")
    found.append(((*head, "replace"), config.ignition.config.replace))
    found += [((*head, "merge", n), r) for n, r in enumerate(config.ignition.config.merge)]
    authorities = config.ignition.security.tls.certificateAuthorities
    tls: Place = ("ignition", "security", "tls", "certificateAuthorities")
    found += [((*tls, n), r) for n, r in enumerate(authorities)]
    for place, resource in found:
        yield from _resource(place, resource, remote)


def _resource(place: Place, resource: Resource, remote: bool) -> Iterator[Problem]:
    wanted = resource.verification.hash
    if wanted is not None and not _HASH.fullmatch(wanted):
        problem = "a hash is sha512-, or sha256-, and its digits in lower case"
        yield (*place, "verification", "hash"), problem, CORRECT
        wanted = None
    source = resource.source or ""
    scheme = source.partition(":")[0]
    if source and scheme not in _SCHEMES:
        problem = f"Ignition cannot fetch {scheme!r}"
        yield (*place, "source"), problem, f"use one of: {', '.join(sorted(_SCHEMES))}"
    elif scheme == "data":
        yield from _data((*place, "source"), source, wanted)
    elif source and not remote:
        problem = "the first boot need not have a network, and would wait for this for ever"
        yield (*place, "source"), problem, "embed it: data:,TEXT"


def _data(place: Place, source: str, wanted: str | None) -> Iterator[Problem]:
    try:
        content = contents_of(source)
    except ValueError as error:
        yield place, f"the data URL cannot be read: it {error}", "write data:;base64,TEXT"
        return
    if wanted is not None:
        name, _, digits = wanted.partition("-")
        if _HASHERS[name](content).hexdigest() != digits:
            yield place, "its hash is another one, and Ignition would stop", "correct the hash"


def _accounts(config: Config) -> Iterator[Problem]:
    kinds: dict[str, Sequence[User | Group]]
    kinds = {"users": config.passwd.users, "groups": config.passwd.groups}
    for kind, accounts in kinds.items():
        yield from _twice(("passwd", kind), "name", [each.name for each in accounts])
        for number, each in enumerate(accounts):
            place: Place = ("passwd", kind, number)
            text = each.passwordHash
            if text and text.strip("*!x") and not is_password_hash(text.lstrip("!")):
                problem = "a password in the clear, or no crypt(3) hash; nobody could log in"
                yield (*place, "passwordHash"), problem, "write what `mkpasswd -m yescrypt` prints"
    for number, user in enumerate(config.passwd.users):
        for n, key in enumerate(user.sshAuthorizedKeys):
            if not _SSH_KEY.fullmatch(key):
                at: Place = ("passwd", "users", number, "sshAuthorizedKeys", n)
                yield at, "it is no OpenSSH public key", "write type, base64 and a comment"


def _twice(place: Place, key: str | None, names: list[str]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for number, name in enumerate(names):
        if first.setdefault(name, number) != number:
            problem = f"{name!r} is given twice, and Ignition refuses the file"
            at: Place = (*place, number, key) if key else (*place, number)
            yield at, problem, "write it once"


def _unit(place: Place, unit: Unit) -> Iterator[Problem]:
    if not _UNIT.fullmatch(unit.name):
        problem = f"{unit.name!r} is no name of a unit: it ends in .service, .timer, .mount, ..."
        yield (*place, "name"), problem, CORRECT
        return
    if unit.mask and unit.enabled:
        yield (*place, "mask"), f"{unit.name} is masked, and enabled too", "remove one of them"
    yield from _twice((*place, "dropins"), "name", [each.name for each in unit.dropins])
    for number, dropin in enumerate(unit.dropins):
        at: Place = (*place, "dropins", number)
        if not dropin.name.endswith(".conf"):
            yield (*at, "name"), f"systemd reads no {dropin.name!r}: it must end in .conf", CORRECT
        yield from _unit_text((*at, "contents"), dropin.name, dropin.contents or "", set())
    if unit.contents:
        kind = unit.name.rpartition(".")[2]
        needed = {_MAIN_SECTION[kind]} if kind in _MAIN_SECTION else set()
        # Presets enable by [Install] alone.
        needed |= {"Install"} if unit.enabled else set()
        yield from _unit_text((*place, "contents"), unit.name, unit.contents, needed)


def _unit_text(place: Place, name: str, text: str, needed: set[str]) -> Iterator[Problem]:
    sections, within, joined = set(), "", False
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.strip()
        continued, joined = joined, bare.endswith("\\")
        if continued or not bare or bare[0] in "#;":
            continue
        if bare.startswith("[") and bare.endswith("]"):
            within = bare[1:-1]
            sections.add(within)
            continue
        key, equals, value = bare.partition("=")
        if not equals or not within or not re.fullmatch(r"[A-Za-z0-9-]+\s*", key):
            problem = f"{name}, line {number}: {bare[:60]!r} is no KEY=VALUE of a section"
            yield place, problem, "correct the unit"
        elif key.strip().startswith("Exec") and within == "Service":
            program = value.strip().lstrip("-@:+!")
            if program and not re.match(r"[/$%]|[A-Za-z0-9_.-]+(\s|$)", program):
                problem = f"{name}, line {number}: {program[:60]!r} is no program"
                yield place, problem, "write its path"
    for section in sorted(needed - sections):
        why = "so it would never be started" if section == "Install" else "so systemd refuses it"
        yield place, f"{name} has no [{section}], {why}", f"add [{section}]"


def _storage(config: Config) -> Iterator[Problem]:
    storage = config.storage
    yield from _twice(("storage", "disks"), "device", [disk.device for disk in storage.disks])
    yield from _twice(("storage", "raid"), "name", [each.name for each in storage.raid])
    yield from _twice(("storage", "luks"), "name", [each.name for each in storage.luks])
    systems = storage.filesystems
    yield from _twice(("storage", "filesystems"), "device", [each.device for each in systems])
    for number, disk in enumerate(storage.disks):
        yield from _device(("storage", "disks", number, "device"), disk.device)
        yield from _partitions(("storage", "disks", number), disk)
    for number, raid in enumerate(storage.raid):
        yield from _raid(("storage", "raid", number), raid)
    for number, luks in enumerate(storage.luks):
        if not luks.device:
            yield ("storage", "luks", number), "an encrypted volume needs its device", CORRECT
    for number, system in enumerate(systems):
        place: Place = ("storage", "filesystems", number)
        yield from _device((*place, "device"), system.device)
        if not system.format:
            yield place, "a file system needs its format", "write ext4, xfs, btrfs, vfat or swap"
        if system.path:
            yield from _path((*place, "path"), system.path)


def _device(place: Place, device: str) -> Iterator[Problem]:
    if not device.startswith("/dev/"):
        yield place, f"{device!r} is no device", "write its path, /dev/disk/by-id/..."
    elif re.fullmatch(r"/dev/[shv]d[a-z]\d*", device):
        problem = f"{device} may be another disk at the next start"
        yield place, problem, "name it by /dev/disk/by-id/... or /dev/disk/by-partlabel/..."


def _partitions(place: Place, disk: Disk) -> Iterator[Problem]:
    taken: list[tuple[int, int, str]] = []
    numbers = [part.number for part in disk.partitions if part.number]
    labels = [part.label for part in disk.partitions if part.label]
    for number, part in enumerate(disk.partitions):
        at: Place = (*place, "partitions", number)
        name = part.label or f"number {part.number}"
        if part.number == 0 and not part.label:
            yield at, "a partition needs a number or a label", CORRECT
        if part.number and numbers.count(part.number) > 1:
            yield (*at, "number"), f"number {part.number} is given twice", "write each once"
        if part.label and labels.count(part.label) > 1:
            yield (*at, "label"), f"label {part.label!r} is given twice", "write each once"
        if part.label and ":" in part.label:
            yield (*at, "label"), "sgdisk ends a label at ':'", "leave the colon out"
        for key in ("guid", "typeGuid"):
            if (guid := getattr(part, key)) and not _GUID.fullmatch(guid):
                yield (*at, key), f"{guid!r} is no GUID", CORRECT
        if part.startMiB and part.sizeMiB:
            begin, end = part.startMiB, part.startMiB + part.sizeMiB
            for other_begin, other_end, other in taken:
                if begin < other_end and other_begin < end:
                    yield at, f"{name} and {other} overlap", "move or shrink one of them"
            taken.append((begin, end, name))


def _raid(place: Place, raid: Raid) -> Iterator[Problem]:
    least = _LEAST_DEVICES.get(raid.level or "")
    if least is None:
        known = ", ".join(name for name in _LEAST_DEVICES if not name.isdigit())
        yield (*place, "level"), f"there is no level {raid.level!r}", f"write one of: {known}"
    elif len(raid.devices) - (raid.spares or 0) < least:
        problem = f"{raid.level} needs {least} devices, and has {len(raid.devices)}"
        yield (*place, "devices"), problem, "name more devices"


# --- what each file is for -----------------------------------------------------------------------


def _live(config: Config, urls: dict[str, str]) -> Iterator[Problem]:
    runs = [u for u in config.systemd.units if u.enabled and u.name.endswith(".service")]
    if not any(re.search(r"^OnFailure=", unit.contents or "", re.MULTILINE) for unit in runs):
        problem = "no enabled service has OnFailure=, so nobody would hear of a failure"
        yield ("systemd",), problem, "have one run /etc/deployer/install.sh, as ours does"
    sources = [file.contents.source or "" for file in config.storage.files]
    if not any(_asks_for_its_disk(source, urls) for source in sources):
        problem = "nothing asks which disk may be written, so any could be overwritten"
        remedy = f"have it fetch {urls['answers']}/install.sh, and a unit run it"
        yield ("storage",), problem, remedy


def _asks_for_its_disk(source: str, urls: dict[str, str]) -> bool:
    if source.startswith("data:"):
        return urls["disks"].encode() in contents_of(source)
    return source == f"{urls['answers']}/install.sh"
