"""The telegram driver against a server that keeps to Telegram's documentation."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from deployer.core.chat import Bar, Button, Message, Tone
from deployer.core.text import printable
from deployer.drivers.chat import pause, telegram_calls, telegram_listen, telegram_text
from deployer.drivers.chat import telegram as telegram_driver
from deployer.drivers.chat.base import Busy, Heard, Person, Place, Request, Response
from deployer.errors import DriverError, DriverRefused, Unauthorized
from tests.support.chat.examples import EXAMPLES
from tests.support.chat.platform import HANG, Answer
from tests.support.chat.telegram import (
    ADA,
    BOT,
    EVE,
    GROUP,
    KICKED,
    LIMITED,
    PRIVATE,
    SECRET,
    TOKEN,
    TOPIC,
    TOPICS,
    Telegram,
    brought,
    part,
    problem,
    shown,
)
from tests.support.hostile import HOSTILE, everywhere, huge

NOW = datetime(2025, 10, 1, 12, 0, 0, tzinfo=UTC)
SAYS = Message("Fine", Tone.GOOD)
LONG = Message("Fine", Tone.GOOD, ("It goes on and on." * 20,))
Driver = telegram_driver.Telegram


@pytest.fixture
def telegram() -> Iterator[Telegram]:
    with Telegram() as telegram:
        yield telegram


@pytest.fixture
def driver(telegram: Telegram) -> Driver:
    return telegram.driver()


@contextmanager
def impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(telegram_calls.Bot.call, "__defaults__", (0.5,))
        yield


def heard(driver: Driver, request: Request) -> Heard:
    found = driver.hear(request, NOW)
    assert isinstance(found, Heard), found
    return found


def unheard(driver: Driver, request: Request) -> None:
    found = driver.hear(request, NOW)
    assert isinstance(found, Response) and found.status == 200 and not found.body


# --- what is brought to us --------------------------------------------------------------------


def test_the_update_of_the_documentation(driver: Driver) -> None:
    """https://core.telegram.org/bots/webhooks, as Telegram lets one try a webhook."""
    chat = {
        "last_name": "Test Lastname", "id": 1111111, "type": "private", "first_name": "Test",
        "username": "Test",
    }  # fmt: skip
    message = {
        "date": 1441645532, "chat": chat, "message_id": 1365, "from": ADA, "text": "/start",
    }  # fmt: skip
    said = heard(driver, brought({"update_id": 10000, "message": message}))
    assert said == Heard(
        "110201543 10000", None, Person("", "1111111", "Test"),
        Place("1111111", "", "1365 other ", public=False), "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "means"),
    [("status web01", "status web01"), ("/status web01", "status web01"), ("/deployer", ""),
     ("/deployer status web01", "status web01"), ("/STATUS web01", "status web01"),
     ("/status@our_deployer_bot web01", "status web01"), ("/start", ""), ("/start abc", ""),
     ("/status@Our_Deployer_Bot", "status"), ("/deployer@our_deployer_bot help", "help"),
     ("/reinstall web01\nas debian-12", "reinstall web01\nas debian-12"), ("/wat x", "wat x")],
)  # fmt: skip
def test_what_is_said_to_the_bot_alone(
    telegram: Telegram, driver: Driver, text: str, means: str
) -> None:
    said = heard(driver, telegram.types(text))
    assert said.text == means and not said.place.public


@pytest.mark.parametrize(
    ("text", "means"),
    [("/deployer status web01", "status web01"), ("/reinstall web01 as x", "reinstall web01 as x"),
     ("/deployer@our_deployer_bot", ""), ("/wat@our_deployer_bot x", "wat x"),
     ("/start@our_deployer_bot", "")],
)  # fmt: skip
def test_what_is_said_to_us_in_a_group(
    telegram: Telegram, driver: Driver, text: str, means: str
) -> None:
    said = heard(driver, telegram.types(text, GROUP))
    assert said.text == means and said.place.public and said.place.channel == str(GROUP)


@pytest.mark.parametrize(
    "text",
    ["status web01", "/wat x", "/start", "/status@another_bot web01", "/deployer@another_bot", "",
     "/ status", "/status@our_deployer_bot2 web01", "see /status web01", "@our_deployer_bot help"],
)  # fmt: skip
def test_what_others_say_to_each_other_is_not_heard(
    telegram: Telegram, driver: Driver, text: str
) -> None:
    unheard(driver, telegram.types(text, GROUP))


