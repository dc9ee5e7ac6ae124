"""Slack over HTTP: what it signs and we hear, and what we say. THREATS T090-T098, T045, F050."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from deployer.core.chat import Bar, Button, Message, Tone
from deployer.core.text import is_plain_line, printable
from deployer.drivers.chat import slack_calls
from deployer.drivers.chat.base import Busy, Context, Heard, Person, Place, Request, Response
from deployer.drivers.chat.slack import DRIVER, Slack
from deployer.drivers.chat.slack_blocks import drawn
from deployer.errors import DriverError, DriverRefused, Unauthorized
from tests.support.chat import slack
from tests.support.chat.examples import EXAMPLES
from tests.support.chat.platform import HANG, Answer
from tests.support.chat.slack import CHANNEL, SECRET, TEAM, USER
from tests.support.hostile import HOSTILE, everywhere, huge

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECRETS = {"bot": slack.BOT_TOKEN, "signing": SECRET, "app": slack.APP_TOKEN}
ASKING = EXAMPLES["asking"]

# The example of docs.slack.dev/authentication/verifying-requests-from-slack
PUBLISHED = Request(
    {
        "x-slack-request-timestamp": "1531420618",
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    },
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
    b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
    b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
    b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
)
PUBLISHED_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
THEN = datetime.fromtimestamp(1531420618, UTC)


@pytest.fixture
def server() -> Iterator[slack.Slack]:
    with slack.Slack() as server:
        yield server


@pytest.fixture
def bot(server: slack.Slack) -> Slack:
    return driver(**server.settings)


def driver(secrets: dict[str, str] = SECRETS, networks: str = "127.0.0.0/8", **given: Any) -> Slack:
    return DRIVER(DRIVER.Settings.model_validate(given), Context(secrets, networks))


def published() -> Slack:
    return driver(
        SECRETS | {"signing": PUBLISHED_SECRET}, bot_token={"secret": "bot"},
        signing_secret={"secret": "signing"},
    )  # fmt: skip


def hears(bot: Slack, said: dict[str, Any]) -> Heard:
    heard = bot.hear(slack.signed(said, NOW), NOW)
    assert isinstance(heard, Heard)
    return heard


# --- what is heard --------------------------------------------------------------------------------


def test_the_published_example_is_heard() -> None:
    signature = PUBLISHED.headers["x-slack-signature"]
    assert published().hear(PUBLISHED, THEN) == Heard(
        once=f"1531420618 {signature}", at=THEN,
        person=Person("T1DC2JH3J", "U2CERLKJA", "roadrunner"),
        place=Place("G8PSS9T3V", reply="https://hooks.slack.com/commands/T1DC2JH3J/397700885554/"
                                       "96rGlfmibIGlgcZRskXaIFfN"), text="",
    )  # fmt: skip


def forgeries() -> dict[str, Request]:
    """The example with one thing changed."""
    stamp, signature = PUBLISHED.headers.values()
    rebuilt = urlencode(sorted(parse_qsl(PUBLISHED.body.decode(), keep_blank_values=True))).encode()

    def request(
        stamp: str = stamp, signature: str = signature, body: bytes = PUBLISHED.body
    ) -> Any:
        return Request({"x-slack-request-timestamp": stamp, "x-slack-signature": signature}, body)

    return {
        "no signature": Request({"x-slack-request-timestamp": stamp}, PUBLISHED.body),
        "no time": Request({"x-slack-signature": signature}, PUBLISHED.body),
        "nothing": Request({}, b""),
        "another version": request(signature=signature.replace("v0", "v1")),
        "no version": request(signature=signature.removeprefix("v0=")),
        "its last digit": request(signature=signature[:-1] + "4"),
        "its first digit": request(signature=signature.replace("=a", "=b")),
        "in capitals": request(signature=signature.upper()),
        "no ASCII": request(signature="v0=é"),
        "another time": request(stamp="1531420619"),
        "the time with a zero": request(stamp="01531420618"),
        "no number": request(stamp="yesterday"),
        "a long number": request(stamp="9" * 5000),
        "one byte of the body": request(body=PUBLISHED.body[:-1] + b"d"),
        "one byte more": request(body=PUBLISHED.body + b"\n"),
        "no UTF-8": request(body=PUBLISHED.body + b"\xff"),
        "parsed and rebuilt": request(body=rebuilt),
        "a check of the certificate": request(body=b"ssl_check=1&token=x"),
    }


@pytest.mark.parametrize("changed", forgeries())
def test_t090_what_is_changed_is_not_heard(changed: str) -> None:
    with pytest.raises(Unauthorized):
        published().hear(forgeries()[changed], THEN)


def test_t090_another_secret_does_not_do(server: slack.Slack, bot: Slack) -> None:
    with pytest.raises(Unauthorized):
        bot.hear(slack.signed(server.command("status"), NOW, "another"), NOW)


@pytest.mark.parametrize(("seconds", "fresh"), [(-301, 0), (-300, 1), (0, 1), (300, 1), (301, 0)])
def test_t091_only_what_was_said_lately_is_heard(seconds: int, fresh: bool) -> None:
    now = THEN - timedelta(seconds=seconds)
    if fresh:
        assert isinstance(published().hear(PUBLISHED, now), Heard)
    else:
        with pytest.raises(Unauthorized):
            published().hear(PUBLISHED, now)


def test_where_slack_cannot_call_nothing_that_calls_is_slack(server: slack.Slack) -> None:
    given = {**server.settings, "signing_secret": None, "app_token": {"secret": "app"}}
    bot = driver(**given)
    assert bot.listens
    with pytest.raises(Unauthorized):
        bot.hear(slack.signed(server.command("status"), NOW, ""), NOW)


def test_a_press_says_what_its_button_says(server: slack.Slack, bot: Slack) -> None:
    said = server.press("confirm k7wq2m")
    heard = hears(bot, said)
    assert heard.pressed and heard.text == "confirm k7wq2m" and heard.at == NOW
    assert heard.person == Person(TEAM, USER, "alice")
    assert heard.place == Place(CHANNEL, reply=said["response_url"])


def test_a_press_in_a_message_for_all_names_the_message(server: slack.Slack, bot: Slack) -> None:
    container = {"type": "message", "message_ts": "1700000000.000100", "is_ephemeral": False}
    assert hears(bot, server.press("x", container=container)).place.message == "1700000000.000100"


def test_t094_whoever_is_of_another_workspace_is_another_person(
    server: slack.Slack, bot: Slack
) -> None:
    here, there = server.command("status"), server.command("status", team_id="T0OTHER")
    assert hears(bot, here).person != hears(bot, there).person
    guest = server.press("x", user={"id": USER, "username": "alice", "team_id": "T0OTHER"})
    assert hears(bot, guest).person.tenant == "T0OTHER"
    # An app of a whole organisation is told no team, and an old client no team of the user.
    assert hears(bot, server.press("x", team=None)).person.tenant == TEAM
    old = server.press("x", user={"id": USER})
    assert hears(bot, old).person == Person(TEAM, USER)


def test_only_a_direct_message_is_private(server: slack.Slack, bot: Slack) -> None:
    assert hears(bot, server.command("status")).place.public
    assert not hears(bot, server.command("status", channel_id="D0ALICE")).place.public


@pytest.mark.parametrize(
    "said",
    [{"type": "view_submission"}, {"type": "shortcut", "callback_id": "x"}, {"x": "y"},
     {"type": "block_actions", "actions": []}],
    ids=str,
)  # fmt: skip
def test_what_is_no_command_is_taken_and_nothing_happens(bot: Slack, said: Any) -> None:
    assert bot.hear(slack.signed(said, NOW), NOW) == Response()


@pytest.mark.parametrize(
    "body", [b"payload=%7B", b"payload=[]", b"{}", b"payload=" + b"[" * 50_000]
)
def test_what_slack_signed_and_nobody_understands_does_no_harm(bot: Slack, body: bytes) -> None:
    request = slack.signed_body(body, str(int(NOW.timestamp())))
    assert bot.hear(request, NOW) == Response()


# --- what is answered -----------------------------------------------------------------------------


def test_a_command_is_answered_for_its_sender_alone(server: slack.Slack, bot: Slack) -> None:
    heard = hears(bot, server.command("reinstall web01 as web"))
    assert bot.answers_at_once(heard)
    response = bot.answer(heard, ASKING)
    said = json.loads(response.body)
    assert response.content_type == "application/json" and response.status == 200
    assert said["response_type"] == "ephemeral"
    assert list(slack.problems(said)) == []
    assert slack.buttons(said) == ["confirm k7wq2m", "cancel web01"]
    assert server.asked == []


def test_a_press_is_answered_in_place_of_its_message(server: slack.Slack, bot: Slack) -> None:
    heard = hears(bot, server.press("confirm k7wq2m"))
    assert not bot.answers_at_once(heard) and bot.working(heard) == Response()
    bot.answer_late(heard, Message("Done"))
    [said] = server.answers
    assert said["replace_original"] and slack.buttons(said) == []


def test_t097_a_press_where_all_can_see_is_answered_to_one(server: slack.Slack, bot: Slack) -> None:
    container = {"type": "message", "message_ts": "1700000000.000100"}
    bot.answer_late(hears(bot, server.press("cancel web01", container=container)), ASKING)
    [said] = server.answers
    assert said["response_type"] == "ephemeral" and not said["replace_original"]


def test_what_takes_longer_is_said_to_and_answered_later(server: slack.Slack, bot: Slack) -> None:
    heard = hears(bot, server.command("status"))
    assert "Working on it" in json.loads(bot.working(heard).body)["text"]
    bot.answer_late(heard, ASKING)
    [said] = server.answers
    assert said["response_type"] == "ephemeral" and not said["replace_original"]


def test_a_response_url_that_is_used_up_says_so(server: slack.Slack, bot: Slack) -> None:
    heard = hears(bot, server.command("status"))
    for _ in range(5):
        bot.answer_late(heard, ASKING)
    with pytest.raises(DriverRefused, match="used_url"):
        bot.answer_late(heard, ASKING)


@pytest.mark.parametrize(
    "url",
    ["http://hooks.slack.com/x", "https://hooks.slack.com.evil.example/x", "https://evil.example/x",
     "https://hooks.slack.com@evil.example/x", "https://evil.example\\@hooks.slack.com/x",
     "https://hooks.slack.com:8443/x", "https://[::1]/x", "https://169.254.169.254/latest", "",
     "https://[", "file:///etc/passwd", "//hooks.slack.com/x", "https://hooks.slack.com\n/x"],
)  # fmt: skip
def test_t098_a_response_url_is_slacks_own(url: str) -> None:
    heard = published().hear(PUBLISHED, THEN)
    assert isinstance(heard, Heard)
    with pytest.raises(DriverRefused, match="is not Slack's"):
        published().answer_late(replace(heard, place=Place("C0", reply=url)), ASKING)


def test_t098_not_even_slacks_name_leads_to_where_we_may_not_go(server: slack.Slack) -> None:
    bot = driver(networks="", **server.settings)
    for act in (
        lambda: bot.post(CHANNEL, ASKING),
        lambda: bot.answer_late(hears(bot, server.command("status")), ASKING),
    ):
        with pytest.raises(DriverRefused, match="may not be connected to") as refusal:
            act()
        assert "DEPLOYER_CHAT_NETWORKS" in str(refusal.value.remedy)
    assert server.asked == []


# --- what is posted -------------------------------------------------------------------------------


def test_a_message_is_posted_changed_in_place_and_talked_about(
    server: slack.Slack, bot: Slack
) -> None:
    id_ = bot.post(CHANNEL, EXAMPLES["under_way"])
    reply = bot.post(CHANNEL, Message("Packages are unpacked."), thread=id_)
    bot.edit(CHANNEL, id_, EXAMPLES["failed"])
    assert server.messages[CHANNEL, reply]["thread_ts"] == id_
    assert "thread_ts" not in server.messages[CHANNEL, id_]
    assert slack.shown(server.messages[CHANNEL, id_])[0].startswith("❌ web01 failed")
    assert [asked.headers["content-type"] for asked in server.asked] == [
        "application/json;charset=utf-8"
    ] * 3


def test_f050_slack_says_how_long_to_wait(server: slack.Slack, bot: Slack) -> None:
    limited = Answer(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "7"})
    server.faults = [limited, limited]
    for act in (
        lambda: bot.post(CHANNEL, ASKING),
        lambda: bot.answer_late(hears(bot, server.command("status")), ASKING),
    ):
        with pytest.raises(Busy) as busy:
            act()
        assert busy.value.wait == timedelta(seconds=7)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "fault",
    [Answer(500, b"oops"), Answer(503, {"ok": False, "error": "service_unavailable"}),
     Answer(200, {"ok": False, "error": "internal_error"}), Answer(200, b"<html>log in</html>"),
     Answer(200, b""), HANG],
    ids=["500", "503", "internal error", "a page", "nothing", "hangs"],
)  # fmt: skip
def test_f050_trying_again_may_help(
    monkeypatch: pytest.MonkeyPatch, server: slack.Slack, bot: Slack, fault: Answer
) -> None:
    monkeypatch.setattr(slack_calls, "_SECONDS", 1)
    server.faults = [fault]
    with pytest.raises(DriverError) as failure:
        bot.post(CHANNEL, ASKING)
    assert not isinstance(failure.value, DriverRefused | Busy)
    assert bot.post(CHANNEL, ASKING)


def test_f050_slack_is_away(server: slack.Slack) -> None:
    bot = driver(**server.settings | {"api": "http://127.0.0.1:1"})
    with pytest.raises(DriverError, match="did not answer") as failure:
        bot.post(CHANNEL, ASKING)
    assert not isinstance(failure.value, DriverRefused)


@pytest.mark.parametrize(
    ("channel", "reason", "remedy"),
    [("C0OTHERS", "not_in_channel", "/invite"), ("C0NONE", "channel_not_found", "its details"),
     ("C0OLD", "is_archived", "another channel")],
)  # fmt: skip
def test_what_slack_refuses_comes_with_a_remedy(
    bot: Slack, channel: str, reason: str, remedy: str
) -> None:
    with pytest.raises(DriverRefused, match=reason) as refusal:
        bot.post(channel, ASKING)
    assert remedy in str(refusal.value.remedy)


def test_a_wrong_token_is_refused_and_not_shown(server: slack.Slack) -> None:
    bot = driver(SECRETS | {"bot": "xoxb-another"}, **server.settings)
    with pytest.raises(DriverRefused, match="invalid_auth") as refusal:
        bot.post(CHANNEL, ASKING)
    assert "xoxb-another" not in str(refusal.value)


def test_a_missing_scope_is_named(server: slack.Slack, bot: Slack) -> None:
    server.faults = [Answer(200, {"ok": False, "error": "missing_scope", "needed": "chat:write"})]
    with pytest.raises(DriverRefused, match="chat:write"):
        bot.post(CHANNEL, ASKING)


def test_a_message_that_is_gone_cannot_be_changed(bot: Slack) -> None:
    with pytest.raises(DriverRefused, match="message_not_found"):
        bot.edit(CHANNEL, "1600000000.000000", ASKING)


# --- how it looks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_t045_hostile_text_is_shown_as_text(server: slack.Slack, bot: Slack, name: str) -> None:
    text = HOSTILE[name]
    id_ = bot.post(CHANNEL, everywhere(text))
    bot.edit(CHANNEL, id_, everywhere(text))
    said = server.messages[CHANNEL, id_]
    assert slack.special(said) == []
    assert slack.buttons(said) == ["confirm k7wq2m", "cancel web01"]
    read = "\n".join(slack.shown(said))
    assert printable(text)[:60] in read
    assert is_plain_line(read.replace("\n", ""))
    if len(text) < 100:
        assert read.count(printable(text)) >= 3 + 2 * 3 + 1


def test_more_than_slack_takes_loses_no_button(server: slack.Slack, bot: Slack) -> None:
    said = server.messages[CHANNEL, bot.post(CHANNEL, huge())]
    assert slack.buttons(said) == ["confirm k7wq2m", "cancel web01"]
    assert [block["type"] for block in said["blocks"]] == [
        "header", "section", "section", "section", "context", "rich_text", "actions",
    ]  # fmt: skip


def test_what_did_not_fit_is_counted(server: slack.Slack, bot: Slack) -> None:
    message = Message("hosts", facts=tuple((f"web{n:03}", "ready " * 30) for n in range(100)))
    read = slack.shown(server.messages[CHANNEL, bot.post(CHANNEL, message)])
    kept = sum(text.startswith("web") for text in read)
    assert 40 < kept < 100 and read[-1] == f"… and {100 - kept} more"


TEXT = st.text(max_size=40) | st.sampled_from(["", " ", "\n", *HOSTILE.values()])
MESSAGES = st.builds(
    Message, title=TEXT, tone=st.sampled_from(Tone), lines=st.lists(TEXT, max_size=60).map(tuple),
    facts=st.lists(st.tuples(TEXT, TEXT), max_size=60).map(tuple),
    bar=st.none() | st.builds(Bar, st.integers(0, 100)),
    types=st.lists(TEXT, max_size=3).map(tuple),
    buttons=st.lists(st.builds(Button, TEXT, st.just("status"), st.booleans()), max_size=30).map(
        tuple
    ),
)  # fmt: skip


@pytest.mark.slow
@given(MESSAGES)
@settings(max_examples=300, deadline=None)
def test_every_message_is_one_that_slack_takes(message: Message) -> None:
    said = drawn(message)
    assert list(slack.problems(said)) == [] and slack.special(said) == []
    assert sum(len(text["text"]) for text in slack.texts(said["blocks"])) <= 9597
    assert len(slack.buttons(said)) == len(message.buttons)


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"channel": "#ops"}, "the ID of a channel"), ({"channel": "C0\n"}, "the ID of a channel"),
     ({"signing_secret": None}, "or app_token"), ({"bot_token": "xoxb-1"}, "SecretRef"),
     ({"api": "https://slack.com/api"}, "must be https://ADDRESS"), ({"tokn": 1}, "Extra inputs")],
)  # fmt: skip
def test_what_is_wrong_with_settings_is_said(server: slack.Slack, changed: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DRIVER.Settings.model_validate(server.settings | changed)


def test_by_default_slack_is_slack() -> None:
    bot = published()
    assert bot.settings.api == "https://slack.com" and not bot.listens
    assert DRIVER.channel_of(bot.settings) is None
