"""The outbox, and the durable engine (DBOS) that runs what is in it.

A transition writes effect rows in its own commit. The dispatcher hands each row to the engine
with the row's id as workflow id, so handing it over twice is running it once; the engine tries
again with back-off, also after a crash. Waiting (for machines, for deadlines) is not its work:
that is columns and one query.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dbos import DBOS, SetWorkflowID

from deployer.observe import log, metrics
from deployer.services import deadlines, effects
from deployer.services.parts import Parts
from deployer.store import effects as store

_QUEUE = "effects"
_AT_ONCE = 32
_OUTBOX_SECONDS = 0.2
_DEADLINE_SECONDS = 1.0
_BACK_OFF_LIMIT = 30.0
_TRIES, _FIRST_PAUSE_SECONDS, _PAUSE_GROWS = 6, 1.0, 2.0

# The engine calls module-level functions; this is what they work with.
_parts: Parts | None = None


def _perform(effect_id: str) -> None:
    assert _parts is not None
    effects.perform(_parts, effect_id)


def _give_up(effect_id: str, error: str) -> None:
    assert _parts is not None
    effects.give_up(_parts, effect_id, error)


def _run_effect(effect_id: str) -> None:
    """One durable workflow: try, try again, and in the end say that it could not be done."""
    try:
        _perform_step(effect_id)
    except Exception as error:
        _give_up_step(effect_id, str(error.__cause__ or error))


_perform_step = DBOS.step(
    name="perform", retries_allowed=True, max_attempts=_TRIES,
    interval_seconds=_FIRST_PAUSE_SECONDS, backoff_rate=_PAUSE_GROWS,
)(_perform)  # fmt: skip
_give_up_step = DBOS.step(name="give_up", retries_allowed=True, max_attempts=_TRIES)(_give_up)
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
            self._poke.wait(min(self.pause * 2**self.failures, _BACK_OFF_LIMIT))

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
    """Runs effects and watches deadlines, until stopped."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.tasks = [
            Background("outbox", self._dispatch, _OUTBOX_SECONDS),
            Background("deadlines", lambda: deadlines.expire(parts), _DEADLINE_SECONDS),
        ]

    def start(self) -> None:
        global _parts
        _parts = self.parts
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
        DBOS.register_queue(_QUEUE, worker_concurrency=_AT_ONCE, polling_interval_sec=0.25)
        with self.parts.database.writing() as session:
            store.offer_unfinished_again(session)
        self.parts.database.after_commit(self.tasks[0].poke)
        for task in self.tasks:
            task.start()

    def _dispatch(self) -> None:
        """Hand over what is in the outbox; only then is it marked as handed over."""
        with self.parts.database.reading() as session:
            waiting = [effect.id for effect in store.undispatched(session, limit=200)]
        if not waiting:
            return
        for effect_id in waiting:
            with SetWorkflowID(effect_id):
                DBOS.enqueue_workflow(_QUEUE, _workflow, effect_id)
        with self.parts.database.writing() as session:
            store.mark_dispatched(session, waiting, self.parts.clock())

    @property
    def problems(self) -> list[str]:
        """Names of background tasks that are failing just now."""
        return [task.name for task in self.tasks if not task.healthy]

    def stop(self, seconds: float = 5) -> None:
        """Take no new work, and give the work in hand a little time; the rest is taken up again."""
        for task in self.tasks:
            task.stop()
        end = time.monotonic() + seconds
        for task in self.tasks:
            task.join(max(0.1, end - time.monotonic()))
        DBOS.destroy(workflow_completion_timeout_sec=int(max(0, end - time.monotonic())))
