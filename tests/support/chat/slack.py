"""Slack's side: its API, its response_urls, and what it sends us. Refuses as Slack does.

Limits: docs.slack.dev/reference/block-kit, /reference/methods/chat.postMessage and chat.update;
of all blocks together: github.com/slackapi/bolt-js/issues/2867.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from deployer.drivers.chat.base import Request
from tests.support.chat.platform import Answer, Asked, Platform
from tests.support.chat.websocket import Connection, WebSocketServer

SECRET = "the-signing-secret-of-the-tests"
BOT_TOKEN, APP_TOKEN = "xoxb-of-the-tests", "xapp-of-the-tests"
TEAM, USER, CHANNEL = "T0DEPLOYER", "U0ALICE", "C0OPS"
_USES = 5  # of one response_url
_ALL_TEXT = 9597  # the most that was seen to be taken
_SPECIAL = re.compile(r"<[^<>]*>|[<>]|&(?!amp;|lt;|gt;)")
Json = dict[str, Any]


class Slack(Platform):
    """`messages` are those in channels, by channel and ts; `answers` what came to response_urls."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = {CHANNEL: "", "C0OTHERS": "not_in_channel", "C0OLD": "is_archived"}
        self.messages: dict[tuple[str, str], Json] = {}
        self.answers: list[Json] = []
        self.sockets = WebSocketServer(self._opens)
        self._tickets: set[str] = set()
        self._used: dict[str, int] = {}
        self._count = itertools.count(1)

    @property
    def settings(self) -> Json:
        return {
            "bot_token": {"secret": "bot"}, "signing_secret": {"secret": "signing"},
            "api": self.url, "channel": CHANNEL,
        }  # fmt: skip

    @property
    def socket_settings(self) -> Json:
        """Where nobody can call us."""
        return {"bot_token": {"secret": "bot"}, "app_token": {"secret": "app"}, "api": self.url}

    def __enter__(self) -> Slack:
        self.sockets.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.sockets.__exit__()
        super().__exit__()

    def connection(self, seconds: float = 10) -> Connection:
        """The next one that is made, greeted."""
        connection = self.sockets.connections.get(timeout=seconds)
        connection.send(json.dumps({
            "type": "hello", "num_connections": 1, "connection_info": {"app_id": "A0"},
            "debug_info": {"host": "applink-1", "approximate_connection_time": 18060},
        }))  # fmt: skip
        return connection

    # --- what people do ---------------------------------------------------------------------------

    def command(self, text: str, **more: str) -> Json:
        return {
            "token": "deprecated", "team_id": TEAM, "team_domain": "example", "user_id": USER,
            "user_name": "alice", "channel_id": CHANNEL, "channel_name": "ops",
            "command": "/deployer", "text": text, "response_url": self.response_url(),
            "trigger_id": f"{next(self._count)}.47445629121.803a0bc8", "api_app_id": "A0", **more,
        }  # fmt: skip

    def press(self, says: str, **more: Any) -> Json:
        """Of a message that only one person sees, unless `container` is given."""
        return {
            "type": "block_actions", "api_app_id": "A0", "team": {"id": TEAM, "domain": "example"},
            "user": {"id": USER, "username": "alice", "name": "alice", "team_id": TEAM},
            "channel": {"id": CHANNEL, "name": "ops"}, "response_url": self.response_url(),
            "container": {"type": "message", "message_ts": "1700000000.000100",
                          "channel_id": CHANNEL, "is_ephemeral": True},
            "trigger_id": f"{next(self._count)}.47445629121.803a0bc8",
            "actions": [{"type": "button", "action_id": "say-0", "block_id": "b", "value": says,
                         "action_ts": "1700000000.000200"}], **more,
        }  # fmt: skip

    def response_url(self) -> str:
        path = f"/commands/{TEAM}/{next(self._count)}/secret"
        self._used[path] = 0
        return f"{self.url}{path}"

    # --- what we ask ------------------------------------------------------------------------------

    def answer(self, asked: Asked) -> Answer:
        if asked.path in self._used:
            return self._answered(asked)
        if asked.method != "POST" or not asked.path.startswith("/api/"):
            return Answer(404, b"not here")
        method = asked.path.removeprefix("/api/")
        token = APP_TOKEN if method == "apps.connections.open" else BOT_TOKEN
        given = asked.headers.get("authorization", "")
        if given != f"Bearer {token}":
            return _no("invalid_auth" if given else "not_authed")
        match method:
            case "chat.postMessage":
                return self._post(asked.json())
            case "chat.update":
                return self._update(asked.json())
            case "apps.connections.open":
                return Answer(200, {"ok": True, "url": self._ticket()})
        return _no("unknown_method")

    def _ticket(self) -> str:
        path = f"/link/?ticket={next(self._count)}&app_id=A0"
        self._tickets.add(path)
        return f"{self.sockets.url}{path}"

    def _opens(self, path: str) -> bool:
        """A ticket is good once."""
        good = path in self._tickets
        self._tickets.discard(path)
        return good

    def _answered(self, asked: Asked) -> Answer:
        self._used[asked.path] += 1
        if self._used[asked.path] > _USES:
            return Answer(404, {"ok": False, "error": "used_url"})
        wrong = list(problems(asked.json()))
        if wrong:
            return Answer(400, wrong[0].encode())
        self.answers.append(asked.json())
        return Answer(200, b"ok")

    def _post(self, given: Json) -> Answer:
        if given["channel"] not in self.channels:
            return _no("channel_not_found")
        refused = self.channels[given["channel"]] or _refusal(given)
        if refused:
            return _no(refused, given)
        ts = f"1700000000.{next(self._count):06}"
        self.messages[given["channel"], ts] = given
        return Answer(200, {"ok": True, "channel": given["channel"], "ts": ts, "message": {}})

    def _update(self, given: Json) -> Answer:
        at = given["channel"], given["ts"]
        if at not in self.messages:
            return _no("message_not_found")
        if len(given["text"]) > 4000:
            return _no("msg_too_long")
        refused = _refusal(given)
        if refused:
            return _no(refused, given)
        self.messages[at] |= given
        return Answer(200, {"ok": True, "channel": given["channel"], "ts": given["ts"]})


