"""Chats that call nobody: somebody has to ask them, and of all workers only one may."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session

from deployer.drivers.chat.base import Heard
from deployer.errors import DeployerError
from deployer.observe import log, metrics
from deployer.services import receivers
from deployer.services.chat.hear import Ear, Ears, say_late
from deployer.services.parts import CHAT_DRIVERS, Parts
from deployer.store import people
from deployer.store.tables import Receiver

_FACT = "listener:"
# Past this, whoever listened is gone.
_STALE = timedelta(seconds=30)
_REST_SECONDS = 5.0


@dataclass
class _Listening:
    """A receiver as it was when we began, and the thread that asks its platform."""

    updated_at: datetime
    thread: threading.Thread
    over: threading.Event = field(default_factory=threading.Event)


class Listeners:
    """Of this process; `mind` is called every few seconds, from one thread."""

    def __init__(self, parts: Parts, ears: Ears) -> None:
        self.parts, self.ears = parts, ears
        self.listening: dict[str, _Listening] = {}

    def mind(self) -> None:
        """Begin where nobody listens; end where we should not any more."""
        with self.parts.database.reading() as session:
            rows = {row.name: row for row in receivers.enabled(session, types=CHAT_DRIVERS)}
            ears = {name: ear for name, row in rows.items() if (ear := self._ear(session, row))}
        for name, ours in list(self.listening.items()):
            changed = name not in ears or rows[name].updated_at != ours.updated_at
            if changed or not ours.thread.is_alive() or not self._is_ours(name):
                ours.over.set()
                del self.listening[name]
        for name in ears.keys() - self.listening.keys():
            if self._is_ours(name):
                self._begin(rows[name], ears[name])

    def _ear(self, session: Session, row: Receiver) -> Ear | None:
        try:
            driver = receivers.chat_driver(session, self.parts, row)
        except DeployerError as error:
            log.warning("chat_not_ready", receiver=row.name, error=error.message)
            return None
        return Ear(row.name, driver) if driver.listens else None

    def _is_ours(self, name: str) -> bool:
        """Take it, or hold on to it; False while another worker has it."""
        now, me = self.parts.clock(), self.parts.settings.worker_name
        with self.parts.database.writing() as session:
            people.lock_fact(session, _FACT + name)
            who, _, at = (people.fact(session, _FACT + name) or "").rpartition(" ")
            if who and who != me and now - datetime.fromisoformat(at) < _STALE:
                return False
            people.save_fact(session, _FACT + name, f"{me} {now.isoformat()}")
            return True

    def _begin(self, row: Receiver, ear: Ear) -> None:
        over = threading.Event()

        def hear(heard: Heard) -> None:
            message = self.ears.answer(ear, heard)
            if message is not None:
                say_late(ear, heard, message)

        def listen() -> None:
            while not over.is_set():
                try:
                    ear.driver.listen(hear, over.is_set)
                except Exception as error:
                    metrics.background_failures.labels("listener").inc()
                    log.error("chat_unheard", receiver=ear.receiver, error=str(error))
                    over.wait(_REST_SECONDS)

        thread = threading.Thread(target=listen, name=f"chat-{row.name}", daemon=True)
        self.listening[row.name] = _Listening(row.updated_at, thread, over)
        thread.start()

    def stop(self) -> None:
        """End all, and let others take them at once."""
        for ours in self.listening.values():
            ours.over.set()
        with self.parts.database.writing() as session:
            for name in self.listening:
                people.forget_fact(session, _FACT + name)
        self.listening.clear()
