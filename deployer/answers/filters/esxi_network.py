"""The kernel NICs of ESXi, of a description's interfaces."""

from __future__ import annotations

import ipaddress
from typing import Any


def network(host: dict[str, Any], mac: str | None) -> dict[str, Any]:
    """Kernel NICs, that of the installer first; ESXi has one IPv4 address on each."""
    boot_mac = mac or host["macs"][0]
    entries = [
        {**nic, "mac": _link(nic, boot_mac)} for nic in host["network"]["interfaces"]
        if nic["bond"] is None
    ] or [{"mac": boot_mac}]  # fmt: skip
    entries.sort(key=lambda nic: (nic["mac"] != boot_mac, nic.get("vlan") is not None))
    if entries[0]["mac"] != boot_mac:
        # Only other NICs are described: the one that it boots from has DHCP, as everywhere.
        entries.insert(0, {"mac": boot_mac})
    nics = [kernel for nic in entries for kernel in _kernel_nics(nic)]
    nics[0]["name"] = "Management Network"
    first = nics[0]
    # The installer wants a gateway with a static address; without one the first boot sets it.
    first["static"] = bool(first["address"] and first["gateway"])
    dns = [server for nic in entries for server in nic.get("dns", [])]
    dns4 = [server for server in dns if ":" not in server]
    given = dns4[:2] if first["static"] else []
    domain = host["network"]["domain"]
    search = [name for nic in entries for name in nic.get("search", [])]
    name = host["name"]
    return {
        "kernel_nics": nics,
        "dns4": dns4,
        "dns": [server for server in dns if server not in given],
        "search": search or ([domain] if domain else []),
        "hostname": name,
        "fqdn": f"{name}.{domain}" if domain and "." not in name else name,
    }


def _link(nic: dict[str, Any], boot_mac: str) -> str:
    return str(nic["vlan"]["link"] if nic.get("vlan") else nic["mac"] or boot_mac)


def _kernel_nics(nic: dict[str, Any]) -> list[dict[str, Any]]:
    found = [ipaddress.ip_interface(text) for text in nic.get("addresses", [])]
    ipv4 = [address for address in found if address.version == 4]
    ipv6 = [str(address) for address in found if address.version == 6]
    gateway = nic.get("gateway")
    gateway4 = gateway if gateway and ":" not in gateway else None
    vlan = nic["vlan"]["id"] if nic.get("vlan") else None
    dhcp = nic["dhcp"] if nic.get("dhcp") is not None else not found
    name = nic.get("name") or f"NIC {nic['mac']}"
    empty = {
        "name": name, "mac": nic["mac"], "vlan": vlan, "mtu": nic.get("mtu"), "dhcp": False,
        "address": None, "netmask": None, "gateway": None, "ipv6": [], "gateway6": None,
        "static": False,
    }  # fmt: skip
    nics = [{**empty, "dhcp": True}] if dhcp or not found else []
    for address in ipv4:
        own = gateway4 if ipaddress.ip_address(gateway4 or "::") in address.network else None
        nics.append(
            {**empty, "address": str(address.ip), "netmask": str(address.netmask), "gateway": own}
        )
    nics = nics or [empty]
    nics[0] |= {"ipv6": ipv6, "gateway6": gateway if gateway and ":" in gateway else None}
    for number, kernel in enumerate(nics[1:], start=2):
        kernel["name"] = f"{name} {number}"
    return nics