def envelope(id_: str, said: Json) -> str:
    """As it comes over a socket."""
    kind = "interactive" if "type" in said else "slash_commands"
    return json.dumps({
        "envelope_id": id_, "type": kind, "payload": said,
        "accepts_response_payload": kind == "slash_commands",
    })  # fmt: skip


def signed(said: Json, at: datetime, secret: str = SECRET) -> Request:
    """As Slack sends a command, or, in a `payload`, a press."""
    form = {"payload": json.dumps(said)} if "type" in said else said
    return signed_body(urlencode(form).encode(), str(int(at.timestamp())), secret)


def signed_body(body: bytes, stamp: str, secret: str = SECRET) -> Request:
    base = b"v0:" + stamp.encode() + b":" + body
    signature = "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": stamp, "x-slack-signature": signature,
    }  # fmt: skip
    return Request(headers, body)


def _no(error: str, given: Json | None = None) -> Answer:
    said: Json = {"ok": False, "error": error}
    if error == "invalid_blocks" and given is not None:
        said["errors"] = list(problems(given))
        said["response_metadata"] = {"messages": [f"[ERROR] {each}" for each in said["errors"]]}
    return Answer(200, said)


def _refusal(given: Json) -> str:
    if sum(_length(text["text"]) for text in texts(given["blocks"])) > _ALL_TEXT:
        return "msg_blocks_too_long"
    return "invalid_blocks" if any(problems(given)) else ""


def problems(given: Json) -> Iterator[str]:
    """What Slack would not take."""
    if not given.get("text", "").strip():
        yield "no_text"
    if len(given["blocks"]) > 50:
        yield "no more than 50 items allowed [json-pointer:/blocks]"
    for number, block in enumerate(given["blocks"]):
        for problem in _CHECKS.get(block["type"], _unknown)(block):
            yield f"{problem} [json-pointer:/blocks/{number}]"


def _unknown(block: Json) -> Iterator[str]:
    yield f"unsupported type: {block['type']}"


def _text(text: Json, most: int, *kinds: str) -> Iterator[str]:
    if text["type"] not in (kinds or ("plain_text", "mrkdwn")):
        yield f"unsupported type: {text['type']}"
    if not text["text"].strip():
        yield "must be more than 0 characters"
    if _length(text["text"]) > most:
        yield f"must be less than {most + 1} characters"


def _header(block: Json) -> Iterator[str]:
    yield from _text(block["text"], 150, "plain_text")


def _section(block: Json) -> Iterator[str]:
    if "text" not in block and not block.get("fields"):
        yield "missing required field: text or fields"
    if "text" in block:
        yield from _text(block["text"], 3000)
    fields = block.get("fields", [])
    if len(fields) > 10:
        yield "no more than 10 items allowed"
    for field in fields:
        yield from _text(field, 2000)


def _context(block: Json) -> Iterator[str]:
    if not 0 < len(block["elements"]) <= 10:
        yield "between 1 and 10 items"
    for element in block["elements"]:
        yield from _text(element, 3000)


def _actions(block: Json) -> Iterator[str]:
    if not 0 < len(block["elements"]) <= 25:
        yield "between 1 and 25 items"
    if len({button["action_id"] for button in block["elements"]}) < len(block["elements"]):
        yield "action_id must be unique"
    for button in block["elements"]:
        yield from _text(button["text"], 75, "plain_text")
        if len(button["value"]) > 2000 or len(button["action_id"]) > 255:
            yield "must be less than 2001 characters"
        if button.get("style", "danger") not in ("danger", "primary"):
            yield "unsupported style"


def _rich_text(block: Json) -> Iterator[str]:
    for element in block["elements"]:
        if element["type"] != "rich_text_preformatted" or not element["elements"]:
            yield "this server knows preformatted text alone"
        for piece in element["elements"]:
            if piece["type"] != "text" or not piece["text"]:
                yield "must be more than 0 characters"


_CHECKS = {
    "header": _header, "section": _section, "context": _context, "actions": _actions,
    "rich_text": _rich_text,
}  # fmt: skip


# --- what people see ------------------------------------------------------------------------------


def texts(part: Any) -> Iterator[Json]:
    """Every object that holds text."""
    if isinstance(part, list):
        for each in part:
            yield from texts(each)
    elif isinstance(part, dict):
        if isinstance(part.get("text"), str):
            yield part
        for each in part.values():
            yield from texts(each)


def shown(given: Json) -> list[str]:
    """What is read, line breaks and all; parts that are no plain text are not counted as read."""
    return [
        text["text"] if text["type"] == "text" else _unescaped(text["text"])
        for text in texts(given["blocks"])
        if text["type"] in ("text", "plain_text")
    ]


def special(given: Json) -> list[str]:
    """Mentions, links and other things that Slack finds in the text it parses."""
    parsed = [t["text"] for t in texts(given["blocks"]) if t["type"] in ("mrkdwn", "plain_text")]
    return [found for text in [given["text"], *parsed] for found in _SPECIAL.findall(text)]


def buttons(given: Json) -> list[str]:
    """What they say."""
    rows = [block["elements"] for block in given["blocks"] if block["type"] == "actions"]
    return [button["value"] for row in rows for button in row]


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
