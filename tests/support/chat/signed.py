"""A chat platform of the simplest kind: JSON with a signature over time and body. What it would
show is kept in memory."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import asdict
from datetime import datetime
from typing import ClassVar

from deployer.core.chat import Message
from deployer.core.profiles import SecretRef
from deployer.drivers.chat.base import (
    ChatDriver,
    ChatSettings,
    Heard,
    Person,
    Place,
    Request,
    Response,
)
from deployer.errors import Unauthorized


class SignedSettings(ChatSettings):
    key: SecretRef
    channel: str | None = None
    times: bool = True  # whether the signature covers a time


class SignedChat(ChatDriver):
    name = "signed"
    Settings = SignedSettings
    settings: SignedSettings
    # By channel: (id, message, thread), newest last; edits replace.
    shown: ClassVar[dict[str, list[tuple[str, Message, str | None]]]] = {}
    calls: ClassVar[list[tuple[str, str]]] = []
    failing: ClassVar[list[Exception]] = []

    def hear(self, request: Request, now: datetime) -> Heard | Response:
        key = self.context.secret(self.settings.key)
        if not hmac.compare_digest(sign(key, request.body), request.headers.get("x-sign", "")):
            raise Unauthorized("not signed")
        said = json.loads(request.body)
        if said.get("ping"):
            return Response(b'{"pong":true}')
        at = datetime.fromisoformat(said["at"]) if self.settings.times else None
        person = Person(said["tenant"], said["user"], said.get("shown", ""))
        return Heard(said["once"], at, person, Place(said["channel"]), said["text"])

    def answer(self, heard: Heard, message: Message) -> Response:
        return Response(json.dumps(asdict(message)).encode())

    def working(self, heard: Heard) -> Response:
        return Response(b'{"working":true}')

    def answer_late(self, heard: Heard, message: Message) -> None:
        self._add("late", heard.place.channel, message, None)

    def post(self, channel: str, message: Message, thread: str | None = None) -> str:
        self._fail()
        return self._add("post", channel, message, thread)

    def edit(self, channel: str, id_: str, message: Message) -> None:
        self._fail()
        self.calls.append(("edit", id_))
        lines = self.shown[channel]
        self.shown[channel] = [
            (known, message if known == id_ else old, thread) for known, old, thread in lines
        ]

    def _add(self, act: str, channel: str, message: Message, thread: str | None) -> str:
        lines = self.shown.setdefault(channel, [])
        id_ = f"m{len(lines) + 1}"
        lines.append((id_, message, thread))
        self.calls.append((act, id_))
        return id_

    def _fail(self) -> None:
        if self.failing:
            raise self.failing.pop(0)


def sign(key: str, body: bytes) -> str:
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def fresh() -> type[SignedChat]:
    """One whose memory no other test shares."""

    class Fresh(SignedChat):
        shown: ClassVar[dict[str, list[tuple[str, Message, str | None]]]] = {}
        calls: ClassVar[list[tuple[str, str]]] = []
        failing: ClassVar[list[Exception]] = []

    return Fresh
