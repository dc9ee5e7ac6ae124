"""Of several ways to one end, the one that worked on this kind of machine comes first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlmodel import Session

from deployer.store import experience as store

Purpose = Literal["network_boot", "local_boot"]


def best_first(session: Session, purpose: Purpose, product: str, ways: Sequence[str]) -> list[str]:
    """`ways` with those first that have worked more often than not; else as they were."""
    seen = {row.way: row for row in store.of(session, purpose, product)} if product else {}

    def share(way: str) -> float:
        row = seen.get(way)
        return (row.worked + 1) / (row.worked + row.failed + 2) if row else 0.5

    return sorted(ways, key=lambda way: -share(way))


def remember(
    session: Session, purpose: Purpose, product: str, way: str, *, worked: bool, now: datetime
) -> None:
    """Nothing is learned of a machine that does not say what it is."""
    if product:
        store.add(session, purpose, product, way, worked=worked, now=now)
