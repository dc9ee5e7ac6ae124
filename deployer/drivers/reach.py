"""Which addresses we may connect to, decided on the very address that is then used (T073)."""

from __future__ import annotations

import ipaddress
import socket

from deployer.errors import DriverError, DriverRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


# The settings that say where BMCs, and where chats and other receivers, may be.
POWER = "DEPLOYER_POWER_NETWORKS"
RECEIVERS = "DEPLOYER_CHAT_NETWORKS"


def addresses(host: str, port: int, networks: str, setting: str = POWER) -> list[str]:
    """Numeric addresses of `host` that may be reached; `setting` is where `networks` come from.

    DriverError when the name is unknown just now, DriverRefused when no address of it is allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DriverError(f"the name {host} has no address: {error}") from None
    texts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    allowed = [text for text in texts if is_allowed(text, networks)]
    if not allowed:
        raise DriverRefused(
            f"{host} is {texts[0]}, which may not be connected to", value=host,
            remedy=f"correct the address, or allow its network in {setting}",
        )  # fmt: skip
    return allowed


def is_allowed(text: str, networks: str) -> bool:
    """`networks` are comma-separated; empty: all but loopback, link-local and the like."""
    address = _meant(ipaddress.ip_address(text.partition("%")[0]))
    listed = [
        ipaddress.ip_network(n.strip(), strict=False) for n in networks.split(",") if n.strip()
    ]
    if listed:
        return any(address in network for network in listed)
    return not (
        address.is_loopback or address.is_link_local or address.is_multicast
        or address.is_unspecified
    )  # fmt: skip


def _meant(address: Address) -> Address:
    """IPv4 that is dressed up as IPv6; Python 3.11 does not call ::ffff:127.0.0.1 loopback."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
