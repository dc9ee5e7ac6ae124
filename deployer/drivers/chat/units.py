"""Text cut to what a platform takes; in UTF-16 code units, in which some count, and none counts
less."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


def fit_pieces(pieces: Sequence[str], most: int, length: Callable[[str], int] = len) -> str:
    """Them in at most `most` of what `length` counts: an escape stays whole, and what is cut is
    seen to be cut."""
    if sum(map(length, pieces)) <= most:
        return "".join(pieces)
    kept, room = [], most - 1
    for piece in pieces:
        room -= length(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept).rstrip() + "…"
