"""What text from outside may hold, and how hostile text is shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

_HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
# Shown in place of a secret.
MASK = "********"
_SECRET_WORDS = ("password", "secret", "token", "key", "authorization", "cookie")
_LINE_BREAKERS = {"\u2028", "\u2029", "\x85"}


def is_plain_line(text: str) -> bool:
    """True when `text` is one line without control, format or line-breaking characters."""
    return not any(
        unicodedata.category(c) in {"Cc", "Cf", "Cs"} or c in _LINE_BREAKERS for c in text
    )


def check_line(text: str) -> str:
    if not is_plain_line(text):
        raise ValueError(
            "must be one line of text; remove line breaks, control and invisible characters"
        )
    return text


def check_block(text: str) -> str:
    """Several lines are fine (a script); NUL, CR and other control characters are not."""
    for line in text.split("\n"):
        if not is_plain_line(line.replace("\t", " ")):
            raise ValueError(
                "must hold text lines ending in \\n; remove carriage returns and control characters"
            )
    return text


def check_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(
            "must begin with a letter or digit and hold only letters, digits, '.', '_' and '-',"
            " at most 100"
        )
    return text


def check_host_name(text: str) -> str:
    labels = text.split(".")
    if len(text) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise ValueError(
            "must be a host name: lower-case letters, digits and '-' in parts of at most 63,"
            " separated by '.' (RFC 1123)"
        )
    if all(label.isdigit() for label in labels):
        raise ValueError("must not be a number or an address; give it a letter")
    return text


Line = Annotated[str, StringConstraints(max_length=1024), AfterValidator(check_line)]
Block = Annotated[str, StringConstraints(max_length=64 * 1024), AfterValidator(check_block)]
Name = Annotated[str, AfterValidator(check_name)]
HostName = Annotated[str, AfterValidator(check_host_name)]


def may_be_secret(name: str) -> bool:
    """Whether a driver's setting of this name is shown to nobody."""
    return any(word in name.lower() for word in _SECRET_WORDS)


def masks_in(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where in `value` the mask stands that we showed; it must not become the secret."""
    if value == MASK:
        yield place
    elif isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in parts:
            yield from masks_in(part, (*place, key))


def printable(text: str, limit: int = 2000) -> str:
    """`text` made safe to show on a terminal, in a log line or a page: escapes stay visible."""
    shown = "".join(
        c
        if c == "\n" or not (unicodedata.category(c) in {"Cc", "Cf", "Cs"} or c in _LINE_BREAKERS)
        else c.encode("unicode_escape", "surrogatepass").decode()
        for c in text[: limit + 1]
    )
    return shown[:limit] + " …" if len(shown) > limit else shown
