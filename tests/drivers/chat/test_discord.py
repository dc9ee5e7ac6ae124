"""The discord driver against Discord's documentation, and against a server that keeps to it."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from deployer.core.chat import Bar, Button, Message, Tone
from deployer.core.text import printable
from deployer.drivers import http
from deployer.drivers.chat import discord as discord_driver
from deployer.drivers.chat import discord_embed
from deployer.drivers.chat.base import Busy, Heard, Person, Request, Response
from deployer.errors import DriverError, DriverRefused, Unauthorized
from lab import docs
from tests.support.chat.discord import (
    BOT,
    CHANNEL,
    EPHEMERAL,
    FORBIDDEN,
    GUILD,
    LIMITED,
    PRIVATE_CHANNEL,
    USER,
    Discord,
    drawn,
    refusal,
    signed,
    signed_bytes,
)
from tests.support.chat.examples import EXAMPLES
from tests.support.chat.platform import HANG, Answer
from tests.support.hostile import HOSTILE, everywhere, huge

NOW = datetime(2025, 10, 1, 12, 0, 0, tzinfo=UTC)
SAYS = Message("Fine", Tone.GOOD)


@pytest.fixture
def discord() -> Iterator[Discord]:
    with Discord() as discord:
        yield discord


@contextmanager
def impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discord_driver, "_LIMITS", http.Limits(request_seconds=0.5))
        yield


@pytest.fixture
def driver(discord: Discord) -> discord_driver.Discord:
    return discord.driver()


def heard(driver: discord_driver.Discord, request: Request, now: datetime = NOW) -> Heard:
    found = driver.hear(request, now)
    assert isinstance(found, Heard), found
    return found


# --- what is sent to us -----------------------------------------------------------------------


def test_a_ping_is_answered(driver: discord_driver.Discord) -> None:
    answer = driver.hear(signed({"id": "1", "application_id": "2", "type": 1}, NOW), NOW)
    assert isinstance(answer, Response)
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert json.loads(answer.body) == {"type": 1}


def test_t099_a_ping_with_a_wrong_signature_is_refused(driver: discord_driver.Discord) -> None:
    ping = signed({"id": "1", "application_id": "2", "type": 1}, NOW)
    wrong = dataclasses.replace(ping, headers={**ping.headers, "x-signature-ed25519": "0" * 128})
    with pytest.raises(Unauthorized):
        driver.hear(wrong, NOW)


def test_a_slash_command_in_a_server(discord: Discord, driver: discord_driver.Discord) -> None:
    request = discord.slash("status web01", NOW)
    said = heard(driver, request)
    assert said.text == "status web01" and not said.pressed and said.at == NOW
    assert said.person == Person(GUILD, str(USER["id"]), "Mason")
    assert said.place.channel == CHANNEL and not said.place.public
    assert said.once == json.loads(request.body)["id"]


def test_a_slash_command_without_text_asks_for_help(
    discord: Discord, driver: discord_driver.Discord
) -> None:
    assert heard(driver, discord.slash("", NOW)).text == ""


def test_somebody_speaks_to_the_bot_alone(discord: Discord, driver: discord_driver.Discord) -> None:
    request = discord.slash(
        "help", NOW, guild_id=None, member=None, user=USER, channel_id=PRIVATE_CHANNEL
    )
    assert heard(driver, request).person == Person("", str(USER["id"]), "Mason")


def test_t094_another_server_is_another_person(
    discord: Discord, driver: discord_driver.Discord
) -> None:
    request = discord.slash("help", NOW, guild_id="290926798626357998")
    assert heard(driver, request).person.tenant == "290926798626357998"


def test_t091_the_same_request_has_the_same_name_and_no_other_has(
    discord: Discord, driver: discord_driver.Discord
) -> None:
    first, second = discord.slash("status", NOW), discord.slash("status", NOW)
    assert heard(driver, first).once == heard(driver, first).once != heard(driver, second).once


@pytest.mark.parametrize("seconds", [-300, -1, 0, 1, 300])
def test_t091_a_time_close_to_ours_is_taken(
    discord: Discord, driver: discord_driver.Discord, seconds: int
) -> None:
    request = discord.slash("status", NOW + timedelta(seconds=seconds))
    assert heard(driver, request).at == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("seconds", [-301, 301, -86400])
def test_t091_an_old_or_future_request_is_refused(
    discord: Discord, driver: discord_driver.Discord, seconds: int
) -> None:
    with pytest.raises(Unauthorized, match="was signed at"):
        driver.hear(discord.slash("status", NOW + timedelta(seconds=seconds)), NOW)


def _changed(text: str, at: int) -> str:
    return text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]


def _forgeries(request: Request) -> Iterator[Request]:
    """One byte changed in each part, and what else people try."""
    signature, time = (request.headers[f"x-signature-{part}"] for part in ("ed25519", "timestamp"))
    body = request.body.decode()
    changed = [_changed(signature, at) for at in (0, 64, 127)]
    cut = ["", signature[:-2], signature + "00", signature[:-1] + "g", f" {signature}", "é" * 128]
    for other in (*changed, *cut):
        yield Request({**request.headers, "x-signature-ed25519": other}, request.body)
    for other in (_changed(time, len(time) - 1), "", f"{time} ", f"+{time}", f"0{time}", "-1"):
        yield Request({**request.headers, "x-signature-timestamp": other}, request.body)
    for at in (0, len(body) // 2, len(body) - 1):
        yield Request(request.headers, _changed(body, at).encode())
    yield Request(request.headers, json.dumps(json.loads(body), indent=1).encode())
    yield Request(request.headers, request.body + b" ")
    yield Request(request.headers, b"")
    yield Request({}, request.body)
    # Ed25519's order, added to the number in it: the same signature in another dress.
    number = int.from_bytes(bytes.fromhex(signature)[32:], "little")
    order = 2**252 + 27742317777372353535851937790883648493
    other = signature[:64] + (number + order).to_bytes(32, "little").hex()
    yield Request({**request.headers, "x-signature-ed25519": other}, request.body)
    # A digit moved from the time to the body: the signed bytes are the same.
    yield Request(
        {**request.headers, "x-signature-timestamp": time[:-1]}, time[-1:].encode() + request.body
    )


def test_t090_what_is_not_signed_as_it_is_is_refused(
    discord: Discord, driver: discord_driver.Discord
) -> None:
    request = discord.slash("status", NOW)
    heard(driver, request)
    for forgery in _forgeries(request):
        with pytest.raises(Unauthorized):
            driver.hear(forgery, NOW)


def test_t090_another_application_s_key_is_refused(discord: Discord) -> None:
    other = discord.driver(
        public_key="3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    )
    with pytest.raises(Unauthorized):
        other.hear(discord.slash("status", NOW), NOW)


@pytest.mark.parametrize("time", ["99999999999", "0", "١٧٥٩٣٢٠٠٠٠", "9" * 40, "1e9", "nan"])
def test_t090_a_time_that_is_none_is_refused(driver: discord_driver.Discord, time: str) -> None:
    with pytest.raises(Unauthorized):
        driver.hear(signed_bytes(b"{}", time), NOW)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"{}", b'{"type": 2}', b"[" * 100_000, b"\xff", b'{"type": "x"}'],
)
def test_signed_nonsense_is_refused(driver: discord_driver.Discord, body: bytes) -> None:
    answer = driver.hear(signed_bytes(body, str(int(NOW.timestamp()))), NOW)
    assert isinstance(answer, Response) and answer.status == 400


@pytest.mark.parametrize(
    "more", [{"type": 4}, {"type": 5}, {"type": 99}, {"member": None}, {"channel_id": None}]
)
def test_what_was_never_asked_for_is_refused(
    discord: Discord, driver: discord_driver.Discord, more: dict[str, Any]
) -> None:
    answer = driver.hear(discord.slash("status", NOW, **more), NOW)
    assert isinstance(answer, Response) and answer.status == 400


# --- the answer -------------------------------------------------------------------------------


def test_the_answer_is_for_whoever_asked_alone(
    discord: Discord, driver: discord_driver.Discord
) -> None:
    said = heard(driver, discord.slash("reinstall web01 as debian-12-web", NOW))
    shown = discord.takes(driver.answer(said, EXAMPLES["asking"]))
    assert shown is not None and shown["flags"] == EPHEMERAL
    assert discord.asked == []


def test_a_question_becomes_its_answer(discord: Discord, driver: discord_driver.Discord) -> None:
    said = heard(driver, discord.slash("reinstall web01 as debian-12-web", NOW))
    question = discord.takes(driver.answer(said, EXAMPLES["asking"]))
    assert question is not None
    pressed = heard(driver, discord.press(question, 0, NOW))
    assert (pressed.text, pressed.pressed) == ("confirm k7wq2m", True)
    assert pressed.place.message == question["id"]
    assert discord.takes(driver.answer(pressed, SAYS)) is question
    assert question["components"] == [] and question["embeds"][0]["title"] == "✅ Fine"


def test_a_deployment_s_message_stays_when_its_button_is_pressed(
    discord: Discord, driver: discord_driver.Discord
) -> None:
    id_ = driver.post(CHANNEL, EXAMPLES["under_way"])
    told = discord.messages[CHANNEL][id_]
    before = dict(told)
    pressed = heard(driver, discord.press(told, 0, NOW))
    answer = discord.takes(driver.answer(pressed, EXAMPLES["asking"]))
    assert answer is not None and answer["flags"] == EPHEMERAL and answer is not told
    assert told == before


@pytest.mark.parametrize("of", ["typed", "question", "deployment"])
def test_an_answer_that_takes_longer(
    discord: Discord, driver: discord_driver.Discord, of: str
) -> None:
    if of == "typed":
        said = heard(driver, discord.slash("status", NOW))
    elif of == "question":
        first = heard(driver, discord.slash("reinstall web01 as debian-12-web", NOW))
        question = discord.takes(driver.answer(first, EXAMPLES["asking"]))
        assert question is not None
        said = heard(driver, discord.press(question, 1, NOW))
    else:
        id_ = driver.post(CHANNEL, EXAMPLES["under_way"])
        said = heard(driver, discord.press(discord.messages[CHANNEL][id_], 0, NOW))
    assert discord.takes(driver.working(said)) is None
    driver.answer_late(said, SAYS)
    interaction = list(discord.interactions.values())[-1]
    assert interaction.message is not None and interaction.message["flags"] == EPHEMERAL
    assert interaction.message["embeds"][0]["title"] == "✅ Fine"
    assert (interaction.message is interaction.pressed) == (of == "question")
    assert "authorization" not in discord.asked[-1].headers


@pytest.mark.slow
def test_an_answer_that_comes_too_late_says_so_and_not_the_token(
    discord: Discord, driver: discord_driver.Discord
) -> None:
    said = heard(driver, discord.slash("status", NOW))
    token = list(discord.interactions)[-1]
    discord.takes(driver.working(said))
    discord.interactions.clear()
    with pytest.raises(DriverRefused, match="401 Invalid Webhook Token") as refused:
        driver.answer_late(said, SAYS)
    assert token not in str(refused.value) and refused.value.remedy is None
    discord.faults.append(HANG)
    with impatient(), pytest.raises(DriverError, match="did not answer in time") as error:
        driver.answer_late(said, SAYS)
    assert token not in str(error.value)


# --- messages ---------------------------------------------------------------------------------


def test_a_deployment_is_one_message_and_its_thread(
    discord: Discord, driver: discord_driver.Discord
) -> None:
    id_ = driver.post(CHANNEL, EXAMPLES["under_way"])
    driver.post(CHANNEL, Message("Booting *now*"), thread=id_)
    driver.post(CHANNEL, Message("Installing"), thread=id_)
    driver.edit(CHANNEL, id_, EXAMPLES["failed"])
    assert discord.threads == {id_: "Booting *now*"}
    titles = [told["embeds"][0]["title"] for told in discord.messages[id_].values()]
    assert titles == [r"Booting \*now\*", "Installing"]
    assert list(discord.messages[CHANNEL]) == [id_]
    assert "failed" in discord.messages[CHANNEL][id_]["embeds"][0]["title"]


def test_a_thread_that_somebody_else_started_meanwhile_is_used(
    discord: Discord, driver: discord_driver.Discord
) -> None:
    id_ = driver.post(CHANNEL, SAYS)
    discord.threads[id_], discord.messages[id_] = "theirs", {}
    missing = Answer(404, {"message": "Unknown Channel", "code": 10003})
    discord.faults.append(missing)
    driver.post(CHANNEL, SAYS, thread=id_)
    assert len(discord.messages[id_]) == 1 and discord.threads[id_] == "theirs"


def test_where_there_are_no_threads_it_is_a_reply(
    discord: Discord, driver: discord_driver.Discord
) -> None:
    id_ = driver.post(PRIVATE_CHANNEL, SAYS)
    reply = driver.post(PRIVATE_CHANNEL, SAYS, thread=id_)
    told = discord.messages[PRIVATE_CHANNEL][reply]
    assert told["message_reference"] == {"message_id": id_, "fail_if_not_exists": False}


def test_a_message_that_is_gone_is_not_changed(
    discord: Discord, driver: discord_driver.Discord
) -> None:
    id_ = driver.post(CHANNEL, SAYS)
    del discord.messages[CHANNEL][id_]
    with pytest.raises(DriverRefused, match=r"Unknown Message \(code 10008\)"):
        driver.edit(CHANNEL, id_, SAYS)
    with pytest.raises(DriverRefused, match=r"Unknown Message \(code 10008\)"):
        driver.post(CHANNEL, SAYS, thread=id_)


def test_a_rate_limit_says_how_long(discord: Discord, driver: discord_driver.Discord) -> None:
    discord.faults.append(LIMITED)
    with pytest.raises(Busy, match="429 You are being rate limited") as busy:
        driver.post(CHANNEL, SAYS)
    assert busy.value.wait == timedelta(seconds=65)


@pytest.mark.parametrize(
    "fault",
    [HANG, Answer(500, b"<html>"), Answer(502, {"message": "502: Bad Gateway"}), Answer(200, b"{}"),
     Answer(200, b"[" * 9999), Answer(408)],
)  # fmt: skip
def test_f050_a_fault_may_pass(
    discord: Discord, driver: discord_driver.Discord, fault: Answer
) -> None:
    discord.faults.append(fault)
    with impatient(), pytest.raises(DriverError) as error:
        driver.post(CHANNEL, SAYS)
    assert not isinstance(error.value, DriverRefused)
    assert driver.post(CHANNEL, SAYS)


def test_a_missing_right_is_named(driver: discord_driver.Discord) -> None:
    with pytest.raises(DriverRefused, match=r"403 Missing Access \(code 50001\)") as refused:
        driver.post(FORBIDDEN, SAYS)
    assert "Send Messages" in str(refused.value.remedy)


@pytest.mark.parametrize("channel", ["../users/@me", "1/messages", "", "general", "1" * 21, "١"])
def test_a_channel_is_an_id(discord: Discord, driver: discord_driver.Discord, channel: str) -> None:
    with pytest.raises(DriverRefused, match="no id of Discord's"):
        driver.post(channel, SAYS)
    assert discord.asked == []


@pytest.mark.slow
def test_the_bot_s_token_is_in_no_error_and_no_log(
    discord: Discord, driver: discord_driver.Discord, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    faults = [Answer(401, {"message": f"401: {BOT}", "code": 0}), HANG]
    for fault in faults:
        discord.faults.append(fault)
        with impatient(), pytest.raises(DriverError) as error:
            driver.post(CHANNEL, SAYS)
        assert BOT not in f"{error.value!r} {error.value.remedy} {error.value.value}"
    assert BOT not in caplog.text and BOT not in repr(driver.context)


def test_a_wrong_token_is_named(discord: Discord) -> None:
    driver = discord.driver(token={"secret": "none"})
    with pytest.raises(DriverRefused, match="the secret none is no token of a bot"):
        driver.post(CHANNEL, SAYS)
    discord.faults.append(Answer(401, {"message": "401: Unauthorized", "code": 0}))
    with pytest.raises(DriverRefused, match="401: Unauthorized") as refused:
        discord.driver().post(CHANNEL, SAYS)
    assert "deployer secret set" in str(refused.value.remedy)


@pytest.mark.parametrize(
    "settings",
    [{"public_key": "xyz"}, {"public_key": "d75a" * 15}, {"channel": "#general"},
     {"api": "https://discord.com/api"}, {"token": BOT}, {"colour": "red"}],
)  # fmt: skip
def test_settings_that_are_wrong_are_refused(discord: Discord, settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        discord.driver(**settings)


def test_an_id_may_be_written_as_a_number(discord: Discord) -> None:
    driver = discord.driver(channel=int(CHANNEL))
    assert driver.channel_of(driver.settings) == CHANNEL


# --- how it looks -----------------------------------------------------------------------------


def test_the_page_registers_the_command_that_we_hear(
    discord: Discord, driver: discord_driver.Discord
) -> None:
    page = (docs.ROOT / "docs" / "chat" / "discord.md").read_text(encoding="utf-8")
    command = json.loads(page.partition("--data '")[2].partition("'")[0])
    asked = json.loads(discord.slash("status", NOW).body)["data"]
    assert (command["name"], command["type"]) == (asked["name"], asked["type"])
    assert [(o["name"], o["type"]) for o in command["options"]] == [("text", 3)]
    described = [command["description"], *(o["description"] for o in command["options"])]
    assert all(1 <= len(text) <= 100 for text in described)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_taken(discord: Discord, driver: discord_driver.Discord, name: str) -> None:
    assert driver.post(CHANNEL, EXAMPLES[name])


def test_everything_of_a_message_is_seen() -> None:
    buttons = (Button("Yes", "confirm 1", danger=True), Button("No", "no 1"))
    message = Message(
        "web01", Tone.ASKING, ("One.", "Two."), (("disk", "8 GB"),), Bar(50), ("deployer x",),
        buttons,
    )  # fmt: skip
    shown = discord_embed.payload(message)
    assert shown["embeds"] == [
        {
            "title": "❓ web01",
            "color": 0xF1C40F,
            "description": f"`{Bar(50)}`\nOne.\nTwo.\n```\ndeployer x\n```",
            "fields": [{"name": "disk", "value": "8 GB", "inline": True}],
        }
    ]
    assert [
        (b["label"], b["custom_id"], b["style"]) for b in shown["components"][0]["components"]
    ] == [("Yes", "confirm 1", 4), ("No", "no 1", 2)]
    assert shown["allowed_mentions"] == {"parse": []}


def _texts(message: Message) -> Iterator[tuple[str, str]]:
    """(What was meant, the Markdown for it) of each text but code."""
    embed = discord_embed.payload(message)["embeds"][0]
    yield message.title, embed["title"].removeprefix("❌ ")
    for given_, shown in zip(message.facts, embed["fields"], strict=False):
        yield from zip(given_, (shown["name"], shown["value"]), strict=True)
    lines = embed["description"].split("\n")[1:]
    yield from zip(message.lines, lines[: lines.index("```")], strict=False)


@pytest.mark.parametrize("name", HOSTILE)
def test_t045_hostile_text_is_text(
    discord: Discord, driver: discord_driver.Discord, name: str
) -> None:
    message = everywhere(HOSTILE[name])
    told = discord.messages[CHANNEL][driver.post(CHANNEL, message)]
    for meant, markdown in _texts(message):
        seen, active = drawn(markdown)
        assert active == [], (meant[:50], markdown[:50])
        whole = " ".join(printable(meant, 4096).split())
        assert seen == whole or (seen.endswith("…") and whole.startswith(seen[:-1].rstrip()))
    assert told["embeds"][0]["description"].count("```") == 2
    assert len(told["components"][0]["components"]) == 2
    assert told["allowed_mentions"] == {"parse": []} and "content" not in told


@given(st.text(max_size=40) | st.text("\\`*_~|<>@:#[]()-+.1 a\n", max_size=12))
@example("1. one")
@example("\\")
@example("- [x](http://a.b)")
def test_t045_any_text_is_text(text: str) -> None:
    seen, active = drawn(discord_embed.payload(Message(text))["embeds"][0]["title"])
    assert active == [] and seen == (" ".join(printable(text).split()) or "–")


def test_more_than_fits_is_cut_and_the_buttons_never(
    discord: Discord, driver: discord_driver.Discord
) -> None:
    told = discord.messages[CHANNEL][driver.post(CHANNEL, huge())]
    embed = told["embeds"][0]
    assert len(told["components"][0]["components"]) == 2
    assert len(embed["title"]) > 200 and len(embed["description"]) > 2500 and embed["fields"]
    assert embed["title"].endswith("…") and "```" in embed["description"]


@pytest.mark.slow
@given(
    st.integers(0, 5000), st.integers(0, 300), st.integers(0, 5000), st.integers(0, 60),
    st.integers(0, 40), st.sampled_from(["a", "*", "🔥", " ", "\u202e"]),
)  # fmt: skip
def test_no_message_is_refused(
    title: int, lines: int, length: int, facts: int, buttons: int, sign: str
) -> None:
    text = sign * length
    message = Message(
        sign * title, Tone.BAD, (text,) * lines, ((text, text),) * facts, Bar(1), (text,) * 3,
        tuple(Button(text, f"says {number // 2}") for number in range(buttons)),
    )  # fmt: skip
    payload = discord_embed.payload(message)
    assert refusal(payload) is None
    pressed = [b["custom_id"] for row in payload["components"] for b in row["components"]]
    assert pressed == [f"says {number}" for number in range((buttons + 1) // 2)]


def test_buttons_that_find_no_place_are_to_be_typed() -> None:
    message = Message("web01", buttons=tuple(Button("x", f"says {n}") for n in range(27)))
    payload = discord_embed.payload(message)
    assert [len(row["components"]) for row in payload["components"]] == [5] * 5
    assert payload["embeds"][0]["description"] == (
        "```\n/deployer text:says 25\n/deployer text:says 26\n```"
    )
