"""F033, F038: the database is locked, restarts, hangs up, refuses to write, has no room."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import psycopg
import pytest
from sqlalchemy import text

from deployer.errors import Unavailable
from deployer.services.parts import Parts
from deployer.store import database
from tests.support.fleet import Fleet, broken_promises
from tests.support.live import LiveService, until
from tests.support.machine import FakeMachine
from tests.support.postgres import PostgresServer
from tests.support.service import Service, ok

on_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
DEPLOYMENTS = "/api/v1/deployments"
BODY = {"host": "web01", "profile": "debian-12-image"}


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)


@pytest.fixture
def installing(short_wait: None, service: Service) -> tuple[Service, FakeMachine, str]:
    """One deployment that waits for its machine, which has its script, and a host that is idle."""
    service.knows()
    ok(service.api.post("/api/v1/hosts", json={"name": "idle", "macs": ["52:54:00:00:00:99"]}))
    id_, machine = service.deploys(), service.machine()
    assert machine.is_offered_an_installer()
    return service, machine, id_


@contextmanager
def _locked(parts: Parts) -> Iterator[None]:
    """Somebody else's transaction holds what our writers need."""
    if parts.database.is_sqlite:
        with closing(sqlite3.connect(parts.database.url.database or "")) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    url = parts.database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    # Should we wait for it without a limit, it is ended, and the test fails.
    with psycopg.connect(url, options="-c idle_in_transaction_session_timeout=10s") as other:
        other.execute("LOCK TABLE deployments, history, effects, audit IN EXCLUSIVE MODE")
        yield


def _everything(parts: Parts) -> list[object]:
    with parts.database.reading() as session:
        tables = ["deployments", "history", "effects", "audit", "idempotent_replies"]
        return [session.execute(text(f"SELECT * FROM {t} ORDER BY 1")).fetchall() for t in tables]


def _is_refused_for_now(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["remedy"]


# --- F033 -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_f033_while_the_database_is_locked_writers_are_told_to_come_back_and_nothing_is_written(
    installing: tuple[Service, FakeMachine, str],
) -> None:
    service, machine, id_ = installing
    before = _everything(service.parts)
    with _locked(service.parts):
        began = time.monotonic()
        key = {"Idempotency-Key": "k"}
        create = {**BODY, "host": "idle"}
        _is_refused_for_now(service.api.post(DEPLOYMENTS, json=create, headers=key))
        _is_refused_for_now(service.api.post(f"{DEPLOYMENTS}/{id_}/cancel"))
        _is_refused_for_now(machine.fetches_plan())
        assert time.monotonic() - began < 5, "nobody waits for ever"
    assert _everything(service.parts) == before
    machine.installs()
    assert service.state(id_) == "first_boot"


@pytest.mark.slow
def test_f033_while_the_database_is_locked_machines_boot_their_disks_and_people_can_read(
    installing: tuple[Service, FakeMachine, str],
) -> None:
    service, machine, id_ = installing
    service.clock.forward(minutes=6)  # long enough that the use of the token would be noted
    with _locked(service.parts):
        assert not machine.is_offered_an_installer()
        assert not service.machine("52:54:00:00:00:99").is_offered_an_installer()
        assert "sanboot" in machine.asks() or "exit" in machine.asks()
        assert service.state(id_) == "booting"
    assert machine.is_offered_an_installer(), "and then it goes on"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_f033_a_writing_transaction_begins_as_one(parts: Parts) -> None:
    """So that it cannot fail half-way because another writer was first."""
    with parts.database.writing() as session, closing(_other(parts)) as other:
        assert session.in_transaction()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")


def _other(parts: Parts) -> sqlite3.Connection:
    return sqlite3.connect(parts.database.url.database or "", timeout=0)


@pytest.fixture
def short_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "STATEMENT_SECONDS", 0.5)


@pytest.mark.slow
@on_postgresql
def test_a_statement_that_takes_too_long_is_ended_but_for_a_migrations(
    short_statements: None, parts: Parts
) -> None:
    ours = parts.database
    began = time.monotonic()
    for way in (ours.reading, ours.writing):
        with pytest.raises(Unavailable, match="statement timeout"), way() as session:
            session.execute(text("SELECT pg_sleep(20)"))
    assert time.monotonic() - began < 10
    with ours.migrating() as connection:
        connection.execute(text("SELECT pg_sleep(1)"))
    with pytest.raises(Unavailable, match="statement timeout"), ours.reading() as session:
        session.execute(text("SELECT pg_sleep(20)"))  # on that same connection


