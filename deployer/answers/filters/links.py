"""The links of a host as an installer needs them: each by itself, what carries others first.

A template asks for them with `host.network | links(mac)`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

_PLAIN: dict[str, Any] = {
    "mac": None, "name": None, "bond": None, "vlan": None, "dhcp": None, "addresses": [],
    "gateway": None, "dns": [], "search": [], "mtu": None,
}  # fmt: skip


def host_of(url: str) -> str:
    """The name or address in a URL; empty when it has none."""
    return urlsplit(url).hostname or ""


def links(network: dict[str, Any], boot_mac: str) -> list[dict[str, Any]]:
    """NICs, then bonds, then VLANs. Each has what `interfaces` says of it, and beside it

    `dhcp`: true or false; `port_of`: the bond that a NIC is part of, or none; `members`: the MACs
    of a bond; `vlans`: the names of those on it; `mtu`: no smaller than that of a VLAN on it.
    """
    given = network["interfaces"] or [{**_PLAIN, "dhcp": True}]
    nics = {nic["mac"] or boot_mac: nic for nic in given if not nic["bond"] and not nic["vlan"]}
    bonds = [nic for nic in given if nic["bond"]]
    vlans = [nic for nic in given if nic["vlan"]]
    ports = {mac: bond["name"] for bond in bonds for mac in bond["bond"]["members"]}
    # A NIC that only carries others has no entry, and no addresses.
    bare = [*ports, *(v["vlan"]["link"] for v in vlans if ":" in v["vlan"]["link"])]
    for mac in bare:
        nics.setdefault(mac, {**_PLAIN, "dhcp": False})
    domain = network["domain"]

    def link(nic: dict[str, Any], key: str, port_of: str | None = None) -> dict[str, Any]:
        on_it = [vlan for vlan in vlans if vlan["vlan"]["link"] == key]
        by_dhcp = not nic["addresses"] if nic["dhcp"] is None else nic["dhcp"]
        # The kernel refuses a VLAN whose packets its carrier cannot carry.
        mtus = [each["mtu"] for each in (nic, *on_it) if each["mtu"]]
        configured = by_dhcp or bool(nic["addresses"])
        return {
            **nic, "dhcp": by_dhcp, "port_of": port_of, "mtu": max(mtus, default=None),
            "vlans": [vlan["name"] for vlan in on_it],
            "members": nic["bond"]["members"] if nic["bond"] else [],
            "search": nic["search"] or ([domain] if domain and configured else []),
        }  # fmt: skip

    made = [link(bond, bond["name"]) for bond in bonds]
    mtu_of = {bond["name"]: bond["mtu"] for bond in made}
    found = [{**link(nic, mac, ports.get(mac)), "mac": mac} for mac, nic in nics.items()]
    for nic in found:  # a bond is as wide as its narrowest port
        nic["mtu"] = mtu_of.get(nic["port_of"], nic["mtu"])
    return [*found, *made, *(link(vlan, "") for vlan in vlans)]
