"""By what a package source's key is known: its fingerprint, out of the armoured text."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any


def fingerprint(armoured: Any) -> str:
    """The fingerprint of an armoured public key. https://www.rfc-editor.org/rfc/rfc9580#section-5.5.4"""
    body = _key_packet(str(armoured))
    if body[:1] == b"\x06":
        return hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper()
    digest = hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False)
    return digest.hexdigest().upper()


def key_id(armoured: Any) -> str:
    """The long key ID, by which YaST knows a key."""
    whole = fingerprint(armoured)
    return whole[:16] if len(whole) == 64 else whole[-16:]


def _key_packet(text: str) -> bytes:
    """The body of the first packet, which is the key itself."""
    armour = re.search(
        r"-----BEGIN PGP PUBLIC KEY BLOCK-----\n(?:[^\n]+\n)*?\n(.*?)\n(?:=|-----END)", text, re.S
    )
    try:
        data = base64.b64decode("".join(armour[1].split()), validate=True) if armour else b""
    except binascii.Error:
        data = b""
    if len(data) < 4 or ((data[0] & 0xBC) != 0x98 and data[0] != 0xC6):
        raise ValueError("the key of a repository is no armoured OpenPGP public key")
    length, start = _packet_length(data)
    return data[start : start + length]


def _packet_length(data: bytes) -> tuple[int, int]:
    """(length, where the body begins), of an old packet or a new one."""
    if data[0] != 0xC6:
        size = 1 << (data[0] & 3)
        return int.from_bytes(data[1 : 1 + size], "big"), 1 + size
    if data[1] < 192:
        return data[1], 2
    if data[1] < 224:
        return ((data[1] - 192) << 8) + data[2] + 192, 3
    return int.from_bytes(data[2:6], "big"), 6
