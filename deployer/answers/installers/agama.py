"""Agama, the installer of SLES and Leap 16: the grammar of its JSON profile, and what would stop it.

Its own schema takes `{}`, an address like 999.1.1.1, and an alias that nothing has. Models after the
schema of Agama's SLE-16 branch, which is what 16.0 installs with (rust/agama-lib/share).
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from deployer.answers.installers import suse_network
from deployer.answers.installers.base import check_shell
from deployer.core.families import Answer
from deployer.core.network import BondMode
from deployer.core.profiles import is_password_hash
from deployer.errors import Finding

Text = Annotated[str, StringConstraints(max_length=4096)]
Script = Annotated[str, StringConstraints(max_length=512 * 1024)]
Percentless = Annotated[int, Field(ge=0, le=2**63)]


def _address(text: str) -> str:
    ipaddress.ip_address(text)
    return text


def _interface_address(text: str) -> str:
    ipaddress.ip_interface(text)
    return text


Address = Annotated[Text, AfterValidator(_address)]
InterfaceAddress = Annotated[Text, AfterValidator(_interface_address)]
Mac = Annotated[str, Field(pattern="^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=False)


# --- scripts, files ---------------------------------------------------------------------------------


class _Sourced(_Model):
    content: Script | None = None
    url: Text | None = None

    @model_validator(mode="after")
    def _one_source(self) -> _Sourced:
        given = [x for x in (self.content, self.url, getattr(self, "body", None)) if x is not None]
        if len(given) != 1:
            raise ValueError("write either content or url")
        return self


class PreScript(_Sourced):
    name: Annotated[str, Field(pattern="^[^/]+$", max_length=255)]
    body: Script | None = None  # the old name of content


class PostScript(PreScript):
    chroot: bool = True


class Scripts(_Model):
    pre: list[PreScript] = []
    postPartitioning: list[PreScript] = []
    post: list[PostScript] = []
    init: list[PreScript] = []

    def all(self) -> Iterator[tuple[str, int, PreScript]]:
        for kind in ("pre", "postPartitioning", "post", "init"):
            for number, script in enumerate(getattr(self, kind)):
                yield kind, number, script


class File(_Sourced):
    destination: Annotated[str, Field(pattern="^/")]
    permissions: Annotated[str, Field(pattern="^0?[0-7]{3,4}$")] | None = None
    user: Text | None = None
    group: Text | None = None


# --- who, what, how it speaks -----------------------------------------------------------------------


class AddOn(_Model):
    id: Text
    version: Text | None = None
    registrationCode: Text | None = None


class Product(_Model):
    id: Annotated[str, Field(min_length=1, max_length=100)]
    mode: Text | None = None
    registrationCode: Text | None = None
    registrationEmail: Text | None = None
    registrationUrl: Text | None = None
    addons: list[AddOn] = []


class Hostname(_Model):
    static: Text | None = None
    transient: Text | None = None


class Localization(_Model):
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{1,8}([_.@-][A-Za-z0-9.@_-]*)?$")] | None = (
        None
    )
    keyboard: Annotated[str, Field(pattern=r"^[A-Za-z0-9()._-]+$")] | None = None
    timezone: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/_-]+$")] | None = None


class Password(_Model):
    password: Text | None = None
    hashedPassword: bool = False


class User(Password):
    fullName: Text
    userName: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_.-]{0,31}$")]
    password: Text


class Root(Password):
    sshPublicKey: Text | None = None


class Reply(_Model):
    """An answer to a question; `class` is a word of Python."""

    model_config = ConfigDict(extra="forbid", strict=True)
    class_: Text | None = Field(None, alias="class")
    text: Text | None = None
    answer: Text | None = None
    action: Text | None = None
    password: Text | None = None
    value: Text | None = None
    data: dict[str, Text] = {}


class Questions(_Model):
    policy: Literal["auto", "user"] = "user"
    answers: list[Reply] = []


class Bootloader(_Model):
    stopOnBootMenu: bool | None = None
    timeout: Annotated[int, Field(ge=0, le=3600)] | None = None
    extraKernelParams: Text | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Bootloader:
        if self.stopOnBootMenu is not None and self.timeout is not None:
            raise ValueError("write either stopOnBootMenu or timeout")
        if self.stopOnBootMenu:
            raise ValueError("stopOnBootMenu waits for a key at each start; write timeout")
        return self


class Repository(_Model):
    alias: Annotated[str, Field(min_length=1, max_length=200)]
    url: Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*:\S+$")]
    name: Text | None = None
    priority: int | None = None
    productDir: Text | None = None
    enabled: bool = True
    allowUnsigned: bool = False
    gpgFingerprints: list[Annotated[str, Field(pattern="^[0-9A-Fa-f ]+$")]] = []


class PatternChanges(_Model):
    add: list[Text] = []
    remove: list[Text] = []


class Software(_Model):
    patterns: list[Text] | PatternChanges = []
    packages: list[Text] = []
    onlyRequired: bool | None = None
    extraRepositories: list[Repository] = []


class Certificate(_Model):
    fingerprint: Text
    algorithm: Literal["SHA1", "SHA256"]


class Security(_Model):
    sslCertificates: list[Certificate] = []


# --- networks ------------------------------------------------------------------------------------------


class Bond(_Model):
    mode: BondMode | None = None
    options: Text | None = None
    ports: list[Text] = []


class Bridge(_Model):
    stp: bool | None = None
    forwardDelay: Percentless | None = None
    priority: Percentless | None = None
    maxAge: Percentless | None = None
    helloTime: Percentless | None = None
    ports: list[Text] = []


class Vlan(_Model):
    id: Annotated[int, Field(ge=1, le=4094)]
    parent: Annotated[str, Field(min_length=1)]
    protocol: Literal["802.1Q", "802.1ad"] = "802.1Q"


class Match(_Model):
    kernel: list[Text] = []
    interface: list[Text] = []
    driver: list[Text] = []
    path: list[Text] = []


Method4 = Literal["auto", "manual", "link-local", "disabled"]


class Connection(_Model):
    id: Annotated[str, Field(min_length=1, max_length=255)]
    interface: Text | None = None
    customMacAddress: Text | None = None
    macAddress: Mac | None = None
    mtu: Annotated[int, Field(ge=0, le=65535)] | None = None
    method4: Method4 | None = None
    method6: Method4 | None = None
    gateway4: Annotated[str, AfterValidator(lambda t: str(ipaddress.IPv4Address(t)))] | None = None
    gateway6: Annotated[str, AfterValidator(lambda t: str(ipaddress.IPv6Address(t)))] | None = None
    addresses: list[InterfaceAddress] = []
    nameservers: list[Address] = []
    dnsSearchlist: list[Text] = []
    ignoreAutoDns: bool | None = None
    status: Literal["up", "down", "removed"] | None = None
    autoconnect: bool | None = None
    persistent: bool | None = None
    wireless: dict[str, Any] | None = None
    bond: Bond | None = None
    bridge: Bridge | None = None
    match: Match | None = None
    vlan: Vlan | None = None
    ieee8021x: dict[str, Any] | None = Field(None, alias="ieee-8021x")

    @model_validator(mode="after")
    def _manual_has_an_address(self) -> Connection:
        versions = {ipaddress.ip_interface(address).version for address in self.addresses}
        for method, version in ((self.method4, 4), (self.method6, 6)):
            if method == "manual" and version not in versions:
                raise ValueError(f"method{version} is manual, and no address is IPv{version}")
        return self


class Network(_Model):
    connections: list[Connection] = []


# --- storage --------------------------------------------------------------------------------------------

SizeText = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(\s*([KkMmGgTtPpEeZzYy][iI]?)?[Bb])?$")]
SizeValue = SizeText | Percentless
Limit = SizeValue | Literal["current"]


class SizeRange(_Model):
    min: Limit
    max: Limit | None = None


Size = SizeValue | Annotated[list[Limit], Field(min_length=1, max_length=2)] | SizeRange
Alias = Annotated[str, Field(min_length=1, max_length=200)]
BaseName = Annotated[str, Field(pattern="^[^/]+$")]


class EqualSize(_Model):
    equal: SizeValue


class GreaterSize(_Model):
    greater: SizeValue


class LessSize(_Model):
    less: SizeValue


class Condition(_Model):
    """One of the three. There is none by serial: Agama's schema refuses it."""

    name: Annotated[str, Field(min_length=1)] | None = None
    size: SizeValue | EqualSize | GreaterSize | LessSize | None = None
    number: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Condition:
        if sum(x is not None for x in (self.name, self.size, self.number)) != 1:
            raise ValueError("a condition has a name, a size or a number; write one")
        return self


