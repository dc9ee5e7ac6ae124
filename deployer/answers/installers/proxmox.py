"""Proxmox's automated installation: the grammar of answer.toml, by release.

Its own check, `proxmox-auto-install-assistant validate-answer`, comes from Proxmox's repository
alone. Rules: proxmox/pve-installer, proxmox-auto-installer/src/{answer,utils}.rs, up to 9.2. What
it refuses ends in a prompt on the machine, in front of which nobody sits.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    ValidationError,
    model_validator,
)

from deployer.answers.checks import check_scripts, check_shell, finding_at
from deployer.core.families import Answer
from deployer.core.hosts import canonical_mac
from deployer.core.profiles import is_password_hash
from deployer.core.text import check_host_name, is_plain_line
from deployer.errors import Finding

KEYBOARDS = (
    "de", "de-ch", "dk", "en-gb", "en-us", "es", "fi", "fr", "fr-be", "fr-ca", "fr-ch", "hu", "is",
    "it", "jp", "lt", "mk", "nl", "no", "pl", "pt", "pt-br", "se", "si", "tr",
)  # fmt: skip
# Layouts of profiles whose name there is another one.
_KEYBOARD_OF = {
    "us": "en-us", "gb": "en-gb", "uk": "en-gb", "ch": "de-ch", "ch-fr": "fr-ch", "be": "fr-be",
    "ca": "fr-ca", "br": "pt-br",
}  # fmt: skip
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
    keyboard: Literal[KEYBOARDS]  # type: ignore[valid-type]
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
    """The whole file; names are as from 8.4 on, see `_spelled`."""

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


def _spelled(
    given: dict[str, Any], iso: tuple[int, int]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """`given` in today's spelling, and what this ISO would not know: (field, problem)."""
    problems, today = [], dict(given)
    for section, names in _SNAKE.items():
        renamed: dict[str, Any] = {}
        for name, value in _table(given, section).items():
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
        if iso < since and name in _table(today, section):
            problems.append((f"{section}.{name}", f"it is known from {since[0]}.{since[1]} on"))
    if iso < (8, 4) and isinstance(_table(today, "global").get("fqdn"), dict):
        problems.append(("global.fqdn", "a table is known from 8.4 on"))
    return today, problems


def _table(given: dict[str, Any], name: str) -> dict[str, Any]:
    found = given.get(name)
    return found if isinstance(found, dict) else {}


# --- what templates need ----------------------------------------------------------------------