@pytest.mark.parametrize(
    "more",
    [{"sender_chat": {"id": GROUP, "type": "supergroup"}}, {"via_bot": {**BOT, "id": 5}},
     {"forward_origin": {"type": "user", "sender_user": EVE, "date": 1441645532}}],
)  # fmt: skip
@pytest.mark.parametrize("chat", [PRIVATE, GROUP])
def test_t093_words_that_are_not_the_sender_s_own_are_not_heard(
    telegram: Telegram, driver: Driver, more: dict[str, Any], chat: int
) -> None:
    unheard(driver, telegram.types("/deployer reinstall web01 as x", chat, **more))


def test_t093_bots_are_not_heard(telegram: Telegram, driver: Driver) -> None:
    unheard(driver, telegram.types("/deployer help", GROUP, {**BOT, "id": 5}))
    told = telegram.messages[GROUP][int(driver.post(str(GROUP), EXAMPLES["failed"]))]
    unheard(driver, telegram.presses_button(told, 0, {**BOT, "id": 5}))


@pytest.mark.parametrize(
    "update",
    [{"update_id": 1}, {"update_id": 1, "edited_message": {"message_id": 1, "text": "/status"}},
     {"update_id": 1, "my_chat_member": {}},
     {"update_id": 1, "message": {"message_id": 1, "chat": {"id": 1}, "photo": []}},
     {"update_id": 1, "callback_query": {"id": "1", "from": ADA, "inline_message_id": "x"}}],
)  # fmt: skip
def test_what_is_not_for_us_is_taken_and_not_heard(driver: Driver, update: Any) -> None:
    unheard(driver, brought(update))


def test_t092_a_repeated_update_has_the_same_name_and_no_time(
    telegram: Telegram, driver: Driver
) -> None:
    first, second = telegram.types("help"), telegram.types("help")
    assert heard(driver, first).once == heard(driver, first).once != heard(driver, second).once
    assert heard(driver, first).at is None and driver.repeats and not driver.listens


@pytest.mark.parametrize(
    "secret", ["", SECRET[:-1], SECRET + "a", SECRET.upper(), f" {SECRET}", "é", "0" * 300]
)
def test_t090_another_secret_token_is_refused(driver: Driver, secret: str) -> None:
    for request in (brought({"update_id": 1}, secret), Request({}, b'{"update_id": 1}')):
        with pytest.raises(Unauthorized, match="not the secret token"):
            driver.hear(request, NOW)


@pytest.mark.parametrize("settings", [{"called": False}, {"secret_token": {"secret": "empty"}}])
def test_t090_without_a_secret_token_nobody_is_heard(
    telegram: Telegram, settings: dict[str, Any]
) -> None:
    for secret in ("", "None", SECRET):
        with pytest.raises(Unauthorized):
            telegram.driver(**settings).hear(brought({"update_id": 1}, secret), NOW)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"[" * 100_000, b"\xff", b'"x"'])
def test_nonsense_is_refused(driver: Driver, body: bytes) -> None:
    answer = driver.hear(Request(brought({}).headers, body), NOW)
    assert isinstance(answer, Response) and answer.status == 400


# --- the answer -------------------------------------------------------------------------------


def test_an_answer_is_in_the_answer(telegram: Telegram, driver: Driver) -> None:
    said = heard(driver, telegram.types("/status web01"))
    telegram.takes(driver.answer(said, SAYS))
    told = telegram.latest(PRIVATE)
    assert told["text"] == "✅ Fine" and "reply_to_message" not in told and telegram.asked == []


def test_among_others_an_answer_is_a_reply_and_names_whom_it_is_for(
    telegram: Telegram, driver: Driver
) -> None:
    said = heard(driver, telegram.types("/deployer status web01", GROUP, EVE))
    telegram.takes(driver.answer(said, SAYS))
    told = telegram.latest(GROUP)
    assert told["reply_to_message"]["text"] == "/deployer status web01"
    mention = next(each for each in told["entities"] if each["type"] == "text_mention")
    assert mention["user"]["id"] == EVE["id"] and part(told["text"], mention) == "✅ Fine"


