"""A platform that calls nobody is asked by one worker, whoever that is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from deployer.drivers.chat.base import Heard, Person, Place
from deployer.services.chat.hear import Ears
from deployer.services.chat.listeners import Listeners
from deployer.services.parts import CHAT_DRIVERS
from tests.support.chat.signed import SignedChat
from tests.support.chat.spoken import Chat
from tests.support.service import ok


class Asking(SignedChat):
    """Hears what the test puts into `said`."""

    listens = True
    said: ClassVar[list[Heard]] = []
    listening: ClassVar[set[int]] = set()
    broken: ClassVar[list[Exception]] = []
    shown: ClassVar[dict[str, Any]] = {}
    calls: ClassVar[list[tuple[str, str]]] = []

    def listen(self, hear: Callable[[Heard], None], stop: Callable[[], bool]) -> None:
        if self.broken:
            raise self.broken.pop()
        self.listening.add(threading.get_ident())
        while not stop():
            if self.said:
                hear(self.said.pop())
            time.sleep(0.01)
        self.listening.discard(threading.get_ident())


@pytest.fixture
def asked(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    for kept in (Asking.said, Asking.listening, Asking.broken, Asking.shown, Asking.calls):
        kept.clear()
    monkeypatch.setitem(CHAT_DRIVERS, "signed", Asking)
    yield chat


@pytest.fixture
def workers(asked: Chat) -> Iterator[Callable[[str], Listeners]]:
    made: list[Listeners] = []

    def worker(name: str) -> Listeners:
        parts = asked.service.parts
        settings = parts.settings.model_copy(update={"worker_name": name})
        own = type(parts)(**{**vars(parts), "settings": settings})
        made.append(Listeners(own, Ears(own)))
        return made[-1]

    yield worker
    for each in made:
        each.stop()


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_is_said_there_is_answered(asked: Chat, workers: Any) -> None:
    workers("w1").mind()
    Asking.said.append(Heard("1", None, Person("", "U1"), Place("C1"), "help"))
    until(lambda: Asking.shown.get("C1"))
    assert Asking.shown["C1"][0][1].title == "Deployer"


def test_one_worker_listens_and_the_next_one_when_it_is_gone(asked: Chat, workers: Any) -> None:
    first, second = workers("w1"), workers("w2")
    first.mind()
    second.mind()
    until(lambda: len(Asking.listening) == 1)
    assert list(first.listening) == ["ops"] and not second.listening
    asked.service.clock.forward(seconds=20)
    first.mind()
    asked.service.clock.forward(seconds=20)
    second.mind()
    assert not second.listening, "the first one is still there"
    asked.service.clock.forward(seconds=31)
    second.mind()
    assert list(second.listening) == ["ops"]
    first.mind()
    assert not first.listening, "it was away for too long, and lets go"


@pytest.mark.slow
def test_who_leaves_on_purpose_is_followed_at_once(asked: Chat, workers: Any) -> None:
    first, second = workers("w1"), workers("w2")
    first.mind()
    first.stop()
    second.mind()
    assert list(second.listening) == ["ops"]


def test_a_receiver_that_is_changed_is_listened_to_anew(asked: Chat, workers: Any) -> None:
    worker = workers("w1")
    worker.mind()
    before = worker.listening["ops"].thread
    asked.service.clock.forward(seconds=1)
    ok(asked.service.api.put("/api/v1/receivers/ops", json={
        "name": "ops", "type": "signed", "settings": {"key": {"secret": "chat-key"}},
    }))  # fmt: skip
    worker.mind()
    assert worker.listening["ops"].thread is not before
    before.join(10)
    assert not before.is_alive()
    ok(asked.service.api.delete("/api/v1/receivers/ops"))
    worker.mind()
    assert not worker.listening
    until(lambda: not Asking.listening)


def test_one_that_breaks_is_tried_again(
    asked: Chat, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployer.services.chat.listeners._REST_SECONDS", 0.01)
    Asking.broken.append(RuntimeError("a bug"))
    workers("w1").mind()
    until(lambda: len(Asking.listening) == 1)
    assert not Asking.broken, "it broke once before"
