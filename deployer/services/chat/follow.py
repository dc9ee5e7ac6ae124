"""Which chats are told of a deployment, from the commit on that makes it."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from deployer.core.ids import new_id
from deployer.core.receivers import ReceiverSpec
from deployer.errors import Invalid
from deployer.observe import log
from deployer.services import receivers
from deployer.services.parts import CHAT_DRIVERS, Parts
from deployer.store import chats
from deployer.store.tables import ChatThread, Deployment


def here(session: Session, row: Deployment, receiver: str, channel: str, now: datetime) -> None:
    """There is a message about it in this channel; once."""
    if chats.thread_at(session, row.id, receiver, channel) is None:
        session.add(
            ChatThread(
                id=new_id("thr", now), deployment_id=row.id, receiver=receiver, channel=channel,
                not_before=now,
            )
        )  # fmt: skip
        session.flush()


def wherever_wanted(session: Session, parts: Parts, row: Deployment) -> None:
    """In the channels of all receivers that want to know of such a host."""
    labels = row.snapshot["host"].get("labels", {})
    for receiver in receivers.enabled(session, types=CHAT_DRIVERS):
        spec = ReceiverSpec.model_validate(receiver.spec)
        channel = _channel(spec) if spec.when.fits(labels) else None
        if channel:
            here(session, row, receiver.name, channel, parts.clock())


def _channel(spec: ReceiverSpec) -> str | None:
    """None as well where its settings are none any more: no install fails for that."""
    try:
        return CHAT_DRIVERS[spec.type].channel_of(receivers.check(spec))
    except Invalid as error:
        log.warning("chat_not_ready", receiver=spec.name, error=error.message)
        return None