Order = (
    Literal["name", "size", "number"]
    | dict[Literal["name", "size", "number"], Literal["asc", "desc"]]
)


class Search(_Model):
    condition: Condition | None = None
    sort: Order | list[Order] | None = None
    max: Annotated[int, Field(ge=1)] | None = None
    ifNotFound: Literal["skip", "error", "create"] = "error"


AnySearch = Annotated[str, Field(min_length=1)] | Search


class Luks1(_Model):
    password: Annotated[str, Field(min_length=1)]
    cipher: Text | None = None
    keySize: int | None = None


class Luks2(Luks1):
    pbkdFunction: Literal["pbkdf2", "argon2i", "argon2id"] | None = None
    label: Text | None = None


class OnlyPassword(_Model):
    password: Annotated[str, Field(min_length=1)]


class Encryption(_Model):
    luks1: Luks1 | None = None
    luks2: Luks2 | None = None
    pervasiveLuks2: OnlyPassword | None = None
    tpmFde: OnlyPassword | None = None

    @model_validator(mode="after")
    def _one(self) -> Encryption:
        if len(self.model_fields_set) != 1:
            raise ValueError("write one of luks1, luks2, pervasiveLuks2 and tpmFde")
        return self


AnyEncryption = Encryption | Literal["protected_swap", "secure_swap", "random_swap"]


