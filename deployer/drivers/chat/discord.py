"""Discord: one slash command and buttons, which it sends to us over HTTPS, signed with Ed25519.

Its API, version 10: https://discord.com/developers/docs/reference
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, ValidationError

from deployer import __version__
from deployer.core.chat import Message
from deployer.core.profiles import SecretRef
from deployer.core.text import MASK, printable
from deployer.drivers import http, reach, tls
from deployer.drivers.chat.base import ChatDriver, ChatSettings, Heard, Request, Response
from deployer.drivers.chat.busy import busy
from deployer.drivers.chat.discord_embed import label, payload
from deployer.drivers.chat.discord_interactions import (
    EPHEMERAL,
    PING,
    Id,
    Interaction,
    Reply,
    signed_at,
)
from deployer.errors import DriverError, DriverRefused

# What an interaction is answered.
_PONG, _MESSAGE, _WAIT, _WAIT_AND_REPLACE, _REPLACE = 1, 4, 5, 6, 7
# Error codes: no such channel; a message has one thread at most; no threads here, as in a thread;
# the token of an interaction is older than 15 minutes.
_NO_CHANNEL, _HAS_THREAD, _NO_THREADS_HERE, _FORGOTTEN = 10003, 160004, 50024, 50027
_THREAD_MINUTES, _THREAD_NAME = 1440, 100
_LIMITS = http.Limits(request_seconds=10, total_seconds=20, requests=5)


class DiscordSettings(ChatSettings):
    """`public_key` is that of the application, `token` its bot's, and `channel` the id of one."""

    public_key: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]
    token: SecretRef
    channel: Id | None = None
    api: tls.Origin = "https://discord.com"


class Discord(ChatDriver):
    name = "discord"
    Settings = DiscordSettings
    settings: DiscordSettings

    # --- in ---------------------------------------------------------------------------------

    def hear(self, request: Request, now: datetime) -> Heard | Response:
        at = signed_at(request, self.settings.public_key, now)
        try:
            said = Interaction.model_validate_json(request.body)
            return _json({"type": _PONG}) if said.type == PING else said.heard(at)
        except (ValidationError, LookupError):
            return _json({"message": "this is nothing that was asked for"}, status=400)

    def answer(self, heard: Heard, message: Message) -> Response:
        if Reply.of(heard).replaces:
            return _json({"type": _REPLACE, "data": payload(message)})
        return _json({"type": _MESSAGE, "data": {**payload(message), "flags": EPHEMERAL}})

    def working(self, heard: Heard) -> Response:
        if Reply.of(heard).replaces:
            return _json({"type": _WAIT_AND_REPLACE})
        return _json({"type": _WAIT, "data": {"flags": EPHEMERAL}})

    def answer_late(self, heard: Heard, message: Message) -> None:
        """Within 15 minutes; later, Discord has forgotten what was asked."""
        reply = Reply.of(heard)
        if not re.fullmatch(r"[A-Za-z0-9._=-]+", reply.token):
            raise DriverRefused("Discord gave an interaction a token that is none")
        path = f"/webhooks/{_id(reply.application)}/{{}}/messages/@original"
        self._call("PATCH", path, payload(message), reply.token)

    # --- out --------------------------------------------------------------------------------

    def post(self, channel: str, message: Message, thread: str | None = None) -> str:
        if thread is None:
            return self._send(channel, payload(message))
        try:
            # The thread of a message has the id of that message.
            return self._send(thread, payload(message))
        except DriverRefused as error:
            if error.extra.get("code") != _NO_CHANNEL:
                raise
        if self._start_thread(channel, message, thread):
            return self._send(thread, payload(message))
        reply = {"message_id": _id(thread), "fail_if_not_exists": False}
        return self._send(channel, {**payload(message), "message_reference": reply})

    def edit(self, channel: str, id_: str, message: Message) -> None:
        self._call("PATCH", f"/channels/{_id(channel)}/messages/{_id(id_)}", payload(message))

    def _start_thread(self, channel: str, message: Message, id_: str) -> bool:
        """False where a channel has none: in threads, and among two."""
        name = label(message.title, _THREAD_NAME)
        body = {"name": name, "auto_archive_duration": _THREAD_MINUTES}
        try:
            self._call("POST", f"/channels/{_id(channel)}/messages/{_id(id_)}/threads", body)
        except DriverRefused as error:
            if error.extra.get("code") == _NO_THREADS_HERE:
                return False
            if error.extra.get("code") != _HAS_THREAD:
                raise
        return True

    def _send(self, channel: str, body: dict[str, Any]) -> str:
        sent = self._call("POST", f"/channels/{_id(channel)}/messages", body).get("id")
        if not isinstance(sent, str) or not sent.isdecimal():
            raise DriverError(f"{self.settings.api} answers as no Discord does")
        return sent

    def _call(
        self, method: str, path: str, body: dict[str, Any], token: str = ""
    ) -> dict[str, Any]:
        """`token`, of an interaction, stands in the path for `{}`, and in no error."""
        secret = self._secret()
        headers = {"User-Agent": f"DiscordBot (Deployer, {__version__})"}
        headers |= {} if token else {"Authorization": f"Bot {secret}"}
        shown = f"/api/v10{path.replace('{}', MASK)}"
        with http.Client(
            self.settings.api, True, self.context.networks, _LIMITS, reach.RECEIVERS
        ) as client:
            reply = client.request(
                method, f"/api/v10{path.replace('{}', token)}", headers=headers,
                body=json.dumps(body).encode(), shown=shown,
            )  # fmt: skip
        answer = _object(reply.body)
        if reply.status in (200, 201):
            return answer
        what = f"{self.settings.api}: {method} {shown}"
        raise _refusal(what, reply, answer, token or secret)

    def _secret(self) -> str:
        secret = self.context.secret(self.settings.token)
        if not re.fullmatch(r"[!-~]+", secret):
            raise DriverRefused(
                f"the secret {self.settings.token.secret} is no token of a bot",
                field="settings.token", remedy="copy it anew from the application's page Bot",
            )  # fmt: skip
        return secret


def _json(value: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(value).encode(), status=status)


def _id(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,20}", text):
        raise DriverRefused(
            f"{printable(text, 40)!r} is no id of Discord's",
            remedy="switch on Developer Mode in Discord, and copy the id of the channel",
        )
    return text


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(what: str, reply: http.Reply, answer: dict[str, Any], secret: str) -> DriverError:
    """With Discord's `code`, which says more than the status."""
    code = answer.get("code")
    errors = f" {json.dumps(answer['errors'])}" if answer.get("errors") else ""
    said = printable(f"{answer.get('message') or ''}{errors}".replace(secret, MASK), 400)
    message = f"{what}: {reply.status} {said}".rstrip() + (f" (code {code})" if code else "")
    if reply.status == 429:
        return busy(message, reply)
    if reply.status == 401 and code != _FORGOTTEN:
        return DriverRefused(
            message, field="settings.token", code=code,
            remedy="copy the bot's token anew, and run `deployer secret set` for it",
        )  # fmt: skip
    if reply.status == 403:
        return DriverRefused(
            message, code=code,
            remedy="add the bot to the channel, and let it View Channels, Send Messages, Embed"
            " Links, Create Public Threads and Send Messages in Threads",
        )  # fmt: skip
    if 400 <= reply.status < 500 and reply.status != 408:
        return DriverRefused(message, code=code)
    return DriverError(message)


DRIVER = Discord
