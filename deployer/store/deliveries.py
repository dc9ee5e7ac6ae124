"""Queries for deliveries: what receivers are told, and what became of it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, func, or_, text, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from deployer.store.tables import Delivery, Receiver

# Any number will do, as long as nothing else in this PostgreSQL database uses it.
_TAKING = 7_305_114
_OPEN = col(Delivery.ended_at).is_(None)


def get(session: Session, id_: str, *, lock: bool = False) -> Delivery | None:
    query = select(Delivery).where(Delivery.id == id_)
    return session.exec(query.with_for_update() if lock else query).first()


class Due(NamedTuple):
    receiver: str
    id: str


def due(session: Session, now: datetime, limit: int) -> list[Due]:
    """The oldest whose time has come, one for each receiver to which nothing is being sent."""
    in_hand = select(Delivery.receiver).where(_OPEN, col(Delivery.lease_until) > now)
    query = (
        columns(col(Delivery.receiver), func.min(col(Delivery.id)))
        .join(Receiver, col(Receiver.name) == col(Delivery.receiver), isouter=True)
        .where(_OPEN, col(Delivery.not_before) <= now, col(Delivery.receiver).not_in(in_hand))
        .where(or_(col(Receiver.paused_until).is_(None), col(Receiver.paused_until) <= now))
        .group_by(col(Delivery.receiver))
        .order_by(func.min(col(Delivery.id)))
    )
    return [Due(*row) for row in session.execute(query.limit(limit))]


def one_at_a_time(session: Session) -> None:
    """Until the end of this transaction no other worker takes any; on SQLite none writes."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _TAKING})


def take(session: Session, ids: Collection[str], until: datetime) -> None:
    """They are ours, for one try."""
    session.execute(
        update(Delivery)
        .where(col(Delivery.id).in_(ids))
        .values(lease_until=until, attempts=Delivery.attempts + 1)
    )


def renew(session: Session, ids: Collection[str], until: datetime) -> None:
    """Whoever sends these is alive."""
    session.execute(
        update(Delivery).where(col(Delivery.id).in_(ids), _OPEN).values(lease_until=until)
    )


def pause(session: Session, receiver: str, until: datetime) -> None:
    session.execute(
        update(Receiver).where(col(Receiver.name) == receiver).values(paused_until=until)
    )


def try_now(session: Session, receiver: str, now: datetime) -> None:
    """All that waits for this receiver."""
    session.execute(
        update(Delivery).where(_OPEN, col(Delivery.receiver) == receiver).values(not_before=now)
    )


def too_old(session: Session, before: datetime, now: datetime) -> list[Delivery]:
    """Made before then, not sent, and in nobody's hands."""
    query = select(Delivery).where(
        _OPEN, col(Delivery.created_at) < before,
        or_(col(Delivery.lease_until).is_(None), col(Delivery.lease_until) <= now),
    )  # fmt: skip
    return list(session.exec(query.limit(1000)).all())


def any_ended_before(session: Session, before: datetime) -> bool:
    query = select(Delivery.id).where(col(Delivery.ended_at) < before)
    return session.exec(query.limit(1)).first() is not None


def forget(session: Session, before: datetime) -> None:
    session.execute(delete(Delivery).where(col(Delivery.ended_at) < before))


FAILED = ("refused", "expired")


def page(
    session: Session, *, receiver: str | None, outcome: str | None, before: str | None, limit: int
) -> list[Delivery]:
    """Newest first. `outcome`: one that is stored, `waiting` for none yet, `failed` for FAILED."""
    query = select(Delivery)
    if receiver is not None:
        query = query.where(Delivery.receiver == receiver)
    if outcome == "waiting":
        query = query.where(_OPEN)
    elif outcome is not None:
        named = FAILED if outcome == "failed" else (outcome,)
        query = query.where(col(Delivery.outcome).in_(named))
    if before is not None:
        query = query.where(Delivery.id < before)
    return list(session.exec(query.order_by(col(Delivery.id).desc()).limit(limit)).all())
