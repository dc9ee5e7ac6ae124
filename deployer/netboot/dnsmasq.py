"""dnsmasq's configuration as text (dnsmasq 2.90, `man dnsmasq`), from the table of loaders.

Full mode: DHCP and TFTP are ours. Proxy mode: another server gives addresses, we add the boot file
beside it (PXE 2.1, "proxyDHCP"). No DNS in either.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from deployer.core.hosts import canonical_mac
from deployer.netboot.loaders import CLIENTS, Loader, Offer, choose, offers

# Locally administered; our own search for foreign DHCP servers asks under it, and dnsmasq spends no
# address on it (as a proxy it answers all the same).
PROBE_MAC = "02:de:b1:0e:e5:01"
# dnsmasq's own ceiling of 1,000 leases is reached by one storm of unknown machines.
_LEASES = 100_000
# Enough for a room of machines that start together; a read lasts a second or less.
_TRANSFERS = 1000
_HTTP_CODES = [client.code for client in CLIENTS.values() if client.http]


class Mode(StrEnum):
    """Who gives addresses: another server, or we."""

    PROXY = "proxy"
    FULL = "full"


@dataclass(frozen=True)
class Range:
    """Addresses to give out, for one network; `interface` networks may come through relays."""

    first: IPv4Address
    last: IPv4Address
    netmask: IPv4Address
    lease: str = "1h"

    def __str__(self) -> str:
        return f"{self.first},{self.last},{self.netmask},{self.lease}"


@dataclass(frozen=True)
class Plan:
    """Everything that the configuration depends on."""

    interface: str
    address: IPv4Interface  # ours, on that interface
    mode: Mode
    machine_url: str
    tftp_root: Path
    hosts_file: Path
    lease_file: Path
    loaders: Collection[str]  # the files of the image
    loader: Loader = Loader.IPXE
    ranges: tuple[Range, ...] = ()
    router: IPv4Address | None = None
    dns: tuple[IPv4Address, ...] = ()
    known_only: bool = False
    block_size: int | None = None  # None: what interface and client agree on
    secure: frozenset[str] = frozenset()  # NICs whose firmware enforces Secure Boot
    extra: tuple[str, ...] = field(default=())  # lines of the operator's own

    @property
    def pool(self) -> list[tuple[IPv4Address, IPv4Address]]:
        """The ranges of this network itself, not those of relayed ones."""
        network = self.address.network
        return [(r.first, r.last) for r in self.ranges if r.first in network and r.last in network]


def configuration(plan: Plan) -> str:
    """dnsmasq.conf. The same plan gives the same text."""
    parts = (_process(plan), _tftp(plan), _classes(plan), _addresses(plan), _boot(plan), plan.extra)
    return "".join(f"{line}\n" for part in parts for line in part)


def _process(plan: Plan) -> list[str]:
    return [
        "# Written by `deployer netboot`; it is replaced at each start.",
        "port=0",
        f"interface={plan.interface}",
        "except-interface=lo",
        # Also addresses that the interface is given later; and other interfaces stay free.
        "bind-dynamic",
        "keep-in-foreground",
        "pid-file=",
        "log-dhcp",
        "log-facility=-",
        f"dhcp-leasefile={plan.lease_file}",
        f"dhcp-lease-max={_LEASES}",
        f"dhcp-hostsfile={plan.hosts_file}",
        f"dhcp-host={PROBE_MAC},ignore",
    ]


def _tftp(plan: Plan) -> list[str]:
    """Not `tftp-secure`: that demands files which the server's account owns, and ours belong to
    root, so that the server cannot change them."""
    lines = ["enable-tftp", f"tftp-root={plan.tftp_root}", f"tftp-max={_TRANSFERS}"]
    if plan.block_size == 512:
        lines.append("tftp-no-blocksize")
    elif plan.block_size is not None:
        # dnsmasq counts what goes around a block: IPv4, UDP and TFTP headers.
        lines.append(f"tftp-mtu={plan.block_size + 32}")
    return lines


def _classes(plan: Plan) -> list[str]:
    return [
        *(f"dhcp-mac=set:secure,{mac}" for mac in sorted(plan.secure)),
        # The answer to iPXE is another one, or it would load itself for ever. Its user class, and
        # for derivatives that send none, its own option (https://ipxe.org/howto/dhcpd).
        "dhcp-userclass=set:ipxe,iPXE",
        "dhcp-match=set:ipxe,175",
        *(f"dhcp-match=set:arch{code},option:client-arch,{code}" for code in CLIENTS),
    ]


def _addresses(plan: Plan) -> list[str]:
    ignore = ["dhcp-ignore=tag:!known"] if plan.known_only else []
    if plan.mode is Mode.PROXY:
        network = plan.address.network
        return [f"dhcp-range={network.network_address},proxy,{network.netmask}", *ignore]
    options = [f"dhcp-option=option:router,{plan.router or ''}".rstrip(",")]
    options.append(f"dhcp-option=option:dns-server,{','.join(map(str, plan.dns))}".rstrip(","))
    return [
        *(f"dhcp-range={one}" for one in plan.ranges),
        # We alone give addresses here: a machine that comes with an old lease need not wait for
        # its time-out before it asks for a new one.
        "dhcp-authoritative",
        # It would ping an address for three seconds before the first offer, and firmware is not
        # patient: the machine itself asks by ARP whether somebody has the address.
        "no-ping",
        *options,
        *ignore,
    ]


def _boot(plan: Plan) -> list[str]:
    script = f"{plan.machine_url}/boot.ipxe"
    lines = [f"dhcp-boot=tag:ipxe,{script}"]
    for secure, tags in ((False, "tag:!ipxe,tag:!secure"), (True, "tag:!ipxe,tag:secure")):
        for offer in offers(plan.loader, secure, plan.loaders):
            lines += _offer(plan, offer, tags)
    if plan.mode is Mode.PROXY:
        lines += [
            f'pxe-service=tag:ipxe,{client.code},"Deployer",{script}'
            for client in CLIENTS.values()
            if not client.http
        ]
        lines.append("dhcp-pxe-vendor=PXEClient,HTTPClient")
    # HTTP boot looks at no answer that does not say so.
    lines += [f"dhcp-option-force=tag:arch{code},60,HTTPClient" for code in _HTTP_CODES]
    return lines


def _offer(plan: Plan, offer: Offer, tags: str) -> list[str]:
    code, file = offer.client.code, boot_file(plan.machine_url, offer)
    lines = [f"dhcp-boot={tags},tag:arch{code},{file}"]
    # UEFI comes to port 4011 for its file; HTTP boot does not, and wants it in the first answer.
    if plan.mode is Mode.PROXY and not offer.client.http:
        lines.append(f'pxe-service={tags},{code},"Deployer",{file}')
    return lines


def boot_file(machine_url: str, offer: Offer) -> str:
    """What DHCP names: a path below the TFTP root, or for HTTP boot a whole URL."""
    if offer.client.http:
        return f"{machine_url}/images/loaders/{offer.file}"
    return offer.file


@dataclass(frozen=True)
class KnownHost:
    """A NIC that our hosts have."""

    mac: str
    secure_boot: bool = False


def hosts_file(macs: Iterable[str], addresses: Mapping[str, IPv4Address]) -> str:
    """dhcp-hostsfile: one NIC a line, with its address if it has one of its own.

    dnsmasq itself sets the tag `known` for each. No tags of ours: dnsmasq 2.90 (Debian 12) frees
    them twice when it reads the file again after a machine has used one, and aborts.
    """
    lines = (
        f"{mac},{addresses[mac]}\n" if mac in addresses else f"{mac}\n"
        for mac in sorted({canonical_mac(mac) for mac in macs})
    )
    return "".join(lines)


def secure_macs(configuration: str) -> frozenset[str]:
    """The NICs that a configuration of ours gives signed loaders."""
    return frozenset(re.findall(r"^dhcp-mac=set:secure,(\S+)$", configuration, re.MULTILINE))


def read_hosts_file(text: str) -> dict[str, IPv4Address]:
    """The addresses in it."""
    pairs = (line.split(",") for line in text.splitlines())
    return {pair[0]: IPv4Address(pair[1]) for pair in pairs if len(pair) == 2}


def refusals(plan: Plan, secure: bool) -> dict[int, str]:
    """Option 93 → why such a machine is given no loader, for the log at the start."""
    chosen = {code: choose(code, plan.loader, secure, plan.loaders) for code in CLIENTS}
    return {c: one.reason for c, one in chosen.items() if not isinstance(one, Offer)}
