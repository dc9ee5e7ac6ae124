"""Push messages that an ntfy server takes, whatever stands in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from deployer.core.chat import Message, Tone
from deployer.drivers.notify.ntfy import Ntfy as Driver
from deployer.errors import DriverError, DriverRefused
from tests.support.hostile import HOSTILE, everywhere, huge
from tests.support.notices import driver, notice
from tests.support.ntfy import Ntfy


@pytest.fixture
def server() -> Iterator[Ntfy]:
    with Ntfy() as made:
        yield made


def sends(server: Ntfy, message: Message | None = None, **more: Any) -> str:
    given = {"server": server.url, "topic": "deployer", **more}
    return driver(Driver, given, quiet="a-secret-topic").send(
        notice(message) if message else notice()
    )


def test_what_failed_rings(server: Ntfy) -> None:
    assert sends(server, tags=["web"]) == f"POST {server.url}/: 200"
    assert server.messages == [{
        "topic": "deployer",
        "title": "web01 → debian-12: failed",
        "message": "the installer did not find a disk\n  disk   was not touched\n"
        "  after  4 min\n  deployer explain web01",
        "priority": 4,
        "tags": ["rotating_light", "web"],
    }]  # fmt: skip


@pytest.mark.parametrize(
    ("tone", "priority", "tags"),
    [
        (Tone.GOOD, 3, ["white_check_mark"]),
        (Tone.ASKING, 4, ["question"]),
        (Tone.WORKING, 3, ["hourglass_flowing_sand"]),
        (Tone.PLAIN, 3, []),
    ],
)
def test_how_loud_it_is(server: Ntfy, tone: Tone, priority: int, tags: list[str]) -> None:
    sends(server, Message("web01", tone))
    sends(server, Message("web01", tone), priority=1)
    assert [each["priority"] for each in server.messages] == [priority, 1]
    assert server.messages[0]["tags"] == tags
    assert server.messages[0]["message"] == "web01", "an empty one would say `triggered`"


def test_a_topic_may_be_a_secret(server: Ntfy) -> None:
    said = sends(server, topic={"secret": "quiet"})
    assert server.messages[0]["topic"] == "a-secret-topic" and "secret" not in said


@pytest.mark.parametrize("name", HOSTILE)
def test_t045_hostile_text_is_taken_as_text(server: Ntfy, name: str) -> None:
    sends(server, everywhere(HOSTILE[name]))
    (message,) = server.messages
    assert message["title"] == message["title"].strip() and "\n" not in message["title"]
    assert "\x1b" not in str(message) and "\u202e" not in str(message)


def test_what_is_huge_is_cut_to_what_it_takes(server: Ntfy) -> None:
    sends(server, huge())
    assert 3000 < len(server.messages[0]["message"].encode()) <= 4096


def test_with_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with Ntfy("tk_right") as server:
        given = {"server": server.url, "topic": "a", "token": {"secret": "t"}, "verify": False}
        assert driver(Driver, given, t="tk_right").send(notice()).endswith(": 200")
        for wrong, status in (({"t": "tk_wrong"}, 401), ({}, 403)):
            with pytest.raises(DriverRefused, match=f"answered with {status}"):
                driver(Driver, {k: v for k, v in given.items() if k != "token" or wrong},
                       **wrong).send(notice())  # fmt: skip


def test_f050_its_limit_is_waited_for(server: Ntfy) -> None:
    server.busy = 1
    with pytest.raises(DriverError, match="answered with 429") as told:
        sends(server)
    assert not isinstance(told.value, DriverRefused)
    sends(server)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"topic": "a/b"}, "topic"),
        ({"topic": "a" * 65}, "topic"),
        ({"priority": 6}, "priority"),
        ({"server": "https://a.example/path"}, "without user and path"),
        ({"server": "http://a.example", "token": {"secret": "t"}}, "in the clear"),
        ({"tags": ["a,b"]}, "tags"),
    ],
)
def test_what_it_would_not_take_is_refused_when_it_is_written(change: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Driver.Settings.model_validate({"topic": "deployer", **change})


def test_the_public_server_unless_set() -> None:
    assert Driver.Settings.model_validate({"topic": "deployer"}).server == "https://ntfy.sh"
