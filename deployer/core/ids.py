"""Ids that carry their kind and sort by time: `dep_01k9...`, `host_01k9...`."""

from __future__ import annotations

import re
import secrets
from datetime import datetime

# Crockford's base 32: no i, l, o, u, so an id can be read out over the phone.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_BODY = re.compile(r"[0-9a-hjkmnp-tv-z]{26}", re.ASCII)


def new_id(kind: str, now: datetime) -> str:
    """A new id: kind, underscore, 48 bits of milliseconds and 80 random bits (ULID's layout)."""
    number = (int(now.timestamp() * 1000) << 80) | secrets.randbits(80)
    body = "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
    return f"{kind}_{body}"


def kind_of(text: str) -> str | None:
    """The kind that an id names, or None when `text` is no id at all."""
    kind, _, body = text.partition("_")
    return kind if _BODY.fullmatch(body) else None


def short(id_: str) -> str:
    """The last eight characters: enough for a person to tell two deployments apart."""
    return id_[-8:]
