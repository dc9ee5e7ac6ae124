"""A Matrix homeserver, of which the driver sees what it would see of Synapse, and a client's eyes.

Limits and errors are those of Synapse 1.163: events of 65,536 bytes, ten messages at once and then
one in five seconds, `M_…` codes, invitations that no filter holds back.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from datetime import datetime
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote

from deployer.core.profiles import SecretRef
from deployer.drivers.chat.base import Context
from deployer.drivers.chat.matrix import Matrix, MatrixSettings
from tests.support.chat.platform import Answer, Asked, Platform

BOT, TOKEN = "@deployer:example.org", "syt_ZGVwbG95ZXI_for_tests_only"
ALICE, BOB, EVE = "@alice:example.org", "@bob:example.org", "@eve:elsewhere.example:8448"
# As room versions 12 and 11 have them.
OPS, DIRECT = "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM", "!direct:example.org"
_API = "/_matrix/client/v3"
_EVENT_BYTES, _BURST, _A_SECOND = 65_536, 10, 0.2


def driver(api: str, *, token: str = TOKEN, **settings: Any) -> Matrix:
    """As the service makes it."""
    given = MatrixSettings(
        api=api, token=SecretRef(secret="matrix"), verify=False,
        **{"rooms": [OPS, DIRECT], "channel": OPS, **settings},
    )  # fmt: skip
    return Matrix(given, Context(secrets={"matrix": token}, networks="127.0.0.0/8"))


class Homeserver(Platform):
    """`rooms`: who is in each; `events`: what was said, in order; `invitations`: to the bot."""

    def __init__(self, *, limits: bool = False) -> None:
        super().__init__()
        self.limits, self.token, self.name = limits, TOKEN, "Deployer"
        self.rooms = {OPS: {BOT, ALICE, BOB}, DIRECT: {BOT, ALICE}}
        self.events: list[dict[str, Any]] = []
        self.invitations: dict[str, int] = {}
        self.joined: list[str] = []
        # Does what it is asked for once more, and its answer is lost on the way.
        self.loses_an_answer = False
        self._sent: dict[str, str] = {}
        self._changed = threading.Condition(self.lock)
        self._allowance, self._at = float(_BURST), time.monotonic()

    def __exit__(self, *of: object) -> None:
        self.closing.set()
        with self._changed:
            self._changed.notify_all()
        super().__exit__(*of)

    # --- people -------------------------------------------------------------------------------

    def say(
        self, sender: str, room: str, text: Any, *, at: datetime | None = None, **content: Any
    ) -> str:
        """Its id."""
        return self.happens(sender, room, {"msgtype": "m.text", "body": text, **content}, at=at)

    def happens(
        self, sender: str, room: str, content: Any, *, at: datetime | None = None,
        type_: str = "m.room.message", **more: Any,
    ) -> str:  # fmt: skip
        with self._changed:
            return self._add(sender, room, content, at, type_, **more)

    def invite(self, room: str) -> None:
        with self._changed:
            self.rooms.setdefault(room, {BOB})
            self.invitations[room] = len(self.events)
            self.events.append({"room": room, "type": "m.room.member", "sender": BOB})
            self._changed.notify_all()

    def _add(
        self, sender: str, room: str, content: Any, at: datetime | None, type_: str, **more: Any
    ) -> str:
        stamp = int((at.timestamp() if at else time.time()) * 1000)
        said = json.dumps([len(self.events), sender, room, str(content)])
        id_ = f"${hashlib.sha256(said.encode()).hexdigest()[:43]}"
        event = {
            "type": type_, "event_id": id_, "sender": sender, "content": content, "room": room,
            "origin_server_ts": stamp, "unsigned": {"age": 7}, **more,
        }  # fmt: skip
        self.events.append(event)
        self._changed.notify_all()
        return id_

    # --- what a client shows --------------------------------------------------------------------

    def content(self, id_: str) -> dict[str, Any]:
        """After the edits that count."""
        found = next(event for event in self.events if event.get("event_id") == id_)
        shown = found["content"]
        for event in self.events:
            relates = (event.get("content") or {}).get("m.relates_to", {})
            if (relates.get("rel_type"), relates.get("event_id")) == ("m.replace", id_) and all(
                event[key] == found[key] for key in ("sender", "room", "type")
            ):
                kept = {k: v for k, v in found["content"].items() if k == "m.relates_to"}
                shown = {**event["content"]["m.new_content"], **kept}
        return shown

    @property
    def ours(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["sender"] == BOT]

    # --- the client-server API ------------------------------------------------------------------

    def answer(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") != f"Bearer {self.token}":
            return _error(401, "M_UNKNOWN_TOKEN", "Invalid access token passed.")
        match asked.method, [unquote(p) for p in asked.path.removeprefix(_API).split("/")[1:]]:
            case "GET", ["account", "whoami"]:
                return Answer(body={"user_id": BOT, "is_guest": False, "device_id": "XNJGLBAHZH"})
            case "GET", ["profile", user, "displayname"] if user == BOT:
                return Answer(body={"displayname": self.name})
            case "GET", ["sync"]:
                return self._sync(asked.query)
            case "GET", ["rooms", room, "joined_members"] if BOT in self.rooms.get(room, ()):
                return Answer(body={"joined": {user: {} for user in self.rooms[room]}})
            case "POST", ["rooms", room, "join"] if room in self.invitations:
                return self._join(room)
            case "PUT", ["rooms", room, "send", "m.room.message", mark]:
                return self._send(room, mark, asked)
        return _error(404, "M_UNRECOGNIZED", "Unrecognized request")

    def _join(self, room: str) -> Answer:
        with self._changed:
            del self.invitations[room]
            self.rooms[room].add(BOT)
            self.joined.append(room)
        return Answer(body={"room_id": room})

    def _send(self, room: str, mark: str, asked: Asked) -> Answer:
        if BOT not in self.rooms.get(room, ()):
            return _error(403, "M_FORBIDDEN", f"User {BOT} not in room {room}")
        with self._changed:
            if f"{room} {mark}" in self._sent:
                return Answer(body={"event_id": self._sent[f"{room} {mark}"]})
            if (wait := self._wait()) is not None:
                return wait
            refused = self._refused(room, content := asked.json())
            if refused is not None:
                return refused
            id_ = self._add(BOT, room, content, None, "m.room.message")
            self._sent[f"{room} {mark}"] = id_
            lost, self.loses_an_answer = self.loses_an_answer, False
        return Answer(502, b"bad gateway") if lost else Answer(body={"event_id": id_})

    def _wait(self) -> Answer | None:
        now = time.monotonic()
        self._allowance = min(_BURST, self._allowance + (now - self._at) * _A_SECOND)
        self._at = now
        if not self.limits or self._allowance >= 1:
            self._allowance -= 1
            return None
        wait = int((1 - self._allowance) / _A_SECOND * 1000)
        return _error(
            429, "M_LIMIT_EXCEEDED", "Too Many Requests", {"Retry-After": str(wait // 1000 + 1)},
            retry_after_ms=wait,
        )  # fmt: skip

    def _refused(self, room: str, content: dict[str, Any]) -> Answer | None:
        ids = [f"${'x' * 43}"] * 10
        event = {
            "type": "m.room.message", "room_id": room, "sender": BOT, "content": content,
            "auth_events": ids, "prev_events": ids, "depth": 10**9, "origin_server_ts": 10**12,
            "hashes": {"sha256": "x" * 43}, "signatures": {"example.org": {"ed25519:a": "x" * 86}},
        }  # fmt: skip
        if (
            len(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode())
            > _EVENT_BYTES
        ):
            return _error(413, "M_TOO_LARGE", "event too large")
        relates = content.get("m.relates_to", {})
        for id_ in filter(None, (relates.get("event_id"), _reply(relates))):
            found = [e for e in self.events if e.get("event_id") == id_ and e["room"] == room]
            if not found:
                return _error(400, "M_UNKNOWN", "Can't send relation to unknown event")
            is_root = id_ == relates.get("event_id") and relates.get("rel_type") == "m.thread"
            if is_root and "rel_type" in found[0]["content"].get("m.relates_to", {}):
                return _error(
                    400, "M_UNKNOWN", "Cannot start threads from an event with a relation"
                )
        return None

    # --- /sync ----------------------------------------------------------------------------------

    def _sync(self, query: dict[str, str]) -> Answer:
        wanted, since = json.loads(query["filter"])["room"], query.get("since")
        if since is not None and not since.removeprefix("s").isdigit():
            return _error(400, "M_UNKNOWN", "Invalid stream token")
        after = int(since[1:]) if since else None
        until = time.monotonic() + int(query.get("timeout", "0")) / 1000
        with self._changed:
            while True:
                answer, news = self._batch(wanted, after)
                left = until - time.monotonic()
                if news or after is None or left <= 0 or self.closing.is_set():
                    return Answer(body=answer)
                self._changed.wait(left)

    def _batch(self, wanted: dict[str, Any], after: int | None) -> tuple[dict[str, Any], bool]:
        timeline, join = wanted["timeline"], {}
        for room in wanted["rooms"]:
            found = [
                {key: value for key, value in event.items() if key != "room"}
                for event in self.events[after or 0 :]
                if event["room"] == room and BOT in self.rooms.get(room, ())
                and event["type"] in timeline["types"]
                and event["sender"] not in timeline["not_senders"]
            ]  # fmt: skip
            if found:
                limited = len(found) > timeline["limit"]
                events = found[-timeline["limit"] :]
                join[room] = {"timeline": {"events": events, "limited": limited}}
        invite = {
            room: {"invite_state": {"events": []}}
            for room, at in self.invitations.items()
            if after is None or at >= after
        }
        rooms = {"join": join, "invite": invite}
        return {"next_batch": f"s{len(self.events)}", "rooms": rooms}, bool(join or invite)


def _reply(relates: dict[str, Any]) -> Any:
    return relates.get("m.in_reply_to", {}).get("event_id")


def _error(
    status: int, code: str, why: str, headers: dict[str, str] | None = None, **more: Any
) -> Answer:
    return Answer(status, {"errcode": code, "error": why, **more}, headers or {})


# Of the specification's list, those without attributes; `span` may stand empty.
_TAGS = {"strong", "em", "code", "ul", "li", "br", "span", "p", "pre"}


class _Reader(HTMLParser):
    """What a person reads of formatted_body; ValueError for what no client would show."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.rows, self.pieces = [""], [""]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS or attrs or len(self.open) > 100:
            raise ValueError(f"<{tag} {attrs}> is not shown")
        if tag in ("br", "li", "p"):
            self.rows.append("")
        if tag != "br":
            self.open.append(tag)
        self.pieces.append("")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise ValueError(f"</{tag}> closes nothing")
        self.pieces.append("")

    def handle_data(self, data: str) -> None:
        self.rows[-1] += data
        self.pieces[-1] += data

    def handle_comment(self, data: str) -> None:
        raise ValueError("a comment")

    handle_decl = handle_pi = unknown_decl = handle_comment


def read(html: str) -> tuple[list[str], list[str]]:
    """Its rows, and the pieces in which a client looks for links and mentions."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    if reader.open:
        raise ValueError(f"{reader.open} are never closed")
    return reader.rows, [piece for piece in reader.pieces if piece]