def test_an_answer_stays_in_its_topic(telegram: Telegram, driver: Driver) -> None:
    topic = {"message_thread_id": TOPIC, "is_topic_message": True}
    said = heard(driver, telegram.types("/deployer help", TOPICS, **topic))
    telegram.takes(driver.answer(said, SAYS))
    driver.post(said.place.channel, SAYS)
    telegram.takes(driver.working(said))
    assert [m["message_thread_id"] for m in telegram.messages[TOPICS].values()] == [TOPIC] * 3
    assert telegram.actions == [{"chat": TOPICS, "action": "typing", "topic": TOPIC}]


def question(telegram: Telegram, driver: Driver, chat: int = GROUP) -> dict[str, Any]:
    said = heard(driver, telegram.types("/deployer reinstall web01 as debian-12-web", chat))
    telegram.takes(driver.answer(said, EXAMPLES["asking"]))
    return telegram.latest(chat)


@pytest.mark.parametrize("chat", [PRIVATE, GROUP])
def test_a_question_becomes_its_answer(telegram: Telegram, driver: Driver, chat: int) -> None:
    asked = question(telegram, driver, chat)
    pressed = heard(driver, telegram.presses_button(asked, 0))
    assert pressed.text == "confirm k7wq2m" and pressed.pressed and pressed.at is None
    assert pressed.place.message == str(asked["message_id"])
    telegram.takes(driver.answer(pressed, SAYS))
    assert asked["text"] == "✅ Fine" and asked["reply_markup"] == {"inline_keyboard": []}
    assert telegram.presses == [] and telegram.popups[-1][1] is None


def test_a_question_that_is_gone_is_answered_all_the_same(
    telegram: Telegram, driver: Driver
) -> None:
    asked = question(telegram, driver)
    pressed = heard(driver, telegram.presses_button(asked, 0))
    del telegram.messages[GROUP][asked["message_id"]]
    telegram.takes(driver.answer(pressed, SAYS))
    assert telegram.latest(GROUP)["text"] == "✅ Fine"


def test_t095_another_s_press_leaves_the_question_and_is_answered_to_them_alone(
    telegram: Telegram, driver: Driver
) -> None:
    asked = question(telegram, driver)
    before, count = dict(asked), len(telegram.messages[GROUP])
    pressed = heard(driver, telegram.presses_button(asked, 0, EVE))
    assert pressed.person.user == str(EVE["id"])
    telegram.takes(driver.answer(pressed, Message("Not yours.", Tone.BAD, facts=(("a", "b"),))))
    assert telegram.popups[-1][1] == "❌ Not yours.\na: b"
    assert asked == before and len(telegram.messages[GROUP]) == count


@pytest.mark.parametrize("message", [LONG, EXAMPLES["asking"]])
def test_a_deployment_s_message_stays_when_its_button_is_pressed(
    telegram: Telegram, driver: Driver, message: Message
) -> None:
    told = telegram.messages[GROUP][int(driver.post(str(GROUP), EXAMPLES["under_way"]))]
    before = dict(told)
    pressed = heard(driver, telegram.presses_button(told, 0))
    telegram.takes(driver.answer(pressed, message))
    answer = telegram.latest(GROUP)
    assert told == before and answer["reply_to_message"] is told
    assert telegram.popups[-1][1] is None
    if message.buttons:
        again = heard(driver, telegram.presses_button(answer, 0))
        telegram.takes(driver.answer(again, SAYS))
        assert answer["text"] == "✅ Fine"


def test_a_press_on_a_message_that_telegram_shows_no_more(
    telegram: Telegram, driver: Driver
) -> None:
    asked = question(telegram, driver)
    pressed = heard(driver, telegram.presses_button(asked, 0, old=True))
    telegram.takes(driver.answer(pressed, SAYS))
    assert telegram.popups[-1][1] == "✅ Fine"


def test_an_answer_to_a_press_that_fails_is_an_error_to_try_again(
    telegram: Telegram, driver: Driver
) -> None:
    pressed = heard(driver, telegram.presses_button(question(telegram, driver), 0))
    telegram.faults.append(LIMITED)
    with pytest.raises(Busy):
        driver.answer(pressed, SAYS)
    telegram.takes(driver.working(pressed))
    driver.answer_late(pressed, SAYS)
    assert telegram.latest(GROUP)["text"] == "✅ Fine" and telegram.presses == []


