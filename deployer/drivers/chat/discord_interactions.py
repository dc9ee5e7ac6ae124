"""What Discord sends us: signed, and one of three kinds.

https://discord.com/developers/docs/interactions/receiving-and-responding
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, Field

from deployer.drivers.chat.base import SIGNED_WITHIN, Heard, Person, Place, Request
from deployer.errors import Unauthorized

PING, COMMAND, PRESSED = 1, 2, 3
# A message for the eyes of whoever asked alone.
EPHEMERAL = 64
_SIGNATURE, _TIME = re.compile(r"[0-9a-fA-F]{128}"), re.compile(r"[0-9]{1,11}")

Id = Annotated[str, Field(pattern=r"^[0-9]{1,20}$", coerce_numbers_to_str=True)]


def signed_at(request: Request, public_key: str, now: datetime) -> datetime:
    """When the application's key signed these bytes; Unauthorized when it did not, or not lately.

    Discord sends wrong signatures on purpose, and forgets an endpoint that takes one (T099).
    """
    signature = request.headers.get("x-signature-ed25519", "")
    time = request.headers.get("x-signature-timestamp", "")
    if not _SIGNATURE.fullmatch(signature) or not _TIME.fullmatch(time):
        raise Unauthorized("this has no signature of Discord's")
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
    try:
        key.verify(bytes.fromhex(signature), time.encode() + request.body)
    except InvalidSignature:
        raise Unauthorized("this is not signed by the application's key") from None
    at = datetime.fromtimestamp(int(time), UTC)
    if abs(now - at) > SIGNED_WITHIN:
        raise Unauthorized(f"this was signed at {at:%H:%M:%S} UTC, and it is {now:%H:%M:%S}")
    return at


class _User(BaseModel):
    id: Id
    username: str = ""
    global_name: str | None = None


class _Member(BaseModel):
    user: _User


class _Option(BaseModel):
    name: str
    value: Any = None


class _Data(BaseModel):
    options: list[_Option] = []
    custom_id: str = ""


class _Pressed(BaseModel):
    id: Id
    flags: int = 0


class Interaction(BaseModel):
    """As far as we need it."""

    id: Id
    application_id: Id
    type: int
    token: str = ""
    data: _Data = _Data()
    guild_id: Id | None = None
    channel_id: Id | None = None
    member: _Member | None = None
    user: _User | None = None
    message: _Pressed | None = None

    def heard(self, at: datetime) -> Heard:
        """LookupError when it is of a kind that we never asked for."""
        user = self.member.user if self.member else self.user
        if user is None or self.channel_id is None or self.type not in (COMMAND, PRESSED):
            raise LookupError(self.type)
        pressed = self.message if self.type == PRESSED else None
        text = next((o.value for o in self.data.options if o.name == "text"), "")
        reply = Reply(
            self.application_id, self.token, pressed is not None and bool(pressed.flags & EPHEMERAL)
        )
        return Heard(
            once=self.id,
            at=at,
            person=Person(self.guild_id or "", user.id, user.global_name or user.username),
            # Nobody else sees a slash command, or what it is answered.
            place=Place(self.channel_id, pressed.id if pressed else "", str(reply), public=False),
            text=self.data.custom_id if pressed else str(text),
            pressed=pressed is not None,
        )


class Reply:
    """`Place.reply` of an interaction. `replaces`: the message of the button was for this person
    alone, and becomes the answer; a deployment's stays."""

    def __init__(self, application: str, token: str, replaces: bool) -> None:
        self.application, self.token, self.replaces = application, token, replaces

    def __str__(self) -> str:
        return f"{self.application} {'replace' if self.replaces else 'new'} {self.token}"

    @classmethod
    def of(cls, heard: Heard) -> Reply:
        application, how, token = heard.place.reply.split(" ", 2)
        return cls(application, token, how == "replace")
