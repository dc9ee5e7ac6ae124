"""Disks and networks of a description in the words of Proxmox's installer."""

from __future__ import annotations

import ipaddress
import re
from typing import Any


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
