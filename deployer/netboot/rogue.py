"""Looks for DHCP servers that are not ours: asks as a machine would, and sees who answers.

Nothing can prevent such a server; but it must not stay unnoticed (THREATS T028).
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from deployer.errors import ConfigurationError
from deployer.netboot import dhcp
from deployer.netboot.dnsmasq import PROBE_MAC, Mode
from deployer.netboot.loaders import CLIENTS

# Asked in turn: a server may answer one kind of firmware and not the other.
_ASKED = (7, 0)
_WAIT = 2.0
# So many looks in a row without it, and it counts as gone.
_GONE_AFTER = 3


@dataclass(frozen=True)
class Foreign:
    """A server that answers beside us. `file`: what it would have a machine boot."""

    server: str
    file: str
    gives_addresses: bool

    def __str__(self) -> str:
        what = f", and names the boot file {self.file}" if self.file else ""
        does = "gives addresses" if self.gives_addresses else "answers PXE"
        return f"another DHCP server, {self.server}, {does} here{what}"


@dataclass
class Watch:
    """`look()` returns one when it is seen for the first time; `seen`: all that are there now."""

    interface: str
    own: str
    mode: Mode
    allowed: Collection[str] = ()
    every: float = 60.0
    wait: float = _WAIT
    _missed: dict[Foreign, int] = field(default_factory=dict)
    _answers: list[dhcp.Reply] | None = None
    _thread: threading.Thread | None = None
    _next: float = 0.0
    _turn: int = 0

    @property
    def seen(self) -> list[Foreign]:
        return sorted(self._missed, key=lambda one: one.server)

    def look(self, now: float) -> Foreign | None:
        """Called often; asks every `every` seconds, in a thread of its own."""
        if self._thread is not None and not self._thread.is_alive():
            self._thread, answers = None, self._answers or []
            return self._judge(answers)
        if self._thread is None and now >= self._next:
            self._next = now + self.every
            self._turn += 1
            self._thread = threading.Thread(target=self._ask, daemon=True)
            self._thread.start()
        return None

    def _ask(self) -> None:
        self._answers = []
        with suppress(OSError):  # the interface is down; dnsmasq says so itself
            self._answers = ask(self.interface, _ASKED[self._turn % len(_ASKED)], self.wait)

    def _judge(self, answers: Collection[dhcp.Reply]) -> Foreign | None:
        found = {one for reply in answers if (one := foreign(reply, self))}
        fresh = [one for one in found if one not in self._missed]
        for one in list(self._missed):
            self._missed[one] += 1
            if self._missed[one] >= _GONE_AFTER * len(_ASKED):
                del self._missed[one]
        self._missed |= dict.fromkeys(found, 0)
        return fresh[0] if fresh else None


def foreign(reply: dhcp.Reply, watch: Watch) -> Foreign | None:
    """A server that should not be there. Beside a proxy one that gives addresses is expected, but
    it must not name a boot file."""
    server = str(reply.server or "")
    if not server or server == watch.own or server in watch.allowed:
        return None
    boots = bool(reply.file) or reply.vendor_class in ("PXEClient", "HTTPClient")
    if watch.mode is Mode.PROXY and not boots:
        return None
    return Foreign(server, reply.file, bool(int(reply.address)))


def ask(interface: str, arch: int, wait: float = _WAIT) -> list[dhcp.Reply]:
    """Every answer to one question of ours; takes `wait` seconds."""
    transaction = random.getrandbits(32)
    vendor = f"PXEClient:Arch:{CLIENTS[arch].code:05d}:UNDI:003016"
    options = {
        55: bytes([1, 3, 6, 43, 54, 60, 66, 67]), 57: struct.pack("!H", 1472),
        60: vendor.encode(), 93: struct.pack("!H", arch), 94: b"\x01\x03\x10",
        97: b"\0" + random.randbytes(16),
    }  # fmt: skip
    found = []
    with _socket(interface) as udp:
        packet = dhcp.request(dhcp.DISCOVER, PROBE_MAC, transaction, options)
        udp.sendto(packet, ("255.255.255.255", 67))
        end = time.monotonic() + wait
        while (left := end - time.monotonic()) > 0:
            udp.settimeout(left)
            try:
                reply = dhcp.parse(udp.recv(4096))
            except TimeoutError:
                break
            if reply is not None and reply.transaction == transaction and reply.kind == dhcp.OFFER:
                found.append(reply)
    return found


@contextmanager
def _socket(interface: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        udp.bind(("", 68))
        yield udp


def check_interface(name: str) -> None:
    try:
        socket.if_nametoindex(name)
    except OSError:
        names = ", ".join(n for _, n in socket.if_nameindex() if n != "lo")
        raise ConfigurationError(
            f"there is no interface {name!r} here", field="--interface", value=name,
            remedy=f"choose one of: {names}",
        ) from None  # fmt: skip
