"""Which chats are told of a deployment, from the commit on that makes it."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from deployer.core.ids import new_id
from deployer.core.receivers import ReceiverSpec
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
    for receiver in receivers.enabled(session):
        spec = ReceiverSpec.model_validate(receiver.spec)
        kind = CHAT_DRIVERS.get(spec.type)
        if kind is not None and spec.when.fits(labels):
            channel = kind.channel_of(kind.Settings.model_validate(spec.settings))
            if channel:
                here(session, row, receiver.name, channel, parts.clock())
