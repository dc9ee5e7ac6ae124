"""Sends what is due, each receiver in a thread of its own: one that hangs holds up no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from deployer.observe import log
from deployer.services.parts import Parts
from deployer.store import deliveries as store

# Threads, nearly all of which wait for a receiver that is in trouble.
_AT_ONCE = 32


Until = Callable[[Session, Collection[str], datetime], None]


@dataclass(frozen=True)
class Mail:
    """Something that can be sent: `due` says what, so much at the most, each for another receiver
    to which nothing is being sent; `lease_out` makes it ours, for one try by `send`, until a moment
    that `renew` puts off."""

    name: str
    lease: timedelta
    due: Callable[[Session, datetime, int], Sequence[str]]
    lease_out: Until
    send: Callable[[Parts, str], None]
    renew: Until

    def take(self, parts: Parts, room: int) -> list[str]:
        """Ids of what is to be sent now, `room` at the most; by nobody else for a lease."""
        if room <= 0:
            return []
        now = parts.clock()
        # Looked first: nearly always there is nothing, and writers wait for each other.
        with parts.database.reading() as session:
            if not self.due(session, now, 1):
                return []
        with parts.database.writing() as session:
            store.one_at_a_time(session)
            ids = list(self.due(session, now, room))
            self.lease_out(session, ids, now + self.lease)
        return ids


class Sender:
    """`poke` is called when a thread has ended: there may be more for its receiver."""

    def __init__(self, parts: Parts, mail: Mail, poke: Callable[[], Any]) -> None:
        self.parts, self.mail, self.poke = parts, mail, poke
        self._in_hand: set[str] = set()
        self._guard = threading.Lock()

    @property
    def in_hand(self) -> list[str]:
        """Ids of what is being sent."""
        with self._guard:
            return sorted(self._in_hand)

    def turn(self) -> None:
        """Begin all that is due. Of what is lost by a crash the lease runs out."""
        for id_ in self.mail.take(self.parts, _AT_ONCE - len(self.in_hand)):
            with self._guard:
                self._in_hand.add(id_)
            # Not of a pool, which would be waited for when this process is to end.
            name = f"{self.mail.name}-{id_}"
            threading.Thread(target=self._send, args=(id_,), name=name, daemon=True).start()

    def _send(self, id_: str) -> None:
        try:
            self.mail.send(self.parts, id_)
        except Exception as error:
            # Our own database, most likely; it is sent again when its lease has run out.
            log.error(f"{self.mail.name}_failed", id=id_, error=str(error), exc_info=True)
        finally:
            with self._guard:
                self._in_hand.discard(id_)
            self.poke()

    def renew(self) -> None:
        """What is in hand is nobody else's for another lease."""
        if held := self.in_hand:
            with self.parts.database.writing() as session:
                self.mail.renew(session, held, self.parts.clock() + self.mail.lease)

    def hand_back(self) -> None:
        """What could not be ended; whoever comes next sends it, perhaps a second time."""
        if held := self.in_hand:
            with self.parts.database.writing() as session:
                self.mail.renew(session, held, self.parts.clock())
