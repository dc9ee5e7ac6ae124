"""Mattermost: what it sends and we hear, and what we say. THREATS T090-T098, T045, F050."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from deployer.core.chat import Bar, Button, Message, Tone
from deployer.core.text import printable
from deployer.drivers.chat.base import Busy, Context, Heard, Person, Place, Request
from deployer.drivers.chat.mattermost import DRIVER
from deployer.drivers.chat.mattermost import Mattermost as Driver
from deployer.drivers.chat.mattermost_posts import drawn, escaped, sealed, spoken
from deployer.drivers.http import Limits
from deployer.errors import DriverError, DriverRefused, Invalid, Unauthorized
from tests.support.chat import mattermost
from tests.support.chat.examples import EXAMPLES
from tests.support.chat.mattermost import BOT_TOKEN, CHANNEL, PRIVATE, TOKEN, USER, Mattermost
from tests.support.chat.platform import HANG, Answer
from tests.support.hostile import HOSTILE, everywhere, huge

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECRETS = {"bot": BOT_TOKEN, "command": TOKEN}
ASKING = EXAMPLES["asking"]

# The example of developers.mattermost.com/integrate/slash-commands
PUBLISHED = Request(
    {"accept": "application/json", "authorization": f"Token {TOKEN}",
     "content-type": "application/x-www-form-urlencoded"},
    b"channel_id=i3bb9xfyqt8rtbyshmyhgsj16c&channel_name=town-square&command=%2Ftest&"
    b"response_url=http%3A%2F%2F10.0.0.5%3A8065%2Fhooks%2Fcommands%2Fzozc1xwxybdedeyz8djwjpngny&"
    b"team_domain=rrrr&team_id=tsb8crrn5tgqtedpkt81b4tcya&text=asd&"
    b"token=nezum4kpu3faiec7r7c5zt6tfy&trigger_id=NG1kM3lyN2NqYmQxcGNyc2s0Nmo5em0xb2M6azF4NGFx"
    b"ZGp5MzgxM2M4NG03NzFlb2M5eG86MTU1MTIwODE5NTQyNw%3D%3D&user_id=k1x4aqdjy3813c84m771eoc9xo&"
    b"user_name=tester",
)  # fmt: skip
TRIGGER = (
    "NG1kM3lyN2NqYmQxcGNyc2s0Nmo5em0xb2M6azF4NGFxZGp5MzgxM2M4NG03NzFlb2M5eG86MTU1MTIwODE5NTQyNw=="
)


@pytest.fixture
def server() -> Iterator[Mattermost]:
    with Mattermost() as server:
        yield server


@pytest.fixture
def bot(server: Mattermost) -> Driver:
    return driver(**server.settings)


def driver(
    secrets: dict[str, str] = SECRETS, networks: str = "127.0.0.0/8", **given: Any
) -> Driver:
    return DRIVER(DRIVER.Settings.model_validate(given), Context(secrets, networks))


# --- what is heard --------------------------------------------------------------------------------


def test_the_published_example_is_heard(server: Mattermost, bot: Driver) -> None:
    assert bot.hear(PUBLISHED, NOW) == Heard(
        once=TRIGGER, at=None, person=Person(server.url, USER, "tester"),
        place=Place(CHANNEL, reply="zozc1xwxybdedeyz8djwjpngny"), text="asd",
    )  # fmt: skip


@pytest.mark.parametrize(
    "said",
    ["", f"Token {TOKEN[:-1]}z", f"Token {TOKEN[:-1]}", f"Token {TOKEN}z", f"token {TOKEN}",
     "Token é", "Token ", f"Bearer {TOKEN}", TOKEN],
)  # fmt: skip
def test_t090_a_command_comes_with_its_token(bot: Driver, said: str) -> None:
    with pytest.raises(Unauthorized):
        bot.hear(replace(PUBLISHED, headers={"authorization": said}), NOW)


def test_t090_a_token_in_the_body_is_none(bot: Driver) -> None:
    """It would have to be parsed first."""
    with pytest.raises(Unauthorized):
        bot.hear(Request({}, PUBLISHED.body), NOW)


def test_a_press_says_what_its_button_says(server: Mattermost, bot: Driver) -> None:
    post = server.posts[bot.post(CHANNEL, ASKING)]
    heard = bot.hear(server.press(post), NOW)
    assert heard.pressed and heard.at is None and heard.text == "confirm k7wq2m"
    assert heard.person == Person(server.url, USER, "tester")
    assert heard.place == Place(CHANNEL, post["id"])
    # Whoever presses once more says it once more; the same request again is not.
    assert heard.once != bot.hear(server.press(post), NOW).once
    again = server.press(post)
    assert bot.hear(again, NOW).once == bot.hear(again, NOW).once


def forged(change: Any) -> bytes:
    """A press whose context is this one."""
    said = {"user_id": USER, "channel_id": CHANNEL, "post_id": "p", "trigger_id": "t"}
    return json.dumps(said | change).encode()


SEAL = sealed(BOT_TOKEN, "cancel web01")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"[" * 50_000, b"\xff", forged({}), forged({"context": None}),
     forged({"context": {"says": "cancel web01"}}),
     forged({"context": {"says": "cancel web01", "seal": ""}}),
     forged({"context": {"says": "cancel web01", "seal": None}}),
     forged({"context": {"says": "cancel web02", "seal": SEAL}}),
     forged({"context": {"says": "cancel web01 ", "seal": SEAL}}),
     forged({"context": {"says": "cancel web01", "seal": SEAL[:-1] + "é"}}),
     forged({"context": {"says": "cancel web01", "seal": SEAL.upper()}}),
     forged({"context": {"says": "\ud800", "seal": "\ud800"}}),
     # Whoever has the command's token can draw no button.
     forged({"context": {"says": "cancel web01", "seal": sealed(TOKEN, "cancel web01")}})],
    ids=range(17),
)  # fmt: skip
def test_t090_a_button_that_we_did_not_draw_says_nothing(bot: Driver, body: bytes) -> None:
    with pytest.raises(Unauthorized):
        bot.hear(Request({"content-type": "application/json"}, body), NOW)


def test_a_seal_is_good_for_what_it_seals(bot: Driver) -> None:
    good = forged({"context": {"says": "cancel web01", "seal": SEAL}})
    assert bot.hear(Request({}, good), NOW).text == "cancel web01"


def test_t094_another_servers_user_is_another_person(server: Mattermost) -> None:
    """Which server it is say our settings, and nothing that comes in."""
    elsewhere = driver(**server.settings | {"api": "http://127.0.0.2:8065"})
    here = driver(**server.settings)
    assert here.hear(PUBLISHED, NOW).person != elsewhere.hear(PUBLISHED, NOW).person
    lies = server.command("status", team_domain="elsewhere", team_id="x" * 26)
    assert here.hear(lies, NOW).person == here.hear(PUBLISHED, NOW).person


@pytest.mark.parametrize("name", ["user_id", "channel_id", "trigger_id"])
@pytest.mark.parametrize("value", ["", "x" * 501])
def test_what_is_missing_is_named(server: Mattermost, bot: Driver, name: str, value: str) -> None:
    with pytest.raises(Invalid, match=name) as refusal:
        bot.hear(server.command("status", **{name: value}), NOW)
    assert refusal.value.field == name and "POST" in str(refusal.value.remedy)


def test_only_a_direct_message_is_private(server: Mattermost, bot: Driver) -> None:
    assert bot.hear(server.command("status"), NOW).place.public
    direct = server.command("status", channel_name=f"{USER}__{USER}")
    assert not bot.hear(direct, NOW).place.public


# --- what is answered -----------------------------------------------------------------------------


def test_t092_whoever_sends_a_command_is_not_told_the_answer(
    server: Mattermost, bot: Driver
) -> None:
    """A token that is always the same may be known to others; the person that they pretend to be is
    the one who sees the answer, and the code in it."""
    heard = bot.hear(server.command("reinstall web01 as web"), NOW)
    assert not bot.answers_at_once(heard)
    assert bot.working(heard).body == b"{}"
    bot.answer_late(heard, ASKING)
    [post] = server.private
    assert mattermost.says(post) == ["confirm k7wq2m", "cancel web01"]
    assert "authorization" not in server.asked[0].headers
    assert json.loads(bot.answer(heard, ASKING).body)["response_type"] == "ephemeral"


def test_a_press_is_answered_to_whoever_pressed_with_what_to_type(
    server: Mattermost, bot: Driver
) -> None:
    heard = bot.hear(server.press(server.posts[bot.post(CHANNEL, ASKING)]), NOW)
    assert bot.answers_at_once(heard)
    server.takes_press(bot.answer(heard, ASKING))
    [post] = server.private
    assert post["message"].splitlines() == [
        "**❓ Reinstall web01 as debian-12-web?**",
        "Everything on its disk is lost.",
        "The code is good for five minutes, and for you.",
        "host: web01",
        "profile: debian-12-web",
        "now: ready since 3 days",
        "Reinstall web01: `/deployer confirm k7wq2m`",
        "Leave it: `/deployer cancel web01`",
    ]


def test_the_late_answer_to_a_press_is_a_direct_message(server: Mattermost, bot: Driver) -> None:
    heard = bot.hear(server.press(server.posts[bot.post(CHANNEL, ASKING)]), NOW)
    server.takes_press(bot.working(heard))
    bot.answer_late(heard, EXAMPLES["failed"])
    assert server.private == []
    told = [post for post in server.posts.values() if post["channel_id"] == PRIVATE]
    assert len(told) == 1 and mattermost.says(told[0]) == ["why web01", "retry web01"]


@pytest.mark.parametrize(
    "url",
    ["", "https://evil.example/x", "http://127.0.0.1/hooks/commands/../x", "file:///etc/passwd",
     "https://evil.example/hooks/commands/" + "a" * 25,
     "https://evil.example/hooks/commands/" + "A" * 26],
)  # fmt: skip
def test_t098_an_answer_goes_to_our_server_alone(server: Mattermost, bot: Driver, url: str) -> None:
    bot.answer_late(bot.hear(server.command("status", response_url=url), NOW), ASKING)
    assert [post["channel_id"] for post in server.posts.values()] == [PRIVATE]


def test_t098_of_a_response_url_only_its_id_counts(server: Mattermost, bot: Driver) -> None:
    hook = server.command("x").body.decode().partition("commands%2F")[2].partition("&")[0]
    evil = server.command("status", response_url=f"https://evil.example/hooks/commands/{hook}")
    bot.answer_late(bot.hear(evil, NOW), ASKING)
    assert len(server.private) == 1


def test_a_response_url_that_is_used_up_says_so(server: Mattermost, bot: Driver) -> None:
    heard = bot.hear(server.command("status"), NOW)
    for _ in range(5):
        bot.answer_late(heard, ASKING)
    with pytest.raises(DriverRefused, match="Invalid webhook") as refusal:
        bot.answer_late(heard, ASKING)
    assert heard.place.reply not in str(refusal.value)


def test_t098_where_we_may_not_go_we_do_not(server: Mattermost) -> None:
    bot = driver(networks="", **server.settings)
    with pytest.raises(DriverRefused, match="may not be connected to") as refusal:
        bot.post(CHANNEL, ASKING)
    assert "DEPLOYER_CHAT_NETWORKS" in str(refusal.value.remedy) and server.asked == []


# --- what is posted -------------------------------------------------------------------------------


def test_a_message_is_posted_changed_in_place_and_talked_about(
    server: Mattermost, bot: Driver
) -> None:
    id_ = bot.post(CHANNEL, EXAMPLES["under_way"])
    reply = bot.post(CHANNEL, Message("Packages are unpacked."), thread=id_)
    assert server.posts[reply]["root_id"] == id_ and not server.posts[id_]["root_id"]
    assert mattermost.buttons(server.posts[id_])
    bot.edit(CHANNEL, id_, Message("web01 is ready", Tone.GOOD))
    assert mattermost.read(server.posts[id_]) == ["✅ web01 is ready"]
    assert not mattermost.buttons(server.posts[id_])


def test_f050_the_server_says_how_long_to_wait(server: Mattermost, bot: Driver) -> None:
    server.faults = [
        Answer(429, b"limit exceeded", {"Retry-After": "7", "X-RateLimit-Limit": "11"})
    ]
    with pytest.raises(Busy) as busy:
        bot.post(CHANNEL, ASKING)
    assert busy.value.wait == timedelta(seconds=7)


@pytest.mark.parametrize(
    "fault",
    [Answer(500, b"oops"), Answer(502, b"<html>nginx</html>"), Answer(200, b"<html>log in</html>"),
     Answer(200, b"[]"), Answer(200, b""), HANG],
    ids=["500", "502", "a page", "a list", "nothing", "hangs"],
)  # fmt: skip
def test_f050_trying_again_may_help(server: Mattermost, bot: Driver, fault: Answer) -> None:
    bot.limits = Limits(request_seconds=1, total_seconds=1)
    server.faults = [fault]
    with pytest.raises(DriverError) as failure:
        bot.post(CHANNEL, ASKING)
    assert not isinstance(failure.value, DriverRefused | Busy)
    assert bot.post(CHANNEL, ASKING)


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [(Answer(401, {"id": "x", "message": "expired"}), "Bot Accounts"), (Answer(404, b"?"), "`api`"),
     (Answer(403, {"id": "x", "message": "no"}), "add the bot"), (Answer(501, b"off"), "None"),
     (Answer(302, b"", {"Location": "http://127.0.0.1:1/"}), "None")],
    ids=["401", "404", "403", "501", "302"],
)  # fmt: skip
def test_what_is_refused_comes_with_a_remedy(
    server: Mattermost, bot: Driver, fault: Answer, remedy: str
) -> None:
    server.faults = [fault]
    with pytest.raises(DriverRefused, match=str(fault.status)) as refusal:
        bot.post(CHANNEL, ASKING)
    assert remedy in str(refusal.value.remedy) and len(server.asked) == 1


def test_a_channel_without_the_bot_is_refused(bot: Driver) -> None:
    with pytest.raises(DriverRefused, match="appropriate permissions"):
        bot.post("q" * 26, ASKING)
    with pytest.raises(DriverRefused, match="appropriate permissions"):
        bot.edit(CHANNEL, "q" * 26, ASKING)


def test_a_wrong_token_is_refused_and_not_shown(server: Mattermost) -> None:
    bot = driver(SECRETS | {"bot": "another-token"}, **server.settings)
    with pytest.raises(DriverRefused, match="Invalid or expired session") as refusal:
        bot.post(CHANNEL, ASKING)
    assert "another-token" not in str(refusal.value)


# --- how it looks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_t045_hostile_text_is_shown_as_text(server: Mattermost, bot: Driver, name: str) -> None:
    message = everywhere(HOSTILE[name])
    post = server.posts[bot.post(CHANNEL, message)]
    bot.edit(CHANNEL, post["id"], message)
    heard = bot.hear(server.command("status"), NOW)
    bot.answer_late(heard, message)
    server.takes_press(bot.answer(replace(heard, pressed=True), message))
    answer, spoken_text = server.private
    for each in (post, answer):
        assert mattermost.active(each) == []
        assert mattermost.says(each) == ["confirm k7wq2m", "cancel web01"]
        seen = "".join("".join(mattermost.read(each)).split())
        assert "".join(printable(HOSTILE[name]).split())[:60] in seen
    assert spoken_text["message"].endswith("Leave it: `/deployer cancel web01`")
    assert "`/deployer confirm k7wq2m`" in spoken_text["message"]


def test_more_than_fits_loses_no_button(server: Mattermost, bot: Driver) -> None:
    post = server.posts[bot.post(CHANNEL, huge())]
    assert mattermost.says(post) == ["confirm k7wq2m", "cancel web01"]
    fields = mattermost.attachments(post)[0]["fields"]
    assert fields[-1]["value"] == f"and {200 - len(fields) + 1} more" and len(fields) > 1
    assert len(json.dumps(post["props"], ensure_ascii=False)) < 16_000


TEXT = st.one_of(
    st.text(max_size=40), st.sampled_from(["", " ", "\n", "`", "```", *HOSTILE.values()]),
    st.text("@:#~<>&$*_`|[]()!-+=.012 abwww.com/;\\\n\t", max_size=30),
)  # fmt: skip
MESSAGES = st.builds(
    Message, title=TEXT, tone=st.sampled_from(Tone), lines=st.lists(TEXT, max_size=30).map(tuple),
    facts=st.lists(st.tuples(TEXT, TEXT), max_size=30).map(tuple),
    bar=st.none() | st.builds(Bar, st.integers(0, 100)),
    types=st.lists(TEXT, max_size=3).map(tuple),
    buttons=st.lists(st.builds(Button, TEXT, st.just("status"), st.booleans()), max_size=9).map(
        tuple
    ),
)  # fmt: skip


@pytest.mark.slow
@given(MESSAGES)
@settings(max_examples=150, deadline=None)
def test_every_message_is_one_that_is_taken_and_only_text(message: Message) -> None:
    given = drawn(message, mattermost.URL, BOT_TOKEN)
    post = {"message": given["message"], "props": {"attachments": given["attachments"]}}
    assert mattermost.refusal(post) is None and mattermost.active(post) == []
    assert len(mattermost.buttons(post)) == len(message.buttons)
    assert spoken(message, "/deployer").count("`/deployer status`") == len(message.buttons)


@given(TEXT, st.integers(1, 60))
def test_what_is_cut_has_no_more_than_was_said(text: str, most: int) -> None:
    assert 0 < len(escaped(text, most)) <= most


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("web01 → debian-12: 4.5 GB/s, ready (really)!", None),
        ("52:54:00:12:34 at 12:30, {x} 10.0.0.5/24", None),
        ("00:de:ad", "00:|de:|ad"),
        ("- one\n+ two\n= three\n> four", "\\- one\n\\+ two\n=| three\n\\> four"),
        ("1. one\n12) two", "1\\. one\n12\\) two"),
        (":smile: ;) <3", ":|smile: ;|) &lt;|3"),
        ("https://evil.example www.evil.example", "https:|//evil.example www\\.evil.example"),
        ("evil.com/x tel:123", "evil.|com/x tel:|123"),
        ("@all me@evil.example", "@|all me@|evil.example"),
        ("a_b *c* ~d #e $f$", "a\\_b \\*c\\* ~|d #|e &#36;f&#36;"),
        ("\\server &lt; <@a>", "\\|server &|lt; &lt;|@|a>"),
    ],
)
def test_only_what_would_be_more_than_text_is_escaped(text: str, markdown: str | None) -> None:
    """A stroke is the space without width."""
    assert escaped(text, 100).replace("\u200b", "|") == (markdown or text)


def test_spaces_make_no_code(server: Mattermost, bot: Driver) -> None:
    message = Message("x", lines=("    one", "\n    two", "three"), facts=(("n", "v\n    w"),))
    post = server.posts[bot.post(CHANNEL, message)]
    assert mattermost.active(post) == []
    assert mattermost.read(post)[1:] == ["one\n\ntwo\nthree", "n", "v\nw"]


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"channel": "town-square"}, "the ID of a channel"), ({"url": "deployer"}, "of this receiver"),
     ({"url": "https://d.example.com/a b"}, "of this receiver"), ({"verify": True}, "http"),
     ({"token": TOKEN}, "SecretRef"), ({"command": "deployer"}, "match pattern"),
     ({"api": "https://mm.example.com/team"}, "must be https://ADDRESS"), ({"x": 1}, "Extra")],
)  # fmt: skip
def test_what_is_wrong_with_settings_is_said(server: Mattermost, changed: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DRIVER.Settings.model_validate(server.settings | changed)


def test_a_form_that_is_none_is_no_command(bot: Driver) -> None:
    headers = {"authorization": f"Token {TOKEN}"}
    for body in (b"", b"\xff\xfe", b"[]", urlencode({"text": "x" * 40_000}).encode()):
        with pytest.raises(Invalid):
            bot.hear(Request(headers, body), NOW)
