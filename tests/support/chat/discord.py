"""Discord as its documentation has it: limits, refusals, signatures, and what its clients draw.

https://discord.com/developers/docs, October 2025: resources/message, resources/channel,
components/reference, topics/opcodes-and-status-codes, topics/rate-limits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deployer.drivers.chat.base import Context, Request, Response
from deployer.drivers.chat.discord import Discord as Driver
from tests.support.chat.platform import Answer, Asked, Platform

# The first test key of RFC 8032, 7.1; Discord itself publishes no key.
PRIVATE = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
BOT = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"  # of docs/reference
APPLICATION, GUILD, CHANNEL = "775799577604522054", "290926798626357999", "645027906669510667"
PRIVATE_CHANNEL, FORBIDDEN = "772908445358620702", "772908445358620703"
USER = {"id": "53908232506183680", "username": "Mason", "global_name": None}
EPHEMERAL = 64

LIMITED = Answer(
    429, {"message": "You are being rate limited.", "retry_after": 64.57, "global": False},
    {"Retry-After": "65", "X-RateLimit-Scope": "user", "X-RateLimit-Reset-After": "64.57"},
)  # fmt: skip


@dataclass
class Interaction:
    """One that we were sent: what it is about, and the message that it is answered with."""

    pressed: dict[str, Any] | None = None
    message: dict[str, Any] | None = None
    deferred: bool = False


@dataclass
class Discord(Platform):
    """`messages` by channel and id; `threads` are channels of the id of their message."""

    messages: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    threads: dict[str, str] = field(default_factory=dict)  # id → name
    interactions: dict[str, Interaction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        self.messages |= {CHANNEL: {}, PRIVATE_CHANNEL: {}}
        self._next = 786008729715212338

    def driver(self, **settings: Any) -> Driver:
        given = {
            "public_key": PUBLIC, "token": {"secret": "bot"}, "channel": CHANNEL, "api": self.url,
        } | settings  # fmt: skip
        context = Context({"bot": BOT, "none": "two words"}, "127.0.0.0/8")
        return Driver(Driver.Settings.model_validate(given), context)

    # --- what it sends ------------------------------------------------------------------------

    def slash(self, text: str, at: datetime, **more: Any) -> Request:
        """Somebody typed `/deployer text:...`; in the shape of the documentation's example."""
        options = [{"type": 3, "name": "text", "value": text}] if text else []
        data = {"id": "771825006014889984", "name": "deployer", "type": 1, "options": options}
        return self._interaction(2, at, Interaction(), data=data, **more)

    def press(self, message: dict[str, Any], number: int, at: datetime, **more: Any) -> Request:
        """Somebody pressed the button of this number."""
        buttons = [b for row in message["components"] for b in row["components"]]
        data = {"component_type": 2, "id": 2, "custom_id": buttons[number]["custom_id"]}
        shown = {"id": message["id"], "flags": message.get("flags", 0), "embeds": []}
        return self._interaction(3, at, Interaction(message), data=data, message=shown, **more)

    def _interaction(
        self, kind: int, at: datetime, interaction: Interaction, **more: Any
    ) -> Request:
        token = f"aW50ZXJhY3Rpb24_{len(self.interactions)}"
        self.interactions[token] = interaction
        body = {
            "id": self._id(), "application_id": APPLICATION, "type": kind, "token": token,
            "version": 1, "guild_id": GUILD, "channel_id": CHANNEL, "context": 0,
            "member": {"user": USER, "roles": [], "permissions": "2147483647", "nick": None},
        } | more  # fmt: skip
        return signed({k: v for k, v in body.items() if v is not None}, at)

    def takes(self, response: Response) -> dict[str, Any] | None:
        """What we answered to the latest interaction; the message that is then seen."""
        assert response.status == 200 and response.content_type == "application/json"
        interaction = self.interactions[list(self.interactions)[-1]]
        answer = json.loads(response.body)
        kind, data = answer["type"], answer.get("data", {})
        if kind in (6, 7):
            assert interaction.pressed is not None, "only buttons can replace their message"
        if kind in (5, 6):
            assert set(data) <= {"flags"} and data.get("flags", EPHEMERAL) == EPHEMERAL
            interaction.deferred = True
            interaction.message = interaction.pressed if kind == 6 else {"id": self._id(), **data}
            return None
        assert kind in (4, 7), kind
        refused = refusal(data)
        assert refused is None, refused
        if kind == 7:
            assert interaction.pressed is not None
            interaction.pressed |= data
        interaction.message = interaction.pressed if kind == 7 else {"id": self._id(), **data}
        return interaction.message

    # --- what it is asked ---------------------------------------------------------------------

    def answer(self, asked: Asked) -> Answer:
        if not re.match(r"DiscordBot \(.+, [0-9.]+\)", asked.headers.get("user-agent", "")):
            return Answer(403, b"error code: 1010")
        if asked.headers.get("content-type") != "application/json":
            return _error(400, 50035, "Invalid Form Body")
        parts = asked.path.removeprefix("/api/v10/").split("/")
        if parts[0] == "webhooks":
            return self._original(asked, parts)
        if asked.headers.get("authorization") != f"Bot {BOT}":
            return _error(401, 0, "401: Unauthorized")
        assert parts[0] == "channels", asked.path
        if parts[1] == FORBIDDEN:
            return _error(403, 50001, "Missing Access")
        if parts[1] not in self.messages:
            return _error(404, 10003, "Unknown Channel")
        if asked.method == "POST" and parts[2:] == ["messages"]:
            return self._create(parts[1], asked.json())
        if parts[3] not in self.messages[parts[1]]:
            return _error(404, 10008, "Unknown Message")
        if asked.method == "POST" and parts[4:] == ["threads"]:
            return self._thread(parts[1], parts[3], asked.json())
        assert asked.method == "PATCH" and len(parts) == 4, asked
        return self._change(self.messages[parts[1]][parts[3]], asked.json())

    def _create(self, channel: str, body: dict[str, Any]) -> Answer:
        if (refused := refusal(body)) is not None:
            return refused
        made = {"id": self._id(), "channel_id": channel, **body}
        self.messages[channel][made["id"]] = made
        return Answer(200, made)

    def _change(self, message: dict[str, Any], body: dict[str, Any]) -> Answer:
        if (refused := refusal(body)) is not None:
            return refused
        message |= body
        return Answer(200, message)

    def _thread(self, channel: str, message: str, body: dict[str, Any]) -> Answer:
        if channel == PRIVATE_CHANNEL or channel in self.threads:
            return _error(400, 50024, "Cannot execute action on this channel type")
        if message in self.threads:
            return _error(400, 160004, "A thread has already been created for this message")
        if not 1 <= _length(body["name"].strip()) <= 100:
            return _form("name", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")
        assert body["auto_archive_duration"] in (60, 1440, 4320, 10080)
        self.threads[message], self.messages[message] = body["name"], {}
        return Answer(201, {"id": message, "type": 11, "name": body["name"]})

    def _original(self, asked: Asked, parts: list[str]) -> Answer:
        assert asked.method == "PATCH" and parts[3:] == ["messages", "@original"], asked.path
        if parts[1] != APPLICATION:
            return _error(404, 10015, "Unknown Webhook")
        interaction = self.interactions.get(parts[2])
        if interaction is None:
            return _error(401, 50027, "Invalid Webhook Token")
        if interaction.message is None:
            return _error(404, 10008, "Unknown Message")
        return self._change(interaction.message, asked.json())

    def _id(self) -> str:
        self._next += 1
        return str(self._next)


def signed(body: dict[str, Any], at: datetime) -> Request:
    return signed_bytes(json.dumps(body).encode(), str(int(at.timestamp())))


def signed_bytes(body: bytes, time: str) -> Request:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(PRIVATE))
    signature = key.sign(time.encode() + body).hex()
    return Request({"x-signature-ed25519": signature, "x-signature-timestamp": time}, body)