def _as_toml(value: Any) -> str:
    """A value as TOML 1.0 has it. JSON's strings are not always TOML's: U+007F must be escaped."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_as_toml, value))}]"
    if isinstance(value, dict):
        pairs = (f"{_as_toml(str(key))} = {_as_toml(each)}" for key, each in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if value is None:
        raise ValueError("TOML has no value for nothing; leave the line out")
    return '"' + "".join(map(_character, str(value))) + '"'


def _character(one: str) -> str:
    if one in '"\\':
        return "\\" + one
    if 0xD800 <= ord(one) <= 0xDFFF:
        raise ValueError("half a surrogate pair is no character")
    return f"\\u{ord(one):04X}" if ord(one) < 0x20 or ord(one) == 0x7F else one


def _keyboard(layout: str) -> str:
    for name in (layout, layout.split("-")[0]):
        found = _KEYBOARD_OF.get(name, name)
        if found in KEYBOARDS:
            return found
    raise ValueError(f"keyboard: Proxmox has none for {layout!r}; it has {', '.join(KEYBOARDS)}")


def _country(locale: str) -> str:
    found = re.match(r"[a-z]+_([A-Z]{2})", locale)
    return found[1].lower() if found else "us"


def disks(storage: dict[str, Any]) -> dict[str, Any]:
    """The disk rule in the installer's words; ValueError names what it has no words for.

    It compares properties of udev: ID_SERIAL is model and serial, or the serial alone. Two disks
    need two properties, for none can stand there twice: DEVLINKS has the names in /dev/disk/by-id.
    """
    rule = storage["disk"]
    mirrored = storage["layout"] == "raid1"
    if mirrored and storage["swap"] is not None:
        raise ValueError("storage.swap: Proxmox makes none on zfs; remove it from the profile")
    given = {name: rule[name] for name in ("serial", "wwn", "path") if rule[name] is not None}
    if len(given) != 1:
        raise ValueError(
            f"storage.disk: it has {' and '.join(given) or 'neither serial nor wwn'}; Proxmox's"
            " installer takes the first disk that fits one property, so name it by serial or by wwn"
        )
    ((name, value),) = given.items()
    names = value if isinstance(value, list) else [value]
    if len(names) != (2 if mirrored else 1):
        raise ValueError(
            f"storage.disk.{name}: name exactly {2 if mirrored else 1} for this layout"
        )
    if name == "path":
        return {"list": [_device(each) for each in names], "filter": {}}
    words = [_udev(each, name) for each in names]
    keys = ("ID_SERIAL", "DEVLINKS") if name == "serial" else ("ID_WWN", "DEVLINKS")
    globs = [f"*{words[0]}*" if name == "serial" else words[0], *(f"*{w}*" for w in words[1:])]
    return {"list": [], "filter": dict(zip(keys, globs, strict=False))}


def _device(path: str) -> str:
    if not re.fullmatch(r"/dev/[a-z]+[a-z0-9]+", path, re.ASCII):
        raise ValueError(f"storage.disk.path: {path!r} is no device such as /dev/sda")
    return path.removeprefix("/dev/")


def _udev(text: str, field: str) -> str:
    """As udev writes it: blanks become "_". What a glob would take for its own is refused."""
    word = re.sub(r"\s+", "_", text.strip())
    if len(word) < 4 or not re.fullmatch(r"[A-Za-z0-9#+.:=@_-]+", word, re.ASCII):
        raise ValueError(f"storage.disk.{field}: {text!r} cannot be looked for by a glob")
    return word


def network(host: dict[str, Any], mac: str | None) -> dict[str, Any]:
    """What the answer says, and the whole of /etc/network/interfaces where that is not all.

    The installer makes a bridge, vmbr0, on one NIC, with one address; virtual machines need it.
    """
    boot_mac = mac or host["macs"][0]
    domain, name = host["network"]["domain"], host["name"]
    entries = [_entry(nic) for nic in host["network"]["interfaces"]]
    bridge = _bridge(entries, boot_mac)
    others = [_other(entry) for entry in entries if entry is not bridge]
    bonds = [{**e["bond"], "name": e["name"], "mtu": e["mtu"]} for e in entries if e["bond"]]
    answer = _answer(bridge)
    dns = _unique([server for entry in entries for server in entry["dns"]])
    search = _unique([word for entry in entries for word in entry["search"]])
    search = search or ([domain] if domain else [])
    return {
        "fqdn": name if "." in name else f"{name}.{domain or 'localdomain'}",
        "answer": answer,
        "rewrite": bool(others or search or not _is_whole(answer, bridge, dns)),
        "bridge": bridge,
        "port": bridge["name"] or f"@{bridge['mac']}@",
        "ports": _ports(bridge, bonds, others),
        "mtu_of": {bridge["mac"]: bridge["mtu"]},
        "bonds": bonds,
        # What is a bond and nothing more stands among the bonds.
        "others": [each for each in others if not each["bond"]],
        "macs": _unique([mac for entry in [bridge, *entries] for mac in entry["nics"]]),
        "dns": dns,
        "search": search,
        "address": next((a.split("/")[0] for a in bridge["addresses"] if ":" not in a), None),
    }


def _bridge(entries: list[dict[str, Any]], boot_mac: str) -> dict[str, Any]:
    """The entry of the NIC that it boots from, or of the bond that this NIC is a member of."""
    for entry in entries:
        if entry["name"] is None and entry["mac"] in (boot_mac, None):
            entry["mac"], entry["nics"] = boot_mac, [boot_mac]
            return entry
    bonded = (e for e in entries if e["bond"] and boot_mac in e["bond"]["members"])
    return next(bonded, _entry({"mac": boot_mac}))


def _ports(
    bridge: dict[str, Any], bonds: list[dict[str, Any]], others: list[dict[str, Any]]
) -> list[str]:
    """NICs that have nothing of their own, but are a part of something."""
    ports = [bridge["mac"]] if bridge["mac"] else []
    ports += [mac for bond in bonds for mac in bond["members"]]
    ports += [e["vlan"]["link"] for e in others if e["vlan"] and ":" in e["vlan"]["link"]]
    own = {entry["mac"] for entry in others}
    return [mac for mac in _unique(ports) if mac not in own]


def _is_whole(answer: dict[str, Any] | None, bridge: dict[str, Any], dns: list[str]) -> bool:
    """Whether the installer leaves the bridge as it is wanted."""
    if bridge["mtu"] or bridge["bond"]:
        return False
    if answer is None:
        return not bridge["addresses"] and not dns
    return len(bridge["addresses"]) == 1 and dns == [answer["dns"]]


def _entry(nic: dict[str, Any]) -> dict[str, Any]:
    full: dict[str, Any] = {
        "mac": None, "name": None, "bond": None, "vlan": None, "dhcp": None, "addresses": [],
        "gateway": None, "dns": [], "search": [], "mtu": None, **nic,
    }  # fmt: skip
    gateway, vlan = full["gateway"], full["vlan"]
    link = [vlan["link"]] if vlan and ":" in vlan["link"] else []
    members = full["bond"]["members"] if full["bond"] else []
    return {
        **full,
        "by_dhcp": full["dhcp"] if full["dhcp"] is not None else not full["addresses"],
        "ipv6": [address for address in full["addresses"] if ":" in address],
        "gateway4": gateway if gateway and ":" not in gateway else None,
        "gateway6": gateway if gateway and ":" in gateway else None,
        "nics": [*([full["mac"]] if full["mac"] else []), *members, *link],
    }


def _other(entry: dict[str, Any]) -> dict[str, Any]:
    """An interface beside the bridge: `ifname`, and the lines that make it what it is."""
    extra = []
    if vlan := entry["vlan"]:
        link = f"@{vlan['link']}@" if ":" in vlan["link"] else vlan["link"]
        extra = [f"vlan-raw-device {link}", f"vlan-id {vlan['id']}"]
    return {**entry, "ifname": entry["name"] or f"@{entry['mac']}@", "extra": extra}


def _answer(bridge: dict[str, Any]) -> dict[str, Any] | None:
    """Only as a whole: with a gateway and a name server, both of the address's kind."""
    if bridge["bond"] or bridge["by_dhcp"] or not bridge["addresses"] or not bridge["gateway"]:
        return None
    is6 = ":" in bridge["gateway"]
    gateway = ipaddress.ip_address(bridge["gateway"])
    cidr = [a for a in bridge["addresses"] if gateway in ipaddress.ip_interface(a).network]
    cidr = [a for a in cidr if ipaddress.ip_interface(a).ip != _net(a).network_address]
    dns = [server for server in bridge["dns"] if (":" in server) == is6]
    if not cidr or not dns:
        return None
    return {
        "cidr": cidr[0], "dns": dns[0], "gateway": bridge["gateway"], "mac": bridge["mac"],
    }  # fmt: skip


