"""Networks as SUSE's installers take them: each NIC has a name of ours, found by its MAC."""

from __future__ import annotations

import ipaddress
from typing import Any

# How many NICs get their name on the kernel line of an Agama installer.
NAMED_NICS = 8
_PLAIN: dict[str, Any] = {
    "mac": None, "dhcp": False, "addresses": [], "gateway": None, "dns": [], "search": [],
    "mtu": None, "port_of": None, "bond": None, "vlan": None,
}  # fmt: skip


def interfaces(host: dict[str, Any], boot_mac: str | None) -> list[dict[str, Any]]:
    """All that the new system configures: NICs first, then what is made of them.

    A NIC is called net0, net1 and so on, in the order of the host's entries. The kernel's own names
    (eth0) would collide: udev renames none to a name that another one still has.
    """
    given = host["network"]["interfaces"] or [{"mac": None, "bond": None, "vlan": None}]
    own = boot_mac or host["macs"][0]
    nics: dict[str, dict[str, Any]] = {}
    for entry in given:
        for mac in _macs(entry, own):
            nics.setdefault(mac, {**_PLAIN, "name": f"net{len(nics)}", "mac": mac})
    made = []
    for entry in given:
        if bond := entry["bond"]:
            ports = [nics[mac] for mac in bond["members"]]
            for port in ports:
                port["port_of"] = entry["name"]
            made.append(
                {**_addressed(entry), "bond": {**bond, "ports": [p["name"] for p in ports]}}
            )
        elif vlan := entry["vlan"]:
            link = vlan["link"]
            parent = nics[link]["name"] if link in nics else link
            made.append({**_addressed(entry), "vlan": {"id": vlan["id"], "parent": parent}})
        else:
            nic = nics[entry["mac"] or own]
            nic.update({**_addressed(entry), "name": nic["name"], "mac": nic["mac"]})
    return [*nics.values(), *made]


def _macs(entry: dict[str, Any], own: str) -> list[str]:
    if bond := entry["bond"]:
        return list(bond["members"])
    if vlan := entry["vlan"]:
        return [vlan["link"]] if ":" in vlan["link"] else []
    return [entry["mac"] or own]


def _addressed(entry: dict[str, Any]) -> dict[str, Any]:
    found = {**_PLAIN, **{name: entry[name] for name in _PLAIN if entry.get(name)}}
    dhcp = entry.get("dhcp")
    uses_dhcp = not found["addresses"] if dhcp is None else dhcp
    return {**found, "name": entry.get("name"), "dhcp": uses_dhcp, "bond": None, "vlan": None}


def linuxrc_network(boot_nic: dict[str, Any], boot_mac: str | None) -> str:
    """How linuxrc reaches us: `ifcfg=MAC=ADDRESS/PREFIX,GATEWAY,NAMESERVER`, or by DHCP.

    https://en.opensuse.org/SDB:Linuxrc: a MAC stands for the interface that has it.
    """
    if boot_mac is None:
        return "netsetup=dhcp"
    address = _with_prefix(boot_nic)
    if address is None:
        return f"ifcfg={boot_mac}=dhcp"
    parts = [address, boot_nic["gateway"] or "", *boot_nic["dns"][:1]]
    return f"ifcfg={boot_mac}={','.join(parts).rstrip(',')}"


def dracut_ifname(host: dict[str, Any], boot_mac: str | None, index: int) -> str:
    """`ifname=net0:MAC` for the NIC of this number, or nothing. dracut.cmdline(7)"""
    names = list(_names(host, boot_mac).items())
    return f"ifname={names[index][1]}:{names[index][0]}" if index < len(names) else ""


def dracut_ip(host: dict[str, Any], boot_mac: str | None, boot_nic: dict[str, Any]) -> str:
    """How dracut reaches us. dracut.cmdline(7)"""
    name = _names(host, boot_mac).get(boot_mac or "", "")
    address = _with_prefix(boot_nic)
    if address is None:
        return f"ip={name}:dhcp" if name else "ip=dhcp"
    interface = ipaddress.ip_interface(address)
    short, gateway = host["name"].split(".")[0], boot_nic["gateway"] or ""
    own, mask = str(interface.ip), str(boot_nic["netmask"] or interface.network.prefixlen)
    if interface.version == 6:
        own, gateway = f"[{own}]", f"[{gateway}]" if gateway else ""
    return f"ip={own}::{gateway}:{mask}:{short}:{name}:none"


def _names(host: dict[str, Any], boot_mac: str | None) -> dict[str, str]:
    """Name by MAC; a NIC that is only booted from has one too."""
    names = {nic["mac"]: nic["name"] for nic in interfaces(host, boot_mac) if nic["mac"]}
    if boot_mac and boot_mac not in names:
        names = {boot_mac: "boot0", **names}
    return names


def _with_prefix(boot_nic: dict[str, Any]) -> str | None:
    if boot_nic["address"] is None:
        return None
    if boot_nic["netmask"] is None:
        return str(boot_nic["address"])
    return ipaddress.ip_interface(f"{boot_nic['address']}/{boot_nic['netmask']}").with_prefixlen
