"""Queries for what was seen to work on which kind of machine."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, select

from deployer.store.tables import Experience


def of(session: Session, purpose: str, product: str) -> list[Experience]:
    query = select(Experience).where(Experience.purpose == purpose, Experience.product == product)
    return list(session.exec(query).all())


def add(
    session: Session, purpose: str, product: str, way: str, *, worked: bool, now: datetime
) -> None:
    """Count once more. Two that count at the same moment may lose one; nobody is billed by it."""
    row = session.get(Experience, (purpose, product, way))
    if row is None:
        row = Experience(purpose=purpose, product=product, way=way, last_at=now)
    row.worked, row.failed, row.last_at = row.worked + worked, row.failed + (not worked), now
    session.add(row)
    session.flush()
