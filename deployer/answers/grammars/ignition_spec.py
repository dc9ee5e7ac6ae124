"""Ignition's own grammar, spec 3.0 to 3.5, as typed models that know no other key.

https://coreos.github.io/ignition/specs/ and `config/v3_*/types/schema.go` of Ignition. Keys are as
in the JSON. What a later version brought stands in INTRODUCED.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

VERSIONS = ("3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0")
# Where a list is on the way, its entries are meant.
INTRODUCED = {
    "ignition.proxy": "3.1.0",
    "ignition.config.merge.compression": "3.1.0",
    "ignition.config.merge.httpHeaders": "3.1.0",
    "ignition.config.replace.compression": "3.1.0",
    "ignition.config.replace.httpHeaders": "3.1.0",
    "ignition.security.tls.certificateAuthorities.compression": "3.1.0",
    "ignition.security.tls.certificateAuthorities.httpHeaders": "3.1.0",
    "storage.files.contents.httpHeaders": "3.1.0",
    "storage.files.append.httpHeaders": "3.1.0",
    "storage.filesystems.mountOptions": "3.1.0",
    "storage.disks.partitions.resize": "3.2.0",
    "storage.luks": "3.2.0",
    "passwd.users.shouldExist": "3.2.0",
    "passwd.groups.shouldExist": "3.2.0",
    "kernelArguments": "3.3.0",
    "storage.luks.discard": "3.4.0",
    "storage.luks.openOptions": "3.4.0",
    "storage.luks.clevis.tang.advertisement": "3.4.0",
    "storage.luks.cex": "3.5.0",
}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Verification(_Model):
    hash: StrictStr | None = None


class Header(_Model):
    name: StrictStr
    value: StrictStr | None = None


class Resource(_Model):
    source: StrictStr | None = None
    compression: Literal["", "gzip"] | None = None
    httpHeaders: list[Header] = []
    verification: Verification = Verification()


class ConfigMerge(_Model):
    merge: list[Resource] = []
    replace: Resource = Resource()


class Proxy(_Model):
    httpProxy: StrictStr | None = None
    httpsProxy: StrictStr | None = None
    noProxy: list[StrictStr] = []


class Tls(_Model):
    certificateAuthorities: list[Resource] = []


class Security(_Model):
    tls: Tls = Tls()


class Timeouts(_Model):
    httpResponseHeaders: StrictInt | None = Field(default=None, ge=0)
    httpTotal: StrictInt | None = Field(default=None, ge=0)


class Head(_Model):
    version: StrictStr
    config: ConfigMerge = ConfigMerge()
    proxy: Proxy = Proxy()
    security: Security = Security()
    timeouts: Timeouts = Timeouts()


class KernelArguments(_Model):
    shouldExist: list[StrictStr] = []
    shouldNotExist: list[StrictStr] = []


Named = Annotated[str, Field(strict=True, min_length=1)]


class Group(_Model):
    name: Named
    gid: StrictInt | None = None
    passwordHash: StrictStr | None = None
    shouldExist: StrictBool | None = None
    system: StrictBool | None = None


class User(_Model):
    name: Named
    gecos: StrictStr | None = None
    groups: list[StrictStr] = []
    homeDir: StrictStr | None = None
    noCreateHome: StrictBool | None = None
    noLogInit: StrictBool | None = None
    noUserGroup: StrictBool | None = None
    passwordHash: StrictStr | None = None
    primaryGroup: StrictStr | None = None
    sshAuthorizedKeys: list[StrictStr] = []
    shell: StrictStr | None = None
    shouldExist: StrictBool | None = None
    system: StrictBool | None = None
    uid: StrictInt | None = None


class Passwd(_Model):
    groups: list[Group] = []
    users: list[User] = []


class Owner(_Model):
    id: StrictInt | None = None
    name: StrictStr | None = None


class _Node(_Model):
    path: StrictStr
    overwrite: StrictBool | None = None
    user: Owner = Owner()
    group: Owner = Owner()


class Directory(_Node):
    mode: StrictInt | None = Field(default=None, ge=0, le=0o7777)


class File(_Node):
    mode: StrictInt | None = Field(default=None, ge=0, le=0o7777)
    contents: Resource = Resource()
    append: list[Resource] = []


class Link(_Node):
    target: StrictStr | None = None
    hard: StrictBool | None = None


class Partition(_Model):
    label: StrictStr | None = Field(default=None, max_length=36)
    number: StrictInt = Field(default=0, ge=0, le=128)
    sizeMiB: StrictInt | None = Field(default=None, ge=0)
    startMiB: StrictInt | None = Field(default=None, ge=0)
    typeGuid: StrictStr | None = None
    guid: StrictStr | None = None
    resize: StrictBool | None = None
    shouldExist: StrictBool | None = None
    wipePartitionEntry: StrictBool | None = None


class Disk(_Model):
    device: StrictStr
    partitions: list[Partition] = []
    wipeTable: StrictBool | None = None


class Raid(_Model):
    name: Named
    level: StrictStr | None = None
    devices: list[StrictStr] = []
    spares: StrictInt | None = Field(default=None, ge=0)
    options: list[StrictStr] = []


class Filesystem(_Model):
    device: StrictStr
    format: Literal["ext4", "btrfs", "xfs", "vfat", "swap", "none", ""] | None = None
    path: StrictStr | None = None
    label: StrictStr | None = None
    uuid: StrictStr | None = None
    options: list[StrictStr] = []
    mountOptions: list[StrictStr] = []
    wipeFilesystem: StrictBool | None = None


class Tang(_Model):
    url: StrictStr
    thumbprint: StrictStr | None = None
    advertisement: StrictStr | None = None


class ClevisCustom(_Model):
    config: StrictStr | None = None
    needsNetwork: StrictBool | None = None
    pin: Literal["tpm2", "tang", "sss"] | None = None


class Clevis(_Model):
    custom: ClevisCustom = ClevisCustom()
    tang: list[Tang] = []
    threshold: StrictInt | None = Field(default=None, ge=1)
    tpm2: StrictBool | None = None


class Cex(_Model):
    enabled: StrictBool | None = None


class Luks(_Model):
    name: Named
    device: StrictStr | None = None
    label: StrictStr | None = None
    uuid: StrictStr | None = None
    keyFile: Resource = Resource()
    clevis: Clevis = Clevis()
    cex: Cex = Cex()
    discard: StrictBool | None = None
    options: list[StrictStr] = []
    openOptions: list[StrictStr] = []
    wipeVolume: StrictBool | None = None


class Storage(_Model):
    disks: list[Disk] = []
    raid: list[Raid] = []
    luks: list[Luks] = []
    filesystems: list[Filesystem] = []
    directories: list[Directory] = []
    files: list[File] = []
    links: list[Link] = []


class Dropin(_Model):
    name: StrictStr
    contents: StrictStr | None = None


class Unit(_Model):
    name: StrictStr
    enabled: StrictBool | None = None
    mask: StrictBool | None = None
    contents: StrictStr | None = None
    dropins: list[Dropin] = []


class Systemd(_Model):
    units: list[Unit] = []


class Config(_Model):
    """A whole config."""

    ignition: Head
    kernelArguments: KernelArguments = KernelArguments()
    passwd: Passwd = Passwd()
    storage: Storage = Storage()
    systemd: Systemd = Systemd()
