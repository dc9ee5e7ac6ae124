"""Queries for the outbox."""

from __future__ import annotations

from datetime import datetime, timedelta

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


def mark_dispatched(session: Session, ids: list[str], now: datetime, lease: timedelta) -> None:
    session.execute(
        update(Effect)
        .where(col(Effect.id).in_(ids))
        .values(dispatched_at=now, lease_until=now + lease)
    )


def renew(session: Session, ids: list[str], until: datetime) -> None:
    """Whoever carries these out is alive."""
    session.execute(update(Effect).where(col(Effect.id).in_(ids)).values(lease_until=until))


def abandoned(session: Session, now: datetime) -> list[str]:
    """Handed over, not done, and nobody has said for a lease's length that they are at it."""
    query = select(Effect.id).where(
        col(Effect.ended_at).is_(None), col(Effect.dispatched_at).is_not(None),
        col(Effect.lease_until) < now,
    )  # fmt: skip
    return list(session.exec(query.limit(200)).all())


def offer_again(session: Session, ids: list[str], now: datetime) -> None:
    session.execute(
        update(Effect)
        .where(col(Effect.id).in_(ids), col(Effect.lease_until) < now)
        .values(dispatched_at=None, lease_until=None, offer=Effect.offer + 1)
    )


def of_deployment(session: Session, deployment_id: str) -> list[Effect]:
    query = select(Effect).where(Effect.deployment_id == deployment_id)
    return list(session.exec(query.order_by(col(Effect.id))).all())