def _net(address: str) -> Any:
    return ipaddress.ip_interface(address).network


def _unique(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


# --- the installer ----------------------------------------------------------------------------


class Proxmox:
    name = "proxmox"
    filters: ClassVar[dict[str, Callable[..., Any]]] = {
        "toml": _as_toml, "proxmox_keyboard": _keyboard, "proxmox_country": _country,
        "proxmox_disks": disks, "proxmox_network": network,
    }  # fmt: skip

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        if answer.format == "shell":
            return [*_first_boot(text, answer.path), *check_scripts(context, _SCRIPTS, answer.path)]
        try:
            given = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
            place = re.search(r"line (\d+)", str(error))
            return [finding_at(answer.path, int(place[1]) if place else None, f"no TOML: {error}")]
        today, problems = _spelled(given, version(context))
        try:
            AnswerToml.model_validate(today)
        except ValidationError as error:
            problems += [_problem(dict(each)) for each in error.errors()]
        problems += _own_rules(today)
        return [finding_at(answer.path, _line(text, field), f"{field}: {said}")
                for field, said in dict.fromkeys(problems)]  # fmt: skip


def _problem(error: dict[str, Any]) -> tuple[str, str]:
    parts = [str(part) for part in error["loc"]]
    said = {"extra_forbidden": "there is no such name, and the installer refuses it",
            "missing": "it is missing"}.get(error["type"], error["msg"])  # fmt: skip
    return ".".join(parts) or "the file", said.removeprefix("Value error, ")


def _own_rules(today: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the installer accepts, and would leave us without a word from the machine."""
    if not isinstance(today.get("post-installation-webhook"), dict):
        yield "post-installation-webhook", "without it nobody hears that the installation is done"
    if not isinstance(today.get("first-boot"), dict):
        yield "first-boot", "without it nobody hears that the new system runs"
    if (
        isinstance(settings := today.get("global"), dict)
        and settings.get("reboot-on-error") is True
    ):
        yield "global.reboot-on-error", "it would hide the error, and start from the network again"


def _line(text: str, field: str) -> int | None:
    """Where the last name of `field` stands first, in either spelling; where its table begins."""
    table, *names = [part.replace("_", "-") for part in field.split(".") if not part.isdigit()]
    begins, inside = None, False
    for number, line in enumerate(text.split("\n"), start=1):
        if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
            opened = header[1].split(".")
            inside = opened[0] == table
            begins = begins or (number if inside else None)
            if inside and names and opened[-1] == names[-1]:
                return number
        elif inside and names:
            key = line.partition("=")[0].replace("_", "-")
            if set(names) & {part.strip(" \t\"'") for part in key.split(".")}:
                return number
    return begins


_LIMIT = 1024 * 1024


def _first_boot(text: str, file: str) -> Iterator[Finding]:
    if not text.startswith("#!"):
        yield finding_at(file, 1, "the first line must name its interpreter, such as #!/bin/bash")
    if len(text.encode("utf-8", "replace")) > _LIMIT:
        yield finding_at(file, None, "it is larger than the installer takes, 1 MiB")
    interpreter = text.split("\n", 1)[0]
    if re.search(r"\b(ba|da)?sh\b", interpreter):
        yield from check_shell(text, "bash" if "bash" in interpreter else "sh", file, file)


_SCRIPTS = {"post": "bash", "first_boot": "bash"}

INSTALLER = Proxmox()
