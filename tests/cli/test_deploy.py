"""Deploying from the command line, and watching it."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from collections.abc import Callable

import pytest
from rich.console import Console

from deployer.cli import client, watch
from deployer.cli.connection import Connection
from deployer.core.lifecycle import Event
from tests.cli.conftest import Run, Server


def when_deployed(server: Server, host: str, act: Callable[[str], None]) -> threading.Thread:
    """Do `act` as soon as `host` has a deployment, as a machine would."""

    def play() -> None:
        for _ in range(500):
            try:
                id_ = server.latest(host)
            except AssertionError:
                time.sleep(0.01)
            else:
                return act(id_)

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    return thread


def test_it_says_what_was_queued(known: Server, run: Run) -> None:
    outcome = run("deploy", "web01", "--profile", "debian-12", "--var", "role=db")
    id_ = known.latest("web01")
    assert outcome.code == 0
    assert outcome.out == f"web01 becomes debian-12: {id_} is queued\n"
    assert outcome.err == "restart web01 by hand, with the network card first in the boot order\n"
    assert json.loads(run("status", "web01", "--json").out)["vars"] == {"role": "db"}


@pytest.mark.slow
def test_waiting_ends_well_when_the_machine_is_ready(known: Server, run: Run) -> None:
    def machine(id_: str) -> None:
        known.advances(id_, Event.START)
        known.advances(id_, Event.ANSWERS_FETCHED)
        known.reports(id_, stage="writing", percent=42.0, message="[red]21 of 50\x1b[1m MB")
        time.sleep(0.3)
        known.advances(id_, Event.INSTALLER_FINISHED)
        known.advances(id_, Event.FIRST_BOOT)

    when_deployed(known, "web02", machine)
    outcome = run("deploy", "web02", "--profile", "debian-12", "--wait")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert any(
        line.endswith("web02  installing  42 % writing [red]21 of 50\\x1b[1m MB") for line in lines
    )
    assert lines[-1] == "web02: ready after 0 s"


def test_waiting_ends_badly_with_the_cause(known: Server, run: Run) -> None:
    def machine(id_: str) -> None:
        known.advances(id_, Event.START)
        known.advances(id_, Event.INSTALLER_FAILED, cause="grub: \x1b[31mno space")

    when_deployed(known, "web02", machine)
    outcome = run("deploy", "web02", "--profile", "debian-12", "--wait")
    assert outcome.code == 1
    assert "web02: failed after 0 s\n  grub: \\x1b[31mno space\n" in outcome.out


@pytest.mark.slow
def test_with_json_there_is_one_document_and_the_progress_is_elsewhere(
    known: Server, run: Run
) -> None:
    when_deployed(known, "web02", known.becomes_ready)
    outcome = run("deploy", "web02", "--profile", "debian-12", "--wait", "--json")
    assert json.loads(outcome.out)["state"] == "ready"
    assert "web02: ready" in outcome.err
    threads = [when_deployed(known, "web01", known.becomes_ready)]
    several = run("deploy", "web01", "web02", "--profile", "debian-12", "--json")
    assert [item["host"] for item in json.loads(several.out)["items"]] == ["web01", "web02"]
    threads[0].join()


@pytest.mark.slow
def test_a_restart_of_the_server_goes_unnoticed(
    known: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_PAUSE_SECONDS", 0.05)

    def machine(id_: str) -> None:
        known.advances(id_, Event.START)
        time.sleep(0.2)
        known.stop()
        time.sleep(0.2)
        known.start()
        for event in (Event.ANSWERS_FETCHED, Event.INSTALLER_FINISHED, Event.FIRST_BOOT):
            known.advances(id_, event)

    playing = when_deployed(known, "web02", machine)
    outcome = run("deploy", "web02", "--profile", "debian-12", "--wait")
    playing.join()
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.slow
def test_a_server_that_stays_away_is_given_up(
    known: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(watch, "PATIENCE_SECONDS", 0.2)
    playing = when_deployed(known, "web02", lambda _id: known.stop())
    outcome = run("deploy", "web02", "--profile", "debian-12", "--wait")
    playing.join()
    assert outcome.code == 3
    assert "the deployments go on without us" in outcome.err


@pytest.mark.slow
def test_many_hosts_need_their_number(known: Server, run: Run) -> None:
    names = [f"web{number}" for number in range(11)]
    outcome = run("deploy", *names, "--profile", "debian-12")
    assert outcome.code == 1
    assert "11 hosts would be reinstalled" in outcome.err
    assert "add --count 11" in outcome.err
    wrong = run("deploy", "web01", "--profile", "debian-12", "--count", "2")
    assert "--count says 2, but 1 are named; nothing was queued" in wrong.err
    right = run("deploy", "web01", "web02", "web01", "--profile", "debian-12", "--count", "2")
    assert right.code == 0, "a host that is named twice is one host"


def test_no_host_is_wrong_usage(run: Run) -> None:
    assert run("deploy", "--profile", "debian-12").code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["web01", "wbe02", "--profile", "debian-12"], "there is no host 'wbe02'"),
        (["web01", "--profile", "debian-13"], "there is no profile 'debian-13'"),
        (["web01", "", "--profile", "debian-12"], "'' is no name"),
        (["web01", "--profile", "debian-12", "--var", "role"], "--var role: is no KEY=VALUE"),
    ],
)
def test_one_wrong_name_and_nothing_is_queued(
    known: Server, run: Run, arguments: list[str], said: str
) -> None:
    outcome = run("deploy", *arguments)
    assert outcome.code == 1
    assert said in outcome.err
    assert "no deployments yet" in run("status").out


def test_a_protected_host_stops_everything(known: Server, run: Run) -> None:
    run("hosts", "protect", "web02")
    outcome = run("deploy", "web01", "web02", "--profile", "debian-12")
    assert outcome.code == 1
    assert "protected: web02; nothing was queued" in outcome.err
    assert "deployer hosts unprotect web02" in outcome.err


def test_a_host_that_is_refused_does_not_stop_the_others(known: Server, run: Run) -> None:
    run("deploy", "web01", "--profile", "debian-12")
    outcome = run("deploy", "web01", "web02", "--profile", "debian-12")
    assert outcome.code == 1
    assert "web02 becomes debian-12" in outcome.out
    assert "web01 has an unfinished deployment" in outcome.err
    assert "1 queued, 1 refused" in outcome.err


def test_asking_again_with_the_same_key_is_asking_once(known: Server, run: Run) -> None:
    command = ["deploy", "web01", "--profile", "debian-12", "--idempotency-key", "ticket-4711"]
    first, second = run(*command), run(*command)
    assert first.out == second.out
    assert second.code == 0


def test_dry_run_shows_scripts_and_answers_and_what_stands_in_the_way(
    known: Server, run: Run
) -> None:
    shown = run("deploy", "web01", "--profile", "debian-12", "--dry-run")
    assert shown.code == 0
    assert shown.out.startswith("--- web01: boot script (iPXE)\n#!ipxe\n")
    assert "--- web01: plan.json\n{" in shown.out
    document = json.loads(
        run("deploy", "web01", "--profile", "debian-12", "--dry-run", "--json").out
    )
    assert set(document) >= {"boot", "answers", "findings"}
    run("hosts", "protect", "web01")
    refused = run("deploy", "web01", "--profile", "debian-12", "--dry-run")
    assert refused.code == 1
    assert "web01 is protected" in refused.out


def test_retry_makes_a_new_one(known: Server, run: Run) -> None:
    run("deploy", "web02", "--profile", "debian-12")
    old = known.latest("web02")
    known.advances(old, Event.CANCEL)
    assert json.loads(run("retry", "web02", "--json").out)["retry_of"] == old


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [["web01"], ["web01", "web02"]])
def test_on_a_terminal_the_picture_moves(known: Server, run: Run, hosts: list[str]) -> None:
    run("deploy", *hosts, "--profile", "debian-12")
    ids = [known.latest(host) for host in hosts]
    for id_ in ids:
        known.advances(id_, Event.START)
        known.advances(id_, Event.ANSWERS_FETCHED)
        known.reports(id_, stage="writing", percent=42.0, message="[red]x")

    def end() -> None:
        time.sleep(0.4)
        known.advances(ids[0], Event.INSTALLER_FAILED, cause="no disk")
        for id_ in ids[1:]:
            known.advances(id_, Event.INSTALLER_FINISHED)
            known.advances(id_, Event.FIRST_BOOT)

    ending = threading.Thread(target=end)
    ending.start()
    screen = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    with Connection(known.url, os.environ["DEPLOYER_TOKEN"]).client() as api:
        started = [api.get(f"/deployments/{id_}") for id_ in ids]
        ended = watch.follow(api, started, screen)
    ending.join()
    assert [item["state"] for item in ended] == ["failed", "ready"][: len(ids)]
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "installing" in text
    if len(ids) == 1:
        assert "42 % writing [red]x" in text
        assert "✗ installing" in text
    else:
        assert "1 ready, 1 failed" in text
