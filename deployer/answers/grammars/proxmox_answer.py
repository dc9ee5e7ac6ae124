"""Proxmox's automated installation: the grammar of answer.toml, by release.

Its own check, `proxmox-auto-install-assistant validate-answer`, comes from Proxmox's repository
alone. Rules: proxmox/pve-installer, proxmox-auto-installer/src/{answer,utils}.rs, up to 9.2. What
it refuses ends in a prompt on the machine, in front of which nobody sits.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    model_validator,
)

from deployer.core.hosts import canonical_mac
from deployer.core.profiles import is_password_hash
from deployer.core.text import check_host_name, is_plain_line

_Keyboard = Literal[
    "de", "de-ch", "dk", "en-gb", "en-us", "es", "fi", "fr", "fr-be", "fr-ca", "fr-ch", "hu", "is",
    "it", "jp", "lt", "mk", "nl", "no", "pl", "pt", "pt-br", "se", "si", "tr",
]  # fmt: skip
KEYBOARDS: tuple[str, ...] = get_args(_Keyboard)
_Glob = Annotated[str, Field(min_length=1, max_length=500)]
# Whole numbers too.
_Size = Annotated[StrictFloat, Field(gt=0, le=10**6)]
_SizeOrNone = Annotated[StrictFloat, Field(ge=0, le=10**6)]
_FEWEST = {
    "raid0": 1, "raid1": 2, "raid10": 4, "raidz-1": 3, "raidz-2": 4, "raidz-3": 5,
}  # fmt: skip


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", alias_generator=lambda name: name.replace("_", "-"), populate_by_name=False
    )


def _rule(check: Any) -> AfterValidator:
    return AfterValidator(check)


def _fqdn(text: str) -> str:
    check_host_name(text.lower())
    if "." not in text:
        raise ValueError("needs a domain part, such as pve1.example.org")
    return text


def _mail(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", text):
        raise ValueError("is no mail address")
    return text


def _time_zone(text: str) -> str:
    """Of zone.tab, which has places alone, and UTC."""
    if text != "UTC" and (not re.fullmatch(r"[A-Z][A-Za-z]+(/[A-Za-z0-9_+-]+){1,2}", text)):
        raise ValueError("must be a place such as Europe/Zurich, or UTC")
    if text.startswith("Etc/"):
        raise ValueError("must be a place such as Europe/Zurich, or UTC: its list has no Etc/")
    return text


def _crypt(text: str) -> str:
    if not is_password_hash(text):
        raise ValueError("is no crypt(3) hash; `mkpasswd -m yescrypt` makes one")
    return text


def _key(text: str) -> str:
    if not is_plain_line(text) or len(text.split()) < 2:
        raise ValueError("is no OpenSSH public key")
    return text


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[!-~]+", text, re.ASCII):
        raise ValueError("must be a URL beginning with http:// or https://")
    return text


def _fingerprint(text: str) -> str:
    if not re.fullmatch(r"([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}", text, re.ASCII):
        raise ValueError("must be the SHA-256 of the certificate: 32 bytes in hex, with colons")
    return text


def _nic_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{1,14}", text, re.ASCII):
        raise ValueError("must be 2 to 15 letters, digits and '_', a letter first")
    return text


Url = Annotated[str, _rule(_url)]
Fingerprint = Annotated[str, _rule(_fingerprint)]


class FqdnFromDhcp(_Model):
    source: Literal["from-dhcp"]
    domain: str | None = None


class Global(_Model):
    keyboard: _Keyboard
    country: Annotated[str, Field(pattern=r"^[a-z]{2}$")]
    fqdn: Annotated[str, _rule(_fqdn)] | FqdnFromDhcp
    mailto: Annotated[str, _rule(_mail)]
    timezone: Annotated[str, _rule(_time_zone)]
    root_password: str | None = None
    root_password_hashed: Annotated[str, _rule(_crypt)] | None = None
    root_ssh_keys: list[Annotated[str, _rule(_key)]] = Field(default_factory=list)
    reboot_on_error: StrictBool = False
    reboot_mode: Literal["reboot", "power-off"] = "reboot"
    subscription_key: str | None = None

    @model_validator(mode="after")
    def _one_password(self) -> Global:
        if self.root_password is not None:
            raise ValueError(
                "root-password is in the clear; write root-password-hashed, as"
                " `mkpasswd -m yescrypt` prints it"
            )
        if self.root_password_hashed is None:
            raise ValueError("there is no root-password-hashed, and root must have a password")
        return self


class Pinning(_Model):
    enabled: StrictBool
    mapping: dict[str, Annotated[str, _rule(_nic_name)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _macs_and_names(self) -> Pinning:
        for mac in self.mapping:
            if canonical_mac(mac) != mac:
                raise ValueError(f"mapping: {mac} must be in lower case (9.1.7 and older)")
        names = list(self.mapping.values())
        if len(names) != len(set(names)):
            raise ValueError("mapping gives two NICs one name")
        return self


class Network(_Model):
    source: Literal["from-dhcp", "from-answer"] = "from-dhcp"
    cidr: str | None = None
    dns: str | None = None
    gateway: str | None = None
    filter: dict[str, _Glob] | None = None
    interface_name_pinning: Pinning | None = None

    @model_validator(mode="after")
    def _all_or_nothing(self) -> Network:
        given = {name: getattr(self, name) for name in ("cidr", "dns", "gateway", "filter")}
        if self.source == "from-dhcp":
            if present := [name for name, value in given.items() if value is not None]:
                raise ValueError(f"with from-dhcp there must be no {present[0]}")
            return self
        if missing := [name for name, value in given.items() if not value]:
            raise ValueError(f"from-answer needs {missing[0]}")
        self._addresses(str(self.cidr), str(self.dns), str(self.gateway))
        _one_key(self.filter or {}, "the NIC")
        return self

    def _addresses(self, cidr: str, dns: str, gateway: str) -> None:
        if "/" not in cidr:
            raise ValueError("cidr needs its prefix length, such as 10.0.0.2/24")
        own = _parsed("cidr", cidr, ipaddress.ip_interface)
        router = _parsed("gateway", gateway, ipaddress.ip_address)
        _parsed("dns", dns, ipaddress.ip_address)
        net = own.network
        if own.ip == net.network_address and net.prefixlen < net.max_prefixlen - 1:
            raise ValueError(f"cidr {cidr} is the network itself, not an address in it")
        if router not in net and not router.is_link_local:
            raise ValueError(f"gateway {gateway} is not in {net}")


def _parsed(name: str, text: str, parse: Any) -> Any:
    try:
        return parse(text)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is no address") from None


def _one_key(filters: dict[str, str], what: str) -> None:
    """The first device that matches any of them is taken, whatever filter-match says."""
    if len(filters) != 1:
        raise ValueError(f"filter must have one key for {what}: the first that fits any is taken")
    _globs(filters)


def _globs(filters: dict[str, str]) -> None:
    for name, glob in filters.items():
        if not glob.strip("*?"):
            raise ValueError(f"filter.{name}: {glob!r} fits every device")


class Zfs(_Model):
    raid: Literal["raid0", "raid1", "raid10", "raidz-1", "raidz-2", "raidz-3"]
    ashift: Annotated[StrictInt, Field(ge=9, le=16)] | None = None
    arc_max: Annotated[StrictInt, Field(ge=0)] | None = Field(default=None, alias="arc_max")
    checksum: Literal["on", "fletcher4", "sha256"] | None = None
    compress: Literal["on", "off", "lzjb", "lz4", "zle", "gzip", "zstd"] | None = None
    copies: Annotated[StrictInt, Field(ge=1, le=3)] | None = None
    hdsize: _Size | None = None


class Lvm(_Model):
    hdsize: _Size | None = None
    swapsize: _SizeOrNone | None = None
    maxroot: _SizeOrNone | None = None
    maxvz: _SizeOrNone | None = None
    minfree: _SizeOrNone | None = None

    @model_validator(mode="after")
    def _swap_fits(self) -> Lvm:
        if self.hdsize is not None and (self.swapsize or 0) >= self.hdsize:
            raise ValueError("swapsize must be smaller than hdsize")
        return self


class Btrfs(_Model):
    raid: Literal["raid0", "raid1", "raid10"]
    hdsize: _Size | None = None
    compress: Literal["on", "off", "zlib", "lzo", "zstd"] | None = None


class DiskSetup(_Model):
    filesystem: Literal["ext4", "xfs", "zfs", "btrfs"]
    disk_list: list[Annotated[str, Field(min_length=1)]] | None = None
    filter: dict[str, _Glob] | None = None
    filter_match: Literal["any", "all"] | None = None
    zfs: Zfs | None = None
    lvm: Lvm | None = None
    btrfs: Btrfs | None = None

    @model_validator(mode="after")
    def _disks_are_named(self) -> DiskSetup:
        if bool(self.disk_list) == bool(self.filter):
            raise ValueError("needs either disk-list or filter, and not both")
        for name in self.disk_list or []:
            if not re.fullmatch(r"(/dev/)?[a-z]+[a-z0-9]+", name, re.ASCII):
                raise ValueError(f"disk-list: {name!r} is no name such as sda or nvme0n1")
        if len(set(self.disk_list or [])) != len(self.disk_list or []):
            raise ValueError("disk-list names one disk twice")
        _globs(self.filter or {})
        return self

    @model_validator(mode="after")
    def _fits_the_file_system(self) -> DiskSetup:
        own = "lvm" if self.filesystem in ("ext4", "xfs") else self.filesystem
        for name in ("zfs", "lvm", "btrfs"):
            if name != own and getattr(self, name) is not None:
                raise ValueError(f"{name} does not go with filesystem {self.filesystem}")
        if own == "lvm":
            if len(self.disk_list or [""]) != 1:
                raise ValueError(f"{self.filesystem} goes on one disk")
            if self.filter:
                _one_key(self.filter, "the disk")
            return self
        options = self.zfs if own == "zfs" else self.btrfs
        if options is None:
            raise ValueError(f"{own}.raid is not set")
        self._enough(options.raid)
        return self

    def _enough(self, raid: str) -> None:
        """Of a filter nobody knows beforehand how many it finds."""
        fewest = _FEWEST[raid]
        if self.disk_list and len(self.disk_list) < fewest:
            raise ValueError(
                f"{raid} needs {fewest} disks, and disk-list has {len(self.disk_list)}"
            )
        if self.disk_list and raid == "raid10" and len(self.disk_list) % 2:
            raise ValueError("raid10 needs an even number of disks")


class Webhook(_Model):
    url: Url
    cert_fingerprint: Fingerprint | None = None


class FirstBoot(_Model):
    source: Literal["from-iso", "from-url"]
    ordering: Literal["before-network", "network-online", "fully-up"] = "fully-up"
    url: Url | None = None
    cert_fingerprint: Fingerprint | None = None

    @model_validator(mode="after")
    def _url_where_it_is_from(self) -> FirstBoot:
        if (self.source == "from-url") != (self.url is not None):
            raise ValueError("from-url needs url, and from-iso has none")
        return self


class AnswerToml(_Model):
    """The whole file; names are as from 8.4 on, see `spelled`."""

    global_: Global = Field(alias="global")
    network: Network
    disk_setup: DiskSetup
    post_installation_webhook: Webhook | None = None
    first_boot: FirstBoot | None = None


# --- by release -------------------------------------------------------------------------------
# ISO → names that it does not know yet. Changelog of pve-installer.
_SINCE = {
    ("global", "reboot-mode"): (8, 4), ("global", "subscription-key"): (9, 2),
    ("network", "interface-name-pinning"): (9, 1),
}  # fmt: skip
# Only here 8.3 wants "_": everywhere else, names have had "-" from the start, or no such sign.
_SNAKE = {
    "global": {"root_password", "root_password_hashed", "root_ssh_keys", "reboot_on_error"},
    "disk-setup": {"disk_list", "filter_match"},
}


def version(context: dict[str, Any]) -> tuple[int, int]:
    """The ISO's own, where its manifest says one; else the oldest of the release."""
    given = str((context["image"] or {}).get("release", ""))
    if found := re.match(r"(\d{1,3})\.(\d{1,3})", given):
        return int(found[1]), int(found[2])
    oldest = {"8": (8, 3), "9": (9, 0)}
    return oldest.get(context["release"]["version"], (9, 0))


def spelled(
    given: dict[str, Any], iso: tuple[int, int]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """`given` in today's spelling, and what this ISO would not know: (field, problem)."""
    problems, today = [], dict(given)
    for section, names in _SNAKE.items():
        renamed: dict[str, Any] = {}
        for name, value in table(given, section).items():
            modern = name.replace("_", "-") if name in names else name
            field = f"{section}.{name}"
            if iso < (8, 4) and name.replace("-", "_") in names and name != name.replace("-", "_"):
                problems.append((field, f"8.3 knows it as {name.replace('-', '_')} alone"))
            if modern in renamed:
                problems.append((field, "it is written twice, in both spellings"))
            renamed[modern] = value
        if renamed:
            today[section] = renamed
    for (section, name), since in _SINCE.items():
        if iso < since and name in table(today, section):
            problems.append((f"{section}.{name}", f"it is known from {since[0]}.{since[1]} on"))
    if iso < (8, 4) and isinstance(table(today, "global").get("fqdn"), dict):
        problems.append(("global.fqdn", "a table is known from 8.4 on"))
    return today, problems


def table(given: dict[str, Any], name: str) -> dict[str, Any]:
    found = given.get(name)
    return found if isinstance(found, dict) else {}