class BtrfsOptions(_Model):
    snapshots: bool | None = None


class Btrfs(_Model):
    btrfs: BtrfsOptions


class FileSystem(_Model):
    reuseIfPossible: bool = False
    type: (
        Literal["bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "nfs", "nilfs2",
                "ntfs", "reiserfs", "swap", "tmpfs", "vfat", "xfs"] | Btrfs | None
    ) = None  # fmt: skip
    label: Text | None = None
    path: Annotated[str, Field(pattern="^(/.*|swap)$")] | None = None
    mountBy: Literal["device", "id", "label", "path", "uuid"] | None = None
    mkfsOptions: list[Text] = []
    mountOptions: list[Text] = []


class _Device(_Model):
    """What partitions, logical volumes, disks and RAIDs have in common."""

    search: AnySearch | None = None
    alias: Alias | None = None
    encryption: AnyEncryption | None = None
    filesystem: FileSystem | None = None


class Generate(_Model):
    partitions: Literal["default", "mandatory"] | None = None
    logicalVolumes: Literal["default", "mandatory"] | None = None
    targetDevices: list[Alias] | None = None
    encryption: AnyEncryption | None = None
    stripes: Annotated[int, Field(ge=1, le=128)] | None = None
    stripeSize: SizeValue | None = None


class Partition(_Device):
    id: Literal["linux", "swap", "lvm", "raid", "esp", "prep", "bios_boot"] | None = None
    size: Size | None = None
    delete: Literal[True] | None = None
    deleteIfNeeded: Literal[True] | None = None
    generate: Literal["default", "mandatory"] | Generate | None = None

    @model_validator(mode="after")
    def _only_what_goes_together(self) -> Partition:
        _alone(self, "generate", set())
        _alone(self, "delete", {"search"})
        _alone(self, "deleteIfNeeded", {"search", "size"})
        return self


def _alone(entry: _Model, what: str, others: set[str]) -> None:
    given = entry.model_fields_set
    if what in given and given - others - {what}:
        beside = ", ".join(sorted(given - others - {what}))
        raise ValueError(f"{what} stands without {beside}")
    if what in given and "search" in others and "search" not in given:
        raise ValueError(f"{what} needs a search that says what")


class Partitioned(_Device):
    ptableType: Literal["gpt", "msdos", "dasd"] | None = None
    partitions: list[Partition] = []

    @model_validator(mode="after")
    def _partitions_or_a_file_system(self) -> Partitioned:
        if "partitions" in self.model_fields_set and (self.filesystem or self.encryption):
            raise ValueError("a device has partitions, or is formatted as a whole")
        return self


class Drive(Partitioned):
    pass


class MdRaid(Partitioned):
    name: BaseName | None = None
    level: Literal["raid0", "raid1", "raid5", "raid6", "raid10"] | None = None
    parity: Text | None = None
    chunkSize: SizeValue | None = None
    devices: list[Alias] = []


