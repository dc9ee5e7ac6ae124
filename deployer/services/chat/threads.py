"""Each deployment's message in a chat, kept up to date until it ends.

Nothing is sent on a machine's way: what a message shows is compared with what it should show, again
and again, so that many changes cost one edit, and a platform that is down or slow costs nobody
anything. THREATS F050.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from deployer.core.chat import Message
from deployer.core.receivers import APPROVAL, ReceiverSpec
from deployer.drivers.chat.base import Busy, ChatDriver
from deployer.errors import DeployerError, DriverRefused
from deployer.observe import log
from deployer.services import receivers
from deployer.services.chat import looking
from deployer.services.parts import Parts
from deployer.services.sender import Mail
from deployer.store import chats
from deployer.store import deliveries as delivery_store
from deployer.store import deployments as deployment_store
from deployer.store import receivers as receiver_store
from deployer.store.tables import ChatThread, HistoryEntry

# Messages are changed at most this often: platforms allow about one call a second in a channel.
_PACE = timedelta(seconds=3)
# Looking costs as well: of many messages, each is looked at less often.
_LOOK = timedelta(milliseconds=50)
_LEASE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(minutes=10)
# So long after the end, nobody waits for the news any more.
_TOO_LATE = timedelta(hours=24)


@dataclass(frozen=True)
class _News:
    """What a message should show now, and how many things are worth a sound by now."""

    thread: ChatThread
    message: Message
    sounds: int
    ended_at: datetime | None

    @property
    def looks(self) -> str:
        return json.dumps(asdict(self.message), ensure_ascii=False)


def update(parts: Parts, id_: str) -> None:
    """Send what changed about one message, if anything did."""
    with parts.database.reading() as session:
        news = _news(session, parts, id_)
        if news is None:
            return
        try:
            receiver = receivers.find(session, news.thread.receiver)
            driver = receivers.chat_driver(session, parts, receiver)
        except DeployerError as error:
            driver, problem = None, error
    if driver is None:
        # Whoever mends the receiver wants to see it go on.
        _failed(parts, news, problem, hopeless=False)
        return
    try:
        _send(parts, driver, news)
    except DeployerError as error:
        _failed(parts, news, error, hopeless=isinstance(error, DriverRefused))


def _news(session: Session, parts: Parts, id_: str) -> _News | None:
    """None when nobody is to be told anything any more."""
    thread = chats.thread(session, id_)
    row = deployment_store.get(session, thread.deployment_id) if thread else None
    if thread is None or row is None or thread.ended_at is not None:
        return None
    wanted = _events(session, thread.receiver)
    history = deployment_store.history(session, row.id)
    sounds = sum(_sound(line) in wanted for line in history)
    return _News(thread, looking.current(session, parts, row, history), sounds, row.ended_at)


def _sound(line: HistoryEntry) -> str | None:
    """The event that a line of history is for those who are told."""
    return APPROVAL if line.event == "approval_needed" else line.to_state


def _events(session: Session, receiver: str) -> set[str]:
    """None of a receiver that is gone."""
    row = receiver_store.get(session, receiver)
    return set(map(str, ReceiverSpec.model_validate(row.spec).when.events)) if row else set()


def _send(parts: Parts, driver: ChatDriver, news: _News) -> None:
    """One call, at most: what else there is follows at the next turn."""
    thread, said = news.thread, news.thread.said
    message = thread.message
    if message is None:
        message = driver.post(thread.channel, news.message)
    elif news.looks != thread.shown and driver.edits:
        driver.edit(thread.channel, message, news.message)
    elif said < news.sounds:
        # A changed message makes no sound.
        driver.post(thread.channel, news.message, message if driver.threads else None)
        said = news.sounds
    over = news.ended_at is not None and said >= news.sounds and news.looks == thread.shown
    with parts.database.writing() as session:
        row = chats.thread(session, thread.id, lock=True)
        if row is None:
            return
        row.message, row.shown, row.said, row.failures, row.error = (
            message, news.looks, said, 0, None
        )  # fmt: skip
        pause = max(_PACE, _LOOK * chats.open_threads(session))
        row.lease_until, row.not_before = None, parts.clock() + pause
        row.ended_at = parts.clock() if over else None
        session.add(row)


def _failed(parts: Parts, news: _News, error: DeployerError, *, hopeless: bool) -> None:
    now = parts.clock()
    with parts.database.writing() as session:
        row = chats.thread(session, news.thread.id, lock=True)
        if row is None:
            return
        row.failures += 1
        pause = error.wait if isinstance(error, Busy) else _PACE * 2 ** min(row.failures, 10)
        row.error, row.lease_until = error.message, None
        row.not_before = now + min(pause, _LONGEST_PAUSE)
        if hopeless or (news.ended_at is not None and now - news.ended_at > _TOO_LATE):
            row.ended_at = now
        if isinstance(error, Busy):
            delivery_store.pause(session, row.receiver, row.not_before)
        log.warning("chat_failed", receiver=row.receiver, error=error.message)
        session.add(row)


def _due(session: Session, now: datetime, room: int) -> list[str]:
    return [each.id for each in chats.threads_due(session, now, room)]


MAIL = Mail("message", _LEASE, _due, chats.hold, update, chats.hold)
