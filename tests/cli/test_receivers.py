"""Receivers from files, and what they were told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.core.lifecycle import Event
from deployer.services import deliveries, secrets
from tests.cli.conftest import Run, Server
from tests.support.other import Other

RECEIVER = """\
kind: receiver
name: noc
type: json
settings: {url: URL, headers: {X-Token: abc123def, X-Key: {secret: noc}}, verify: false}
when: {labels: {env: staging}, events: [failed, ready]}
"""


@pytest.fixture
def noc(server: Server) -> Iterator[Other]:
    server.parts.settings.chat_networks = "127.0.0.0/8"
    with Other() as made:
        yield made


@pytest.fixture
def file(known: Server, noc: Other, fleet: Path, run: Run) -> Path:
    """Applied, with its secret."""
    made = fleet / "receivers.yaml"
    made.write_text(RECEIVER.replace("URL", noc.url))
    with known.parts.database.writing() as session:
        secrets.save(session, known.parts, "noc", "a-key-of-noc", "me", known.parts.clock())
    assert run("apply", "-f", made).out.startswith("+ receiver noc created\n1 created")
    return made


def tells(server: Server) -> None:
    while ids := deliveries.MAIL.take(server.parts, 10):
        for id_ in ids:
            deliveries.send(server.parts, id_)


def fails(server: Server, run: Run) -> None:
    assert run("deploy", "web01", "--profile", "debian-12").code == 0
    server.advances(server.latest("web01"), Event.EFFECT_FAILED, cause="no disk")
    tells(server)


def test_a_file_says_who_is_told_and_saying_it_twice_is_once(file: Path, run: Run) -> None:
    assert run("apply", "-f", file).out == "0 created, 0 changed, 1 unchanged\n"
    file.write_text(file.read_text().replace("staging", "production").replace("X-Key", "X-Other"))
    assert run("apply", "-f", file, "--dry-run").out == (
        "~ receiver noc\n"
        "    settings.headers.X-Key.secret: noc → (none)\n"
        "    settings.headers.X-Other.secret: noc\n"
        "    when.labels.env: staging → production\n"
        "0 created, 1 changed, 0 unchanged (dry run: nothing was sent)\n"
    )
    assert "1 changed" in run("apply", "-f", file).out


def test_a_value_that_may_be_a_secret_is_not_shown(file: Path, run: Run) -> None:
    file.write_text(file.read_text().replace("abc123def", "another1"))
    shown = run("apply", "-f", file, "--dry-run", "--secrets").out
    assert "settings.headers.X-Token: (secret) set" in shown
    assert "another1" not in shown and "abc123def" not in run("receivers", "show", "noc").out


@pytest.mark.slow
def test_they_are_listed_shown_and_deleted(file: Path, run: Run) -> None:
    assert run("receivers").out == (
        "NAME  TYPE  OF           TOLD OF\nnoc   json  env=staging  failed ready\n"
    )
    assert json.loads(run("receivers", "--json").out)["items"][0]["name"] == "noc"
    assert run("receivers", "show", "noc").out.startswith("# created_at")
    file.write_text(file.read_text() + "enabled: false\n")
    assert run("apply", "-f", file).code == 0
    assert "nothing, it is off" in run("receivers").out
    assert run("receivers", "delete", "noc").out == "noc is deleted\n"
    assert run("receivers").out == "there are no receivers yet\n"


@pytest.mark.slow
def test_a_receiver_is_tried(file: Path, noc: Other, run: Run) -> None:
    tried = run("receivers", "test", "noc")
    assert (tried.code, tried.out) == (0, f"sent  POST {noc.url}/: 200\n")
    noc.statuses = [404]
    tried = run("receivers", "test", "noc", "--json")
    assert tried.code == 1 and json.loads(tried.out)["outcome"] == "refused"
    assert run("receivers", "test", "nobody").code == 1


@pytest.mark.slow
def test_what_was_told_is_listed_and_told_again(
    known: Server, file: Path, noc: Other, run: Run
) -> None:
    assert run("notifications").out == "no receiver was told anything\n"
    noc.statuses = [400, 200]
    fails(known, run)
    shown = run("notifications", "--failed").out
    assert "web01 → debian-12: failed" in shown and "refused" in shown and "400" in shown
    assert run("notifications", "--receiver", "other").out == "no receiver was told anything\n"
    id_ = json.loads(run("notifications", "--json").out)["items"][0]["id"]
    assert run("notifications", "replay", id_).out.startswith("noc is told again, as dlv_")
    tells(known)
    both = run("notifications").out.splitlines()
    assert len(both) == 3 and "sent" in both[1] and "refused" in both[2]
    assert len(run("notifications", "-n", "1").out.splitlines()) == 2
    first, second = noc.asked
    assert first.body == second.body


def test_a_mistake_in_a_file_is_named_with_its_line(server: Server, folder: Path, run: Run) -> None:
    (folder / "bad.yaml").write_text(
        "kind: receiver\nname: noc\ntype: json\nwhen:\n  events: [ready, redy]\n"
    )
    failed = run("apply", "-f", "bad.yaml")
    assert failed.code == 1 and "bad.yaml:5: when.events.1" in failed.err
    (folder / "bad.yaml").write_text("kind: receiver\nname: noc\ntype: telepathy\n")
    failed = run("apply", "-f", "bad.yaml")
    assert failed.code == 1 and "there is no type of receiver 'telepathy'" in failed.err
