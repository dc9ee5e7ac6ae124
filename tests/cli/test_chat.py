"""`deployer chat`, from the shell."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deployer.cli import chat
from deployer.core.lifecycle import Event
from deployer.store import chats, people
from deployer.store.tables import ChatPerson
from tests.cli.conftest import PROFILE, Run, Server

HOST = 'kind: host\nname: web01\nmacs: ["52:54:00:12:34:56"]\n'


@pytest.fixture
def fleet(server: Server, run: Run, folder: Path) -> Server:
    (folder / "fleet.yaml").write_text(f"{PROFILE}---\n{HOST}")
    assert run("apply", "-f", "fleet.yaml").code == 0
    return server


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What is typed, line by line; a function in between is called, and types what it returns."""
    monkeypatch.setattr(chat, "_POLL_SECONDS", 0.05)

    def typed(*lines: str | Callable[[], str]) -> None:
        left: Iterator[Any] = iter(lines)

        def read(_prompt: str) -> str:
            line = next(left, "")
            return str(line() if callable(line) else line)

        monkeypatch.setattr("builtins.input", read)

    return typed


@pytest.mark.slow
def test_a_host_is_reinstalled_from_the_terminal(
    fleet: Server, run: Run, types: Callable[..., None]
) -> None:
    def machine_installs() -> str:
        id_ = fleet.latest("web01")
        for event in (Event.START, Event.ANSWERS_FETCHED):
            fleet.advances(id_, event)
        time.sleep(0.3)
        for event in (Event.INSTALLER_FINISHED, Event.FIRST_BOOT):
            fleet.advances(id_, event)
        time.sleep(0.3)
        return ""

    types("reinstall web01 as debian-12", "1", machine_installs)
    said = run("chat", "try")
    assert said.code == 0
    wanted = [
        "❓ web01 becomes debian-12?", "Everything on the chosen disk will be lost.",
        "[1 Yes, overwrite]", "✅ web01 → debian-12: queued", "⏳ web01 → debian-12: installing",
        "✅ web01 → debian-12: ready",
    ]  # fmt: skip
    places = [said.out.find(text) for text in wanted]
    assert -1 not in places and places == sorted(places), said.out


def test_what_is_said_by_whoever_stops_at_once(
    fleet: Server, run: Run, types: Callable[..., None]
) -> None:
    types("stauts")
    assert "status [HOST]" in run("chat", "try").out
    types()
    assert run("chat", "try").code == 0


def test_a_code_to_link_oneself_and_who_is_linked(fleet: Server, run: Run) -> None:
    assert run("chat", "people").out == "nobody is linked yet: `deployer chat link`\n"
    said = run("chat", "link").out
    assert re.search(r"say this to the bot, within ten minutes:  link [2-9a-z]{12}\n", said)
    now = fleet.parts.clock()
    with fleet.parts.database.writing() as session:
        token = people.token_by_name(session, "admin-1")
        assert token is not None
        session.add(ChatPerson(platform="slack", tenant="T1", user="U1", token_id=token.id,
                               shown="\x1b[31mmia", linked_at=now))  # fmt: skip
    listed = run("chat", "people").out
    assert "slack" in listed and "admin-1" in listed and "\x1b" not in listed
    assert run("chat", "unlink", "slack", "U1", "--tenant", "T1").code == 0
    gone = run("chat", "unlink", "slack", "U1", "--tenant", "T1")
    assert gone.code != 0 and "nobody is linked as U1 on slack" in gone.err
    with fleet.parts.database.reading() as session:
        assert chats.people(session) == []