class LogicalVolume(_Device):
    name: BaseName | None = None
    size: Size | None = None
    stripes: Annotated[int, Field(ge=1, le=128)] | None = None
    stripeSize: SizeValue | None = None
    pool: Literal[True] | None = None
    usedPool: Alias | None = None
    delete: Literal[True] | None = None
    deleteIfNeeded: Literal[True] | None = None
    generate: Literal["default", "mandatory"] | Generate | None = None


class PvGenerator(_Model):
    generate: list[Alias] | Generate


class VolumeGroup(_Model):
    name: BaseName
    search: AnySearch | None = None
    extentSize: SizeValue | None = None
    physicalVolumes: list[Alias | PvGenerator] = []
    logicalVolumes: list[LogicalVolume] = []


class BootPartitions(_Model):
    configure: bool
    device: Alias | None = None


class Storage(_Model):
    boot: BootPartitions | None = None
    drives: list[Drive] = []
    volumeGroups: list[VolumeGroup] = []
    mdRaids: list[MdRaid] = []


class Profile(_Model):
    """A profile of Agama 16.0; what newer ones have beyond it is refused here as it is there."""

    product: Product
    hostname: Hostname | None = None
    localization: Localization | None = None
    questions: Questions = Questions()
    user: User | None = None
    root: Root | None = None
    bootloader: Bootloader | None = None
    software: Software = Software()
    storage: Storage | None = None
    network: Network | None = None
    security: Security | None = None
    files: list[File] = []
    scripts: Scripts = Scripts()
    iscsi: dict[str, Any] | None = None
    dasd: dict[str, Any] | None = None
    zfcp: dict[str, Any] | None = None
    legacyAutoyastStorage: list[dict[str, Any]] | None = None


# --- beyond grammar ----------------------------------------------------------------------------------

Place = tuple[str | int, ...]
Problem = tuple[Place, str]
_PLACEHOLDER = "/dev/disk/by-id/deployer-disk-"


def _questions(profile: Profile) -> Iterator[Problem]:
    if profile.questions.policy != "auto":
        yield ("questions",), "questions.policy is not auto, so Agama would ask, and wait"
    if profile.user is None and (profile.root is None or not (
        profile.root.password or profile.root.sshPublicKey
    )):  # fmt: skip
        yield ("root",), "neither a user nor root can log in, and so Agama does not begin"


def _passwords(profile: Profile) -> Iterator[Problem]:
    for name, account in (("user", profile.user), ("root", profile.root)):
        if account is None or not account.password:
            continue
        place = (name, "password")
        if not account.hashedPassword:
            yield (
                place,
                f"the password of {name} is in the clear; write its hash, and hashedPassword: true",
            )
        elif not is_password_hash(account.password) and not account.password.startswith(("!", "*")):
            yield (
                place,
                f"the password of {name} is no crypt(3) hash, and nobody could log in with it",
            )


def _disks(profile: Profile) -> Iterator[Problem]:
    storage = profile.storage
    if storage is None or not (storage.drives or storage.volumeGroups or storage.mdRaids):
        if not profile.legacyAutoyastStorage:
            yield ("storage",), "no drive says which disk may be written, so Agama would choose"
        return
    made = any(_PLACEHOLDER[:-1] in _text(script) for _, _, script in profile.scripts.all())
    for number, drive in enumerate(storage.drives):
        place: Place = ("storage", "drives", number)
        name = drive.search if isinstance(drive.search, str) else _condition_name(drive.search)
        if drive.search is None or drive.search == "*":
            yield place, "this drive names no disk, so Agama would take any"
        elif (
            name is None
            and isinstance(drive.search, Search)
            and drive.search.condition is None
            and drive.search.max is None
        ):
            yield (*place, "search"), "this search finds any disk"
        elif name is not None and not name.startswith("/dev/"):
            yield (*place, "search"), f"a disk is a path in /dev, not {name!r}"
        elif name is not None and name.startswith(_PLACEHOLDER) and not made:
            yield (*place, "search"), f"{name} is no disk, and no pre script makes this link"


def _condition_name(search: str | Search | None) -> str | None:
    return search.condition.name if isinstance(search, Search) and search.condition else None


def _text(script: PreScript) -> str:
    return script.content or script.body or ""