# --- F038 -------------------------------------------------------------------------------------


@on_postgresql
def test_f038_sessions_that_are_killed_again_and_again_cost_nothing_but_time(
    live: LiveService, postgres: PostgresServer
) -> None:
    live.start()
    with Fleet(live, 4) as fleet:
        for _ in range(10):
            goal = fleet.calls + 2
            until(lambda goal=goal: fleet.calls >= goal, 20)  # type: ignore[misc]
            _hang_up(postgres, live)
        _all_go_on(fleet)
    _nothing_was_lost(live, fleet)


@on_postgresql
def test_f038_a_server_that_crashes_and_comes_back_is_used_again(
    live: LiveService, postgres: PostgresServer
) -> None:
    live.start()
    with Fleet(live, 4) as fleet:
        until(lambda: fleet.calls >= 8)
        postgres.stop("immediate")
        try:
            until(lambda: not live.is_ready())
            assert "kernel" not in live.machine().asks(), "without a database: the local disk"
            _is_refused_for_now(live.api.get(DEPLOYMENTS))
        finally:
            postgres.start()
        _all_go_on(fleet)
    until(live.is_ready, 20)
    _nothing_was_lost(live, fleet)


@on_postgresql
def test_f038_a_server_that_only_reads_for_a_while_is_written_to_afterwards(
    live: LiveService, postgres: PostgresServer
) -> None:
    live.start().knows({"name": "web01", "macs": ["52:54:00:12:34:56"]})
    ok(live.api.post("/api/v1/hosts", json={"name": "idle", "macs": ["52:54:00:00:00:99"]}))
    id_ = live.queues()
    live.waits_for(id_, "booting")
    _set(postgres, live, "default_transaction_read_only = on")
    machine = live.machine()
    assert "kernel" not in machine.asks()
    _is_refused_for_now(live.api.post(DEPLOYMENTS, json={**BODY, "host": "idle"}))
    assert live.state(id_) == "booting", "reading goes on"
    _set(postgres, live, "default_transaction_read_only = off")
    assert "kernel" in machine.asks()
    live.waits_for(live.queues("idle"), "booting")


@pytest.mark.slow
@on_postgresql
def test_f038_when_all_connections_are_taken_the_answer_is_to_come_back(
    short_wait: None, parts: Parts
) -> None:
    taken = [parts.database.engine.connect() for _ in range(30)]
    with pytest.raises(Unavailable):
        parts.database.ping()
    for connection in taken:
        connection.close()
    parts.database.ping()


@on_postgresql
def test_f038_two_that_wait_for_each_other_are_told_to_come_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deadlock, like a failed serialization, is no fault of whoever asked."""
    service.knows()

    def deadlock(*_: object) -> None:
        raise psycopg.errors.DeadlockDetected("deadlock detected")

    monkeypatch.setattr(psycopg.Cursor, "execute", deadlock)
    _is_refused_for_now(service.api.get(DEPLOYMENTS))


def _hang_up(postgres: PostgresServer, live: LiveService) -> None:
    name = live.settings.database_url.rpartition("/")[2]
    postgres.execute(
        "postgres",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
    )


def _set(postgres: PostgresServer, live: LiveService, setting: str) -> None:
    """New sessions have it; old ones are ended."""
    postgres.execute(
        "postgres", f"ALTER DATABASE {live.settings.database_url.rpartition('/')[2]} SET {setting}"
    )
    _hang_up(postgres, live)


def _all_go_on(fleet: Fleet) -> None:
    before = {player.name: player.rounds for player in fleet.players}

    def all_have_gone_on() -> bool:
        return all(player.rounds > before[player.name] for player in fleet.players)

    until(all_have_gone_on, 60, lambda: str(fleet.errors))


def _nothing_was_lost(live: LiveService, fleet: Fleet) -> None:

    parts = live.parts()
    try:
        until(
            lambda: not broken_promises(parts, fleet),
            60,
            lambda: str(broken_promises(parts, fleet)),
        )
    finally:
        parts.database.dispose()
