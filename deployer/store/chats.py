"""Queries for chats: who is linked, what was heard, which messages are kept up to date."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete, func, or_, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from deployer.store.tables import (
    ApiToken,
    ChatHeard,
    ChatPerson,
    ChatThread,
    OneTimeCode,
    Receiver,
)

# What the chat of `deployer chat try` is called: it is no receiver, and nobody is sent anything.
TERMINAL = "terminal"
_LOOKED_AT = 500


def first_time(session: Session, platform: str, once: str, now: datetime) -> bool:
    """Remembers that this was heard; False when it had been."""
    try:
        with session.begin_nested():
            session.add(ChatHeard(platform=platform, once=once, at=now))
    except IntegrityError:
        return False
    return True


def any_outdated(session: Session, heard_before: datetime, now: datetime) -> bool:
    """Whether `forget` would find anything."""
    heard = select(ChatHeard.once).where(col(ChatHeard.at) < heard_before)
    codes = select(OneTimeCode.hash).where(col(OneTimeCode.expires_at) < now)
    return any(session.exec(query.limit(1)).first() is not None for query in (heard, codes))


def forget(session: Session, heard_before: datetime, now: datetime) -> None:
    """What was heard before then, and codes that are good no more."""
    session.execute(delete(ChatHeard).where(col(ChatHeard.at) < heard_before))
    session.execute(delete(OneTimeCode).where(col(OneTimeCode.expires_at) < now))


def person(session: Session, platform: str, tenant: str, user: str) -> ChatPerson | None:
    return session.get(ChatPerson, (platform, tenant, user))


def people(session: Session) -> list[tuple[ChatPerson, ApiToken]]:
    """Everybody who is linked, with the token that they speak by."""
    query = select(ChatPerson, ApiToken).join(ApiToken, col(ApiToken.id) == ChatPerson.token_id)
    by = (col(ChatPerson.platform), col(ChatPerson.tenant), col(ChatPerson.user))
    return list(session.exec(query.order_by(*by)).all())


def threads_due(session: Session, now: datetime, room: int) -> list[ChatThread]:
    """Those that may be behind, `room` at the most; one of each receiver, and none of one that
    somebody has in hand."""
    unfinished = col(ChatThread.ended_at).is_(None)
    held = select(ChatThread.receiver).where(unfinished, col(ChatThread.lease_until) > now)
    with_receiver = select(ChatThread).join(
        Receiver, col(Receiver.name) == col(ChatThread.receiver), isouter=True
    )
    query = with_receiver.where(
        unfinished, col(ChatThread.not_before) <= now, ChatThread.receiver != TERMINAL,
        col(ChatThread.receiver).not_in(held),
        or_(col(Receiver.paused_until).is_(None), col(Receiver.paused_until) <= now),
    )  # fmt: skip
    found = session.exec(query.order_by(col(ChatThread.not_before)).limit(_LOOKED_AT)).all()
    first = {row.receiver: row for row in reversed(found)}
    return list(first.values())[:room]


def open_threads(session: Session) -> int:
    query = select(func.count()).where(col(ChatThread.ended_at).is_(None))
    return session.exec(query.where(ChatThread.receiver != TERMINAL)).one()


def hold(session: Session, ids: Collection[str], until: datetime) -> None:
    """Until then, nobody else takes these messages in hand."""
    query = update(ChatThread).where(col(ChatThread.id).in_(ids))
    session.execute(query.values(lease_until=until))


def thread(session: Session, id_: str, *, lock: bool = False) -> ChatThread | None:
    query = select(ChatThread).where(ChatThread.id == id_)
    return session.exec(query.with_for_update() if lock else query).first()


def thread_at(
    session: Session, deployment_id: str, receiver: str, channel: str
) -> ChatThread | None:
    query = select(ChatThread).where(
        ChatThread.deployment_id == deployment_id, ChatThread.receiver == receiver,
        ChatThread.channel == channel,
    )  # fmt: skip
    return session.exec(query).first()


def threads_in(session: Session, receiver: str, channel: str, limit: int) -> list[ChatThread]:
    """The latest first."""
    query = select(ChatThread).where(
        ChatThread.receiver == receiver, ChatThread.channel == channel
    )  # fmt: skip
    return list(session.exec(query.order_by(col(ChatThread.id).desc()).limit(limit)).all())