@pytest.mark.parametrize("message", [SAYS, LONG])
@pytest.mark.parametrize("of", ["typed", "question", "deployment"])
@pytest.mark.parametrize("called", [True, False])
def test_an_answer_that_takes_longer(
    telegram: Telegram, driver: Driver, of: str, called: bool, message: Message
) -> None:
    """After `working`, or to what was heard by asking."""
    if of == "typed":
        request = telegram.types("/deployer help", GROUP)
    elif of == "question":
        request = telegram.presses_button(question(telegram, driver), 0)
    else:
        id_ = driver.post(str(GROUP), EXAMPLES["under_way"])
        request = telegram.presses_button(telegram.messages[GROUP][int(id_)], 0)
    said = heard(driver, request)
    if called:
        telegram.takes(driver.working(said))
    telegram.asked.clear()
    telegram.driver(called=called).answer_late(said, message)
    assert telegram.presses == []
    calls = [asked.path.rpartition("/")[2] for asked in telegram.asked]
    assert ("answerCallbackQuery" in calls) == (of != "typed" and not called), "it is seen once"
    texts = [told["text"] for told in telegram.messages[GROUP].values() if told["from"] == BOT]
    popup = of == "deployment" and not called and message is SAYS
    assert ("✅ Fine" in texts[-1]) != popup
    assert [text for _, text in telegram.popups if text] == (["✅ Fine"] if popup else [])


def test_a_press_of_yesterday_is_answered_by_a_message(telegram: Telegram, driver: Driver) -> None:
    id_ = driver.post(str(GROUP), EXAMPLES["under_way"])
    said = heard(driver, telegram.presses_button(telegram.messages[GROUP][int(id_)], 0))
    telegram.presses.clear()
    for message in (SAYS, LONG):
        telegram.driver(called=False).answer_late(said, message)
        assert "✅ Fine" in telegram.latest(GROUP)["text"]


# --- messages ---------------------------------------------------------------------------------


def test_a_deployment_is_one_message_and_replies_to_it(telegram: Telegram, driver: Driver) -> None:
    id_ = driver.post(str(GROUP), EXAMPLES["under_way"])
    reply = driver.post(str(GROUP), SAYS, thread=id_)
    driver.edit(str(GROUP), id_, EXAMPLES["failed"])
    driver.edit(str(GROUP), id_, EXAMPLES["failed"])
    told = telegram.messages[GROUP][int(id_)]
    assert telegram.messages[GROUP][int(reply)]["reply_to_message"] is told
    assert told["text"].startswith("❌ web01 failed")
    del telegram.messages[GROUP][int(id_)]
    driver.post(str(GROUP), SAYS, thread=id_)
    assert "reply_to_message" not in telegram.latest(GROUP)


def test_a_message_that_is_gone_is_not_changed(telegram: Telegram, driver: Driver) -> None:
    with pytest.raises(DriverRefused, match="400 Bad Request: message to edit not found"):
        driver.edit(str(GROUP), "99", SAYS)


@pytest.mark.parametrize("header", [{}, {"Retry-After": "7"}])
def test_a_rate_limit_says_how_long(
    telegram: Telegram, driver: Driver, header: dict[str, str]
) -> None:
    telegram.faults.append(Answer(LIMITED.status, LIMITED.body, header))
    with pytest.raises(Busy, match="429 Too Many Requests: retry after 5") as busy:
        driver.post(str(GROUP), SAYS)
    assert busy.value.wait == timedelta(seconds=5)


@pytest.mark.parametrize(
    "fault",
    [HANG, Answer(500, {"ok": False}), Answer(502, b"<html>"), Answer(200, b"{}"), Answer(200, b""),
     Answer(200, {"ok": True, "result": True}), Answer(200, b"[" * 9999),
     Answer(409, {"description": "Conflict"})],
)  # fmt: skip
def test_f050_a_fault_may_pass(telegram: Telegram, driver: Driver, fault: Answer) -> None:
    telegram.faults.append(fault)
    with impatient(), pytest.raises(DriverError) as error:
        driver.post(str(GROUP), SAYS)
    assert not isinstance(error.value, DriverRefused)
    assert driver.post(str(GROUP), SAYS)


def test_a_chat_that_we_may_not_speak_in_is_named(driver: Driver) -> None:
    with pytest.raises(DriverRefused, match="403 Forbidden: bot was kicked") as refused:
        driver.post(str(KICKED), SAYS)
    assert refused.value.remedy == "add the bot to the chat, and let it send messages"
    with pytest.raises(DriverRefused, match="400 Bad Request: chat not found"):
        driver.post("-5", SAYS)