def _aliases(profile: Profile) -> Iterator[Problem]:
    """Each alias that is used is one that something has, and nothing has it twice."""
    storage = profile.storage
    if storage is None:
        return
    known: set[str] = set()
    for place, device in _devices(storage):
        if device.alias in known:
            yield (*place, "alias"), f"the alias {device.alias!r} is given twice"
        known |= {device.alias} if device.alias else set()
    for place, alias in _uses(storage):
        if alias not in known:
            yield place, f"no device has the alias {alias!r}"
    paths: set[str] = set()
    for place, device in _devices(storage):
        path = device.filesystem.path if device.filesystem else None
        if path and path != "swap" and path in paths:
            yield (*place, "filesystem"), f"{path} is mounted twice"
        paths |= {path} if path else set()
    if paths and "/" not in paths and not any(
        getattr(device, "generate", None) for _, device in _devices(storage)
    ):  # fmt: skip
        yield ("storage",), "nothing is mounted at /"


def _devices(storage: Storage) -> Iterator[tuple[Place, _Device]]:
    for kind in ("drives", "mdRaids"):
        for number, device in enumerate(getattr(storage, kind)):
            place: Place = ("storage", kind, number)
            yield place, device
            for inner, partition in enumerate(device.partitions):
                yield (*place, "partitions", inner), partition
    for number, group in enumerate(storage.volumeGroups):
        for inner, volume in enumerate(group.logicalVolumes):
            yield ("storage", "volumeGroups", number, "logicalVolumes", inner), volume


def _uses(storage: Storage) -> Iterator[tuple[Place, str]]:
    if storage.boot and storage.boot.device:
        yield ("storage", "boot", "device"), storage.boot.device
    for number, raid in enumerate(storage.mdRaids):
        for inner, alias in enumerate(raid.devices):
            yield ("storage", "mdRaids", number, "devices", inner), alias
    for number, group in enumerate(storage.volumeGroups):
        for inner, volume in enumerate(group.physicalVolumes):
            place: Place = ("storage", "volumeGroups", number, "physicalVolumes", inner)
            for alias in _aliases_of(volume):
                yield place, alias


def _aliases_of(volume: str | PvGenerator) -> list[str]:
    if isinstance(volume, str):
        return [volume]
    if isinstance(volume.generate, list):
        return volume.generate
    return volume.generate.targetDevices or []


def _networks(profile: Profile) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, connection in enumerate(profile.network.connections if profile.network else []):
        place = ("network", "connections", number)
        if connection.id in seen:
            yield place, f"the connection {connection.id!r} is given twice"
        seen.add(connection.id)
        if connection.bond and not connection.bond.ports:
            yield (*place, "bond"), "a bond needs its ports"


def _software(profile: Profile) -> Iterator[Problem]:
    patterns = profile.software.patterns
    names = patterns if isinstance(patterns, list) else patterns.add
    for name in names:
        if name.startswith("^"):
            yield (
                ("software", "patterns"),
                f"{name!r} is an environment, which SUSE does not have; name a pattern",
            )


def _names(profile: Profile) -> Iterator[Problem]:
    seen: set[tuple[str, str]] = set()
    for kind, number, script in profile.scripts.all():
        if (kind, script.name) in seen:
            yield (
                ("scripts", kind, number),
                f"the script {script.name!r} is given twice, and one would replace the other",
            )
        seen.add((kind, script.name))


class Agama:
    name = "agama"
    filters: ClassVar = {
        "dracut_ifname": suse_network.dracut_ifname,
        "dracut_ip": suse_network.dracut_ip,
    }

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        try:
            given = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            line = error.lineno if isinstance(error, json.JSONDecodeError) else None
            problem = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            return [_finding(answer.path, (), line, f"it is no JSON: {problem}")]
        try:
            profile = Profile.model_validate(given)
        except ValidationError as error:
            return list(_grammar(answer.path, text, given, error))
        problems: list[Problem] = []
        for rule in (_questions, _passwords, _disks, _aliases, _networks, _software, _names):
            problems += rule(profile)
        lines = _Lines(text) if problems else None
        found = [_finding(answer.path, place, lines.of(place) if lines else None, problem)
                 for place, problem in problems]  # fmt: skip
        return [*found, *_shells(answer, text, profile), *_ours(answer, context)]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is written twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


