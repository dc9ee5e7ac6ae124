"""A TFTP client (RFC 1350, options of RFC 2347-2349) over a socket of any namespace."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass, field

from tests.support.netns import Namespace

_READ, _WRITE, _DATA, _ACK, _ERROR, _OPTIONS = range(1, 7)
# Error codes of RFC 1350 and RFC 2347.
NOT_FOUND, ACCESS, ILLEGAL, ABORTED = 1, 2, 4, 8


class TftpError(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"TFTP error {code}: {text}")
        self.code = code


@dataclass
class Transfer:
    content: bytes = b""
    options: dict[str, int] = field(default_factory=dict)
    blocks: int = 0


@dataclass
class TftpClient:
    """`network` must have an address by now."""

    network: Namespace
    server: str
    patience: float = 2

    def reads(self, name: str, **options: int) -> Transfer:
        """The file, with these options asked for; TftpError when the server refuses."""
        return self._transfer(name, options, last_block=None)

    def asks_the_size(self, name: str) -> int:
        """As UEFI does before it reads: asks for the size, and breaks off with error 8."""
        with contextlib.closing(self.network.udp()) as udp:
            udp.settimeout(self.patience)
            udp.sendto(_request(_READ, name, {"tsize": 0, "blksize": 1468}), (self.server, 69))
            packet, peer = udp.recvfrom(65536)
            udp.sendto(struct.pack("!HH", _ERROR, ABORTED) + b"User aborted the transfer\0", peer)
            return _options(packet)["tsize"]

    def goes_silent(self, name: str, after: int = 1) -> Transfer:
        """Acknowledges `after` blocks, and is never heard of again."""
        return self._transfer(name, {}, last_block=after)

    def writes(self, name: str, content: bytes) -> None:
        """Only as far as the server's answer; TftpError when it refuses."""
        with contextlib.closing(self.network.udp()) as udp:
            udp.settimeout(self.patience)
            udp.sendto(_request(_WRITE, name, {}), (self.server, 69))
            packet, peer = udp.recvfrom(65536)
            _check(packet)
            udp.sendto(struct.pack("!HH", _DATA, 1) + content[:512], peer)
            _check(udp.recv(65536))

    def _transfer(self, name: str, options: dict[str, int], last_block: int | None) -> Transfer:
        done = Transfer()
        with contextlib.closing(self.network.udp()) as udp:
            udp.settimeout(self.patience)
            last, peer = _request(_READ, name, options), (self.server, 69)
            udp.sendto(last, peer)
            size, tries = 512, 3
            while True:
                try:
                    packet, peer = udp.recvfrom(65536)
                except TimeoutError:
                    tries -= 1
                    if tries == 0:
                        raise
                    udp.sendto(last, peer)
                    continue
                _check(packet)
                kind, number = struct.unpack("!HH", packet[:4])
                if kind == _OPTIONS:
                    done.options = _options(packet)
                    size, number = done.options.get("blksize", size), 0
                elif number == (done.blocks + 1) % 65536:
                    done.content += packet[4:]
                    done.blocks += 1
                if last_block is not None and done.blocks > last_block:
                    return done
                last = struct.pack("!HH", _ACK, number)
                udp.sendto(last, peer)
                if kind == _DATA and len(packet) - 4 < size:
                    return done


def _request(kind: int, name: str, options: dict[str, int]) -> bytes:
    words = [name, "octet", *(text for pair in options.items() for text in map(str, pair))]
    return struct.pack("!H", kind) + b"".join(word.encode() + b"\0" for word in words)


def _options(packet: bytes) -> dict[str, int]:
    words = packet[2:].decode().split("\0")[:-1]
    return {name.lower(): int(value) for name, value in zip(words[::2], words[1::2], strict=True)}


def _check(packet: bytes) -> None:
    if packet[:2] == struct.pack("!H", _ERROR):
        code = struct.unpack("!H", packet[2:4])[0]
        raise TftpError(code, packet[4:].split(b"\0")[0].decode("latin-1"))
