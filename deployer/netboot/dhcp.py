"""DHCP packets (RFC 2131) as far as a client needs them: ours looks for foreign servers."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
_MAGIC = b"\x63\x82\x53\x63"
_PAD, _END, _OVERLOAD = 0, 255, 52
_HEAD = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
_BROADCAST = 0x8000


@dataclass(frozen=True)
class Reply:
    """What a server answered; `file` and `server_name` from the header or the options."""

    kind: int
    transaction: int
    mac: str
    address: IPv4Address  # yiaddr: yours
    next_server: IPv4Address
    server_name: str
    file: str
    options: dict[int, bytes] = field(default_factory=dict)

    @property
    def server(self) -> IPv4Address | None:
        """Who answers (option 54)."""
        raw = self.options.get(54, b"")
        return IPv4Address(raw) if len(raw) == 4 else None

    @property
    def vendor_class(self) -> str:
        return _text(self.options.get(60, b""))


def request(
    kind: int, mac: str, transaction: int, options: Mapping[int, bytes],
    client_address: str = "0.0.0.0", relay: str = "0.0.0.0",
) -> bytes:  # fmt: skip
    """A client's packet that asks for an answer by broadcast, or to its relay."""
    head = _HEAD.pack(
        1, 1, 6, 0, transaction, 0, _BROADCAST, IPv4Address(client_address).packed, bytes(4),
        bytes(4), IPv4Address(relay).packed, bytes.fromhex(mac.replace(":", "")), b"", b"",
    )  # fmt: skip
    body = b"".join(
        bytes([code, len(value)]) + value for code, value in {53: bytes([kind]), **options}.items()
    )
    # Some servers ignore what is shorter than BOOTP's 300 bytes.
    return (head + _MAGIC + body + bytes([_END])).ljust(300, b"\0")


def parse(packet: bytes) -> Reply | None:
    """A server's packet, or None when it is none or is malformed."""
    if len(packet) < _HEAD.size + 4 or packet[0] != 2 or packet[236:240] != _MAGIC:
        return None
    fields = _HEAD.unpack(packet[: _HEAD.size])
    name, file = fields[12], fields[13]
    options = _options(packet[240:])
    overload = options.get(_OVERLOAD, b"\0")[:1]
    if overload in (b"\x01", b"\x03"):
        options, file = {**_options(file), **options}, b""
    if overload in (b"\x02", b"\x03"):
        options, name = {**_options(name), **options}, b""
    kind = options.get(53, b"\0")
    return Reply(
        kind[0] if kind else 0, fields[4], ":".join(f"{b:02x}" for b in fields[11][:6]),
        IPv4Address(fields[8]), IPv4Address(fields[9]), _text(options.get(66, name)),
        _text(options.get(67, file)), options,
    )  # fmt: skip


def _options(raw: bytes) -> dict[int, bytes]:
    """Code → value; what is cut off in the middle counts for nothing."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(raw) and raw[at] != _END:
        if raw[at] == _PAD:
            at += 1
            continue
        if at + 1 >= len(raw):
            break
        code, length = raw[at], raw[at + 1]
        value = raw[at + 2 : at + 2 + length]
        if len(value) == length:
            found[code] = found.get(code, b"") + value  # RFC 3396: long ones come in parts
        at += 2 + length
    return found


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("latin-1")
