"""netplan's YAML, version 2: what may stand in `network:`, and what refers to what.

netplan itself says nothing of a misspelt key until it is applied on the machine, which then has no
network to say so. https://netplan.readthedocs.io/en/stable/netplan-yaml
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from deployer.core.documents import Place

_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", re.ASCII)
_NAME = re.compile(r"[^\s/:]{1,15}", re.ASCII)


class Model(BaseModel):
    """Closed, and strict: `"42"` is no number, and a MAC that YAML reads as a number no text."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=False)


def _mac(text: str) -> str:
    if not _MAC.fullmatch(text):
        raise ValueError("must be a MAC in lower case and quotes, such as '52:54:00:12:34:56'")
    return text


def _interface_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("must be at most 15 characters, without blank, '/' and ':'")
    return text


def _interface(text: str) -> str:
    if "/" not in text:
        raise ValueError("must be an address with its prefix length, such as 10.0.0.7/24")
    ipaddress.ip_interface(text)
    return text


def _address(text: str) -> str:
    ipaddress.ip_address(text)
    return text


def _destination(text: str) -> str:
    if text != "default":
        ipaddress.ip_network(text, strict=False)
    return text


Mac = Annotated[str, AfterValidator(_mac)]
Address = Annotated[str, AfterValidator(_address)]
InterfaceAddress = Annotated[str, AfterValidator(_interface)]
Destination = Annotated[str, AfterValidator(_destination)]
Name = Annotated[str, AfterValidator(_interface_name)]
Milliseconds = int | str


class Match(Model):
    name: str | list[str] | None = None
    macaddress: Mac | None = None
    driver: str | list[str] | None = None


class Nameservers(Model):
    addresses: list[Address] = Field(default_factory=list)
    search: list[str] = Field(default_factory=list)


class Route(Model):
    to: Destination
    via: Address | None = None
    from_: Address | None = Field(default=None, alias="from")
    on_link: bool | None = Field(default=None, alias="on-link")
    metric: int | None = Field(default=None, ge=0)
    type: str | None = None
    scope: Literal["global", "link", "host"] | None = None
    table: int | None = None
    mtu: int | None = None
    congestion_window: int | None = Field(default=None, alias="congestion-window")
    advertised_receive_window: int | None = Field(default=None, alias="advertised-receive-window")
    advertised_mss: int | None = Field(default=None, alias="advertised-mss")


class Policy(Model):
    from_: Destination | None = Field(default=None, alias="from")
    to: Destination | None = None
    table: int
    priority: int | None = None
    mark: int | None = None
    type_of_service: int | None = Field(default=None, alias="type-of-service")


class DhcpOverrides(Model):
    use_dns: bool | None = Field(default=None, alias="use-dns")
    use_ntp: bool | None = Field(default=None, alias="use-ntp")
    send_hostname: bool | None = Field(default=None, alias="send-hostname")
    use_hostname: bool | None = Field(default=None, alias="use-hostname")
    use_mtu: bool | None = Field(default=None, alias="use-mtu")
    hostname: str | None = None
    use_routes: bool | None = Field(default=None, alias="use-routes")
    route_metric: int | None = Field(default=None, alias="route-metric")
    use_domains: bool | str | None = Field(default=None, alias="use-domains")


class AddressOptions(Model):
    label: str | None = Field(default=None, max_length=15)
    lifetime: Literal["forever", 0] | None = None


class Device(Model):
    """What every kind of device may have."""

    renderer: Literal["networkd", "NetworkManager"] | None = None
    dhcp4: bool | None = None
    dhcp6: bool | None = None
    dhcp_identifier: Literal["mac", "duid"] | None = Field(default=None, alias="dhcp-identifier")
    dhcp4_overrides: DhcpOverrides | None = Field(default=None, alias="dhcp4-overrides")
    dhcp6_overrides: DhcpOverrides | None = Field(default=None, alias="dhcp6-overrides")
    addresses: list[InterfaceAddress | dict[InterfaceAddress, AddressOptions]] | None = None
    gateway4: Address | None = None
    gateway6: Address | None = None
    nameservers: Nameservers | None = None
    routes: list[Route] | None = None
    routing_policy: list[Policy] | None = Field(default=None, alias="routing-policy")
    mtu: int | None = Field(default=None, ge=68, le=65535)
    ipv6_mtu: int | None = Field(default=None, alias="ipv6-mtu", ge=1280, le=65535)
    macaddress: Mac | None = None
    optional: bool | None = None
    optional_addresses: list[str] | None = Field(default=None, alias="optional-addresses")
    critical: bool | None = None
    ignore_carrier: bool | None = Field(default=None, alias="ignore-carrier")
    activation_mode: Literal["manual", "off"] | None = Field(default=None, alias="activation-mode")
    accept_ra: bool | None = Field(default=None, alias="accept-ra")
    link_local: list[Literal["ipv4", "ipv6"]] | None = Field(default=None, alias="link-local")
    ipv6_privacy: bool | None = Field(default=None, alias="ipv6-privacy")
    ipv6_address_generation: Literal["eui64", "stable-privacy"] | None = Field(
        default=None, alias="ipv6-address-generation"
    )


class Physical(Device):
    match: Match | None = None
    set_name: Name | None = Field(default=None, alias="set-name")
    wakeonlan: bool | None = None
    emit_lldp: bool | None = Field(default=None, alias="emit-lldp")
    receive_checksum_offload: bool | None = Field(default=None, alias="receive-checksum-offload")
    transmit_checksum_offload: bool | None = Field(default=None, alias="transmit-checksum-offload")
    tcp_segmentation_offload: bool | None = Field(default=None, alias="tcp-segmentation-offload")
    tcp6_segmentation_offload: bool | None = Field(default=None, alias="tcp6-segmentation-offload")
    generic_segmentation_offload: bool | None = Field(
        default=None, alias="generic-segmentation-offload"
    )
    generic_receive_offload: bool | None = Field(default=None, alias="generic-receive-offload")
    large_receive_offload: bool | None = Field(default=None, alias="large-receive-offload")
    virtual_function_count: int | None = Field(default=None, alias="virtual-function-count")


