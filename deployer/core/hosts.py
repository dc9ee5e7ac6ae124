"""MAC, serial and UUID, made comparable: one machine has one spelling here."""

from __future__ import annotations

import re
import uuid as uuid_module
from typing import Annotated, Any

from pydantic import BeforeValidator

_MAC = re.compile(
    r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}|[0-9a-f]{4}(\.[0-9a-f]{4}){2}|[0-9a-f]{12}",
    re.ASCII | re.IGNORECASE,
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_NO_SEPARATORS = str.maketrans("", "", ":.-")
# What firmware reports where nobody filled in the field; no identity at all.
_PLACEHOLDERS = {"", "none", "not specified", "to be filled by o.e.m.", "default string", "0"}


def canonical_mac(text: Any) -> str:
    """`aa:bb:cc:dd:ee:ff` from any usual spelling; ValueError says what is wrong.

    Multicast, all-zero and 8-byte (EUI-64, InfiniBand) addresses cannot name a NIC that boots.
    """
    if not isinstance(text, str) or not _MAC.fullmatch(text):
        raise ValueError("must be a MAC address of six bytes, such as 52:54:00:12:34:56")
    digits = text.translate(_NO_SEPARATORS).lower()
    if digits == "0" * 12:
        raise ValueError("must not be all zeros; give the address that is printed on the NIC")
    if int(digits[:2], 16) & 1:
        raise ValueError("must not be a multicast address (its first byte is odd)")
    d = digits  # written out: this runs for every boot request
    return f"{d[:2]}:{d[2:4]}:{d[4:6]}:{d[6:8]}:{d[8:10]}:{d[10:]}"


def canonical_uuid(text: Any) -> str:
    """Lower-case UUID with dashes; ValueError says what is wrong."""
    try:
        if not isinstance(text, str) or not _UUID.fullmatch(text):
            raise ValueError
        value = uuid_module.UUID(text)
    except ValueError:
        raise ValueError(
            "must be a UUID of 32 hexadecimal digits with dashes, as `dmidecode -s system-uuid`"
            " prints it"
        ) from None
    if value.int in (0, 2**128 - 1):
        raise ValueError("must not be a placeholder UUID (all zeros or all ones); leave it out")
    return str(value)


def comparable_serial(text: str | None) -> str | None:
    """A serial for comparison: case and outer blanks do not count, placeholders are None."""
    folded = (text or "").strip().casefold()
    return None if folded in _PLACEHOLDERS else folded


def same_uuid(known: str, shown: str) -> bool:
    """True when both name one machine.

    SMBIOS 2.6 stores the first three fields little-endian, and some firmware (and some old
    iPXE) prints them unswapped; both spellings are the same machine.
    """
    try:
        a, b = uuid_module.UUID(known), uuid_module.UUID(shown)
    except ValueError:
        return False
    return a == b or a.bytes == b.bytes_le


Mac = Annotated[str, BeforeValidator(canonical_mac)]
Uuid = Annotated[str, BeforeValidator(canonical_uuid)]
