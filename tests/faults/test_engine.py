"""The engine on DBOS: hand-over, retries, giving up, leases, and tasks that crash (F049)."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from fastapi.testclient import TestClient

from deployer.app import create_operator_app
from deployer.core.workflows import Step
from deployer.drivers.power.fake import Fake
from deployer.engine import Background, Worker
from deployer.errors import DriverError, DriverRefused
from deployer.observe import metrics
from deployer.services import effects, flow
from deployer.services.parts import Parts
from deployer.store import effects as store
from deployer.store.tables import Effect
from tests.support.live import until
from tests.support.service import Service, ok

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tries within a moment, instead of six within half a minute."""
    usual = Step(do="power.off", tries=3, pause=0.02)
    monkeypatch.setattr(flow, "step_of", lambda *_: usual)


def _knows_switch(service: Service, name: str, fails: int = 0) -> None:
    Fake.told.pop(name, None)
    service.knows({"power": {"driver": "fake", "name": name, "fails": fails}})


def _effects(parts: Parts, id_: str) -> list[Effect]:
    with parts.database.reading() as session:
        return store.of_deployment(session, id_)


@pytest.mark.slow
def test_with_a_manual_switch_a_deployment_is_booting_as_soon_as_it_is_queued(
    worker: Worker, real: Service
) -> None:
    """The contract says within two seconds; a machine with other work to do is given more."""
    real.knows()
    id_ = real.queues()
    until(lambda: real.state(id_) == "booting", 10)


@pytest.mark.slow
def test_an_effect_that_fails_twice_and_then_works_moves_the_deployment(
    impatient: None, worker: Worker, real: Service
) -> None:
    _knows_switch(real, "twice", fails=2)
    id_ = real.queues()
    until(lambda: "power.cycle" in real.events(id_))
    assert real.state(id_) == "booting"
    assert Fake.told["twice"] == ["boot_once"] * 3 + ["cycle"]


@pytest.mark.slow
def test_an_effect_that_never_works_fails_the_deployment_with_what_the_switch_said(
    impatient: None, worker: Worker, real: Service
) -> None:
    _knows_switch(real, "never", fails=1000)
    id_ = real.queues()
    until(lambda: real.state(id_) == "failed")
    assert real.cause(id_) == "power.boot_once: never did not answer (after 3 tries)"
    assert not real.machine().is_offered_an_installer()


@pytest.mark.slow
def test_a_driver_that_crashes_fails_the_deployment_with_its_words(
    worker: Worker, real: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fake, "_boot_once", lambda *_: 1 / 0)
    _knows_switch(real, "crashing")
    id_ = real.queues()
    until(lambda: real.state(id_) == "failed")
    assert real.cause(id_) == "power.boot_once: ZeroDivisionError: division by zero"


