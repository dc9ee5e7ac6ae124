"""A platform waits three seconds: it is answered at once or told that we work on it, never both."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from deployer.core.chat import Message
from deployer.drivers.chat.base import Heard
from deployer.services.chat.hear import Ear, Ears
from deployer.web import chat as web_chat
from tests.support.chat.spoken import Chat
from tests.support.service import ok

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


class Slow:
    """Holds every answer back until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.begun = threading.Event(), threading.Event()
        answer = Ears.answer

        def slow(ears: Ears, ear: Ear, heard: Heard) -> Message | None:
            self.begun.set()
            assert self.go.wait(30)
            return answer(ears, ear, heard)

        monkeypatch.setattr(Ears, "answer", slow)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    monkeypatch.setattr(web_chat, "_PATIENCE", 0.2)
    return Slow(monkeypatch)


def until(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_takes_longer_follows(chat: Chat, slow: Slow) -> None:
    assert chat.says("help") == {"working": True}
    assert chat.shown == []
    slow.go.set()
    until(lambda: chat.shown)
    ((_, message, _),) = chat.shown
    assert message.title == "Deployer" and chat.driver.calls == [("late", "m1")]


def test_what_is_late_and_was_heard_before_is_not_said(chat: Chat, slow: Slow) -> None:
    body = chat.body("help")
    slow.go.set()
    ok(chat.brings(body))
    slow.go.clear()
    assert chat.brings(body).json() == {"working": True}
    slow.go.set()
    assert chat.says("help")["title"] == "Deployer", "the one before has ended by now"
    assert chat.shown == []


def test_a_fault_of_ours_is_told_and_logged(
    chat: Chat, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Ears, "answer", broken)
    assert chat.says("help")["title"] == "I could not do that; my log says why."


@pytest.mark.slow
def test_a_hundred_at_once_all_hear_of_us_in_time(chat: Chat, slow: Slow) -> None:
    """However many wait for an answer, the next one is heard (THREATS T100)."""
    bodies = [chat.body("help") for _ in range(100)]
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda body=body: answers.append(chat.brings(body).json()))
        for body in bodies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [{"working": True}] * 100
    assert chat.service.machine().asks().startswith("#!ipxe"), "machines are served meanwhile"
    slow.go.set()
    until(lambda: len(chat.shown) == 100)


def test_ping_is_answered_without_being_heard(chat: Chat) -> None:
    assert chat.brings(b'{"ping": true}').json() == {"pong": True}


def test_a_receiver_that_is_switched_off_hears_nothing(chat: Chat) -> None:
    ok(chat.service.api.put("/api/v1/receivers/ops", json={
        "name": "ops", "type": "signed", "settings": {"key": {"secret": "chat-key"}},
        "enabled": False,
    }))  # fmt: skip
    assert chat.brings(chat.body("help")).status_code == 401


def test_of_several_receivers_the_one_that_it_is_signed_for_hears_it(chat: Chat) -> None:
    ok(chat.service.api.post("/api/v1/secrets", json={"name": "a-key", "value": "another key"}))
    ok(chat.service.api.post("/api/v1/receivers", json={
        "name": "another", "type": "signed", "settings": {"key": {"secret": "a-key"}},
    }))  # fmt: skip
    assert chat.says("help")["title"] == "Deployer"
