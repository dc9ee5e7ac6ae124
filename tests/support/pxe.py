"""Firmware as DHCP and TFTP servers see it: asks for an address and a file, and reads it."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from dataclasses import dataclass, field

from deployer.netboot import dhcp
from deployer.netboot.dhcp import Reply
from tests.support.netns import Namespace

# What OVMF 2022.11 asks for: mask, router, DNS, server name, file, vendor, class, 128-135.
_ASKED = bytes([1, 3, 6, 15, 43, 54, 60, 66, 67, 128, 129, 130, 131, 132, 133, 134, 135])


@dataclass
class PxeClient:
    """A NIC in `network`, behind its interface eth0. `arch`: option 93; `ipxe`: by user class,
    `ipxe_option`: by its own option 175 alone, as FlexBoot does."""

    network: Namespace
    mac: str = "52:54:00:12:34:56"
    arch: int | None = 7
    http: bool = False
    ipxe: bool = False
    ipxe_option: bool = False
    vendor_class: bytes | None = None
    extra: dict[int, bytes] = field(default_factory=dict)

    def options(self) -> dict[int, bytes]:
        options = {55: _ASKED, 57: struct.pack("!H", 1472)}
        if self.arch is not None:
            kind = "HTTPClient" if self.http else "PXEClient"
            text = f"{kind}:Arch:{self.arch:05d}:UNDI:003016".encode()
            options |= {60: self.vendor_class or text, 93: struct.pack("!H", self.arch),
                        94: b"\x01\x03\x10", 97: b"\0" + b"\x11" * 16}  # fmt: skip
        if self.ipxe:
            options[77] = b"iPXE"
        if self.ipxe or self.ipxe_option:
            options[175] = b"\xb1\x05\x01\x1a\xf4\x10\x00"
        return options | self.extra

    def socket(self, port: int = 68, address: str = "") -> socket.socket:
        return self.network.udp((address, port), None if address else "eth0")

    def discovers(self, patience: float = 2, enough: int = 1) -> list[Reply]:
        """Every offer that comes within `patience` seconds, or the first `enough`."""
        with contextlib.closing(self.socket()) as udp:
            return self._asks(udp, dhcp.DISCOVER, self.options(), patience, enough)

    def boots(self, patience: float = 2) -> Reply:
        """Discover, offer, request, acknowledgement, as a machine that gets all from one server."""
        with contextlib.closing(self.socket()) as udp:
            offer = self._asks(udp, dhcp.DISCOVER, self.options(), patience, 1)[0]
            return self._requests(udp, offer, patience)

    def _requests(self, udp: socket.socket, offer: Reply, patience: float) -> Reply:
        asked = self.options() | {50: offer.address.packed, 54: offer.options[54]}
        return self._asks(udp, dhcp.REQUEST, asked, patience, 1)[0]

    def boots_beside_proxy(self, patience: float = 2) -> tuple[Reply, Reply]:
        """(address, boot file): the lease from one server, and the file from a proxy, which is
        asked on port 4011 when its offer holds none. PXE 2.1, section 2.2.3."""
        with contextlib.closing(self.socket()) as udp:
            offers = self._asks(udp, dhcp.DISCOVER, self.options(), patience, 2)
            lease = next(o for o in offers if int(o.address))
            proxy = next(o for o in offers if not int(o.address))
            ack = self._requests(udp, lease, patience)
            if proxy.file:
                return ack, proxy
            with self.network.has(str(ack.address)):
                asked = self.options() | {54: proxy.options[54]}
                return ack, self._asks(
                    udp, dhcp.REQUEST, asked, patience, 1, (str(proxy.server), 4011),
                    str(ack.address),
                )[0]  # fmt: skip

    def _asks(
        self, udp: socket.socket, kind: int, options: dict[int, bytes], patience: float,
        enough: int, to: tuple[str, int] = ("255.255.255.255", 67), own: str = "0.0.0.0",
    ) -> list[Reply]:  # fmt: skip
        transaction = random.getrandbits(32)
        udp.sendto(dhcp.request(kind, self.mac, transaction, options, own), to)
        found: list[Reply] = []
        end = time.monotonic() + patience
        while len(found) < enough and (left := end - time.monotonic()) > 0:
            udp.settimeout(left)
            with contextlib.suppress(TimeoutError):
                reply = dhcp.parse(udp.recv(4096))
                if reply is not None and reply.transaction == transaction:
                    found.append(reply)
        return found
