"""The outbox, and the durable engine (DBOS) that runs what is in it.

A transition writes effect rows in its own commit. The dispatcher starts one engine workflow per
offer of a row, with an id made from both, so starting twice is starting once. Whoever carries an
effect out renews its lease; when a worker is gone for good, or its workflow was lost with a
database, the lease runs out and the effect is offered again. Waiting (for machines, for deadlines,
for the next try) is not the engine's work: that is columns and one query.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from dbos import DBOS, SetWorkflowID

from deployer.errors import Unavailable
from deployer.observe import log, metrics
from deployer.services import deadlines, deliveries, effects, housekeeping, lanes, workers
from deployer.services.chat import threads
from deployer.services.chat.hear import Ears
from deployer.services.chat.listeners import Listeners
from deployer.services.parts import Parts
from deployer.services.sender import Sender
from deployer.store import effects as store

# Threads, nearly all of which wait for a BMC or for their next try.
_AT_ONCE = 128
_OUTBOX_SECONDS = 0.2
_DEADLINE_SECONDS = 1.0
_MAIL_SECONDS = 0.5
_LEASE_SECONDS = 5.0
_HOUSEKEEPING_SECONDS = 60.0
_LEASE = timedelta(seconds=30)
_BACK_OFF_LIMIT = 30.0
_TRIES = 6

# The engine calls module-level functions; this is what they work with.
_worker: Worker | None = None


def _perform(effect_id: str, offer: int) -> None:
    assert _worker is not None
    effects.perform(_worker.parts, effect_id, offer)


def _run_effect(effect_id: str, offer: int) -> None:
    """One durable workflow: one try. The next one, if there is to be one, is offered by its row."""
    assert _worker is not None
    with _worker.holding(effect_id, offer):
        _perform_step(effect_id, offer)


# What this retries is our own database; when that is away for long, the effect is offered again.
_perform_step = DBOS.step(name="perform", retries_allowed=True, max_attempts=_TRIES)(_perform)
_workflow = DBOS.workflow(name="effect")(_run_effect)


class Background(threading.Thread):
    """Calls `work` again and again; a crash is logged, counted and followed by another try."""

    def __init__(self, name: str, work: Callable[[], object], pause: float) -> None:
        super().__init__(name=name, daemon=True)
        self.work, self.pause = work, pause
        self.failures = 0
        self._stop_asked = threading.Event()
        self._poke = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.is_set():
            self._poke.clear()
            try:
                self.work()
                self.failures = 0
            except Exception as error:
                self.failures += 1
                metrics.background_failures.labels(self.name).inc()
                log.error("background_failure", task=self.name, error=str(error), exc_info=True)
            self._rest()

    def _rest(self) -> None:
        if self.failures:
            # Not to be poked: whatever failed would be called as often as somebody commits.
            doublings = min(self.failures, 10)
            self._stop_asked.wait(min(self.pause * 2**doublings, _BACK_OFF_LIMIT))
        else:
            self._poke.wait(self.pause)

    def poke(self) -> None:
        """There may be work: do not sleep out the pause."""
        self._poke.set()

    def stop(self) -> None:
        self._stop_asked.set()
        self._poke.set()

    @property
    def healthy(self) -> bool:
        return self.is_alive() and self.failures == 0


class Worker:
    """Runs effects, tells receivers and watches deadlines, until stopped."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._in_hand: set[tuple[str, int]] = set()
        self._guard = threading.Lock()
        self._outbox = Background("outbox", self._dispatch, _OUTBOX_SECONDS)
        self._listeners = Listeners(parts, Ears(parts))
        deliveries_ = Sender(parts, deliveries.MAIL, lambda: deliver.poke())
        messages = Sender(parts, threads.MAIL, lambda: talk.poke())
        self._senders = [deliveries_, messages]
        deliver = Background("deliveries", deliveries_.turn, _MAIL_SECONDS)
        talk = Background("chats", messages.turn, _MAIL_SECONDS)
        self.tasks = [
            self._outbox,
            deliver,
            talk,
            Background("listeners", self._listeners.mind, _LEASE_SECONDS),
            Background("deadlines", lambda: deadlines.expire(parts), _DEADLINE_SECONDS),
            Background("leases", self._mind_leases, _LEASE_SECONDS),
            Background("housekeeping", lambda: housekeeping.tidy(parts), _HOUSEKEEPING_SECONDS),
        ]

    def start(self) -> None:
        global _worker
        _worker = self
        url = str(self.parts.database.url.render_as_string(hide_password=False))
        if self.parts.database.is_sqlite:
            # A file of its own, so that the engine's polling and our writers do not wait in line.
            url = f"sqlite:///{self.parts.settings.data_dir / 'engine.db'}"
        DBOS(
            config={
                "name": "deployer",
                "system_database_url": url,
                # Constant, so that an upgrade finishes what the version before it began.
                "application_version": "1",
                "executor_id": self.parts.settings.worker_name,
                "enable_otlp": False,
                "log_level": "ERROR",
            }
        )
        DBOS.launch()
        self.parts.database.after_commit(self._outbox.poke)
        for task in self.tasks:
            task.start()

    @contextmanager
    def holding(self, effect_id: str, offer: int) -> Iterator[None]:
        """While this lasts, the effect's lease is renewed."""
        with self._guard:
            self._in_hand.add((effect_id, offer))
        try:
            yield
        finally:
            with self._guard:
                self._in_hand.discard((effect_id, offer))
            self._outbox.poke()

    @property
    def in_hand(self) -> list[str]:
        """Ids of the effects that are being carried out."""
        with self._guard:
            return sorted({effect_id for effect_id, _ in self._in_hand})

    @property
    def _busy(self) -> bool:
        return bool(self.in_hand) or any(sender.in_hand for sender in self._senders)

    def _dispatch(self) -> None:
        """Hand over what is in the outbox. What is marked and then lost by a crash is offered again
        when its lease runs out."""
        room = _AT_ONCE - len(self.in_hand)
        if room <= 0:
            return
        now = self.parts.clock()
        # Looked first: a commit wakes us, and while all that waits is held back, ours would, too.
        with self.parts.database.reading() as session:
            if not lanes.choose(session, self.parts, now, room):
                return
        # Chosen and marked in one turn, so that two workers together keep to the limits.
        with self.parts.database.writing() as session:
            store.one_at_a_time(session)
            chosen = lanes.choose(session, self.parts, now, room)
            store.mark_dispatched(session, [each.id for each in chosen], now, _LEASE)
        for each in chosen:
            with SetWorkflowID(f"{each.id}-{each.offer}"):
                # Not by one of the engine's queues: it would poll for what we can tell it.
                DBOS.start_workflow(_workflow, each.id, each.offer)

    def _mind_leases(self) -> None:
        """Renew our own, and offer again what nobody has in hand any more."""
        workers.beat(self.parts)
        for sender in self._senders:
            sender.renew()
        now, ours = self.parts.clock(), self.in_hand
        if ours:
            with self.parts.database.writing() as session:
                store.renew(session, ours, now + _LEASE)
        with self.parts.database.reading() as session:
            abandoned = store.abandoned(session, now)
        if abandoned:
            log.warning("effects_abandoned", effects=abandoned)
            with self.parts.database.writing() as session:
                store.offer_again(session, abandoned, now)

    @property
    def problems(self) -> list[str]:
        """Names of background tasks that are failing just now."""
        return [task.name for task in self.tasks if not task.healthy]

    def take_no_more(self) -> None:
        """Carry out what is in hand, and nothing else; does not wait."""
        for task in self.tasks:
            task.stop()

    def stop(self, seconds: float = 5) -> None:
        """Take no new work, and give the work in hand a little time; the rest is handed back."""
        self.take_no_more()
        end = time.monotonic() + seconds
        for task in self.tasks:
            task.join(max(0.1, end - time.monotonic()))
        while self._busy and time.monotonic() < end:
            time.sleep(0.05)
        DBOS.destroy()
        # Without a database, that we left is seen by our silence, and what we had by its lease.
        with suppress(Unavailable):
            workers.leave(self.parts)
            self._listeners.stop()
            for sender in self._senders:
                sender.hand_back()
            if unfinished := self.in_hand:
                log.warning("effects_handed_back", effects=unfinished)
                with self.parts.database.writing() as session:
                    store.renew(session, unfinished, self.parts.clock())
