"""Where a service process may be told to die, so that a test can see what is left behind."""

from __future__ import annotations

import os
import random
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import event
from sqlmodel import Session

from deployer import engine, resources
from deployer.drivers.power.fake import Fake
from deployer.errors import DriverError
from deployer.observe import log
from deployer.services import deployments
from deployer.store import effects
from deployer.store.tables import HistoryEntry

EXIT_CODE = 77


def _die(*_: Any, **__: Any) -> NoReturn:
    os._exit(EXIT_CODE)  # as with SIGKILL: nothing is cleaned up, nothing is flushed


def at_commit(when: str, what: str) -> partial[None]:
    """Die `before_commit` or `after_commit` of the history line `what`."""
    return partial(_at_commit, when, what)


def _at_commit(when: str, what: str) -> None:
    def remember(session: Session, _context: Any) -> None:
        if any(isinstance(row, HistoryEntry) and row.event == what for row in session.new):
            session.info["deadly"] = True

    def die(session: Session) -> None:
        if session.info.get("deadly"):
            _die()

    event.listen(Session, "before_flush", lambda s, c, _instances: remember(s, c))
    event.listen(Session, when, die)


def at_act(when: str, what: str) -> partial[None]:
    """Die `before` or `after` the power switch did `what`."""
    return partial(_at_act, when, what)


def _at_act(when: str, what: str) -> None:
    act = Fake._act

    def deadly(self: Fake, asked: str) -> str:
        if asked == what and when == "before":
            _die()
        said = act(self, asked)
        if asked == what:
            _die()
        return said

    Fake._act = deadly  # type: ignore[method-assign]


def at_handover() -> None:
    """Die when an effect is handed to the engine and not yet marked as handed over."""
    effects.mark_dispatched = _die


def hanging_power() -> None:
    """Every act of a power switch takes a minute."""

    def hang(self: Fake, what: str) -> str:
        log.info("hanging")
        time.sleep(60)
        raise DriverError("it took too long")

    Fake._act = hang  # type: ignore[method-assign]


def slow_power_and_short_leases() -> None:
    """A power switch takes as long as a quick BMC, so that many a process is killed over it; and
    what a dead worker had in hand is soon another's."""
    engine._LEASE, engine._LEASE_SECONDS = timedelta(seconds=4), 1.0
    act = Fake._act

    def slow(self: Fake, what: str) -> str:
        time.sleep(random.uniform(0, 0.1))
        said = act(self, what)
        time.sleep(random.uniform(0, 0.1))
        return said

    Fake._act = slow  # type: ignore[method-assign]


def long_power_and_short_leases() -> None:
    """A power switch has acted long before it says so: time enough to be paused in between."""
    engine._LEASE, engine._LEASE_SECONDS = timedelta(seconds=4), 1.0
    act = Fake._act

    def slow(self: Fake, what: str) -> str:
        said = act(self, what)
        time.sleep(2)
        return said

    Fake._act = slow  # type: ignore[method-assign]


def other_migrations(folder: Path) -> partial[None]:
    """Run with the migrations of another version, from `folder`."""
    return partial(_other_migrations, folder)


def _other_migrations(folder: Path) -> None:
    own = resources.folder
    resources.folder = lambda name: folder / name if name == "alembic" else own(name)


def slow_creation() -> None:
    """Every new deployment takes a second more."""
    create = deployments.create

    def slow(*args: Any) -> Any:
        time.sleep(1)
        return create(*args)

    deployments.create = slow
