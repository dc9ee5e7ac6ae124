"""Queries for the outbox."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, or_, text, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from deployer.core.effects import APPROVE
from deployer.store.tables import Effect


def get(session: Session, id_: str, *, lock: bool = False) -> Effect | None:
    query = select(Effect).where(Effect.id == id_)
    return session.exec(query.with_for_update() if lock else query).first()


# Any number will do, as long as nothing else in this PostgreSQL database uses it.
_CHOOSING = 7_305_113


class Waiting(NamedTuple):
    """An effect in the outbox, as far as it is needed to choose."""

    id: str
    offer: int
    name: str
    rack: str | None
    bmc: str | None


_WAITING = columns(*(getattr(Effect, name) for name in Waiting._fields))


def waiting(session: Session, now: datetime, limit: int) -> list[Waiting]:
    """Those whose time has come: first what was not tried yet, or the dead would hold up the
    living; then the oldest."""
    query = (
        _WAITING.where(col(Effect.dispatched_at).is_(None), col(Effect.ended_at).is_(None))
        .where(or_(col(Effect.not_before).is_(None), col(Effect.not_before) <= now))
        .order_by(col(Effect.attempts), col(Effect.id)).limit(limit)
    )  # fmt: skip
    return [Waiting(*row) for row in session.execute(query)]


def one_at_a_time(session: Session) -> None:
    """Until the end of this transaction no other worker chooses; SQLite writes in turns anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CHOOSING})


def in_hand(session: Session, names: Collection[str]) -> list[Waiting]:
    """Those of these names that a worker has, on whichever replica."""
    query = _WAITING.where(
        # A lease is what tells them, by an index: this is asked at every turn of the outbox.
        col(Effect.lease_until).is_not(None), col(Effect.ended_at).is_(None),
        col(Effect.name).in_(names),
    )  # fmt: skip
    return [Waiting(*row) for row in session.execute(query)]


def begun_since(session: Session, names: Collection[str], since: datetime) -> int:
    query = select(func.count()).where(
        col(Effect.name).in_(names), col(Effect.dispatched_at) > since
    )
    return session.exec(query).one()


def approval_of(session: Session, deployment_id: str) -> Effect | None:
    """The one that waits for a person, locked."""
    query = select(Effect).where(
        Effect.deployment_id == deployment_id, Effect.name == APPROVE,
        col(Effect.ended_at).is_(None),
    )  # fmt: skip
    return session.exec(query.with_for_update()).first()


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


def offer_later(row: Effect, when: datetime) -> None:
    """Back into the outbox, under a new offer: what the one before does now counts no more."""
    row.dispatched_at, row.lease_until, row.not_before = None, None, when
    row.offer += 1


def of_deployment(session: Session, deployment_id: str) -> list[Effect]:
    query = select(Effect).where(Effect.deployment_id == deployment_id)
    return list(session.exec(query.order_by(col(Effect.id))).all())