# What 16.0 does not have yet; later ones do (os-reference B3).
_LATER = {
    ("proxy",): "set proxy on the kernel line", ("ntp",): "write it in a post script",
    ("access",): "enable sshd in a post script", ("$schema",): "remove it",
    ("l10n",): "write localization", ("user", "sshPublicKey"): "write the keys in a post script",
    ("user", "sshPublicKeys"): "write the keys in a post script",
    ("root", "sshPublicKeys"): "write sshPublicKey", ("bootloader", "updateNvram"): "remove it",
}  # fmt: skip


def _grammar(file: str, text: str, given: Any, error: ValidationError) -> Iterator[Finding]:
    """One finding for each place; where several models could be meant, the closest one speaks."""
    lines, seen = _Lines(text), set()
    for problem in sorted(error.errors(), key=lambda p: -len(p["loc"])):
        place = _in(given, problem["loc"])
        if any(other[: len(place)] == place for other in seen):
            continue
        seen.add(place)
        message = str(problem["msg"]).removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "Agama 16.0 has no such key"
        remedy = _LATER.get(tuple(str(part) for part in place))
        yield _finding(file, place, lines.of(place), message, remedy)


def _in(given: Any, loc: tuple[str | int, ...]) -> Place:
    """`loc` without the names of models that pydantic puts between."""
    place: list[str | int] = []
    for part in loc:
        if (isinstance(given, dict) and part in given) or (isinstance(given, list) and isinstance(part, int) and part < len(given)):
            given = given[part]
        elif isinstance(given, dict) and part == loc[-1]:
            place.append(part)  # a key that is missing
            break
        else:
            continue
        place.append(part)
    return tuple(place)


class _Lines:
    """Where a value stands: JSON is YAML, and PyYAML tells lines."""

    def __init__(self, text: str) -> None:
        self._root: yaml.Node | None
        try:
            self._root = yaml.compose(text, Loader=yaml.CSafeLoader)
        except (yaml.YAMLError, RecursionError, ValueError):
            self._root = None

    def of(self, place: Place) -> int | None:
        """The line of `place`, or of the nearest that stands around it."""
        node, line = self._root, None
        for part in place:
            found = None
            if isinstance(node, yaml.MappingNode):
                pairs = {key.value: (key, value) for key, value in node.value}
                found = pairs.get(str(part))
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                found = (node.value[part],) * 2 if part < len(node.value) else None
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        return line or (self._root.start_mark.line + 1 if self._root else None)


def _shells(answer: Answer, text: str, profile: Profile) -> Iterator[Finding]:
    for kind, number, script in profile.scripts.all():
        content = _text(script)
        first = content.split("\n")[0]
        if not content:
            continue
        place: Place = ("scripts", kind, number)
        if not first.startswith("#!"):
            problem = f"{script.name} does not begin with #!, so it cannot be run"
            yield _finding(answer.path, place, _Lines(text).of(place), problem)
        elif "sh" in first:
            for found in check_shell(content, "bash", answer.path, script.name):
                inside = f" (its line {found.line})" if found.line else ""
                yield _finding(answer.path, place, _Lines(text).of(place), found.message + inside)


def _ours(answer: Answer, context: dict[str, Any]) -> Iterator[Finding]:
    """What the profile of the deployment asks for beyond what can be said in this file."""
    for name, script in context["profile"]["scripts"].items():
        if script:
            yield from check_shell(script, "bash", answer.path, f"scripts.{name}")
    machine = (context.get("machine") or {}).get("mac")
    if suse_network.dracut_ifname(context["host"], machine, suse_network.NAMED_NICS):
        yield Finding(
            f"network.interfaces: an Agama installer can be told the names of"
            f" {suse_network.NAMED_NICS} NICs, and these are more",
            "leave NICs out that the host does not need at its start",
            field="network.interfaces",
        )  # fmt: skip


def _finding(
    file: str, place: Place, line: int | None, problem: str, remedy: str | None = None
) -> Finding:
    where = f"{file}, line {line}" if line else file
    name = ".".join(str(part) for part in place)
    return Finding(
        f"{where}: {name}: {problem}" if name and not problem.startswith(name) else f"{where}: {problem}",
        remedy or "correct the value in the profile or the host, or the file that holds this",
        file=file, line=line, field=name or None,
    )  # fmt: skip


INSTALLER = Agama()
