"""Microsoft Teams: a team's outgoing webhook asks us, and a workflow's URL takes what we say.

An outgoing webhook knows no buttons, no later answer and no change of a message: what a button
would say is shown to be typed, and what comes late goes to the workflow's channel, if there is one.
https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-outgoing-webhook
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field, model_validator

from deployer.core.chat import Message, Tone, fit
from deployer.core.chat_commands import LONGEST
from deployer.core.profiles import SecretRef
from deployer.core.text import MASK, Line, printable
from deployer.drivers import reach, tls
from deployer.drivers.chat.base import (
    SIGNED_WITHIN,
    ChatDriver,
    ChatSettings,
    Heard,
    Person,
    Place,
    Request,
    Response,
)
from deployer.drivers.chat.busy import busy
from deployer.drivers.chat.teams_cards import activity
from deployer.drivers.http import Client, Limits, Reply
from deployer.errors import DriverError, DriverRefused, Invalid, Unauthorized

_LIMITS = Limits(request_seconds=15, total_seconds=20, body_bytes=64 * 1024, requests=1)
# Without the charset an incoming webhook takes the body for UTF-16, and half of it for too much.
_JSON = "application/json; charset=utf-8"
# Teams makes keys of 32 bytes; an empty secret must not become a key that everybody knows.
_KEY_BYTES = 32
_MOST = 500  # characters of an id
# The URL leads to one channel, which has no other name for us.
_CHANNEL = "posts"
_POSTS = re.compile(r"(https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?)(/[!-~]*)")
_MENTION, _TAG = re.compile(r"<at\b[^<>]*>[^<>]*</at>", re.IGNORECASE), re.compile(r"<[^<>]*>")
# An incoming webhook of old answers 200, and says in its body what went wrong.
_IN_BODY = re.compile(rb"returned HTTP error ([45][0-9]{2})")


class TeamsSettings(ChatSettings):
    """What a receiver says under `settings:`."""

    token: Annotated[
        SecretRef, Field(description="The security token that Teams shows once, in base64.")
    ]
    name: Annotated[
        Line, Field(max_length=64, description="Of the outgoing webhook, as typed after @.")
    ] = "Deployer"
    posts: Annotated[
        SecretRef | None,
        Field(description="The URL of a workflow or incoming webhook of the channel to tell."),
    ] = None
    api: Annotated[
        tls.Origin | None,
        Field(description="Where to send that instead of the URL's own host: a relay."),
    ] = None
    verify: tls.Verify = True

    @model_validator(mode="after")
    def _in_the_clear_on_purpose(self) -> TeamsSettings:
        tls.refuse_clear_text(self.api or "", self.verify)
        return self


class Teams(ChatDriver):
    name = "teams"
    signs_time = False
    buttons = edits = threads = False
    Settings = TeamsSettings
    settings: TeamsSettings
    limits = _LIMITS

    @classmethod
    def channel_of(cls, settings: TeamsSettings) -> str | None:
        return _CHANNEL if settings.posts else None

    def hear(self, request: Request, now: datetime) -> Heard:
        """Invalid when what Teams signed lacks what we need to know of it."""
        self._check_signature(request)
        said = _Said(_parsed(request.body))
        _check_time(said, now)
        return Heard(
            # Ids count the milliseconds of one conversation; elsewhere they may come again.
            once=f"{said.text('conversation', 'id')[:_MOST]} {said.needed('id')}",
            # The signature does cover the time in the body, but T092 counts Teams among those whose
            # signature has none: nothing that acts is done without a confirmation.
            at=None,
            person=_person(said),
            # Where we can post, which is not where we were asked.
            place=Place(self.channel_of(self.settings) or "", reply=said.needed("id")),
            text=_command(said.text("text")),
        )

    def _check_signature(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        signed = base64.b64encode(hmac.digest(self._key(), request.body, hashlib.sha256))
        right = hmac.compare_digest(given.encode(errors="replace"), signed)
        if scheme != "HMAC" or not right:
            raise Unauthorized("this is not signed by Teams")

    def _key(self) -> bytes:
        try:
            key = base64.b64decode(self.context.secret(self.settings.token).strip(), validate=True)
        except ValueError:
            key = b""
        if len(key) < _KEY_BYTES:
            raise Unauthorized(
                "the security token of Teams is not what Teams shows: 32 bytes in base64",
                field="settings.token",
                remedy="store it anew, or make the outgoing webhook anew",
            )
        return key

    def answer(self, heard: Heard, message: Message) -> Response:
        return Response(activity(message, self.settings.name), _JSON)

    def working(self, heard: Heard) -> Response:
        if self.settings.posts:
            told = Message("This takes a moment; I post the answer.", Tone.WORKING)
        else:
            told = Message(
                "This takes longer than Teams waits.", Tone.WORKING,
                types=(f"@{self.settings.name} status",),
            )  # fmt: skip
        return self.answer(heard, told)

    def answer_late(self, heard: Heard, message: Message) -> None:
        """To the channel of `posts`, saying what was asked; without one, nowhere."""
        if self.settings.posts is None:
            return
        asked = f"{heard.person.shown} asked: {fit(heard.text, 200)}".strip()
        self.post(_CHANNEL, replace(message, lines=(asked, *message.lines)))

    def post(self, channel: str, message: Message, thread: str | None = None) -> str:
        """To the one channel that the URL leads to; Teams says no id, so that it is empty."""
        origin, target = self._posts()
        api = self.settings.api or origin
        body = activity(message, self.settings.name)
        try:
            with Client(
                api, self.settings.verify, self.context.networks, self.limits, reach.RECEIVERS
            ) as client:
                reply = client.request(
                    "POST", target, headers={"Content-Type": _JSON}, body=body, once=True
                )
        except DriverError as error:
            # The URL is the secret.
            said = error.message.replace(target, f"/{MASK}")
            raise type(error)(said, field=error.field, remedy=error.remedy) from None
        _check(reply, api, target)
        return ""

    def _posts(self) -> tuple[str, str]:
        """Origin, path and query of the URL."""
        if self.settings.posts is None:
            raise DriverRefused(
                "Teams lets an outgoing webhook answer, and no more", field="settings.posts",
                remedy="make a workflow that takes webhook requests, and name the secret with its"
                " URL there",
            )  # fmt: skip
        url = _POSTS.fullmatch(self.context.secret(self.settings.posts).strip())
        if url is None:
            raise DriverRefused(
                f"the secret {self.settings.posts.secret} is no URL to post to",
                field="settings.posts",
                remedy="copy it from Teams again: https://…, without anything around it",
            )
        return url[1], url[2]


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Invalid("what Teams signed is no JSON") from None


class _Said:
    """An activity of the Bot Framework, of which nothing is certain but that it is JSON."""

    def __init__(self, activity: Any) -> None:
        self._activity = activity

    def text(self, *place: str) -> str:
        """Empty where there is none."""
        found = self._activity
        for name in place:
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, str) else ""

    def needed(self, *place: str) -> str:
        text = self.text(*place)
        if not 0 < len(text) <= _MOST:
            field = ".".join(place)
            raise Invalid(
                f"what Teams sent has no {field}", field=field,
                remedy="is this an outgoing webhook of a team? Nothing else is understood here",
            )  # fmt: skip
        return text


def _person(said: _Said) -> Person:
    user = "aadObjectId" if said.text("from", "aadObjectId") else "id"
    tenant = said.needed("channelData", "tenant", "id")
    return Person(tenant, said.needed("from", user), fit(said.text("from", "name"), 100))


def _check_time(said: _Said, now: datetime) -> None:
    stamp = said.needed("timestamp")
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        raise Invalid(
            "what Teams sent has a timestamp that is none", field="timestamp",
            value=printable(stamp, 50),
        ) from None  # fmt: skip
    if abs(now - (at if at.tzinfo else at.replace(tzinfo=UTC))) > SIGNED_WITHIN:
        raise Unauthorized(
            f"this was said at {at}, and it is {now}: too long ago, or not yet",
            remedy="say it again; if it is the clock of this server, set that",
        )


def _command(text: str) -> str:
    """Without mentions and markup; what is too long to be a command anyhow stays as it is."""
    if len(text) > 4 * LONGEST:
        return text
    return " ".join(html.unescape(_TAG.sub(" ", _MENTION.sub(" ", text))).split())


def _check(reply: Reply, api: str, target: str) -> None:
    in_body = _IN_BODY.search(reply.body) if reply.status == 200 else None
    status = int(in_body[1]) if in_body else reply.status
    if 200 <= status < 300:
        return
    said = printable(reply.body.decode("utf-8", "replace").replace(target, f"/{MASK}"), 300)
    message = f"{api} answered {status} to what was posted: {said}"
    if status == 429:
        raise busy(message, reply)
    if status in (401, 403, 404, 410):
        raise DriverRefused(
            message, field="settings.posts",
            remedy="is the workflow switched on, and may anyone call it? Copy its URL again",
        )  # fmt: skip
    if status in (400, 413):
        raise DriverRefused(message)
    raise DriverError(message)


DRIVER = Teams
