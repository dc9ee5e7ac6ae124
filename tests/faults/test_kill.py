"""F030: the process may be killed at any moment; nothing that it acknowledged is lost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest
from sqlalchemy import text

from deployer.settings import Settings
from tests.support import faults
from tests.support.fleet import Fleet, broken_promises, wrong_deeds
from tests.support.live import HOST, Child, LiveService, until

on_postgresql = pytest.mark.parametrize(
    "backend", [pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)


def _kill_again_and_again(
    live: LiveService, rounds: int, seed: int, workers: Sequence[Child] = ()
) -> Fleet:
    moments = random.Random(seed)
    everybody = [live, *workers]
    live.start(faults.slow_power_and_short_leases)
    for worker in workers:
        worker.launch(faults.slow_power_and_short_leases)
    with Fleet(live, 6) as fleet:
        for number in range(rounds):
            victims = moments.sample(everybody, min(len(everybody), moments.choice((1, 1, 2))))
            if number % 4 == 1:
                victims = everybody
                _wait_for_a_deed(live)
            elif number % 4 == 3:
                time.sleep(moments.uniform(0, 0.4))  # while it is starting
            else:
                _wait_for_calls(fleet, moments.randint(1, 20))
            for victim in victims:
                victim.kill()
            for victim in victims:
                victim.launch(faults.slow_power_and_short_leases)
        until(live.is_ready, 20)
        before = fleet.rounds
        until(lambda: fleet.rounds >= before + len(fleet.players), 45, "everybody goes on")
    return fleet


def _wait_for_calls(fleet: Fleet, number: int) -> None:
    """Until so many more calls were acknowledged: busy machines are killed at busy moments, too."""
    goal, end = fleet.calls + number, time.monotonic() + 5
    while fleet.calls < goal and time.monotonic() < end:
        time.sleep(0.002)


def _wait_for_a_deed(live: LiveService) -> None:
    """Until a power switch has done something that nobody has written down yet."""
    known, end = len(live.deeds()), time.monotonic() + 5
    while len(live.deeds()) == known and time.monotonic() < end:
        time.sleep(0.002)


def _check_all(live: LiveService, fleet: Fleet) -> None:
    parts = live.parts()
    try:
        # Effects of rounds that the players left unfinished are still being carried out.
        until(lambda: not broken_promises(parts, fleet), 45, lambda: broken_promises(parts, fleet))
        assert wrong_deeds(parts, live.deeds()) == []
        if parts.database.is_sqlite:
            with parts.database.reading() as session:
                assert session.execute(text("PRAGMA integrity_check")).scalar() == "ok"
    finally:
        parts.database.dispose()


def test_f030_killed_at_random_moments_under_load_nothing_acknowledged_is_lost(
    live: LiveService,
) -> None:
    fleet = _kill_again_and_again(live, rounds=10, seed=30)
    _check_all(live, fleet)


@pytest.mark.e2e
def test_f030_killed_a_hundred_times(live: LiveService) -> None:
    fleet = _kill_again_and_again(live, rounds=100, seed=100)
    _check_all(live, fleet)


@pytest.fixture
def crowd(settings: Settings) -> Iterator[tuple[LiveService, list[Child]]]:
    """A service without a worker of its own, and three workers."""
    with LiveService(settings, worker=False) as live, ExitStack() as others:
        workers = [live.has_worker(f"worker{number}") for number in range(3)]
        for worker in workers:
            others.callback(worker.kill)
        yield live, workers


@on_postgresql
@pytest.mark.parametrize(
    "rounds", [pytest.param(12, marks=pytest.mark.slow), pytest.param(200, marks=pytest.mark.e2e)]
)
def test_f030_any_of_a_service_and_three_workers_is_killed(
    crowd: tuple[LiveService, list[Child]], rounds: int
) -> None:
    live, workers = crowd
    fleet = _kill_again_and_again(live, rounds, seed=rounds, workers=workers)
    _check_all(live, fleet)


@on_postgresql
@pytest.mark.parametrize("what", ["boot_once", "cycle"])
def test_f032_a_worker_that_was_paused_past_its_lease_changes_nothing_any_more(
    crowd: tuple[LiveService, list[Child]], what: str
) -> None:
    live, (paused, other, _) = crowd
    live.start()
    live.knows({**HOST, "power": {"driver": "fake", "name": "switch"}})
    paused.launch(faults.long_power_and_short_leases)
    id_ = live.queues()
    until(lambda: what in live.told("switch"), 20, "the switch has acted")
    os.kill(paused.process.pid, signal.SIGSTOP)
    try:
        other.launch(faults.long_power_and_short_leases)
        judged = "effect_interrupted" if what == "cycle" else "power.cycle"
        until(lambda: judged in live.events(id_), 40, lambda: str(live.events(id_)))
        before = live.history(id_)
    finally:
        os.kill(paused.process.pid, signal.SIGCONT)
    time.sleep(4)  # what it had in hand, and a lease that it may believe to have
    assert live.history(id_) == before
    assert live.state(id_) == "booting" and live.told("switch").count("cycle") == 1


def test_f030_an_armed_deployment_keeps_its_expiry_and_its_script_over_a_kill(
    live: LiveService,
) -> None:
    live.start().knows()
    id_ = live.queues()
    live.waits_for(id_, "booting")
    machine = live.machine()
    script, deadline = machine.asks(), live.deployment(id_)["deadline"]
    assert "kernel" in script
    live.restart()
    assert live.deployment(id_)["deadline"] == deadline
    assert machine.asks() == script
    machine.installs()
    live.restart()
    assert "kernel" not in machine.asks()
    assert machine.phones_home("first_boot").status_code == 200
    live.waits_for(id_, "ready")
