"""Slack where nobody can call us: Socket Mode, with its server's side played here."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from queue import Queue

import pytest

from deployer.core.chat import Message
from deployer.drivers.chat import slack_socket
from deployer.drivers.chat.base import Context, Heard
from deployer.drivers.chat.slack import DRIVER, Slack
from deployer.errors import DeployerError, DriverRefused
from tests.support.chat import slack
from tests.support.chat.platform import Answer

pytestmark = pytest.mark.slow

SECRETS = {"bot": slack.BOT_TOKEN, "app": slack.APP_TOKEN}


class Listener:
    """Context manager: the driver listens, in a thread of its own."""

    def __init__(self, bot: Slack, hear: Callable[[Heard], None] | None = None) -> None:
        self.heard: Queue[Heard] = Queue()
        self.error: DeployerError | None = None
        self.stop = threading.Event()
        self._bot, self._hear = bot, hear or self.heard.put
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self._bot.listen(self._hear, self.stop.is_set)
        except DeployerError as error:
            self.error = error

    def __enter__(self) -> Listener:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(15)
        assert not self.thread.is_alive()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[slack.Slack]:
    monkeypatch.setattr(slack_socket, "_FIRST_WAIT", 0.05)
    with slack.Slack() as server:
        yield server


@pytest.fixture
def bot(server: slack.Slack) -> Slack:
    settings = DRIVER.Settings.model_validate(server.socket_settings)
    return DRIVER(settings, Context(SECRETS, "127.0.0.0/8"))


def test_what_is_said_is_acknowledged_heard_and_answered(server: slack.Slack, bot: Slack) -> None:
    assert bot.listens
    with Listener(bot) as listener:
        slack_side = server.connection()
        slack_side.send(slack.envelope("e-1", server.command("status")))
        assert json.loads(slack_side.next() or "") == {"envelope_id": "e-1"}
        command = listener.heard.get(timeout=5)
        slack_side.send(slack.envelope("e-2", server.press("confirm k7wq2m")))
        assert json.loads(slack_side.next() or "") == {"envelope_id": "e-2"}
        press = listener.heard.get(timeout=5)
    assert (command.once, command.text, command.pressed) == ("e-1", "status", False)
    assert (press.once, press.text, press.pressed) == ("e-2", "confirm k7wq2m", True)
    assert command.at is not None
    assert abs(command.at - datetime.now(UTC)) < timedelta(seconds=60)
    bot.answer_late(command, Message("web01 is ready"))
    bot.answer_late(press, Message("Done"))
    assert [said["replace_original"] for said in server.answers] == [False, True]


def test_slack_hears_at_once_of_what_takes_long(server: slack.Slack, bot: Slack) -> None:
    done = threading.Event()
    with Listener(bot, lambda _: done.wait(10) and None) as listener:
        slack_side = server.connection()
        began = time.monotonic()
        for number in range(25):
            slack_side.send(slack.envelope(f"e-{number}", server.command("status")))
        said = {json.loads(slack_side.next() or "")["envelope_id"] for _ in range(25)}
        assert said == {f"e-{number}" for number in range(25)}
        assert time.monotonic() - began < 3
        done.set()
    assert listener.error is None


def test_a_command_that_breaks_something_is_not_the_last(server: slack.Slack, bot: Slack) -> None:
    heard: Queue[str] = Queue()

    def hear(command: Heard) -> None:
        heard.put(command.text)
        if command.text == "break":
            raise RuntimeError("broken")

    with Listener(bot, hear):
        slack_side = server.connection()
        for number, text in enumerate(["break", "status"]):
            slack_side.send(slack.envelope(f"e-{number}", server.command(text)))
            assert heard.get(timeout=5) == text


def test_what_is_no_command_is_acknowledged(server: slack.Slack, bot: Slack) -> None:
    with Listener(bot) as listener:
        slack_side = server.connection()
        slack_side.send(slack.envelope("e-1", {"type": "shortcut"}))
        assert json.loads(slack_side.next() or "") == {"envelope_id": "e-1"}
        for nonsense in ("", "x", "[]", "{", '{"type": "x"}'):
            slack_side.send(nonsense)
        slack_side.send(slack.envelope("e-2", server.command("status")))
        assert listener.heard.get(timeout=5).once == "e-2"
    assert listener.heard.empty()


def test_when_slack_wants_another_connection_there_is_one(server: slack.Slack, bot: Slack) -> None:
    with Listener(bot) as listener:
        old = server.connection()
        old.send(json.dumps({"type": "disconnect", "reason": "refresh_requested"}))
        new = server.connection()
        assert new.path != old.path
        new.send(slack.envelope("e-1", server.command("status")))
        assert listener.heard.get(timeout=5).once == "e-1"


def test_f050_a_connection_that_breaks_is_made_again(server: slack.Slack, bot: Slack) -> None:
    with Listener(bot) as listener:
        server.connection().drop()
        again = server.connection(10)
        again.send(slack.envelope("e-1", server.command("status")))
        assert listener.heard.get(timeout=5).once == "e-1"


def test_f050_slack_is_asked_again_and_not_too_soon(server: slack.Slack, bot: Slack) -> None:
    limited = Answer(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "1"})
    server.faults = [Answer(500, b"oops"), limited]
    began = time.monotonic()
    with Listener(bot) as listener:
        server.connection()
        assert time.monotonic() - began > 1
    assert listener.error is None
    assert [asked.path for asked in server.asked] == ["/api/apps.connections.open"] * 3


def test_a_token_that_slack_does_not_know_ends_it_with_a_reason(
    server: slack.Slack, bot: Slack
) -> None:
    settings = DRIVER.Settings.model_validate(server.socket_settings)
    with Listener(DRIVER(settings, Context(SECRETS | {"app": "xapp-old"}, "127.0.0.0/8"))) as one:
        one.thread.join(15)
        assert not one.thread.is_alive()
    assert isinstance(one.error, DriverRefused) and "invalid_auth" in one.error.message


@pytest.mark.parametrize(
    ("api", "url"),
    [("https://slack.com", "wss://wss.slack.com:8443/link"), ("https://slack.com", "ws://x/link"),
     ("http://127.0.0.1", "ws://169.254.169.254/link")],
)  # fmt: skip
def test_t098_a_socket_leads_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, api: str, url: str
) -> None:
    """What Slack says is trusted no further than this."""
    calls = slack_socket.Api(api, "127.0.0.0/8")
    monkeypatch.setattr(calls, "call", lambda *_: {"url": url})
    stops = iter([False] * 20)
    with pytest.raises(DriverRefused):
        slack_socket.listen(calls, "xapp", lambda *_: None, lambda: next(stops, True))
