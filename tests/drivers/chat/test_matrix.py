"""The matrix driver: what it says in rooms, against a homeserver and a client's eyes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from deployer.core.chat import Message, Tone
from deployer.core.text import printable
from deployer.drivers.chat import matrix_calls
from deployer.drivers.chat.base import Busy, Heard, Person, Place, Request
from deployer.drivers.chat.matrix import Matrix, MatrixSettings
from deployer.errors import DriverError, DriverRefused, Unauthorized
from tests.support.chat.examples import EXAMPLES
from tests.support.chat.matrix import ALICE, BOB, DIRECT, OPS, TOKEN, Homeserver, driver, read
from tests.support.chat.platform import HANG, Answer
from tests.support.hostile import HOSTILE, everywhere, huge

HELLO = Message("web01 is ready", Tone.GOOD)


@pytest.fixture
def home() -> Iterator[Homeserver]:
    with Homeserver() as home:
        yield home


@pytest.fixture
def bot(home: Homeserver) -> Matrix:
    return driver(home.url)


def asked_by(id_: str, thread: str = "") -> Heard:
    place = Place(OPS, reply=f"{id_} {thread}".strip())
    return Heard(id_, None, Person("example.org", ALICE), place, "status")


def rows(content: dict[str, Any]) -> list[str]:
    """What a person reads, which must be the same in both forms."""
    assert content["msgtype"] == "m.notice" and content["format"] == "org.matrix.custom.html"
    found, _ = read(content["formatted_body"])
    assert content["body"].split("\n") == found
    return found


# --- messages ---------------------------------------------------------------------------------


def test_a_question_says_what_to_type_where_others_have_buttons(
    home: Homeserver, bot: Matrix
) -> None:
    assert rows(home.content(bot.post(OPS, EXAMPLES["asking"]))) == [
        "❓ Reinstall web01 as debian-12-web?",
        *EXAMPLES["asking"].lines,
        *(f"{name}: {value}" for name, value in EXAMPLES["asking"].facts),
        "Reinstall web01: !deployer confirm k7wq2m",
        "Leave it: !deployer cancel web01",
    ]


def test_another_name_is_typed_where_two_of_us_share_a_room(home: Homeserver) -> None:
    staging = driver(home.url, name="staging")
    assert "!staging confirm k7wq2m" in rows(home.content(staging.post(OPS, EXAMPLES["asking"])))[6]


def test_a_message_becomes_another_one(home: Homeserver, bot: Matrix) -> None:
    id_ = bot.post(OPS, EXAMPLES["under_way"])
    assert rows(home.content(id_))[1] == "████████████░░░░░░░░ 58 %"
    bot.edit(OPS, id_, EXAMPLES["failed"])
    bot.edit(OPS, id_, HELLO)
    assert rows(home.content(id_)) == ["✅ web01 is ready"]
    assert home.events[-1]["content"]["body"] == "* ✅ web01 is ready"


def test_a_thread_hangs_on_its_first_message_and_is_a_reply_for_old_clients(
    home: Homeserver, bot: Matrix
) -> None:
    root = bot.post(OPS, HELLO)
    for _ in range(2):
        reply = bot.post(OPS, HELLO, root)
        assert home.content(reply)["m.relates_to"] == {
            "rel_type": "m.thread", "event_id": root, "is_falling_back": True,
            "m.in_reply_to": {"event_id": root},
        }  # fmt: skip
    bot.edit(OPS, reply, EXAMPLES["failed"])
    assert home.content(reply)["m.relates_to"]["event_id"] == root
    with pytest.raises(DriverRefused, match="M_UNKNOWN Cannot start threads"):
        bot.post(OPS, HELLO, reply)


def test_an_answer_is_a_reply_and_stays_in_its_thread(home: Homeserver, bot: Matrix) -> None:
    said = home.say(ALICE, OPS, "!deployer status")
    bot.answer_late(asked_by(said), HELLO)
    assert home.ours[0]["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": said}}
    thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": said}}
    inner = home.say(ALICE, OPS, "!deployer why web01", **thread)
    bot.answer_late(asked_by(inner, said), HELLO)
    assert home.ours[1]["content"]["m.relates_to"] == {
        "rel_type": "m.thread", "event_id": said, "is_falling_back": False,
        "m.in_reply_to": {"event_id": inner},
    }  # fmt: skip


def test_the_same_answer_twice_is_said_once_and_another_one_is_said(
    home: Homeserver, bot: Matrix
) -> None:
    said = home.say(ALICE, OPS, "!deployer status")
    for message in (HELLO, HELLO, EXAMPLES["failed"]):
        bot.answer_late(asked_by(said), message)
    again = home.say(ALICE, OPS, "!deployer status")
    bot.answer_late(asked_by(again), HELLO)
    assert [event["content"]["body"][:5] for event in home.ours] == ["✅ web", "❌ web", "✅ web"]


def test_nobody_calls_and_nobody_waits(home: Homeserver, bot: Matrix) -> None:
    with pytest.raises(Unauthorized):
        bot.hear(Request({}, b"{}"), datetime.now(UTC))
    said = asked_by(home.say(ALICE, OPS, "!deployer status"))
    assert bot.working(said).body == b"" and home.ours == []
    assert bot.answer(said, HELLO).body == b"" and len(home.ours) == 1


@pytest.mark.parametrize("name", ["huge", *HOSTILE])
def test_t045_hostile_text_is_shown_as_the_text_that_it_is(
    home: Homeserver, bot: Matrix, name: str
) -> None:
    message = huge() if name == "huge" else everywhere(HOSTILE[name])
    id_ = bot.post(OPS, message)
    bot.edit(OPS, id_, message)
    for content in (home.events[0]["content"], home.content(id_)):
        shown = rows(content)
        text = printable(HOSTILE.get(name, message.title), 1000).replace("\n", "\\n")[:70]
        assert shown[0][2:].startswith(text) and len([r for r in shown if text in r]) >= 4
        assert shown[-2].endswith(": !deployer confirm k7wq2m")
        assert all(row.isprintable() for row in shown)


@pytest.mark.parametrize("name", HOSTILE)
def test_t045_nobody_is_mentioned_and_no_link_is_found(
    home: Homeserver, bot: Matrix, name: str
) -> None:
    bot.edit(OPS, bot.post(OPS, everywhere(HOSTILE[name])), everywhere(HOSTILE[name]))
    for event in home.ours:
        content = event["content"]
        assert content["m.mentions"] == {}
        new = content.get("m.new_content", content)
        assert new["m.mentions"] == {}
        for piece in read(new["formatted_body"])[1]:
            assert "://" not in piece and not piece.lower().startswith("www.")
            assert "@" not in piece[:-1]


def test_of_too_much_the_facts_go_first_and_the_buttons_stay(home: Homeserver, bot: Matrix) -> None:
    shown = rows(home.content(bot.post(OPS, huge())))
    assert shown[-1] == "Leave it: !deployer cancel web01"
    left_out = int(next(row for row in shown if row.startswith("… and")).split()[2])
    assert 400 - 80 < left_out <= 400
    assert len(json.dumps(home.ours[0]["content"], ensure_ascii=False).encode()) > 40_000


# --- the homeserver's refusals ------------------------------------------------------------------


def test_more_than_the_homeserver_allows_waits_as_long_as_it_says() -> None:
    with Homeserver(limits=True) as home:
        bot = driver(home.url)
        with pytest.raises(Busy, match="M_LIMIT_EXCEEDED") as error:
            for _ in range(11):
                bot.post(OPS, HELLO)
        assert timedelta(seconds=4) <= error.value.wait <= timedelta(seconds=5)
        assert len(home.ours) == 10


@pytest.mark.parametrize(
    ("said", "seconds"),
    [({"retry_after_ms": 2500}, 2.5), ({}, 5), ({"retry_after_ms": "soon"}, 5),
     ({"retry_after_ms": True}, 5), ({"retry_after_ms": -1}, 0),
     ({"retry_after_ms": 10**30}, 3600)],
)  # fmt: skip
def test_a_homeserver_before_1_10_says_it_in_its_answer(
    home: Homeserver, bot: Matrix, said: dict[str, Any], seconds: float
) -> None:
    home.faults.append(Answer(429, {"errcode": "M_LIMIT_EXCEEDED", "error": "Too many", **said}))
    with pytest.raises(Busy) as error:
        bot.post(OPS, HELLO)
    assert error.value.wait.total_seconds() == seconds


def test_a_message_whose_answer_was_lost_is_sent_again_and_is_there_once(
    home: Homeserver, bot: Matrix
) -> None:
    home.loses_an_answer = True
    id_ = bot.post(OPS, HELLO)
    assert [event["event_id"] for event in home.ours] == [id_]
    assert len({asked.path for asked in home.asked}) == 1 and len(home.asked) == 2


@pytest.mark.parametrize("status", [500, 502, 503, 408])
def test_a_fault_that_stays_may_pass_later(home: Homeserver, bot: Matrix, status: int) -> None:
    home.faults += [Answer(status, b"<html>bad \x1b[31m gateway</html>")] * 2
    with pytest.raises(DriverError, match=f"{status}") as error:
        bot.post(OPS, HELLO)
    assert type(error.value) is DriverError and "\x1b" not in error.value.message
    assert bot.post(OPS, HELLO) and len(home.asked) == 3


@pytest.mark.slow
def test_no_answer_is_an_error_after_a_while(
    home: Homeserver, bot: Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix_calls, "USUAL_SECONDS", 0.2)
    home.faults += [HANG, HANG]
    with pytest.raises(DriverError, match="did not answer in time"):
        bot.post(OPS, HELLO)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b"{}", b'{"event_id": 7}'])
def test_an_answer_that_no_homeserver_gives_is_an_error(
    home: Homeserver, bot: Matrix, body: bytes
) -> None:
    home.faults += [Answer(200, body)] * 2
    with pytest.raises(DriverError, match=r"no homeserver|no id"):
        bot.post(OPS, HELLO)


def test_a_room_that_we_are_not_in_is_refused_with_what_to_do(
    home: Homeserver, bot: Matrix
) -> None:
    home.rooms[OPS].remove("@deployer:example.org")
    with pytest.raises(DriverRefused, match="M_FORBIDDEN") as error:
        bot.post(OPS, HELLO)
    assert error.value.field == "settings.rooms" and "invite" in str(error.value.remedy)


def test_a_room_that_is_not_ours_is_not_written_to(home: Homeserver, bot: Matrix) -> None:
    home.rooms["!other:example.org"] = {"@deployer:example.org", BOB}
    for room in ("!other:example.org", "../../account/deactivate", ""):
        with pytest.raises(DriverRefused, match="no room of this receiver") as error:
            bot.post(room, HELLO)
        assert error.value.value == room
    assert home.asked == []


def test_ids_cannot_lead_to_another_call(home: Homeserver) -> None:
    room = "!a/../b?c=d#e%2f"
    home.rooms[room] = {"@deployer:example.org", ALICE}
    driver(home.url, rooms=[room], channel=None).post(room, HELLO)
    assert home.ours[0]["room"] == room


def test_a_token_that_is_none_is_refused_and_never_shown(home: Homeserver) -> None:
    wrong = driver(home.url, token="syt_another")
    with pytest.raises(DriverRefused, match="M_UNKNOWN_TOKEN") as error:
        wrong.post(OPS, HELLO)
    assert error.value.field == "settings.token"
    home.faults += [Answer(400, {"errcode": "M_BAD", "error": f"your token {TOKEN} is bad"})]
    with pytest.raises(DriverRefused, match=r"your token \*{8} is bad"):
        driver(home.url).post(OPS, HELLO)


def test_t073_nothing_within_this_machine_is_called_unless_allowed(
    home: Homeserver, bot: Matrix
) -> None:
    bot.context = replace(bot.context, networks="")
    with pytest.raises(DriverRefused, match="may not be connected to") as error:
        bot.post(OPS, HELLO)
    assert "DEPLOYER_CHAT_NETWORKS" in str(error.value.remedy) and home.asked == []


# --- settings -----------------------------------------------------------------------------------


def test_what_matrix_can_do(bot: Matrix) -> None:
    assert bot.listens and bot.edits and bot.threads and not bot.buttons
    assert Matrix.channel_of(bot.settings) == OPS
    assert Matrix.channel_of(driver(bot.settings.api, channel=None).settings) is None


@pytest.mark.parametrize(
    "wrong",
    [{"token": "in the clear"}, {"rooms": []}, {"rooms": ["#ops:example.org"]}, {"rooms": ["!a b"]},
     {"rooms": [f"!{'x' * 255}"]}, {"channel": "!other:example.org"}, {"channel": "ops"},
     {"api": "http://matrix.example.org"}, {"api": "https://matrix.example.org/path"},
     {"name": "two words"}, {"name": ""}, {"more": 1}, {"rooms": [DIRECT] * 51}],
)  # fmt: skip
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    right = {"api": "https://matrix.example.org", "token": {"secret": "t"}, "rooms": [OPS]}
    assert MatrixSettings.model_validate(right)
    with pytest.raises(ValidationError):
        MatrixSettings.model_validate({**right, **wrong})
