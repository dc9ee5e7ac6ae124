"""Telegram's Bot API as its documentation has it: limits, refusals, and the links it makes itself.

https://core.telegram.org/bots/api, version 9.2; what it refuses in which words is from
tdlib/telegram-bot-api and tdlib/td, on which the real one runs.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

from deployer.drivers.chat.base import Context, Request, Response
from deployer.drivers.chat.telegram import Telegram as Driver
from tests.support.chat.platform import Answer, Asked, Platform

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"  # of the documentation
SECRET = "s3cret-token_of-the-webhook"
BOT = {"id": 110201543, "is_bot": True, "first_name": "Deployer", "username": "our_deployer_bot"}
# Chats: a private one, a group, one with topics, one that we were thrown out of.
PRIVATE, GROUP, TOPICS, KICKED = 1111111, -1001234567890, -1009876543210, -1000000000001
TOPIC = 42
# Of https://core.telegram.org/bots/webhooks, "testing your bot with updates".
ADA = {"id": 1111111, "first_name": "Test", "last_name": "Test Lastname", "username": "Test"}
EVE = {"id": 2222222, "first_name": "Eve"}
LIMITED = Answer(
    429, {"ok": False, "error_code": 429, "description": "Too Many Requests: retry after 5",
          "parameters": {"retry_after": 5}},
)  # fmt: skip


@dataclass
class Telegram(Platform):
    """`messages` by chat and id; `popups` are (press, text or None) as the presser saw them."""

    messages: dict[int, dict[int, dict[str, Any]]] = field(default_factory=dict)
    updates: list[dict[str, Any]] = field(default_factory=list)
    presses: list[str] = field(default_factory=list)  # that wait for an answer
    popups: list[tuple[str, str | None]] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)
    webhook: bool = False

    def __post_init__(self) -> None:
        super().__init__()
        self.messages |= {PRIVATE: {}, GROUP: {}, TOPICS: {}}
        self._update, self._message = 10000, 1365

    def driver(self, *, called: bool = True, **settings: Any) -> Driver:
        given = {
            "token": {"secret": "bot"}, "username": BOT["username"], "channel": GROUP,
            "api": self.url,
        } | ({"secret_token": {"secret": "hook"}} if called else {}) | settings  # fmt: skip
        secrets = {"bot": TOKEN, "hook": SECRET, "none": "two words", "empty": ""}
        return Driver(Driver.Settings.model_validate(given), Context(secrets, "127.0.0.0/8"))

    # --- what people do -----------------------------------------------------------------------

    def types(
        self, text: str, chat: int = PRIVATE, user: dict[str, Any] = ADA, **more: Any
    ) -> Request:
        message = {"date": 1441645532, "chat": _chat(chat), "from": user, "text": text} | more
        return self._brought({"message": self._kept(chat, message)})

    def presses_button(
        self, message: dict[str, Any], number: int, user: dict[str, Any] = ADA, old: bool = False
    ) -> Request:
        """`old`: so long ago that Telegram does not say what was pressed on."""
        keys = [key for row in message["reply_markup"]["inline_keyboard"] for key in row]
        press = f"438238990120{len(self.presses) + len(self.popups):06}"
        self.presses.append(press)
        gone = {"message_id": message["message_id"], "chat": message["chat"], "date": 0}
        query = {
            "id": press, "from": user, "message": gone if old else message,
            "chat_instance": "-8090238", "data": keys[number]["callback_data"],
        }  # fmt: skip
        return self._brought({"callback_query": query})

    def _brought(self, what: dict[str, Any]) -> Request:
        self._update += 1
        update = {"update_id": self._update, **what}
        self.updates.append(update)
        return brought(update)

    def _kept(self, chat: int, message: dict[str, Any]) -> dict[str, Any]:
        self._message += 1
        kept = {"message_id": self._message, **message}
        self.messages[chat][self._message] = kept
        return kept

    def latest(self, chat: int) -> dict[str, Any]:
        return list(self.messages[chat].values())[-1]

    # --- what it is asked ---------------------------------------------------------------------

    def takes(self, response: Response) -> None:
        """Our answer to a call of its: empty, or a call of ours."""
        assert response.status == 200
        if response.body:
            assert response.content_type == "application/json"
            given = json.loads(response.body)
            answer = self._do(given.pop("method"), given)
            assert answer.status == 200, answer

    def answer(self, asked: Asked) -> Answer:
        parts = re.fullmatch(r"/bot([^/]*)/(\w+)", asked.path)
        if parts is None or not re.fullmatch(r"\d+:[\w-]+", parts[1]):
            return _no(404, "Not Found")
        if parts[1] != TOKEN:
            return _no(401, "Unauthorized")
        assert asked.headers["content-type"] == "application/json"
        return self._do(parts[2], asked.json())

    def _do(self, method: str, given: dict[str, Any]) -> Answer:
        do = {
            "sendMessage": self._send, "editMessageText": self._edit,
            "answerCallbackQuery": self._seen, "sendChatAction": self._action,
            "getUpdates": self._get_updates,
        }[method]  # fmt: skip
        return do(**given)

    def _send(
        self, chat_id: int, text: str, entities: list[dict[str, Any]], reply_markup: Any,
        link_preview_options: Any, message_thread_id: int | None = None,
        reply_parameters: dict[str, Any] | None = None,
    ) -> Answer:  # fmt: skip
        if (refused := self._refused(chat_id, text, entities, reply_markup)) is not None:
            return refused
        if message_thread_id is not None and (chat_id, message_thread_id) != (TOPICS, TOPIC):
            return _no(400, "Bad Request: message thread not found")
        message: dict[str, Any] = {"from": BOT, "date": 1441645540, "chat": _chat(chat_id)}
        message |= shown(text, entities, reply_markup)
        if message_thread_id is not None:
            message |= {"message_thread_id": message_thread_id, "is_topic_message": True}
        if reply_parameters is not None:
            replied = self.messages[chat_id].get(reply_parameters["message_id"])
            if replied is None and not reply_parameters.get("allow_sending_without_reply"):
                return _no(400, "Bad Request: message to be replied not found")
            message |= {"reply_to_message": replied} if replied else {}
        return _yes(self._kept(chat_id, message))

    def _edit(
        self, chat_id: int, message_id: int, text: str, entities: list[dict[str, Any]],
        reply_markup: Any, link_preview_options: Any,
    ) -> Answer:  # fmt: skip
        if (refused := self._refused(chat_id, text, entities, reply_markup)) is not None:
            return refused
        message = self.messages[chat_id].get(message_id)
        if message is None:
            return _no(400, "Bad Request: message to edit not found")
        if message["from"] != BOT:
            return _no(400, "Bad Request: message can't be edited")
        new = shown(text, entities, reply_markup)
        if all(message.get(name) == value for name, value in new.items()):
            return _no(
                400, "Bad Request: message is not modified: specified new message content and"
                " reply markup are exactly the same as a current content and reply markup of the"
                " message",
            )  # fmt: skip
        message |= new
        return _yes(message)

    def _refused(
        self, chat: int, text: str, entities: list[dict[str, Any]], markup: dict[str, Any]
    ) -> Answer | None:
        if chat == KICKED:
            return _no(403, "Forbidden: bot was kicked from the supergroup chat")
        if chat not in self.messages:
            return _no(400, "Bad Request: chat not found")
        why = problem(text, entities, markup)
        return _no(400, f"Bad Request: {why}") if why else None

    def _seen(
        self, callback_query_id: str, text: str | None = None, show_alert: bool = False
    ) -> Answer:
        if callback_query_id not in self.presses:
            return _no(
                400, "Bad Request: query is too old and response timeout expired or query ID is"
                " invalid",
            )  # fmt: skip
        if text is not None and length(text) > 200:
            return _no(400, "Bad Request: MESSAGE_TOO_LONG")
        self.presses.remove(callback_query_id)
        self.popups.append((callback_query_id, text))
        return _yes(True)

    def _action(self, chat_id: int, action: str, message_thread_id: int | None = None) -> Answer:
        self.actions.append({"chat": chat_id, "action": action, "topic": message_thread_id})
        return _yes(True)

    def _get_updates(
        self, timeout: int, limit: int, allowed_updates: list[str], offset: int = 0
    ) -> Answer:
        if self.webhook:
            return _no(
                409, "Conflict: can't use getUpdates method while webhook is active; use"
                " deleteWebhook to delete the webhook first",
            )  # fmt: skip
        assert 1 <= limit <= 100 and set(allowed_updates) == {"message", "callback_query"}
        until = time.monotonic() + timeout
        while True:
            with self.lock:
                self.updates = [each for each in self.updates if each["update_id"] >= offset]
                found = self.updates[:limit]
            if found or time.monotonic() > until or self.closing.wait(0.02):
                return _yes(found)


def brought(update: Any, secret: str = SECRET) -> Request:
    """As Telegram brings it to a webhook."""
    headers = {"content-type": "application/json", "x-telegram-bot-api-secret-token": secret}
    return Request(headers, json.dumps(update).encode())


def _chat(id_: int) -> dict[str, Any]:
    if id_ > 0:
        return {"id": id_, "type": "private", "first_name": "Test"}
    return {"id": id_, "type": "supergroup", "title": "Ops", "is_forum": id_ == TOPICS}


def _yes(result: Any) -> Answer:
    return Answer(200, {"ok": True, "result": result})


def _no(status: int, description: str) -> Answer:
    return Answer(status, {"ok": False, "error_code": status, "description": description})


def length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def part(text: str, entity: dict[str, Any]) -> str:
    raw = text.encode("utf-16-le")
    start = 2 * entity["offset"]
    return raw[start : start + 2 * entity["length"]].decode("utf-16-le")


# --- limits -----------------------------------------------------------------------------------


def problem(text: str, entities: list[dict[str, Any]], markup: dict[str, Any]) -> str | None:
    """Why it would not take this message."""
    if not text.strip():
        return "message text is empty"
    if length(text) > 4096:
        return "message is too long"
    return _keyboard_problem(markup["inline_keyboard"]) or _entity_problem(text, entities)


def _keyboard_problem(rows: list[list[dict[str, Any]]]) -> str | None:
    if sum(map(len, rows)) > 100:
        return "reply markup is too long"
    for key in (key for row in rows for key in row):
        if not key["text"].strip():
            return "can't parse inline keyboard button: Text must be non-empty"
        if not 1 <= len(key["callback_data"].encode()) <= 64:
            return "BUTTON_DATA_INVALID"
    return None


def _entity_problem(text: str, entities: list[dict[str, Any]]) -> str | None:
    """The real one mends some of these; we are to send none that it has to."""
    for at, each in enumerate(entities):
        if each["length"] < 1 or each["offset"] + each["length"] > length(text):
            return "ENTITY_BOUNDS_INVALID"
        try:
            part(text, each)
        except UnicodeDecodeError:
            return "entity beginning in a middle of a UTF-16 symbol"
        for other in entities[at + 1 :]:
            if _touch(each, other) and not _may_be_together(each, other):
                return f"{each['type']} and {other['type']} overlap"
    return None


def _touch(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(
        one["offset"] < other["offset"] + other["length"]
        and other["offset"] < one["offset"] + one["length"]
    )


def _may_be_together(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """One within the other, and one of them bold, and none of them code."""
    first, second = sorted((one, other), key=lambda each: each["length"], reverse=True)
    within = (
        first["offset"] <= second["offset"]
        and second["offset"] + second["length"] <= first["offset"] + first["length"]
    )
    types = {one["type"], other["type"]}
    return within and "bold" in types and not types & {"code", "pre"}


# --- what it makes of text --------------------------------------------------------------------

_FOUND = {
    "mention": r"(?<!\w)@[a-zA-Z0-9_]{2,32}\b",
    "hashtag": r"(?<!\w)#\w*[^\W\d]\w*",
    "cashtag": r"(?<!\w)\$[A-Z]{1,8}\b",
    "bot_command": r"(?<![\w/])/[a-zA-Z0-9_]{1,64}(@\w{3,32})?\b",
    "url": r"(?:https?|ftp|tg|ton)://\S+|(?:[\w-]+\.)+[^\W\d_]{2,}|\b\d{1,3}(?:\.\d{1,3}){3}\b",
    "email": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "phone_number": r"\+\d[\d ()-]{5,}\d",
    "bank_card_number": r"\b\d(?:[ -]?\d){12,18}\b",
}


def shown(text: str, entities: list[dict[str, Any]], markup: dict[str, Any]) -> dict[str, Any]:
    """As it keeps a message: at most a hundred entities, and those it finds in what is no code."""
    kept = entities[:100]
    closed = [each for each in kept if each["type"] in ("code", "pre", "text_mention")]
    for kind, form in _FOUND.items():
        for match in re.finditer(form, text):
            start = length(text[: match.start()])
            found = {"type": kind, "offset": start, "length": length(match[0]), "found": True}
            if not any(_touch(found, each) for each in closed):
                kept = [*kept, found]
    return {"text": text, "entities": kept, "reply_markup": markup}