@pytest.mark.slow
@on_sqlite
def test_dead_switches_do_not_hold_up_the_others(
    worker: Worker, real: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    over: list[bool] = []

    def boot_once(switch: Fake, *_: object) -> str:
        if switch.settings.name != "good":
            until(lambda: over, 30)
            raise DriverRefused("dead")
        return "done"

    monkeypatch.setattr(Fake, "_boot_once", boot_once)
    _knows_switch(real, "good")
    for number in range(40):
        mac = f"52:54:00:00:01:{number:02x}"
        power = {"driver": "fake", "name": f"dead{number}"}
        ok(
            real.api.post(
                "/api/v1/hosts", json={"name": power["name"], "macs": [mac], "power": power}
            )
        )
        real.queues(power["name"])
    until(lambda: len(worker.in_hand) == 40)
    id_ = real.queues("web01")
    until(lambda: real.state(id_) == "booting", 3)
    over.append(True)
    until(lambda: not worker.in_hand)


@pytest.mark.slow
def test_f031_an_effect_that_is_handed_over_again_while_it_runs_runs_once(
    worker: Worker, real: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the process dies, or the database hangs up, before the hand-over is marked."""
    calls: list[str] = []
    over: list[bool] = []

    def boot_once(switch: Fake, *_: object) -> str:
        calls.append("boot_once")
        until(lambda: over)
        return "done"

    monkeypatch.setattr(Fake, "_boot_once", boot_once)
    mark, forgot = store.mark_dispatched, list[object]()
    monkeypatch.setattr(store, "mark_dispatched", lambda *what: forgot.append(what))
    _knows_switch(real, "twice")
    id_ = real.queues()
    until(lambda: len(forgot) >= 3)
    monkeypatch.setattr(store, "mark_dispatched", mark)
    over.append(True)
    until(lambda: real.state(id_) == "booting")
    assert calls == ["boot_once"]


@pytest.mark.slow
@on_sqlite
def test_what_is_held_back_keeps_nobody_busy(
    worker: Worker, real: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit wakes the outbox; its own must not wake it again and again."""
    over: list[bool] = []
    monkeypatch.setattr(Fake, "_boot_once", lambda *_: until(lambda: over) and "done")
    worker.parts.settings.power_at_once = 1
    _knows_switch(real, "first")
    real.knows_host(name="web02", macs=["52:54:00:00:02:02"], power={"driver": "fake", "name": "x"})
    first = real.queues()
    until(lambda: worker.in_hand)
    held = real.queues(host="web02")
    commits: list[bool] = []
    worker.parts.database.after_commit(lambda: commits.append(True))
    time.sleep(1)
    assert len(commits) <= 5 and real.state(held) == "queued"
    over.append(True)
    until(lambda: {real.state(first), real.state(held)} == {"booting"})


# --- leases -----------------------------------------------------------------------------------


@contextmanager
def _another_worker(parts: Parts, name: str) -> Iterator[Worker]:
    settings = parts.settings.model_copy(update={"worker_name": name})
    worker = Worker(replace(parts, settings=settings))
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def _left_behind(service: Service, parts: Parts, name: str, *, started: bool) -> str:
    """A deployment whose effect `name` a worker had in hand that is gone for good."""
    id_ = service.queues()
    effect = _effects(parts, id_)[-1]
    now = parts.clock()
    with parts.database.writing() as session:
        store.mark_dispatched(session, [effect.id], now - timedelta(hours=1), timedelta(0))
        row = store.get(session, effect.id)
        assert row is not None
        row.name = name
        if started:
            row.started_at, row.attempts = now, 1
        session.add(row)
    return id_


@pytest.mark.slow
def test_f030_an_effect_that_a_lost_worker_had_in_hand_is_done_by_the_next(
    real_parts: Parts, real: Service
) -> None:
    _knows_switch(real, "orphan")
    id_ = _left_behind(real, real_parts, "power.boot_once", started=True)
    with _another_worker(real_parts, "somebody-else"):
        until(lambda: real.state(id_) == "booting")
    assert Fake.told["orphan"][0] == "boot_once"


@pytest.mark.slow
def test_f030_a_power_cycle_that_a_lost_worker_had_in_hand_is_reported_and_not_repeated(
    real_parts: Parts, real: Service
) -> None:
    _knows_switch(real, "orphan")
    id_ = _left_behind(real, real_parts, "power.cycle", started=True)
    with _another_worker(real_parts, "somebody-else"):
        until(lambda: "effect_interrupted" in real.events(id_))
    assert Fake.told.get("orphan", []) == []


@pytest.mark.slow
def test_f030_a_power_cycle_whose_secret_is_gone_when_the_next_worker_finds_it_fails_once(
    real_parts: Parts, real: Service
) -> None:
    ok(real.api.post("/api/v1/secrets", json={"name": "bmc", "value": "calvin-99"}))
    bmc = {"driver": "redfish", "url": "https://10.0.9.1", "username": "root"}
    real.knows({"power": {**bmc, "password": {"secret": "bmc"}}})
    id_ = _left_behind(real, real_parts, "power.cycle", started=True)
    ok(real.api.patch("/api/v1/hosts/web01", json={"power": {"driver": "manual"}}))
    ok(real.api.delete("/api/v1/secrets/bmc"))
    with _another_worker(real_parts, "somebody-else"):
        until(lambda: real.state(id_) == "failed")
    assert real.events(id_) == ["created", "effect_interrupted", "effect_failed"]
    cause = "power.cycle: the host web01 names the secret bmc, which is not there"
    assert real.cause(id_) == cause


@pytest.mark.slow
def test_an_effect_that_a_newer_version_ordered_fails_the_deployment_by_its_name(
    real_parts: Parts, real: Service
) -> None:
    _knows_switch(real, "orphan")
    id_ = _left_behind(real, real_parts, "power.dance", started=False)
    with _another_worker(real_parts, "somebody-else"):
        until(lambda: real.state(id_) == "failed")
    assert "power.dance" in real.cause(id_)


def test_f032_a_worker_that_lost_its_lease_changes_nothing_any_more(
    real_parts: Parts, real: Service
) -> None:
    _knows_switch(real, "paused")
    id_ = _left_behind(real, real_parts, "power.boot_once", started=False)
    effect = _effects(real_parts, id_)[-1]
    with real_parts.database.writing() as session:
        store.offer_again(session, [effect.id], real_parts.clock())
    effects.perform(real_parts, effect.id, offer=0)
    assert Fake.told.get("paused", []) == []
    assert _effects(real_parts, id_)[-1].started_at is None


@pytest.mark.slow
def test_a_lease_is_renewed_while_the_switch_takes_its_time(
    worker: Worker, real: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate: list[bool] = []
    monkeypatch.setattr(Fake, "_boot_once", lambda *_: until(lambda: gate) and "done")
    _knows_switch(real, "slow")
    id_ = real.queues()
    until(lambda: worker.in_hand)
    effect = _effects(worker.parts, id_)[0]
    with worker.parts.database.writing() as session:
        store.renew(session, [effect.id], worker.parts.clock() - timedelta(seconds=1))
    worker._mind_leases()
    assert _effects(worker.parts, id_)[0].offer == 0, "its own work is not abandoned"
    gate.append(True)
    until(lambda: real.state(id_) == "booting")


# --- background tasks -------------------------------------------------------------------------


@pytest.mark.slow
def test_f049_a_task_that_raises_is_tried_again_ever_more_slowly_and_recovers() -> None:
    moments: list[float] = []

    def work() -> None:
        moments.append(time.monotonic())
        if len(moments) <= 4:
            raise RuntimeError("broken")

    before = metrics.background_failures.labels("test")._value.get()
    task = Background("test", work, pause=0.02)
    task.start()
    until(lambda: task.failures == 2)
    assert not task.healthy
    until(lambda: len(moments) >= 5)
    until(lambda: task.healthy)
    pauses = [b - a for a, b in pairwise(moments[:5])]
    assert all(pause >= 0.02 * 2**n for n, pause in enumerate(pauses, 1)), pauses
    assert metrics.background_failures.labels("test")._value.get() == before + 4
    task.stop()
    task.join(1)


def test_f049_a_task_that_has_failed_for_days_is_still_alive() -> None:
    def fail() -> None:
        raise RuntimeError("broken")

    task = Background("test", fail, pause=0.001)
    task.failures = 100_000
    task.start()
    time.sleep(0.05)
    assert task.is_alive() and not task.healthy
    task.stop()
    task.join(1)


def test_f049_commits_do_not_make_a_failing_task_run_more_often() -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise RuntimeError("broken")

    task = Background("test", fail, pause=10)
    task.start()
    for _ in range(50):
        task.poke()
        time.sleep(0.001)
    assert len(calls) == 1
    task.stop()
    task.join(1)


def named(worker: Worker, name: str) -> Any:
    return next(task for task in worker.tasks if task.name == name)


TASKS = ["outbox", "deliveries", "chats", "listeners", "deadlines", "leases", "housekeeping"]


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
@on_sqlite
def test_f049_readyz_names_a_task_that_fails_until_it_works_again(
    worker: Worker, name: str
) -> None:
    assert [task.name for task in worker.tasks] == TASKS
    api = TestClient(create_operator_app(worker.parts, worker))
    task = named(worker, name)
    works, task.pause = task.work, 0.01
    until(lambda: api.get("/readyz").status_code == 200)
    task.work = lambda: 1 / 0
    task.poke()
    until(lambda: api.get("/readyz").status_code == 503)
    assert api.get("/readyz").json()["problems"] == {"worker": f"failing: {task.name}"}
    task.work = works
    until(lambda: api.get("/readyz").status_code == 200)


@pytest.mark.slow
@on_sqlite
def test_f049_readyz_names_a_task_that_is_dead(worker: Worker) -> None:
    task = named(worker, "deadlines")
    task.stop()
    until(lambda: not task.is_alive())
    assert worker.problems == ["deadlines"]


def test_power_errors_are_not_lost_on_the_way_through_the_engine() -> None:
    """The engine stores what a step raised; it must come back as what it was."""
    assert pickle.loads(pickle.dumps(DriverError("no answer"))).message == "no answer"
