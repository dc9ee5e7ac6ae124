"""Sizes as people write them: `8G` is 8·10⁹ bytes as on a disk's label, `8GiB` is 8·2³⁰."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGTP]?)(i?)B?", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


def parse_size(text: Any) -> int:
    """Bytes; ValueError names the remedy."""
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    match = _SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
    if not match:
        raise ValueError("must be a size such as 8G (8·10⁹ bytes), 500GiB or a number of bytes")
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.upper()])


def show_size(size: int) -> str:
    """`8.6 GB`: what a person compares with the label on the disk."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({
        "type": ["integer", "string"], "minimum": 0, "description": "8G, 500GiB, or bytes",
        "pattern": r"^ *[0-9]+(\.[0-9]+)? *[KMGTPkmgtp]?[Ii]?[Bb]? *$",
    }),
]  # fmt: skip