BondMode = Literal[
    "balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb",
    "balance-alb",
]  # fmt: skip


class BondParameters(Model):
    mode: BondMode | None = None
    lacp_rate: Literal["slow", "fast"] | None = Field(default=None, alias="lacp-rate")
    mii_monitor_interval: Milliseconds | None = Field(default=None, alias="mii-monitor-interval")
    min_links: int | None = Field(default=None, alias="min-links")
    transmit_hash_policy: str | None = Field(default=None, alias="transmit-hash-policy")
    ad_select: Literal["stable", "bandwidth", "count"] | None = Field(
        default=None, alias="ad-select"
    )
    all_members_active: bool | None = Field(default=None, alias="all-members-active")
    all_slaves_active: bool | None = Field(default=None, alias="all-slaves-active")
    arp_interval: Milliseconds | None = Field(default=None, alias="arp-interval")
    arp_ip_targets: list[Address] | None = Field(default=None, alias="arp-ip-targets")
    arp_validate: str | None = Field(default=None, alias="arp-validate")
    arp_all_targets: str | None = Field(default=None, alias="arp-all-targets")
    up_delay: Milliseconds | None = Field(default=None, alias="up-delay")
    down_delay: Milliseconds | None = Field(default=None, alias="down-delay")
    fail_over_mac_policy: Literal["none", "active", "follow"] | None = Field(
        default=None, alias="fail-over-mac-policy"
    )
    gratuitous_arp: int | None = Field(default=None, alias="gratuitous-arp")
    packets_per_member: int | None = Field(default=None, alias="packets-per-member")
    packets_per_slave: int | None = Field(default=None, alias="packets-per-slave")
    primary: str | None = None
    primary_reselect_policy: Literal["always", "better", "failure"] | None = Field(
        default=None, alias="primary-reselect-policy"
    )
    resend_igmp: int | None = Field(default=None, alias="resend-igmp")
    learn_packet_interval: Milliseconds | None = Field(default=None, alias="learn-packet-interval")


class Bond(Device):
    interfaces: list[str]
    parameters: BondParameters | None = None


class Vlan(Device):
    id: int = Field(ge=0, le=4094)
    link: str


class BridgeParameters(Model):
    ageing_time: Milliseconds | None = Field(default=None, alias="ageing-time")
    aging_time: Milliseconds | None = Field(default=None, alias="aging-time")
    priority: int | None = None
    port_priority: dict[str, int] | None = Field(default=None, alias="port-priority")
    forward_delay: Milliseconds | None = Field(default=None, alias="forward-delay")
    hello_time: Milliseconds | None = Field(default=None, alias="hello-time")
    max_age: Milliseconds | None = Field(default=None, alias="max-age")
    path_cost: dict[str, int] | None = Field(default=None, alias="path-cost")
    stp: bool | None = None


class Bridge(Device):
    interfaces: list[str] = Field(default_factory=list)
    parameters: BridgeParameters | None = None


class Netplan(Model):
    """Devices of the rarer kinds are taken as they come."""

    version: Literal[2]
    renderer: Literal["networkd", "NetworkManager"] | None = None
    ethernets: dict[str, Physical] = Field(default_factory=dict)
    bonds: dict[str, Bond] = Field(default_factory=dict)
    vlans: dict[str, Vlan] = Field(default_factory=dict)
    bridges: dict[str, Bridge] = Field(default_factory=dict)
    wifis: dict[str, Any] = Field(default_factory=dict)
    tunnels: dict[str, Any] = Field(default_factory=dict)
    vrfs: dict[str, Any] = Field(default_factory=dict)
    dummy_devices: dict[str, Any] = Field(default_factory=dict, alias="dummy-devices")

    def problems(self) -> Iterator[tuple[Place, str]]:
        """What no single device shows: (where, what is wrong)."""
        kinds = ("ethernets", "bonds", "vlans", "bridges", "wifis", "tunnels", "vrfs")
        names = [(kind, name) for kind in kinds for name in getattr(self, kind)]
        known = {name for _, name in names}
        for place, name in names:
            if sum(other == name for _, other in names) > 1:
                yield (place, name), f"two devices are called {name!r}"
        yield from self._unknown_parts(known)
        yield from self._names_without_a_match()

    def _unknown_parts(self, known: set[str]) -> Iterator[tuple[Place, str]]:
        taken: dict[str, str] = {}
        for kind in ("bonds", "bridges"):
            for name, device in getattr(self, kind).items():
                for member in device.interfaces:
                    if member not in known:
                        yield (kind, name, "interfaces"), f"there is no device {member!r}"
                    if member in taken:
                        problem = f"{member!r} is a member of {taken[member]!r} already"
                        yield (kind, name, "interfaces"), problem
                    taken[member] = name
        for name, vlan in self.vlans.items():
            if vlan.link not in known:
                yield ("vlans", name, "link"), f"there is no device {vlan.link!r}"

    def _names_without_a_match(self) -> Iterator[tuple[Place, str]]:
        seen: dict[str, str] = {}
        for name, device in self.ethernets.items():
            mac = device.match.macaddress if device.match else None
            if device.set_name and device.match is None:
                yield (
                    ("ethernets", name, "set-name"),
                    "set-name needs a match, or nothing is renamed",
                )
            if mac and mac in seen:
                yield ("ethernets", name, "match"), f"{seen[mac]!r} matches this MAC already"
            if mac:
                seen[mac] = name
