"""Of several ways to one end, the one that worked on this kind of machine comes first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from sqlmodel import Session

from deployer.store import experience as store

Purpose = Literal["network_boot", "local_boot"]


def best_first(session: Session, purpose: Purpose, product: str, ways: Sequence[str]) -> list[str]:
    """`ways` with those first that have worked more often than not; else as they were."""
    counts = store.of(session, purpose, product) if product else []
    share = {count.way: _share(count) for count in counts}
    return sorted(ways, key=lambda way: -share.get(way, _UNKNOWN))


def proven(counts: Iterable[store.Count]) -> dict[str, str]:
    """The best way by product, of those that worked more often than not."""
    good = (count for count in counts if _share(count) > _UNKNOWN)
    return {count.product: count.way for count in sorted(good, key=_share)}


# Of a way that nobody has tried: worth as much as one that worked every other time.
_UNKNOWN = 0.5


def _share(count: store.Count) -> float:
    """How often it worked; one success is no proof, and one failure no verdict."""
    return (count.worked + 1) / (count.worked + count.failed + 2)


def remember(
    session: Session, purpose: Purpose, product: str, way: str, *, worked: bool, now: datetime
) -> None:
    """Nothing is learned of a machine that does not say what it is."""
    if product:
        store.add(session, purpose, product, way, worked=worked, now=now)
