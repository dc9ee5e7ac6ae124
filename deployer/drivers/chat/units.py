"""Text in UTF-16 code units, in which some platforms count, and none counts less."""

from __future__ import annotations

from collections.abc import Callable

from deployer.core.chat import fit


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def fit_units(text: str, most: int, shown: Callable[[str], str] = str) -> str:
    """`shown(text)` in at most `most` units; where it is too long, `text` is cut before.

    `shown` makes at most two units of each one.
    """
    found, length = shown(text), len(text)
    while (over := units(found) - most) > 0 and length > 0:
        length = min(length, most) if length > most else length - max(1, over // 2)
        found = shown(fit(text, length))
    return found
