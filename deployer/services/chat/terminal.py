"""A chat without a platform, to try it: whoever has a token is known already."""

from __future__ import annotations

from sqlmodel import Session

from deployer.core.chat import Message
from deployer.core.ids import new_id
from deployer.drivers.chat.base import Heard, Person, Place
from deployer.services.chat import looking
from deployer.services.chat.hear import Ears
from deployer.services.parts import Parts
from deployer.store import chats
from deployer.store import deployments as deployment_store
from deployer.store.chats import TERMINAL
from deployer.store.tables import ApiToken, Deployment

_LISTED = 20


def say(ears: Ears, who: ApiToken, text: str) -> Message:
    """What a chat would be answered."""
    now = ears.parts.clock()
    person, place = Person("", who.id, who.name), Place(who.id, public=False)
    heard = Heard(new_id("say", now), now, person, place, text)
    return ears.understand(TERMINAL, TERMINAL, heard, who)


def threads(session: Session, parts: Parts, who: ApiToken) -> list[tuple[Deployment, Message]]:
    """The latest deployments that were asked for here by this token."""
    found = []
    for thread in chats.threads_in(session, TERMINAL, who.id, _LISTED):
        row = deployment_store.get(session, thread.deployment_id)
        if row is not None:
            found.append((row, looking.current(session, parts, row)))
    return found
