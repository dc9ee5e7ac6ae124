"""An address of its own for each NIC that we know, so that no two machines are offered the same.

dnsmasq 2.90 sets an address aside when it is taken, not when it is offered, unless it pings each
first, for three seconds and six at a time. When a room of machines starts, many are offered one and
the same, and all but one are turned away. Strangers still take that chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv4Address

# The rest of the addresses stays for strangers.
_SHARE = 0.8


@dataclass
class Reservations:
    """`pool`: (first, last) of each range; what is given stays given, because machines use it."""

    pool: Sequence[tuple[IPv4Address, IPv4Address]]
    never: frozenset[IPv4Address] = frozenset()
    given: dict[str, IPv4Address] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._sizes = [int(last) - int(first) + 1 for first, last in self.pool]
        # From an earlier run, whose ranges may have been others.
        self.given = {mac: a for mac, a in self.given.items() if self._holds(a)}

    def renew(self, macs: Iterable[str], leases: Mapping[IPv4Address, str]) -> None:
        """Give one to each of `macs` for as long as there are some, and take back from others.

        `leases`: who has which address just now; nobody is given what another one has.
        """
        known = sorted(set(macs))
        self.given = {mac: self.given[mac] for mac in known if mac in self.given}
        taken = set(self.given.values()) | self.never
        own = {mac: address for address, mac in leases.items() if self._holds(address)}
        room = int(sum(self._sizes) * _SHARE)
        for mac in known:
            if mac in self.given or len(self.given) >= room:
                continue
            address = own.get(mac)
            if address is None or address in taken:
                address = self._free(mac, taken, leases)
            if address is not None:
                self.given[mac] = address
                taken.add(address)

    def _free(
        self, mac: str, taken: set[IPv4Address], leases: Mapping[IPv4Address, str]
    ) -> IPv4Address | None:
        """Near a place that the MAC alone decides: mostly the same after a loss of all files."""
        total = sum(self._sizes)
        start = int.from_bytes(sha256(mac.encode()).digest()[:8], "big")
        for step in range(total):
            address = self._nth((start + step) % total)
            if address not in taken and leases.get(address, mac) == mac:
                return address
        return None

    def _nth(self, number: int) -> IPv4Address:
        for (first, _), size in zip(self.pool, self._sizes, strict=True):
            if number < size:
                return first + number
            number -= size
        raise IndexError(number)

    def _holds(self, address: IPv4Address) -> bool:
        return any(first <= address <= last for first, last in self.pool)


def leases(text: str) -> dict[IPv4Address, str]:
    """dnsmasq's lease file: expiry, MAC, address, name, client id."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 5:
            try:
                found[IPv4Address(words[2])] = words[1].lower()
            except ValueError:
                continue
    return found
