"""The one description that every installer is fed from."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from deployer.core.bootspec import KernelArgument
from deployer.core.disks import DiskRule
from deployer.core.sizes import Size
from deployer.core.text import Block, HostName, Line, Name, check_block

Arch = Literal["x86_64", "arm64", "armhf", "i386"]
Layout = Literal["plain", "lvm", "raid1", "encrypted"]
Hash = Literal["yescrypt", "gost-yescrypt", "bcrypt", "sha512", "sha256"]
# Of crypt(3), by what a hash begins with.
HASHES: dict[str, Hash] = {
    "y": "yescrypt", "gy": "gost-yescrypt", "2a": "bcrypt", "2b": "bcrypt", "2y": "bcrypt",
    "6": "sha512", "5": "sha256",
}  # fmt: skip
# How many disks a layout is made of.
DISKS_OF: dict[Layout, int] = {"plain": 1, "lvm": 1, "raid1": 2, "encrypted": 1}

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}", re.ASCII)
_CRYPT = re.compile(r"\$(y|gy|2[aby]|6|5)\$[A-Za-z0-9./$=,-]{8,400}", re.ASCII)
_KEY = re.compile(
    r"(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)"
    r"@openssh\.com) [A-Za-z0-9+/]{20,}={0,3}( [^\r\n]{0,200})?",
    re.ASCII,
)
# Printable ASCII without blanks and quotes; a name before "@" would be a password in the clear.
_HTTP_URL = re.compile(r"(?=[!-~]+\Z)https?://[^/@\"'\\`<>]+(/[^\"'\\`<>]*)?")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._:@-]{0,127}", re.ASCII)
_LOCALE = re.compile(r"[A-Za-z]{1,8}(_[A-Z]{2})?(\.[A-Za-z0-9-]+)?(@[a-z]+)?", re.ASCII)
_SERVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,127}", re.ASCII)
_GROUP = re.compile(r"\^?[A-Za-z0-9][A-Za-z0-9 ._+-]{0,126}", re.ASCII)
_MOUNT = re.compile(r"/|(/[A-Za-z0-9][A-Za-z0-9._-]{0,63}){1,8}", re.ASCII)
# Each layout makes these itself, or the kernel does.
_NO_MOUNT = {"/boot", "/boot/efi", "/efi", "/proc", "/sys", "/dev", "/run", "/etc", "/usr", "/bin",
             "/sbin", "/lib", "/lib64"}  # fmt: skip
_KEYBOARD = re.compile(r"[a-z]{2,8}(-[a-z0-9]+)*", re.ASCII)


def is_password_hash(text: str) -> bool:
    """Whether crypt(3) made it."""
    return _CRYPT.fullmatch(text) is not None


def kind_of_hash(text: str) -> Hash | None:
    return HASHES.get(text.split("$")[1]) if is_password_hash(text) else None


def _matching(pattern: re.Pattern[str], rule: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(rule)
        return text

    return AfterValidator(check)


# It walks hundreds of files each time, 8 ms; and every snapshot that is read is validated.
_timezones = cache(available_timezones)


def _timezone(text: str) -> str:
    if text not in _timezones():
        raise ValueError("must be a time zone of the IANA database, such as Europe/Zurich")
    return text


def _mount_point(text: str) -> str:
    if not _MOUNT.fullmatch(text):
        raise ValueError("must be an absolute path of plain names, such as /var/lib/docker")
    if text in _NO_MOUNT:
        raise ValueError(f"must not be {text}; the layout, or the system itself, takes care of it")
    return text


def _kernel_argument(text: str) -> str:
    value = KernelArgument.parse(text).value or ""
    # The installed system keeps it in /etc/default/grub, which a shell reads: `$IFS` would end
    # this argument and begin another one.
    if "$" in value:
        raise ValueError("must not hold '$', which a shell would expand")
    return text


UserName = Annotated[
    str, _matching(_USER, "must be a user name: a-z, 0-9, '_' and '-', at most 32, no digit first")
]
PasswordHash = Annotated[
    str, _matching(_CRYPT, "must be a crypt(3) hash such as `mkpasswd -m yescrypt` prints")
]
SshKey = Annotated[
    Line, _matching(_KEY, "must be one OpenSSH public key: type, base64 and an optional comment")
]
# One that is given twice counts once: some installers refuse the second.
SshKeys = Annotated[list[SshKey], AfterValidator(lambda keys: list(dict.fromkeys(keys)))]
Package = Annotated[str, _matching(_PACKAGE, "must be the name of a package")]
Service = Annotated[str, _matching(_SERVICE, "must be the name of a service, such as nginx")]
Port = Annotated[int, Field(ge=1, le=65535)]
PackageGroup = Annotated[
    str, _matching(_GROUP, "must be the name of a group of packages; ^NAME is an environment")
]
MountPoint = Annotated[str, AfterValidator(_mount_point)]
FileSystem = Literal["ext4", "xfs", "btrfs"]
Locale = Annotated[str, _matching(_LOCALE, "must be a locale such as en_US.UTF-8")]
Keyboard = Annotated[str, _matching(_KEYBOARD, "must be a keyboard layout such as us or de-ch")]
TimeZone = Annotated[str, AfterValidator(_timezone)]
HttpUrl = Annotated[
    str,
    _matching(_HTTP_URL, "must be a URL beginning with http:// or https://, without user or blank"),
]
KernelArg = Annotated[str, AfterValidator(_kernel_argument)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SecretRef(_Model):
    """The name of a secret that the service keeps: `deployer secret set NAME`."""

    secret: Name


def named_in(value: Any, place: str) -> dict[str, str]:
    """The secrets that a value names, as in `admin_password: {secret: NAME}`, by their place."""
    if isinstance(value, dict) and list(value) == ["secret"] and isinstance(value["secret"], str):
        return {place: value["secret"]}
    if not isinstance(value, dict | list):
        return {}
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    found: dict[str, str] = {}
    for key, part in parts:
        found |= named_in(part, f"{place}.{key}")
    return found


class Volume(_Model):
    """A file system of its own: a partition, or a logical volume where the layout has them.

    Without `size` it takes what the others leave; that is `/`, unless `/` is given a size.
    """

    mount: MountPoint
    size: Annotated[Size, Field(ge=64 * 1000**2, le=10**15)] | None = None  # bytes
    fs: FileSystem | None = None  # unset: what the system itself would choose


class Storage(_Model):
    """Which disk, and how it is divided; `passphrase` unlocks the layout `encrypted`.

    What a machine needs to boot (an EFI system partition, /boot) is made without being asked for.
    """

    disk: DiskRule = Field(default_factory=DiskRule)
    layout: Layout = "plain"
    passphrase: SecretRef | None = None
    swap: Annotated[Size, Field(le=10**13)] | None = None  # bytes; 0: none; unset: as usual there
    volumes: list[Volume] = Field(default_factory=list, max_length=16)

    def file_systems(self) -> list[Volume]:
        """All of them, `/` first; exactly one has no size."""
        given = {volume.mount: volume for volume in self.volumes}
        root = given.pop("/", Volume(mount="/"))
        return [root, *sorted(given.values(), key=lambda volume: volume.mount)]

    def needs(self, system: int) -> int:
        """Bytes of a disk that holds all of them; `system` is what the system itself takes."""
        sizes = [volume.size or 0 for volume in self.file_systems()]
        asked = sum(sizes) + (self.swap or 0)
        # Beside them stands what a machine needs to boot, and / where it has no size.
        return asked + max(0 if sizes[0] else system, 2 * 10**9) if asked else system

    @model_validator(mode="after")
    def _volumes_add_up(self) -> Storage:
        mounts = [volume.mount for volume in self.volumes]
        if len(mounts) != len(set(mounts)):
            raise ValueError("volumes names one mount point twice; write each once")
        growing = [volume.mount for volume in self.file_systems() if volume.size is None]
        if len(growing) != 1:
            which = " and ".join(growing) or "none of them"
            raise ValueError(
                f"exactly one of volumes takes what the others leave, and here it is {which};"
                " give all but one a size (`/` counts, listed or not)"
            )
        return self

    @model_validator(mode="after")
    def _encryption_has_its_passphrase(self) -> Storage:
        if (self.layout == "encrypted") != (self.passphrase is not None):
            raise ValueError(
                "layout encrypted and passphrase belong together; write"
                " `passphrase: {secret: NAME}`, and `deployer secret set NAME`"
            )
        return self

    @model_validator(mode="after")
    def _rule_can_mean_enough_disks(self) -> Storage:
        count, rule = DISKS_OF[self.layout], self.disk
        for field in ("serial", "wwn", "path"):
            named = getattr(rule, field)
            most = len(named) if isinstance(named, list) else 1
            if named is not None and most < count:
                raise ValueError(
                    f"layout {self.layout} needs {count} disks, and disk.{field} names {most};"
                    f" write `{'serial' if field == 'path' else field}: [..., ...]`"
                )
        return self


class User(_Model):
    """An account on the installed system; without a password hash, its password is locked."""

    name: UserName
    sudo: bool = False
    ssh_keys: SshKeys = Field(default_factory=list, max_length=64)
    password_hash: PasswordHash | SecretRef | None = None
    shell: Line = "/bin/bash"


class Root(_Model):
    """Root is locked unless something is set here."""

    password_hash: PasswordHash | SecretRef | None = None
    ssh_keys: SshKeys = Field(default_factory=list, max_length=64)


class Repository(_Model):
    """A package source beside the mirror; `key` is its armoured public key."""

    name: Name
    url: HttpUrl
    suite: Line | None = None
    components: list[Name] = Field(default_factory=list, max_length=16)
    key: Block | None = None


class Scripts(_Model):
    """Shell of the operator: before the disk is touched, in the new system, at its first boot."""

    pre: Block | None = None
    post: Block | None = None
    first_boot: Block | None = None


class Registration(_Model):
    """With the vendor: RHSM, SUSEConnect, a subscription, Windows' product key.

    `key` is the activation key, registration code or product key; `server` one's own: Satellite,
    RMT, KMS.
    """

    key: SecretRef | None = None
    organization: Line | None = None
    email: Line | None = None
    server: HttpUrl | HostName | None = None


class AnswerFile(_Model):
    """A whole answer file of the operator's, in place of ours; checked as ours are.

    `template`: it holds Jinja2 expressions, and sees what our templates see.
    """

    content: Annotated[str, StringConstraints(max_length=256 * 1024), AfterValidator(check_block)]
    template: bool = False


class CommandCheck(_Model):
    """A command on the installed system: it ends with zero, and prints `expect` somewhere."""

    run: str = Field(min_length=1, max_length=2000)
    expect: str | None = Field(default=None, min_length=1, max_length=1000)


class Verify(_Model):
    """What must be true of the installed system. Always checked are its host name, its static
    addresses, and disk and layout under its root."""

    release: Line | None = None
    packages: list[Package] = Field(default_factory=list, max_length=500)
    services: list[Service] = Field(default_factory=list, max_length=100)
    ports: list[Port] = Field(default_factory=list, max_length=100)
    commands: list[CommandCheck] = Field(default_factory=list, max_length=50)


class ProfileSpec(_Model):
    """A profile as its operator writes it."""

    name: Name
    os: Name
    release: Line
    arch: Arch = "x86_64"
    workflow: Name = "install"
    locale: Locale = "en_US.UTF-8"
    keyboard: Keyboard = "us"
    timezone: TimeZone = "Etc/UTC"
    ntp: list[HostName] = Field(default_factory=list, max_length=8)
    storage: Storage = Field(default_factory=Storage)
    users: list[User] = Field(default_factory=list, max_length=64)
    root: Root = Field(default_factory=Root)
    packages: list[Package] = Field(default_factory=list, max_length=2000)
    package_groups: list[PackageGroup] = Field(default_factory=list, max_length=100)
    mirror: HttpUrl | None = None
    repositories: list[Repository] = Field(default_factory=list, max_length=32)
    proxy: HttpUrl | None = None
    kernel_args: list[KernelArg] = Field(default_factory=list, max_length=24)
    scripts: Scripts = Field(default_factory=Scripts)
    registration: Registration | None = None
    answer_files: dict[Line, AnswerFile] = Field(default_factory=dict, max_length=16)
    vars: dict[str, Any] = Field(default_factory=dict)
    verify: Verify | Literal[False] = Field(default_factory=Verify)

    @model_validator(mode="after")
    def _each_user_once(self) -> ProfileSpec:
        names = [user.name for user in self.users]
        if len(names) != len(set(names)):
            raise ValueError("users names one account twice; put its keys in one entry")
        if "root" in names:
            raise ValueError("users names root; set `root:` instead")
        if "deployer" in names and self.verify is not False:
            # It has no rights and a key of ours; what a profile adds to it, we would have too.
            raise ValueError("users names deployer, the account that we verify with; rename it")
        return self

    def secret_fields(self) -> dict[str, str]:
        """Field → name of the secret of the service that it names; a variable may name one, too."""
        given = {
            "storage.passphrase": self.storage.passphrase,
            "root.password_hash": self.root.password_hash,
            **{f"users.{user.name}.password_hash": user.password_hash for user in self.users},
            "registration.key": self.registration.key if self.registration else None,
        }
        found = {field: ref.secret for field, ref in given.items() if isinstance(ref, SecretRef)}
        for name, value in self.vars.items():
            found |= named_in(value, f"vars.{name}")
        return found

    def secret_names(self) -> list[str]:
        return sorted(set(self.secret_fields().values()))

    def secrets(self) -> list[str]:
        """Values that are never shown: in a dry run they are masked, wherever they turn up."""
        found = [user.password_hash for user in self.users]
        return [text for text in (*found, self.root.password_hash) if isinstance(text, str)]