# --- limits -----------------------------------------------------------------------------------


def refusal(body: dict[str, Any]) -> Answer | None:
    """As Discord refuses a message that is too long, too large, empty or ambiguous."""
    for path, code, message in _problems(body):
        return _form(path, code, message)
    if not body.get("content") and not body.get("embeds"):
        return _error(400, 50006, "Cannot send an empty message")
    return None


def _problems(body: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    embeds, rows = body.get("embeds", []), body.get("components", [])
    yield from _too_many("embeds", embeds, 10)
    yield from _too_many("components", rows, 5)
    yield from _text("content", body.get("content", ""), 2000, required=False)
    total = 0
    for at, embed in enumerate(embeds):
        yield from _text(f"embeds.{at}.title", embed.get("title", ""), 256, required=False)
        yield from _text(
            f"embeds.{at}.description", embed.get("description", ""), 4096, required=False
        )
        yield from _too_many(f"embeds.{at}.fields", embed.get("fields", []), 25)
        total += _length(embed.get("title", "")) + _length(embed.get("description", ""))
        for number, each in enumerate(embed.get("fields", [])):
            yield from _text(f"embeds.{at}.fields.{number}.name", each["name"], 256)
            yield from _text(f"embeds.{at}.fields.{number}.value", each["value"], 1024)
            total += _length(each["name"]) + _length(each["value"])
    if total > 6000:
        code = "MAX_EMBED_SIZE_EXCEEDED"
        yield "embeds", code, "Embed size exceeds maximum size of 6000"
    yield from _components(rows)


def _components(rows: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    seen: set[str] = set()
    for at, row in enumerate(rows):
        where = f"components.{at}.components"
        assert row["type"] == 1
        if not 1 <= len(row["components"]) <= 5:
            yield where, "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length."
        for number, button in enumerate(row["components"]):
            assert button["type"] == 2 and button["style"] in (1, 2, 3, 4)
            yield from _text(f"{where}.{number}.label", button["label"], 80)
            yield from _text(f"{where}.{number}.custom_id", button["custom_id"], 100)
            if button["custom_id"] in seen:
                yield (
                    f"{where}.{number}.custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED",
                    "Component custom id cannot be duplicated",
                )  # fmt: skip
            seen.add(button["custom_id"])


def _text(path: str, text: str, most: int, required: bool = True) -> Iterator[tuple[str, str, str]]:
    if required and not text.strip():
        yield path, "BASE_TYPE_REQUIRED", "This field is required"
    if _length(text) > most:
        yield path, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length."


def _too_many(path: str, values: list[Any], most: int) -> Iterator[tuple[str, str, str]]:
    if len(values) > most:
        yield path, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length."


def _length(text: str) -> int:
    """In UTF-16, in which a length is never less than in characters."""
    return len(text.encode("utf-16-le")) // 2


def _error(status: int, code: int, message: str) -> Answer:
    return Answer(status, {"message": message, "code": code})


def _form(path: str, code: str, message: str) -> Answer:
    errors: dict[str, Any] = {"_errors": [{"code": code, "message": message}]}
    for part in reversed(path.split(".")):
        errors = {part: errors}
    return Answer(400, {"message": "Invalid Form Body", "code": 50035, "errors": errors})


# --- what its clients draw --------------------------------------------------------------------

# Mentions and Markdown of https://discord.com/developers/docs/reference (message formatting) and
# of "Markdown Text 101" in Discord's help; a backslash before a sign makes it text.
_ACTIVE = [
    re.compile(form, re.DOTALL)
    for form in (
        r"<@[!&$]?\d+>", r"<#\d+>", r"</[^>]+:\d+>", r"<a?:\w+:\d+>", r"<t:-?\d+(:\w)?>",
        r"<id:\w+(:\d+)?>", r"<[a-z]+:[^\s>]+>", r"@everyone", r"@here", r"https?://\S+",
        r"\[[^\]]+\]\(\s*<?[^)]+>?\)", r"\*\*.+?\*\*", r"\*\S.*?\*", r"__.+?__", r"_\S.*?_(?!\w)",
        r"~~.+?~~", r"\|\|.+?\|\|", r"(`+)[^`].*?\1", r":\w+?:",
    )
]  # fmt: skip
_AT_LINE_START = re.compile(r"\s*(#{1,3} |-# |>{1,3} |[-*+] |\d+\. )")


def drawn(markdown: str) -> tuple[str, list[str]]:
    """(The text that is seen, what in it is more than text)."""
    seen, active, at = "", [], 0
    while at < len(markdown):
        if at == 0 or markdown[at - 1] == "\n":
            active += [m[0] for m in [_AT_LINE_START.match(markdown, at)] if m]
        escape = re.compile(r"\\([^0-9A-Za-z\s])").match(markdown, at)
        if escape:
            seen, at = seen + escape[1], escape.end()
            continue
        active += [m[0] for m in (form.match(markdown, at) for form in _ACTIVE) if m]
        seen, at = seen + markdown[at], at + 1
    return seen, active
