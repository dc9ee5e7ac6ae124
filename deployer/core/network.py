"""How an installed host reaches its network: DHCP or static, per NIC found by MAC."""

from __future__ import annotations

import ipaddress
from typing import Annotated

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


InterfaceAddress = Annotated[str, AfterValidator(_interface_address)]
Address = Annotated[str, AfterValidator(_address)]


class Interface(BaseModel):
    """One NIC; without `mac`, the NIC that the machine installs from."""

    model_config = ConfigDict(extra="forbid")

    mac: Mac | None = None
    dhcp: bool | None = None  # unset: DHCP unless addresses are given
    addresses: list[InterfaceAddress] = Field(default_factory=list, max_length=32)
    gateway: Address | None = None
    dns: list[Address] = Field(default_factory=list, max_length=8)
    search: list[HostName] = Field(default_factory=list, max_length=8)
    mtu: int | None = Field(default=None, ge=576, le=9216)

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
        if sum(1 for i in self.interfaces if i.mac is None) > 1:
            raise ValueError("interfaces has several entries without a mac; give each its mac")
        return self
