"""How an installed host reaches its network: DHCP or static, per NIC found by MAC; bonds, VLANs."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from deployer.core.hosts import Mac
from deployer.core.text import HostName


def _interface_address(text: str) -> str:
    if "/" not in text:
        raise ValueError("must be an address with its prefix length, such as 10.0.0.7/24")
    _refuse_zone(text)
    return str(ipaddress.ip_interface(text))


def _address(text: str) -> str:
    _refuse_zone(text)
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address, such as 10.0.0.1") from None


def _refuse_zone(text: str) -> None:
    # Python takes anything for the zone, line breaks too: it would become lines of a unit file.
    if "%" in text:
        raise ValueError("must be without a zone; remove '%' and what follows it")


_INTERFACE_NAME = re.compile(r"[a-z][a-z0-9._-]{0,14}", re.ASCII)
InterfaceAddress = Annotated[str, AfterValidator(_interface_address)]
Address = Annotated[str, AfterValidator(_address)]


def _interface_name(text: str) -> str:
    if not _INTERFACE_NAME.fullmatch(text):
        raise ValueError(
            "must be a name for an interface: at most 15 of a-z, 0-9, '.', '_' and '-', a letter"
            " first (Linux allows no more)"
        )
    return text


InterfaceName = Annotated[str, AfterValidator(_interface_name)]
BondMode = Literal[
    "balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb",
    "balance-alb",
]  # fmt: skip


class Bond(BaseModel):
    """Several NICs as one. https://www.kernel.org/doc/Documentation/networking/bonding.rst"""

    model_config = ConfigDict(extra="forbid")

    members: list[Mac] = Field(min_length=1, max_length=8)
    mode: BondMode = "802.3ad"
    miimon: int = Field(default=100, ge=0, le=10_000)  # milliseconds between looks at the link


class Vlan(BaseModel):
    """A tagged network on `link`: the name of a bond, or the MAC of a NIC."""

    model_config = ConfigDict(extra="forbid")

    id: int = Field(ge=1, le=4094)
    link: InterfaceName | Mac


class Interface(BaseModel):
    """One NIC, found by `mac`; without one, the NIC that the machine installs from.

    With `bond` or `vlan` it is made, not found, and `name` is what it is called.
    """

    model_config = ConfigDict(extra="forbid")

    mac: Mac | None = None
    name: InterfaceName | None = None
    bond: Bond | None = None
    vlan: Vlan | None = None
    dhcp: bool | None = None  # unset: DHCP unless addresses are given
    addresses: list[InterfaceAddress] = Field(default_factory=list, max_length=32)
    gateway: Address | None = None
    dns: list[Address] = Field(default_factory=list, max_length=8)
    search: list[HostName] = Field(default_factory=list, max_length=8)
    mtu: int | None = Field(default=None, ge=576, le=9216)

    @property
    def is_nic(self) -> bool:
        """A piece of hardware, and not made of others."""
        return self.bond is None and self.vlan is None

    def nics(self) -> list[str]:
        """The MACs that this entry names."""
        link = [self.vlan.link] if self.vlan and ":" in self.vlan.link else []
        return [*([self.mac] if self.mac else []), *(self.bond.members if self.bond else []), *link]

    @model_validator(mode="after")
    def _what_is_made_has_a_name(self) -> Interface:
        if self.is_nic:
            if self.name is not None:
                raise ValueError("name is for a bond or a VLAN; a NIC is found by its mac")
            return self
        if self.bond is not None and self.vlan is not None:
            raise ValueError("one entry is a bond or a VLAN; give the VLAN an entry of its own")
        if self.name is None:
            raise ValueError("a bond or a VLAN needs a name, such as bond0 or vlan42")
        if self.mac is not None:
            raise ValueError("a bond or a VLAN has no mac of its own; remove it")
        return self

    @property
    def uses_dhcp(self) -> bool:
        return not self.addresses if self.dhcp is None else self.dhcp

    @model_validator(mode="after")
    def _gateway_is_reachable(self) -> Interface:
        if self.gateway is None:
            return self
        gateway = ipaddress.ip_address(self.gateway)
        nets = [ipaddress.ip_interface(a).network for a in self.addresses]
        if not gateway.is_link_local and not any(gateway in net for net in nets):
            raise ValueError(
                f"gateway {self.gateway} is in none of this interface's networks"
                f" ({', '.join(map(str, nets)) or 'no addresses are set'});"
                " correct the gateway or the prefix length"
            )
        return self


class Network(BaseModel):
    """All NICs that the installed system configures; empty means DHCP on the boot NIC."""

    model_config = ConfigDict(extra="forbid")

    interfaces: list[Interface] = Field(default_factory=list, max_length=32)
    domain: HostName | None = None

    @model_validator(mode="after")
    def _each_nic_once(self) -> Network:
        macs = [i.mac for i in self.interfaces if i.mac]
        if len(macs) != len(set(macs)):
            raise ValueError("interfaces names one MAC twice; put its addresses in one entry")
        if sum(1 for i in self.interfaces if i.mac is None and i.is_nic) > 1:
            raise ValueError("interfaces has several entries without a mac; give each its mac")
        return self

    @model_validator(mode="after")
    def _what_is_made_fits_together(self) -> Network:
        made = [i.name for i in self.interfaces if i.name]
        if len(made) != len(set(made)):
            raise ValueError("interfaces names one bond or VLAN twice; give each its own name")
        members = [mac for i in self.interfaces if i.bond for mac in i.bond.members]
        nics = {i.mac for i in self.interfaces if i.mac}
        for mac in members:
            if members.count(mac) > 1 or mac in nics:
                raise ValueError(
                    f"{mac} is a member of a bond; it must be in one bond, and have no entry of its"
                    " own in interfaces"
                )
        bonds = {i.name for i in self.interfaces if i.bond}
        for vlan in (i.vlan for i in self.interfaces if i.vlan):
            if vlan.link in members:
                raise ValueError(f"vlan.link {vlan.link} is a member of a bond; name the bond")
            if ":" not in vlan.link and vlan.link not in bonds:
                known = ", ".join(sorted(str(name) for name in bonds)) or "it has none"
                raise ValueError(
                    f"vlan.link {vlan.link} is no bond of this host ({known}); name one, or the MAC"
                    " of a NIC"
                )
        return self

    @model_validator(mode="after")
    def _a_vlan_fits_into_its_link(self) -> Network:
        mtus = {i.name or i.mac: i.mtu for i in self.interfaces}
        for vlan in (i for i in self.interfaces if i.vlan and i.mtu):
            link = vlan.vlan.link if vlan.vlan else None
            if (most := mtus.get(link)) and vlan.mtu and vlan.mtu > most:
                raise ValueError(
                    f"{vlan.name} has mtu {vlan.mtu}, and its link {link} only {most}; the kernel"
                    " refuses that: raise the one or lower the other"
                )
        return self