def test_a_group_that_moved_says_where_to(telegram: Telegram, driver: Driver) -> None:
    telegram.faults.append(
        Answer(400, {"ok": False, "error_code": 400, "parameters": {"migrate_to_chat_id": -100987},
                     "description": "Bad Request: group chat was upgraded to a supergroup chat"})
    )  # fmt: skip
    with pytest.raises(DriverRefused, match="upgraded to a supergroup") as refused:
        driver.post(str(GROUP), SAYS)
    assert "-100987" in str(refused.value.remedy)


@pytest.mark.parametrize("channel", ["", "general", "-", "1/2", "@x", "1:", "1:2:3", "1" * 21])
def test_a_channel_is_a_chat(telegram: Telegram, driver: Driver, channel: str) -> None:
    with pytest.raises(DriverRefused, match="no chat of Telegram's"):
        driver.post(channel, SAYS)
    with pytest.raises(ValidationError):
        telegram.driver(channel=channel)
    assert telegram.asked == []


def test_a_public_chat_goes_by_its_name() -> None:
    assert telegram_calls.chat("@ops_news") == {"chat_id": "@ops_news"}
    assert telegram_calls.chat("-100:7") == {"chat_id": -100, "message_thread_id": 7}


@pytest.mark.parametrize(
    "settings", [{"username": "@bot"}, {"token": TOKEN}, {"api": "https://a.b/c"}, {"colour": 1}]
)
def test_settings_that_are_wrong_are_refused(telegram: Telegram, settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        telegram.driver(**settings)


# --- the token --------------------------------------------------------------------------------


def _errors(telegram: Telegram, driver: Driver) -> Iterator[DriverError]:
    """Of all kinds, and by whatever call."""
    said = heard(driver, telegram.types("/deployer help", GROUP))
    calls: list[Callable[[], object]] = [
        lambda: driver.post(str(GROUP), SAYS),
        lambda: driver.edit(str(GROUP), "1366", SAYS),
        lambda: driver.answer_late(said, SAYS),
        lambda: telegram.driver(called=False).listen(lambda _: None, lambda: False),
    ]
    told = {"ok": False, "error_code": 401, "description": f"/bot{TOKEN}/x: Unauthorized"}
    faults = [Answer(401, told), Answer(404, told), Answer(400, told), Answer(403, told)]
    for call in calls:
        for fault in faults:
            telegram.faults.append(fault)
            with pytest.raises(DriverError) as error:
                call()
            yield error.value
    for fault in (HANG, Answer(500, told), Answer(200, told)):
        telegram.faults.append(fault)
        with impatient(), pytest.raises(DriverError) as error:
            calls[0]()
        yield error.value
    for origin in ("http://127.0.0.1:1", "https://127.0.0.1:1", "http://192.0.2.1:1"):
        with pytest.raises(DriverError) as error:
            telegram.driver(api=origin).post(str(GROUP), SAYS)
        yield error.value


@pytest.mark.slow
def test_the_token_is_in_no_error_and_no_log(
    telegram: Telegram, driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = TOKEN.partition(":")[2]
    for error in _errors(telegram, driver):
        assert secret not in f"{error!r} {error.remedy} {error.value} {error.extra}"
        assert error.__cause__ is None
    assert caplog.records and secret not in caplog.text
    assert secret not in repr(driver._bot) + repr(driver.context) + repr(driver.settings)


def test_a_wrong_token_is_named(telegram: Telegram) -> None:
    with pytest.raises(DriverRefused, match="the secret none is no token of a bot"):
        telegram.driver(token={"secret": "none"}).post(str(GROUP), SAYS)
    assert telegram.asked == []


# --- asking for what is said ------------------------------------------------------------------


class Listening:
    """Context manager around a driver that asks, in a thread, and what it heard."""

    def __init__(self, driver: Driver) -> None:
        self.heard: list[Heard] = []
        self.error: BaseException | None = None
        self._over = threading.Event()
        self._driver = driver
        self._thread = threading.Thread(target=self._listen)

    def _listen(self) -> None:
        try:
            self._driver.listen(self.heard.append, self._over.is_set)
        except DriverError as error:
            self.error = error

    def __enter__(self) -> Listening:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def wait(self, count: int) -> list[str]:
        until = time.monotonic() + 20
        while len(self.heard) < count and time.monotonic() < until:
            time.sleep(0.01)
        return [each.text for each in self.heard]


@pytest.fixture
def asking(telegram: Telegram, monkeypatch: pytest.MonkeyPatch) -> Driver:
    monkeypatch.setattr(telegram_listen, "_POLL_SECONDS", 0.2)
    monkeypatch.setattr(pause, "_FIRST", 0.05)
    return telegram.driver(called=False)


@pytest.mark.slow
def test_each_thing_said_is_heard_once(telegram: Telegram, asking: Driver) -> None:
    assert asking.listens
    telegram.types("one")
    telegram.types("for others", GROUP)
    with Listening(asking) as listening:
        assert listening.wait(1) == ["one"]
        telegram.types("/deployer two", GROUP)
        telegram.presses_button(question(telegram, telegram.driver()), 0)
        assert listening.wait(4)[1] == "two" and listening.wait(4)[3] == "confirm k7wq2m"
    with Listening(asking) as listening:
        telegram.types("three")
        assert listening.wait(1) == ["three"]
    assert len({each.once for each in listening.heard}) == len(listening.heard)


def test_what_nobody_understands_holds_up_nothing(telegram: Telegram, asking: Driver) -> None:
    telegram.updates += [{"update_id": 1, "message": {"nonsense": 1}}, {"update_id": 2}]
    telegram.types("one")
    with Listening(asking) as listening:
        assert listening.wait(1) == ["one"]
    assert telegram.updates == []


@pytest.mark.slow
def test_f050_faults_are_outlasted(telegram: Telegram, asking: Driver) -> None:
    telegram.faults += [Answer(502, b""), Answer(200, b"[]"), Answer(500, {"ok": False})]
    telegram.faults.append(
        Answer(429, {"ok": False, "error_code": 429, "parameters": {"retry_after": 0}})
    )
    telegram.types("one")
    with Listening(asking) as listening:
        assert listening.wait(1) == ["one"]


def test_what_was_not_heard_to_the_end_is_said_again(telegram: Telegram, asking: Driver) -> None:
    telegram.types("one")
    telegram.types("two")

    def broken(heard: Heard) -> None:
        raise RuntimeError("the database is gone")

    with pytest.raises(RuntimeError):
        asking.listen(broken, lambda: False)
    with Listening(asking) as listening:
        assert listening.wait(2) == ["one", "two"]


def test_whoever_stops_leaves_the_rest_to_the_next(telegram: Telegram, asking: Driver) -> None:
    telegram.types("one")
    telegram.types("two")
    heard: list[Heard] = []
    asking.listen(heard.append, lambda: bool(heard))
    assert [each.text for each in heard] == ["one"]
    assert [each["message"]["text"] for each in telegram.updates] == ["two"]


def test_a_webhook_in_the_way_is_named(telegram: Telegram, asking: Driver) -> None:
    telegram.webhook = True
    with pytest.raises(DriverRefused, match="409 Conflict: can't use getUpdates") as refused:
        asking.listen(lambda _: None, lambda: False)
    assert "deleteWebhook" in str(refused.value.remedy)


# --- how it looks -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_taken(telegram: Telegram, driver: Driver, name: str) -> None:
    assert driver.post(str(GROUP), EXAMPLES[name])


def test_everything_of_a_message_is_seen(telegram: Telegram, driver: Driver) -> None:
    buttons = (Button("Yes", "confirm 1", danger=True), Button("No", "no 1"))
    message = Message(
        "web01.example.com", Tone.ASKING, ("See 🔥 https://a.b/c, or @me.", "Two."),
        (("disk", "8 GB"), ("ip", "10.0.0.7")), Bar(50), ("deployer x", "deployer y"), buttons,
    )  # fmt: skip
    told = telegram.messages[GROUP][int(driver.post(str(GROUP), message))]
    assert told["text"] == (
        f"❓ web01.example.com\n{Bar(50)}\nSee 🔥 https://a.b/c, or @me.\nTwo.\ndisk: 8 GB\n"
        "ip: 10.0.0.7\ndeployer x\ndeployer y"
    )
    assert [(each["type"], part(told["text"], each)) for each in told["entities"]] == [
        ("bold", "❓ "), ("code", "web01.example.com"), ("code", str(Bar(50))),
        ("code", "https://a.b/c,"), ("code", "@me."), ("code", "10.0.0.7"),
        ("pre", "deployer x\ndeployer y"),
    ]  # fmt: skip
    assert told["reply_markup"]["inline_keyboard"] == [
        [{"text": "⚠️ Yes", "callback_data": "confirm 1"}, {"text": "No", "callback_data": "no 1"}]
    ]


def _plain(message: Message) -> list[str]:
    """The lines of a message, as they are meant."""

    def one(text: str) -> str:
        return " ".join(printable(text, 4096).split())

    lines = [f"❌ {one(message.title)}", str(message.bar), *map(one, message.lines)]
    facts = [f"{one(name)}: {one(value)}" for name, value in message.facts]
    return [*lines, *facts, *map(one, message.types)]


def drawn(message: Message, asker: str) -> dict[str, Any]:
    """What Telegram shows, which made no link of anything."""
    sent = telegram_text.params(message, asker)
    given = sent["text"], sent["entities"], sent["reply_markup"]
    assert problem(*given) is None
    told = shown(*given)
    assert [part(told["text"], each) for each in told["entities"] if "found" in each] == []
    return told


either = pytest.mark.parametrize("asker", ["", "1111111"])


@either
@pytest.mark.parametrize("name", HOSTILE)
def test_t045_hostile_text_is_text(name: str, asker: str) -> None:
    message = everywhere(HOSTILE[name])
    told = drawn(message, asker)
    for seen, meant in zip(told["text"].split("\n"), _plain(message), strict=False):
        assert seen == meant or (seen.endswith("…") and meant.startswith(seen[:-1].rstrip()))
    assert sum(map(len, told["reply_markup"]["inline_keyboard"])) == 2


_SIGNS = "@#/$.:+ab1 0A-é"


@pytest.mark.slow
@given(st.text(max_size=60) | st.text(_SIGNS, max_size=30), st.text(_SIGNS, max_size=400))
@example("a @b", "@aa " * 100)
@example("@aa " * 90, "@aa " * 100)
@example("+41 79 123 45 67 and 4242 4242 4242 4242", "1234-1234-1234-1234")
@example("+1 23 45 costs $USD", "tg://resolve?domain=x http://localhost/")
def test_t045_any_text_is_text(title: str, line: str) -> None:
    message = Message(title, Tone.PLAIN, (line,) * 9)
    for asker in ("", "5"):
        lines = drawn(message, asker)["text"].split("\n")
        assert lines[0] == (" ".join(printable(title).split()) or "–") or lines[0][-1] == "…"
        assert set(lines[1:]) <= {" ".join(line.split())}


@either
def test_more_than_fits_is_cut_and_the_buttons_never(asker: str) -> None:
    told = drawn(huge(), asker)
    assert sum(map(len, told["reply_markup"]["inline_keyboard"])) == 2
    assert len(told["text"]) > 2000 and told["text"].count("…") >= 3


@pytest.mark.slow
@given(
    st.integers(0, 5000), st.integers(0, 300), st.integers(0, 5000), st.integers(0, 60),
    st.integers(0, 140), st.sampled_from(["a", "*", "🔥", " ", "\u202e", "@a "]),
)  # fmt: skip
def test_no_message_is_refused(
    title: int, lines: int, length: int, facts: int, buttons: int, sign: str
) -> None:
    text = sign * length
    message = Message(
        sign * title, Tone.BAD, (text,) * lines, ((text, text),) * facts, Bar(1), (text,) * 3,
        tuple(Button(text, f"says {number}") for number in range(buttons)),
    )  # fmt: skip
    told = drawn(message, "")
    keys = [key for row in told["reply_markup"]["inline_keyboard"] for key in row]
    said = [f"says {number}" for number in range(buttons)]
    assert [key["callback_data"] for key in keys] == said[:100]


def test_buttons_that_find_no_place_are_to_be_typed() -> None:
    says = ["says " + "é" * 30, *(f"says {n}" for n in range(102))]
    told = drawn(Message("web01", buttons=tuple(Button("x", each) for each in says)), "")
    typed = [f"/deployer {each}" for each in (says[0], *says[101:])]
    assert told["text"].split("\n")[1:] == typed


def test_what_is_shown_to_one_alone_is_short_and_wants_no_answer() -> None:
    assert telegram_text.alert(Message("Fine", Tone.GOOD, ("a\u202eb",))) == "✅ Fine\na\\u202eb"
    assert telegram_text.alert(EXAMPLES["asking"]) is None
    assert telegram_text.alert(Message("x", lines=("y" * 198,))) == "x\n" + "y" * 198
    assert telegram_text.alert(Message("x", lines=("y" * 199,))) is None
    assert telegram_text.alert(Message("x", lines=("🔥" * 100,))) is None
