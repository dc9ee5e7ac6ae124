"""Queries for the outbox."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import update
from sqlmodel import Session, col, select

from deployer.store.tables import Effect


def get(session: Session, id_: str, *, lock: bool = False) -> Effect | None:
    query = select(Effect).where(Effect.id == id_)
    return session.exec(query.with_for_update() if lock else query).first()


def undispatched(session: Session, limit: int) -> list[Effect]:
    """Oldest first."""
    query = select(Effect).where(col(Effect.dispatched_at).is_(None)).order_by(col(Effect.id))
    return list(session.exec(query.limit(limit)).all())


def mark_dispatched(session: Session, ids: list[str], now: datetime) -> None:
    session.execute(update(Effect).where(col(Effect.id).in_(ids)).values(dispatched_at=now))


def offer_unfinished_again(session: Session) -> None:
    """After a start: the engine knows an effect by its id, so offering it twice is harmless."""
    session.execute(
        update(Effect)
        .where(col(Effect.ended_at).is_(None), col(Effect.dispatched_at).is_not(None))
        .values(dispatched_at=None)
    )


def of_deployment(session: Session, deployment_id: str) -> list[Effect]:
    query = select(Effect).where(Effect.deployment_id == deployment_id)
    return list(session.exec(query.order_by(col(Effect.id))).all())
