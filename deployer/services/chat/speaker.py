"""Who speaks, and what they speak of: hosts, profiles and deployments by name."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session

from deployer.core.chat_commands import nearest
from deployer.core.ids import short
from deployer.core.lifecycle import RESTING, State
from deployer.drivers.chat.base import Heard
from deployer.errors import Conflict, NotFound
from deployer.services.orders import Orderer
from deployer.services.parts import Parts
from deployer.store import deployments as deployment_store
from deployer.store import hosts, profiles
from deployer.store.tables import ApiToken, Deployment, Host, Profile

# So many are looked through for what was asked, or may have been meant.
SEARCHED = 1000


@dataclass(frozen=True)
class Speaker:
    """Who says it, by whose token, and where: in the chat of which receiver and platform."""

    parts: Parts
    receiver: str
    platform: str
    token: ApiToken
    heard: Heard

    @property
    def identity(self) -> list[str]:
        return [self.platform, self.heard.person.tenant, self.heard.person.user]

    @property
    def orderer(self) -> Orderer:
        return Orderer(self.token.name, self.token.id, self.heard.person.at(self.platform))


def find_host(session: Session, name: str) -> Host:
    """NotFound says what may have been meant."""
    host = hosts.by_name(session, name)
    if host is None:
        found = hosts.page(session, label=None, q=None, after="", limit=SEARCHED)
        raise _unknown("host", name, [other.name for other, _ in found])
    return host


def find_profile(session: Session, name: str) -> Profile:
    """As `find_host`."""
    profile = profiles.by_name(session, name)
    if profile is None:
        found = profiles.page(session, q=None, after="", limit=SEARCHED)
        raise _unknown("profile", name, [row.name for row in found])
    return profile


def _unknown(what: str, name: str, known: list[str]) -> NotFound:
    close = nearest(name, known)
    remedy = f"did you mean {' or '.join(close)}?" if close else f"`{what}s` lists the names"
    return NotFound(f"there is no {what} {name!r}", field=what, value=name, remedy=remedy)


def latest(session: Session, name: str) -> Deployment:
    """Of a host that may be gone by now."""
    row = deployment_store.latest_of(session, name)
    if row is None:
        find_host(session, name)
        raise NotFound(f"{name} was never deployed", field="host", value=name,
                       remedy=f"reinstall {name} as PROFILE")  # fmt: skip
    return row


def unfinished(session: Session, name: str) -> Deployment:
    """Conflict when it has none under way."""
    row = latest(session, name)
    if State(row.state) in RESTING:
        raise Conflict(
            f"{name} has no deployment under way; the last one, {short(row.id)}, is {row.state}",
            remedy=f"status {name}",
        )
    return row
