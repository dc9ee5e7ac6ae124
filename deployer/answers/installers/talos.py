"""Talos Linux: its machine config, stricter than Talos' own schema.

That schema requires nothing, and takes "999.1.1.1/77" for an address; a config without a token or a
disk is found wrong on the machine, which then restarts for ever.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from deployer.answers.checks import CORRECT, finding_at, finding_in, places_of
from deployer.answers.filters.links import host_of, links
from deployer.answers.grammars.talos_spec import (
    INTRODUCED,
    KINDS,
    SINGLE,
    VERSIONS,
    Config,
    Device,
    Pair,
)
from deployer.core.documents import Document, Place, Unreadable, read
from deployer.core.families import Answer
from deployer.core.text import MASK
from deployer.errors import Finding

Problem = tuple[Place, str, str]
_SECRETS = (
    "set the variable; family.yaml says where in secrets.yaml of `talosctl gen secrets` it is"
)
_LONGEST = 400_000  # characters; more would take the check too long
# Of a disk selector: what names one disk, and not a kind of disk.
_IDENTITIES = ("serial", "wwid", "uuid", "busPath", "name")


def _disk(rule: dict[str, Any]) -> dict[str, Any]:
    """`machine.install` for a disk rule; empty where it names no disk.

    ValueError where it names several: Talos would take the first that it finds.
    """
    for field in ("serial", "wwn"):
        if isinstance(rule[field], list):
            raise ValueError(f"storage.disk.{field} names several disks; Talos installs on one")
    selector = {}
    if rule["serial"]:
        selector["serial"] = rule["serial"]
    if rule["wwn"]:
        # /sys/block/*/wwid has what udev calls 0x5000... as naa.5000...
        selector["wwid"] = re.sub("^0x", "naa.", rule["wwn"])
    if selector:
        return {"diskSelector": selector}
    return {"disk": rule["path"]} if rule["path"] else {}


class Talos:
    name = "talos"
    filters: ClassVar = {"talos_disk": _disk, "links": links, "host_of": host_of}

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        if len(text) > _LONGEST:
            return [finding_at(answer.path, None, f"it is longer than {_LONGEST} characters")]
        try:
            documents = read(text)
        except Unreadable as error:
            problem = f"Talos could not read it: {error.problem}"
            return [finding_in(answer.path, error.line, (), problem, "correct the YAML there")]
        found = [
            finding_in(answer.path, document.line(place), place, problem, remedy)
            for document in documents
            for place, problem, remedy in _judged(document, context)
        ]
        return [*found, *_of_all(documents, answer.path), *_verified(context)]


def _judged(document: Document, context: dict[str, Any]) -> Iterator[Problem]:
    given = document.value
    if not isinstance(given, dict):
        if given is not None:
            yield (), "a document is a mapping", CORRECT
    elif "kind" in given:
        yield from _beside(given, context)
    else:
        yield from _main(given, context)


def _version_of(context: dict[str, Any]) -> int:
    version = context["release"]["version"]
    return VERSIONS.index(version) if version in VERSIONS else len(VERSIONS) - 1


def _beside(given: dict[str, Any], context: dict[str, Any]) -> Iterator[Problem]:
    kind, version = given["kind"], _version_of(context)
    since = KINDS.get(kind) if isinstance(kind, str) else None
    if since is None:
        yield ("kind",), f"there is no kind {kind!r}; Talos would refuse the whole file", CORRECT
    elif VERSIONS.index(since) > version:
        problem = f"{kind} came with Talos {since}, and {VERSIONS[version]} would refuse the file"
        yield ("kind",), problem, "say it in the main document, or choose a newer release"
    if given.get("apiVersion") != "v1alpha1":
        yield ("apiVersion",), "apiVersion is v1alpha1", CORRECT


def _main(given: dict[str, Any], context: dict[str, Any]) -> Iterator[Problem]:
    try:
        config = Config.model_validate(given)
    except ValidationError as error:
        for each in error.errors()[:20]:
            yield _grammar(each["loc"], each["type"], each["msg"])
        return
    version = _version_of(context)
    for name, since in INTRODUCED.items():
        if VERSIONS.index(since) > version:
            for place in places_of(name.split("."), given):
                yield (
                    place,
                    f"it came with Talos {since}",
                    "leave it out, or choose a newer release",
                )
    yield from _membership(config)
    yield from _install(config)
    yield from _network(config)


def _grammar(place: Place, kind: str, message: str) -> Problem:
    if kind == "extra_forbidden":
        return place, "Talos knows no such key, and would refuse the whole file", CORRECT
    return place, message, CORRECT


# --- rules ----------------------------------------------------------------------------------------


def _membership(config: Config) -> Iterator[Problem]:
    """Without these it would start, and belong to nothing."""
    machine, cluster = config.machine, config.cluster
    if cluster is None:
        yield (), "there is no cluster to belong to", _SECRETS
        return
    needed: dict[str, str | None] = {
        "machine.token": machine.token, "cluster.id": cluster.id, "cluster.secret": cluster.secret,
        "cluster.token": cluster.token,
    }  # fmt: skip
    for name, value in needed.items():
        if not value:
            yield tuple(name.split(".")), "it is not set, so the machine joins no cluster", _SECRETS
    yield from _endpoint(cluster.controlPlane.endpoint if cluster.controlPlane else None)
    for place, pair in ((("machine", "ca"), machine.ca), (("cluster", "ca"), cluster.ca)):
        yield from _certificate(place, pair, keys=machine.type == "controlplane")


def _endpoint(endpoint: str | None) -> Iterator[Problem]:
    place = ("cluster", "controlPlane", "endpoint")
    url = urlsplit(endpoint or "")
    if url.scheme != "https" or not url.hostname:
        yield place, f"{endpoint!r} is no https:// address of the control plane", _SECRETS


def _certificate(place: Place, pair: Pair | None, keys: bool) -> Iterator[Problem]:
    if pair is None or not pair.crt:
        yield (*place, "crt"), "it is not set, so the machine trusts nobody", _SECRETS
    elif pair.crt != MASK:
        try:
            pem = b64decode(pair.crt, validate=True)
        except ValueError:
            pem = b""
        if not pem.startswith(b"-----BEGIN CERTIFICATE-----"):
            yield (*place, "crt"), "it is no PEM certificate in base64", _SECRETS
    if keys and not (pair and pair.key):
        yield (*place, "key"), "a control plane needs the key of its CA", "bring the whole config"
    if not keys and pair and pair.key:
        yield (*place, "key"), "a worker must not have the key of the CA", 'write key: ""'


def _install(config: Config) -> Iterator[Problem]:
    place, install = ("machine", "install"), config.machine.install
    if install is None:
        yield ("machine",), "without install, nothing is written and it runs in memory", CORRECT
        return
    selector = install.diskSelector
    if selector is not None:
        if not any(getattr(selector, name) for name in _IDENTITIES):
            problem = "it fits several disks, and Talos would overwrite the first"
            remedy = "name one by serial or wwid: storage.disk.serial, storage.disk.wwn"
            yield (*place, "diskSelector"), problem, remedy
        return
    if not install.disk:
        problem = "no disk is named, so none would be found"
        yield place, problem, "set storage.disk.serial, storage.disk.wwn or storage.disk.path"
    elif not install.disk.startswith("/dev/"):
        yield (*place, "disk"), f"{install.disk!r} is no device", "write its path, /dev/..."


def _network(config: Config) -> Iterator[Problem]:
    network = config.machine.network
    if network is None:
        return
    place: Place = ("machine", "network")
    for number, text in enumerate(network.nameservers or []):
        yield from _address((*place, "nameservers", number), text, ipaddress.ip_address)
    for number, device in enumerate(network.interfaces or []):
        yield from _device((*place, "interfaces", number), device)


def _device(place: Place, device: Device) -> Iterator[Problem]:
    if bool(device.interface) == bool(device.deviceSelector):
        yield place, "it needs interface or deviceSelector, and not both", CORRECT
    if device.bond and bool(device.bond.interfaces) == bool(device.bond.deviceSelectors):
        yield (*place, "bond"), "it needs interfaces or deviceSelectors, and not both", CORRECT
    yield from _addressed(place, device)
    seen: set[int] = set()
    for number, vlan in enumerate(device.vlans or []):
        at: Place = (*place, "vlans", number)
        if vlan.vlanId in seen:
            yield (*at, "vlanId"), f"VLAN {vlan.vlanId} is there twice", "write each once"
        seen.add(vlan.vlanId)
        yield from _addressed(at, vlan)


def _addressed(place: Place, link: Any) -> Iterator[Problem]:
    for number, text in enumerate(link.addresses or []):
        yield from _address((*place, "addresses", number), text, ipaddress.ip_interface)
    for number, route in enumerate(link.routes or []):
        at: Place = (*place, "routes", number)
        if route.network:
            yield from _address((*at, "network"), route.network, ipaddress.ip_network)
        if route.gateway:
            yield from _address((*at, "gateway"), route.gateway, ipaddress.ip_address)


def _address(place: Place, text: str, kind: Any) -> Iterator[Problem]:
    try:
        kind(text)
    except ValueError as error:
        yield place, str(error), "write it as 10.0.0.7/24, or without the length for a server"


def _of_all(documents: list[Document], file: str) -> Iterator[Finding]:
    """One main document, and each other one once."""
    mappings = [each for each in documents if isinstance(each.value, dict)]
    main = [each for each in mappings if "kind" not in each.value]
    if len(main) != 1:
        problem = f"there must be one document with machine and cluster, and there are {len(main)}"
        line = main[1].first_line if len(main) > 1 else None
        yield finding_in(file, line, (), problem, "write them into one")
    seen = set()
    for each in mappings:
        kind = str(each.value.get("kind"))
        key = (kind, "" if kind in SINGLE else str(each.value.get("name")))
        if "kind" in each.value and key in seen:
            problem = f"{kind} {key[1]} is there twice".replace("  ", " ")
            yield finding_in(file, each.first_line, ("kind",), problem, "write it once")
        seen.add(key)


def _verified(context: dict[str, Any]) -> Iterator[Finding]:
    if context["profile"]["verify"] is not False:
        yield Finding(
            "verify: nobody can log in to Talos, so it would end as not verified",
            "say `verify: false` in the profile", field="verify",
        )  # fmt: skip


INSTALLER = Talos()
