"""The matrix driver: what it hears in rooms, and that nothing keeps it from listening."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from deployer.drivers.chat import matrix_listen, pause
from deployer.drivers.chat.base import Heard, Person, Place
from deployer.drivers.chat.matrix import Matrix
from deployer.errors import DriverRefused
from tests.support.chat.matrix import ALICE, BOB, BOT, DIRECT, EVE, OPS, Homeserver, driver
from tests.support.chat.platform import Answer

MENTION: dict[str, Any] = {"m.mentions": {"user_ids": [BOT]}}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pause, "_FIRST", 0.02)
    monkeypatch.setattr(pause, "_LOOK", 0.01)
    monkeypatch.setattr(matrix_listen, "_POLL_SECONDS", 0.1)
    monkeypatch.setattr(matrix_listen, "_ANSWER_BYTES", 100_000)


@pytest.fixture
def home() -> Iterator[Homeserver]:
    with Homeserver() as home:
        yield home


def until(true: Callable[[], Any], seconds: float = 10) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.01)


class Ear:
    """What a driver hears, in a thread as the worker has it."""

    def __init__(self, home: Homeserver, bot: Matrix) -> None:
        self.home, self.heard, self.error = home, list[Heard](), None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(bot,), daemon=True)

    def _run(self, bot: Matrix) -> None:
        try:
            bot.listen(self.heard.append, self._stopped.is_set)
        except DriverRefused as error:
            self.error = error

    def start(self) -> None:
        self._thread.start()
        until(lambda: self.polls or self.error)

    @property
    def polls(self) -> int:
        return len([asked for asked in self.home.asked if "since" in asked.query])

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def texts(self, *expected: str) -> list[Heard]:
        """When these, and no others, were heard; two polls more show that nothing else comes."""
        until(lambda: len(self.heard) >= len(expected))
        before = self.polls
        until(lambda: self.polls >= before + 2)
        assert [heard.text for heard in self.heard] == list(expected)
        return self.heard


@contextmanager
def listening(home: Homeserver, **settings: Any) -> Iterator[Ear]:
    ear = Ear(home, driver(home.url, **settings))
    ear.start()
    try:
        yield ear
    finally:
        ear.stop()


# --- what is heard ------------------------------------------------------------------------------


def test_what_was_said_before_is_not_heard_and_what_is_said_now_is(home: Homeserver) -> None:
    home.say(ALICE, OPS, "!deployer reinstall web01 as web")
    with listening(home) as ear:
        id_ = home.say(ALICE, OPS, "!deployer status web01")
        assert ear.texts("status web01") == [
            Heard(
                once=id_,
                at=None,
                person=Person("example.org", ALICE, "alice"),
                place=Place(OPS, reply=id_, public=True),
                text="status web01",
            )
        ]


def test_t094_the_server_is_part_of_who_somebody_is(home: Homeserver) -> None:
    with listening(home) as ear:
        home.say(EVE, OPS, "!deployer help")
        home.say("@alice:elsewhere.example", OPS, "!deployer help")
        first, second = ear.texts("help", "help")
    assert first.person == Person("elsewhere.example:8448", EVE, "eve")
    assert second.person == Person("elsewhere.example", "@alice:elsewhere.example", "alice")


@pytest.mark.parametrize(
    ("text", "mentioned", "heard"),
    [
        ("!deployer why web01", False, "why web01"), ("!deployer", False, ""),
        ("  !deployer\n\thosts  env=a ", False, "hosts  env=a"),
        ("!deployerx help", False, None), ("!Deployer help", False, None),
        ("please !deployer help", False, None), ("status web01", False, None), ("", False, None),
        ("Deployer: status", False, "status"), ("Deployer, status", False, "status"),
        ("@Deployer: status", True, "status"), ("Deployer status", True, "status"),
        ("Deployer status", False, None), ("Deployer", False, None), ("Deployers: hi", False, None),
        ("@deployer:example.org: status", False, "status"),
        ("@deployer:example.org status", False, "status"),
        ("@deployer:example.org", True, ""), ("status web01 @Deployer", True, "status web01"),
        ("what of web01?", True, "what of web01?"), ("", True, ""),
        ("deployer:example.org: status", True, "deployer:example.org: status"),
    ],
)  # fmt: skip
def test_a_message_is_for_us_by_our_prefix_our_name_or_a_mention(
    home: Homeserver, text: str, mentioned: bool, heard: str | None
) -> None:
    with listening(home) as ear:
        home.say(ALICE, OPS, text, **(MENTION if mentioned else {}))
        home.say(ALICE, OPS, "!deployer help")
        ear.texts(*([] if heard is None else [heard]), "help")


def test_a_name_that_the_id_begins_with_is_not_all_of_it(home: Homeserver) -> None:
    home.name = "deployer"
    with listening(home) as ear:
        home.say(ALICE, OPS, "@deployer:example.org: status")
        home.say(ALICE, OPS, "deployer: help")
        ear.texts("status", "help")


def test_in_a_room_with_nobody_else_everything_is_for_us_and_private(home: Homeserver) -> None:
    with listening(home) as ear:
        home.say(ALICE, DIRECT, "status web01")
        home.say(ALICE, DIRECT, "!deployer help")
        found = ear.texts("status web01", "help")
        assert [heard.place.public for heard in found] == [False, False]


@pytest.mark.slow
def test_somebody_who_comes_in_is_somebody_who_reads_along(
    home: Homeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix_listen, "_ALONE_SECONDS", 0)
    with listening(home) as ear:
        home.say(ALICE, DIRECT, "status")
        ear.texts("status")
        home.rooms[DIRECT].add(BOB)
        home.say(ALICE, DIRECT, "not for the bot")
        home.say(ALICE, DIRECT, "!deployer help")
        assert ear.texts("status", "help")[1].place.public


def test_who_is_in_a_room_is_asked_once_a_minute_at_the_most(home: Homeserver) -> None:
    with listening(home) as ear:
        for _ in range(20):
            home.say(ALICE, OPS, "not for the bot")
        home.say(ALICE, OPS, "!deployer help")
        assert ear.texts("help")[0].place.public
    assert len([a for a in home.asked if a.path.endswith("/joined_members")]) == 1


def test_where_nobody_says_who_is_in_a_room_others_read_along(home: Homeserver) -> None:
    with listening(home) as ear:
        # The next question is the one for the members.
        home.answer = _without(home, "/joined_members")  # type: ignore[method-assign]
        home.say(ALICE, DIRECT, "status")
        home.say(ALICE, DIRECT, "!deployer help")
        assert ear.texts("help")[0].place.public


def _without(home: Homeserver, end: str) -> Callable[[Any], Answer]:
    answer = home.answer
    return lambda asked: Answer(500) if asked.path.endswith(end) else answer(asked)


def test_an_answer_in_a_thread_is_heard_without_what_it_quotes(home: Homeserver) -> None:
    with listening(home) as ear:
        root = home.say(BOB, OPS, "look at web01")
        quote = (
            "> <@bob:example.org> look at web01\n> !deployer cancel web01\n\n!deployer why web01"
        )
        relates = {"rel_type": "m.thread", "event_id": root, "m.in_reply_to": {"event_id": root}}
        id_ = home.say(ALICE, OPS, quote, **{"m.relates_to": relates})
        assert ear.texts("why web01")[0].place.reply == f"{id_} {root}"


# --- what is not --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "fine"), [(-301, False), (-295, True), (295, True), (301, False)]
)
def test_t091_what_claims_to_be_older_or_newer_than_five_minutes_is_not_heard(
    home: Homeserver, seconds: int, fine: bool
) -> None:
    with listening(home) as ear:
        at = datetime.now(UTC) + timedelta(seconds=seconds)
        home.say(ALICE, OPS, "!deployer why web01", at=at)
        home.say(ALICE, OPS, "!deployer help")
        ear.texts(*(["why web01"] if fine else []), "help")


def test_programs_edits_and_ourselves_are_not_heard(home: Homeserver) -> None:
    with listening(home) as ear:
        home.say(BOT, OPS, "!deployer why web01")
        home.happens(BOB, OPS, {"msgtype": "m.notice", "body": "!deployer why web01"})
        home.happens(BOB, OPS, {"msgtype": "m.emote", "body": "!deployer why web01"})
        id_ = home.say(ALICE, OPS, "!deployer hosts")
        new = {"msgtype": "m.text", "body": "!deployer cancel web01"}
        edit = {"rel_type": "m.replace", "event_id": id_}
        home.say(
            ALICE, OPS, "!deployer cancel web01", **{"m.new_content": new, "m.relates_to": edit}
        )
        secret = {
            "algorithm": "m.megolm.v1.aes-sha2",
            "ciphertext": "AwgAEn",
            "body": "!deployer x",
        }
        home.happens(ALICE, OPS, secret, type_="m.room.encrypted")
        home.say(ALICE, OPS, "!deployer help")
        ear.texts("hosts", "help")


HOSTILE_EVENTS: list[dict[str, Any]] = [
    {"content": None}, {"content": []}, {"content": {}}, {"content": {"msgtype": "m.text"}},
    {"content": {"msgtype": "m.text", "body": 7}}, {"content": {"msgtype": [], "body": "x"}},
    {"sender": None}, {"sender": "alice"}, {"sender": "@alice"}, {"sender": "@a b:c"},
    {"sender": f"@{'x' * 300}:c"}, {"event_id": None}, {"event_id": ""}, {"event_id": "$a b"},
    {"origin_server_ts": None}, {"origin_server_ts": "now"}, {"origin_server_ts": True},
    {"origin_server_ts": 10**30}, {"origin_server_ts": -(10**30)}, {"origin_server_ts": 1e300},
    {"state_key": ""}, {"type": "m.room.topic"}, {"type": None},
]  # fmt: skip
HARMLESS: list[dict[str, Any]] = [
    {"m.relates_to": 7}, {"m.relates_to": {"rel_type": "m.thread", "event_id": {}}},
    {"m.relates_to": {"m.in_reply_to": "x"}}, {"m.mentions": []}, {"m.mentions": {"user_ids": {}}},
    {"formatted_body": {}},
]  # fmt: skip


@pytest.mark.slow
def test_what_no_client_sends_is_passed_over(home: Homeserver) -> None:
    right = {"msgtype": "m.text", "body": "!deployer why web01"}
    answers = [{}, {"rooms": 7}, {"rooms": {"join": [], "invite": []}},
               {"rooms": {"join": {OPS: {"timeline": 7}}}},
               {"rooms": {"join": {OPS: {"timeline": {"events": {"a": 1}}}}}},
               {"rooms": {"join": {OPS: {"timeline": {"events": [7, None, []]}}}}}]  # fmt: skip
    for wrong in HOSTILE_EVENTS:
        event = {
            "type": "m.room.message", "event_id": "$1", "sender": ALICE, "content": right,
            "origin_server_ts": int(time.time() * 1000), **wrong,
        }  # fmt: skip
        answers.append({"rooms": {"join": {OPS: {"timeline": {"events": [event]}}}}})
    # A homeserver that does not filter.
    event = {**event, "type": "m.room.message"}
    answers.append({"rooms": {"join": {"!other:example.org": {"timeline": {"events": [event]}}}}})
    with listening(home) as ear:
        home.faults += [Answer(200, {"next_batch": f"s{len(home.events)}", **a}) for a in answers]
        until(lambda: not home.faults)
        for content in HARMLESS:
            home.say(ALICE, OPS, "!deployer hosts", **content)
        ear.texts(*["hosts"] * len(HARMLESS))


@pytest.mark.slow
def test_only_rooms_that_were_named_are_heard_and_joined(home: Homeserver) -> None:
    late, other = "!late:example.org", "!other:example.org"
    home.invite(OPS)
    home.rooms[OPS].remove(BOT)
    home.rooms[other] = {BOT, ALICE}
    with listening(home, rooms=[OPS, late]) as ear:
        home.invite("!trap:example.org")
        home.invite(late)
        until(lambda: late in home.joined)
        home.say(ALICE, other, "!deployer cancel web01")
        home.say(ALICE, late, "!deployer status")
        ear.texts("status")
        home.say(ALICE, OPS, "!deployer help")
        ear.texts("status", "help")
    assert home.joined == [OPS, late]


# --- nothing keeps it from listening ------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [Answer(500, b"oops"), Answer(502, b"<html>"), Answer(200, b""), Answer(200, {"next_batch": 7}),
     Answer(429, {"errcode": "M_LIMIT_EXCEEDED", "error": "wait", "retry_after_ms": 50})],
)  # fmt: skip
def test_after_a_fault_it_goes_on_where_it_was_and_hears_all_of_it_once(
    home: Homeserver, fault: Answer
) -> None:
    with listening(home) as ear:
        home.say(ALICE, OPS, "!deployer status")
        ear.texts("status")
        home.faults += [fault] * 3
        home.say(ALICE, OPS, "!deployer why web01")
        home.say(ALICE, OPS, "!deployer help")
        ear.texts("status", "why web01", "help")


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [Answer(400, {"errcode": "M_UNKNOWN", "error": "Invalid stream token"}),
     Answer(200, b" " * 200_000)],
)  # fmt: skip
def test_a_question_that_cannot_be_answered_is_asked_anew_from_now_on(
    home: Homeserver, fault: Answer
) -> None:
    with listening(home) as ear:
        home.faults.append(fault)
        until(lambda: len([a for a in home.asked if a.path.endswith("/whoami")]) == 2)
        until(lambda: "since" in home.asked[-1].query)
        home.say(ALICE, OPS, "!deployer help")
        ear.texts("help")


@pytest.mark.slow
def test_the_homeserver_may_be_away_when_we_start(home: Homeserver) -> None:
    home.faults += [Answer(503)] * 4
    with listening(home) as ear:
        home.say(ALICE, OPS, "!deployer help")
        ear.texts("help")


@pytest.mark.slow
def test_pauses_get_longer_and_end_with_the_fault(
    home: Homeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(seconds)

    clock = SimpleNamespace(monotonic=time.monotonic, sleep=sleep)
    monkeypatch.setattr(pause, "time", clock)
    monkeypatch.setattr(pause, "_LOOK", 100.0)
    monkeypatch.setattr(pause, "_LONGEST", 0.1)
    home.faults += [Answer(503)] * 5
    with listening(home):
        first = len(slept)
        home.faults.append(Answer(503))
        until(lambda: len(slept) > first)
    # Not what is left of a pause that ended too early.
    pauses = [round(seconds, 2) for seconds in slept if seconds > 0.015]
    assert pauses == [0.02, 0.04, 0.08, 0.1, 0.1, 0.02]


@pytest.mark.slow
def test_it_waits_as_long_as_it_is_told_and_stops_all_the_same(home: Homeserver) -> None:
    said = {"errcode": "M_LIMIT_EXCEEDED", "error": "wait", "retry_after_ms": 600_000}
    with listening(home) as ear:
        home.faults.append(Answer(429, said))
        until(lambda: not home.faults)
        before = ear.polls
        time.sleep(0.5)
        assert ear.polls == before


def test_an_account_that_cannot_be_used_is_told_to_whoever_started_it(home: Homeserver) -> None:
    ear = Ear(home, driver(home.url, token="syt_another"))
    ear.start()
    ear.stop()
    assert ear.error is not None and ear.error.field == "settings.token" and ear.polls == 0


def test_an_account_that_is_closed_meanwhile_is_told_as_well(home: Homeserver) -> None:
    ear = Ear(home, driver(home.url))
    ear.start()
    home.token = "changed"
    until(lambda: ear.error)
    ear.stop()
    assert "M_UNKNOWN_TOKEN" in str(ear.error)


def test_it_asks_for_nothing_but_messages_and_is_not_shown_as_present(home: Homeserver) -> None:
    with listening(home) as ear:
        ear.texts()
    syncs = [asked for asked in home.asked if asked.path.endswith("/sync")]
    assert [asked.query["timeout"] for asked in syncs[:2]] == ["0", "100"]
    assert {asked.query["set_presence"] for asked in syncs} == {"offline"}
    assert '"limit": 1}' in syncs[0].query["filter"] and "since" not in syncs[0].query
