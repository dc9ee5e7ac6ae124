"""Who is working? One that serves alone cannot see it by itself, and would be ready for ever while
nobody restarts a machine."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlmodel import Session

from deployer.services.parts import Parts
from deployer.store import people

_FACT = "worker:"
STALE = timedelta(seconds=30)
# One that is not heard of for so long has been given another name, or taken away.
_FORGOTTEN = timedelta(days=1)


def beat(parts: Parts) -> None:
    """This worker is alive."""
    now = parts.clock()
    with parts.database.writing() as session:
        people.save_fact(session, _FACT + parts.settings.worker_name, now.isoformat())
        for name, at in _heard(session).items():
            if now - at > _FORGOTTEN:
                people.forget_fact(session, _FACT + name)


def leave(parts: Parts) -> None:
    """Stopped on purpose."""
    with parts.database.writing() as session:
        people.forget_fact(session, _FACT + parts.settings.worker_name)


def alive(session: Session, now: datetime) -> list[str]:
    """The names of those that were heard of just now."""
    return [name for name, at in _heard(session).items() if now - at <= STALE]


def _heard(session: Session) -> dict[str, datetime]:
    facts = people.facts_of(session, _FACT)
    return {name.removeprefix(_FACT): datetime.fromisoformat(at) for name, at in facts.items()}


def problem(session: Session, now: datetime) -> str | None:
    """None while there is one."""
    if alive(session, now):
        return None
    heard = _heard(session)
    last = max(heard, key=lambda name: heard[name], default=None)
    since = f" since {heard[last]:%Y-%m-%d %H:%M:%S} UTC ({last})" if last else ""
    return f"no worker is heard of{since}; is `deployer worker` running?"
