"""Queries for receivers."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlmodel import Session, col, select

from deployer.core.receivers import ReceiverSpec
from deployer.store.tables import Receiver


def get(session: Session, name: str) -> Receiver | None:
    return session.get(Receiver, name)


def all_of(session: Session, types: Collection[str] | None = None) -> list[Receiver]:
    """Of these types, or all; also those that are switched off."""
    query = select(Receiver).order_by(col(Receiver.name))
    if types is not None:
        query = query.where(col(Receiver.type).in_(types))
    return list(session.exec(query).all())


def save(session: Session, row: Receiver | None, spec: ReceiverSpec, now: datetime) -> Receiver:
    if row is None:
        row = Receiver(name=spec.name, type=spec.type, created_at=now, updated_at=now)
    row.type, row.spec, row.updated_at = spec.type, spec.model_dump(mode="json"), now
    row.paused_until = None
    session.add(row)
    session.flush()
    return row


def page(session: Session, *, after: str, limit: int) -> list[Receiver]:
    query = select(Receiver).where(Receiver.name > after).order_by(col(Receiver.name))
    return list(session.exec(query.limit(limit)).all())
