"""A profile of Agama 16.0, as its JSON schema has it and stricter: addresses are addresses.

After the schema of Agama's SLE-16 branch (rust/agama-lib/share/profile.schema.json). What newer
ones have beyond it is refused here, as it is there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from deployer.answers.grammars.agama_storage import Count, Model, Storage, Text
from deployer.core.network import BondMode

Script = Annotated[str, StringConstraints(max_length=512 * 1024)]


def _address(text: str) -> str:
    ipaddress.ip_address(text)
    return text


def _interface_address(text: str) -> str:
    ipaddress.ip_interface(text)
    return text


Address = Annotated[Text, AfterValidator(_address)]
InterfaceAddress = Annotated[Text, AfterValidator(_interface_address)]
Mac = Annotated[str, Field(pattern="^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$")]

# --- scripts, files ----------------------------------------------------------------------------


class _Sourced(Model):
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


class Scripts(Model):
    pre: list[PreScript] = Field(default_factory=list)
    postPartitioning: list[PreScript] = Field(default_factory=list)
    post: list[PostScript] = Field(default_factory=list)
    init: list[PreScript] = Field(default_factory=list)

    def all(self) -> Iterator[tuple[str, int, PreScript]]:
        for kind in ("pre", "postPartitioning", "post", "init"):
            for number, script in enumerate(getattr(self, kind)):
                yield kind, number, script


class File(_Sourced):
    destination: Annotated[str, Field(pattern="^/")]
    permissions: Annotated[str, Field(pattern="^0?[0-7]{3,4}$")] | None = None
    user: Text | None = None
    group: Text | None = None


# --- who, what, how it speaks ------------------------------------------------------------------


class AddOn(Model):
    id: Text
    version: Text | None = None
    registrationCode: Text | None = None


class Product(Model):
    id: Annotated[str, Field(min_length=1, max_length=100)]
    mode: Text | None = None
    registrationCode: Text | None = None
    registrationEmail: Text | None = None
    registrationUrl: Text | None = None
    addons: list[AddOn] = Field(default_factory=list)


class Hostname(Model):
    static: Text | None = None
    transient: Text | None = None


class Localization(Model):
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{1,8}([_.@-][A-Za-z0-9.@_-]*)?$")] | None = (
        None
    )
    keyboard: Annotated[str, Field(pattern=r"^[A-Za-z0-9()._-]+$")] | None = None
    timezone: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/_-]+$")] | None = None


class Password(Model):
    password: Text | None = None
    hashedPassword: bool = False


class User(Password):
    fullName: Text
    userName: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_.-]{0,31}$")]
    password: Text


class Root(Password):
    sshPublicKey: Text | None = None


class Reply(Model):
    """An answer to a question; `class` is a word of Python."""

    model_config = ConfigDict(extra="forbid", strict=True)
    class_: Text | None = Field(None, alias="class")
    text: Text | None = None
    answer: Text | None = None
    action: Text | None = None
    password: Text | None = None
    value: Text | None = None
    data: dict[str, Text] = Field(default_factory=dict)


class Questions(Model):
    policy: Literal["auto", "user"] = "user"
    answers: list[Reply] = Field(default_factory=list)


class Bootloader(Model):
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


class Repository(Model):
    alias: Annotated[str, Field(min_length=1, max_length=200)]
    url: Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*:\S+$")]
    name: Text | None = None
    priority: int | None = None
    productDir: Text | None = None
    enabled: bool = True
    allowUnsigned: bool = False
    gpgFingerprints: list[Annotated[str, Field(pattern="^[0-9A-Fa-f ]+$")]] = Field(
        default_factory=list
    )


class PatternChanges(Model):
    add: list[Text] = Field(default_factory=list)
    remove: list[Text] = Field(default_factory=list)


class Software(Model):
    patterns: list[Text] | PatternChanges = Field(default_factory=list)
    packages: list[Text] = Field(default_factory=list)
    onlyRequired: bool | None = None
    extraRepositories: list[Repository] = Field(default_factory=list)


class Certificate(Model):
    fingerprint: Text
    algorithm: Literal["SHA1", "SHA256"]


class Security(Model):
    sslCertificates: list[Certificate] = Field(default_factory=list)


# --- networks ----------------------------------------------------------------------------------


class Bond(Model):
    mode: BondMode | None = None
    options: Text | None = None
    ports: list[Text] = Field(default_factory=list)


class Bridge(Model):
    stp: bool | None = None
    forwardDelay: Count | None = None
    priority: Count | None = None
    maxAge: Count | None = None
    helloTime: Count | None = None
    ports: list[Text] = Field(default_factory=list)


class Vlan(Model):
    id: Annotated[int, Field(ge=1, le=4094)]
    parent: Annotated[str, Field(min_length=1)]
    protocol: Literal["802.1Q", "802.1ad"] = "802.1Q"


class Match(Model):
    kernel: list[Text] = Field(default_factory=list)
    interface: list[Text] = Field(default_factory=list)
    driver: list[Text] = Field(default_factory=list)
    path: list[Text] = Field(default_factory=list)


Method4 = Literal["auto", "manual", "link-local", "disabled"]


class Connection(Model):
    id: Annotated[str, Field(min_length=1, max_length=255)]
    interface: Text | None = None
    customMacAddress: Text | None = None
    macAddress: Mac | None = None
    mtu: Annotated[int, Field(ge=0, le=65535)] | None = None
    method4: Method4 | None = None
    method6: Method4 | None = None
    gateway4: Annotated[str, AfterValidator(lambda t: str(ipaddress.IPv4Address(t)))] | None = None
    gateway6: Annotated[str, AfterValidator(lambda t: str(ipaddress.IPv6Address(t)))] | None = None
    addresses: list[InterfaceAddress] = Field(default_factory=list)
    nameservers: list[Address] = Field(default_factory=list)
    dnsSearchlist: list[Text] = Field(default_factory=list)
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


class Network(Model):
    connections: list[Connection] = Field(default_factory=list)


class Profile(Model):
    """A profile of Agama 16.0; what newer ones have beyond it is refused here as it is there."""

    product: Product
    hostname: Hostname | None = None
    localization: Localization | None = None
    questions: Questions = Field(default_factory=Questions)
    user: User | None = None
    root: Root | None = None
    bootloader: Bootloader | None = None
    software: Software = Field(default_factory=Software)
    storage: Storage | None = None
    network: Network | None = None
    security: Security | None = None
    files: list[File] = Field(default_factory=list)
    scripts: Scripts = Field(default_factory=Scripts)
    iscsi: dict[str, Any] | None = None
    dasd: dict[str, Any] | None = None
    zfcp: dict[str, Any] | None = None
    legacyAutoyastStorage: list[dict[str, Any]] | None = None
