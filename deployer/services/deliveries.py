"""What receivers are told: written down in the commit in which it happens, sent afterwards.

At least once: what was sent just before a crash is sent again, with the id that it had before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pydantic import TypeAdapter
from sqlmodel import Session

from deployer.core.chat import Message, Tone
from deployer.core.ids import new_id
from deployer.core.lifecycle import State
from deployer.core.receivers import ReceiverSpec
from deployer.core.text import printable
from deployer.drivers.chat.base import Busy, ChatDriver
from deployer.drivers.notify.base import Notice
from deployer.errors import Conflict, DriverError, DriverRefused, NotFound
from deployer.observe import log, metrics
from deployer.services import receivers, shown
from deployer.services.chat import words
from deployer.services.parts import CHAT_DRIVERS, NOTIFY_DRIVERS, Parts
from deployer.services.sender import Mail
from deployer.store import deliveries as store
from deployer.store import deployments as deployment_store
from deployer.store.tables import Delivery, Deployment, Receiver

LEASE = timedelta(seconds=30)
GIVEN_UP_AFTER = timedelta(hours=24)
KEPT = timedelta(days=30)
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=5), timedelta(hours=1)
# One that does not answer is left alone for so long, whatever else there is to tell it.
_RECEIVER_PAUSE = timedelta(minutes=1)
_SAID_KEPT = 500  # characters
_MESSAGE = TypeAdapter(Message)


# --- told -------------------------------------------------------------------------------------


def tell(session: Session, parts: Parts, deployment: Deployment, event: str) -> None:
    """Whoever wants to know that this deployment came to a state, or waits for an approval."""
    labels = deployment.snapshot["host"].get("labels", {})
    specs = [
        ReceiverSpec.model_validate(row.spec)
        for row in receivers.enabled(session, types=NOTIFY_DRIVERS)
    ]
    wanting = [s.name for s in specs if event in s.when.events and s.when.fits(labels)]
    if wanting:
        message = _told(session, parts, deployment)
        _order(session, parts, deployment, wanting, event, message)


def _told(session: Session, parts: Parts, deployment: Deployment) -> Message:
    """The words for people, who cannot press a button there, and have a terminal."""
    history = deployment_store.history(session, deployment.id)
    message = words.told(deployment, history, {}, parts.clock())
    types = message.types
    if words.awaits_approval(history):
        types = (f"deployer approve {deployment.host_name}",)
    return replace(message, buttons=(), types=types)


def say(session: Session, parts: Parts, deployment: Deployment, receiver: str, text: str) -> None:
    """What a workflow wants said, whatever the receiver is told of otherwise."""
    title, _, rest = text.partition("\n")
    message = Message(title, lines=tuple(rest.splitlines()))
    _order(session, parts, deployment, [receiver], "notify", message, text=text)


def _order(
    session: Session, parts: Parts, deployment: Deployment, names: list[str], event: str,
    message: Message, **more: Any,
) -> None:  # fmt: skip
    now = parts.clock()
    labels = deployment.snapshot["host"].get("labels", {})
    data = {**shown.deployment(deployment), "labels": labels, **more}
    written = asdict(message)
    # Of two moves in one commit, the later one has the later id.
    at = now + timedelta(milliseconds=deployment.version)
    notice_id = new_id("msg", at)
    session.add_all(
        Delivery(
            id=new_id("dlv", at), notice_id=notice_id, happened_at=now, receiver=name,
            deployment_id=deployment.id, event=event, data=data, message=written, created_at=now,
            not_before=now,
        )
        for name in names
    )  # fmt: skip
    session.flush()


# --- sent -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tried:
    """What became of one try; `wait` when there is to be another."""

    outcome: str
    said: str
    wait: timedelta | None = None
    asked_for: bool = False  # the pause, by the receiver


def send(parts: Parts, id_: str) -> None:
    """One try of a delivery that was taken; what came of it is committed."""
    with parts.database.reading() as session:
        delivery = store.get(session, id_)
    if delivery is None or delivery.ended_at is not None:
        return
    notice = Notice(
        delivery.notice_id, delivery.event, delivery.happened_at, delivery.data,
        _MESSAGE.validate_python(delivery.message),
    )  # fmt: skip
    _finish(parts, id_, _try(parts, delivery.receiver, notice, delivery.attempts))


def _try(parts: Parts, name: str, notice: Notice, attempts: int = 1) -> _Tried:
    try:
        return _Tried("sent", _sent(parts, name, notice))
    except (DriverRefused, NotFound) as error:
        return _Tried("refused", error.message)
    except Busy as error:
        return _Tried("again", error.message, min(error.wait, GIVEN_UP_AFTER), asked_for=True)
    except DriverError as error:
        doublings = min(attempts - 1, 20)
        return _Tried("again", error.message, min(_FIRST_PAUSE * 2**doublings, _LONGEST_PAUSE))
    except Exception as error:
        # A fault of ours, or a driver's: trying again would hide it.
        log.error("delivery_crashed", receiver=name, notice=notice.id, exc_info=True)
        return _Tried("refused", f"{type(error).__name__}: {error}")


def _sent(parts: Parts, name: str, notice: Notice) -> str:
    with parts.database.reading() as session:
        row = receivers.find(session, name)
        send: Callable[[Notice], str]
        if not row.spec["enabled"]:
            raise DriverRefused(f"the receiver {name} is switched off")
        if row.type in CHAT_DRIVERS:
            send = partial(_post, receivers.chat_driver(session, parts, row))
        else:
            send = receivers.notify_driver(session, parts, row).send
    return send(notice)


def _post(driver: ChatDriver, notice: Notice) -> str:
    channel = driver.channel_of(driver.settings)
    if not channel:
        raise DriverRefused("settings.channel is not set, so there is nowhere to say it")
    return f"posted as {driver.post(channel, notice.message)}"


def _finish(parts: Parts, id_: str, tried: _Tried) -> None:
    """Its outcome, or when to try again; a receiver that is in trouble is left alone meanwhile."""
    now, said = parts.clock(), printable(tried.said, _SAID_KEPT)
    with parts.database.writing() as session:
        row = store.get(session, id_, lock=True)
        if row is None or row.ended_at is not None:
            return
        row.lease_until, row.said = None, said
        if tried.wait is None:
            row.ended_at, row.outcome = now, tried.outcome
        else:
            row.not_before = now + tried.wait
            pause = tried.wait if tried.asked_for else min(tried.wait, _RECEIVER_PAUSE)
            store.pause(session, row.receiver, now + pause)
        session.add(row)
        _count(session, row, tried.outcome)


def _count(session: Session, row: Delivery, outcome: str) -> None:
    receiver = session.get(Receiver, row.receiver)
    type_ = receiver.type if receiver else "deleted"
    metrics.deliveries.labels(type_, outcome).inc()
    log.info("delivery", id=row.id, receiver=row.receiver, outcome=outcome, said=row.said)


def tidy(parts: Parts) -> None:
    """Give up what is too old to be news, and forget what ended long ago."""
    now = parts.clock()
    with parts.database.reading() as session:
        late = store.too_old(session, now - GIVEN_UP_AFTER, now)
        if not late and not store.any_ended_before(session, now - KEPT):
            return
    with parts.database.writing() as session:
        for row in store.too_old(session, now - GIVEN_UP_AFTER, now):
            row.ended_at, row.outcome, row.lease_until = now, "expired", None
            session.add(row)
            _count(session, row, "expired")
        store.forget(session, now - KEPT)


def _due(session: Session, now: datetime, room: int) -> list[str]:
    return [each.id for each in store.due(session, now, room)]


MAIL = Mail("delivery", LEASE, _due, store.take, send, store.renew)


# --- what people ask --------------------------------------------------------------------------


def find(session: Session, id_: str) -> Delivery:
    row = store.get(session, id_)
    if row is None:
        raise NotFound(
            f"there is no delivery {id_!r}", field="id", value=id_,
            remedy="`deployer notifications` lists them; their ids begin with dlv_",
        )  # fmt: skip
    return row


def replay(session: Session, parts: Parts, id_: str) -> Delivery:
    """The same once more, as a delivery of its own, with the id of what happened: a receiver that
    has it already can tell. Conflict while the first one is still being tried."""
    old, now = find(session, id_), parts.clock()
    if old.ended_at is None:
        raise Conflict(
            f"{id_} is still being tried; next at {shown.moment(old.not_before)}", field="id",
            value=id_, remedy=f"wait, or see why: `deployer receivers test {old.receiver}`",
        )  # fmt: skip
    receivers.find(session, old.receiver)
    row = Delivery(
        id=new_id("dlv", now), notice_id=old.notice_id, happened_at=old.happened_at,
        receiver=old.receiver, deployment_id=old.deployment_id, event=old.event, data=old.data,
        message=old.message, created_at=now, not_before=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def test(parts: Parts, name: str, by: str) -> dict[str, str]:
    """Send an example now, without writing anything down: `outcome` and what was `said`."""
    now = parts.clock()
    with parts.database.reading() as session:
        receivers.find(session, name)
    example = Deployment(
        id=new_id("dep", now), host_id=None, host_name="example", profile_name="example",
        state=State.READY, snapshot={}, requested_by=by, created_at=now, state_since=now,
        ended_at=now,
    )  # fmt: skip
    message = Message(
        "This is a test", Tone.GOOD, lines=(f"{by} asked Deployer to try the receiver {name}.",)
    )
    data = {**shown.deployment(example), "labels": {}}
    tried = _try(parts, name, Notice(new_id("msg", now), "test", now, data, message))
    return {"outcome": tried.outcome, "said": printable(tried.said, _SAID_KEPT)}
