"""Spans of time as people write them: `90s`, `10min`, `2h`, `1d`, or a number of seconds."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

_DURATION = re.compile(r"(\d{1,7}(?:\.\d{1,3})?)\s*(s|min|h|d)", re.ASCII)
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def parse_duration(text: Any) -> timedelta:
    """ValueError names the remedy."""
    if isinstance(text, timedelta):
        return text
    if isinstance(text, int | float) and not isinstance(text, bool):
        return timedelta(seconds=text)
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if not match:
        raise ValueError("must be a time such as 90s, 10min, 2h or 1d, or a number of seconds")
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])


# A month is longer than anybody waits, and shorter than what a column of seconds could not hold.
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    Field(ge=timedelta(0), le=timedelta(days=31)),
    WithJsonSchema({
        "type": ["number", "string"], "description": "90s, 10min, 2h, 1d, or seconds",
        "minimum": 0, "pattern": r"^ *[0-9]+(\.[0-9]+)? *(s|min|h|d) *$",
    }),
]  # fmt: skip
