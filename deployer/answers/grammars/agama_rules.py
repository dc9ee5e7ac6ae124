"""What Agama would read, and nobody would want: questions, passwords in the clear, any disk."""

from __future__ import annotations

from collections.abc import Iterator

from deployer.answers.grammars.agama_profile import PreScript, Profile
from deployer.answers.grammars.agama_storage import Device, PvGenerator, Search, Storage
from deployer.core.documents import Place
from deployer.core.profiles import is_password_hash

Problem = tuple[Place, str]
_PLACEHOLDER = "/dev/disk/by-id/deployer-disk-"


def problems(profile: Profile) -> Iterator[Problem]:
    """All of them, with the place where each stands."""
    for rule in (_questions, _passwords, _disks, _aliases, _networks, _software, _names):
        yield from rule(profile)


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
    made = any(_PLACEHOLDER[:-1] in text_of(script) for _, _, script in profile.scripts.all())
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


def text_of(script: PreScript) -> str:
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


def _devices(storage: Storage) -> Iterator[tuple[Place, Device]]:
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
                f"{name!r} is an environment, which SUSE has not; name a pattern",
            )


def _names(profile: Profile) -> Iterator[Problem]:
    seen: set[tuple[str, str]] = set()
    for kind, number, script in profile.scripts.all():
        if (kind, script.name) in seen:
            yield (
                ("scripts", kind, number),
                f"the script {script.name!r} is given twice, which it replaces",
            )
        seen.add((kind, script.name))
