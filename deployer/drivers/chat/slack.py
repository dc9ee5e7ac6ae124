"""Slack: slash commands, buttons and threads; it calls us, or we ask it (Socket Mode).

https://docs.slack.dev/authentication/verifying-requests-from-slack
https://docs.slack.dev/interactivity/handling-user-interaction
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl

from pydantic import AfterValidator, Field, model_validator
from slack_sdk.signature import Clock, SignatureVerifier

from deployer.core.chat import Message, Tone
from deployer.core.profiles import SecretRef
from deployer.drivers.chat import slack_socket
from deployer.drivers.chat.base import (
    ChatDriver,
    ChatSettings,
    Context,
    Heard,
    Person,
    Place,
    Request,
    Response,
)
from deployer.drivers.chat.slack_blocks import drawn
from deployer.drivers.chat.slack_calls import Api
from deployer.drivers.tls import Origin
from deployer.errors import Unauthorized


def _channel(text: str) -> str:
    if not re.fullmatch(r"[CGD][A-Z0-9]{2,30}", text):
        raise ValueError(
            "must be the ID of a channel, such as C0123456789: in Slack, at the end of its details"
        )
    return text


class SlackSettings(ChatSettings):
    """One app in one workspace."""

    bot_token: Annotated[SecretRef, Field(description="The bot's OAuth token: xoxb-…")]
    signing_secret: Annotated[
        SecretRef | None, Field(description="Where Slack calls us over HTTP.")
    ] = None
    app_token: Annotated[
        SecretRef | None,
        Field(description="Where nobody can call us (Socket Mode): the app's token, xapp-…"),
    ] = None
    channel: Annotated[
        str | None,
        AfterValidator(_channel),
        Field(description="Where deployments are told of that nobody asked for here."),
    ] = None
    api: Annotated[Origin, Field(description="Another one for GovSlack.")] = "https://slack.com"

    @model_validator(mode="after")
    def _is_heard(self) -> SlackSettings:
        if self.signing_secret is None and self.app_token is None:
            raise ValueError(
                "needs signing_secret, where Slack calls us, or app_token, where it cannot"
            )
        return self


class _Now(Clock):
    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> float:
        return self._now.timestamp()


class Slack(ChatDriver):
    name = "slack"
    Settings = SlackSettings
    settings: SlackSettings

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self._api = Api(self.settings.api, context.networks)

    @property
    def listens(self) -> bool:
        return self.settings.app_token is not None

    def hear(self, request: Request, now: datetime) -> Heard | Response:
        """Slack's check of our certificate (ssl_check) is not signed, and is refused like all else
        that is not: nothing is parsed for a stranger."""
        stamp = request.headers.get("x-slack-request-timestamp", "")
        signature = request.headers.get("x-slack-signature", "")
        if not self._is_signed(request.body, stamp, signature, now):
            raise Unauthorized("this is not signed by Slack, or not lately")
        at = datetime.fromtimestamp(int(stamp), UTC)
        return understood(_parsed(request.body), f"{stamp} {signature}", at) or Response()

    def _is_signed(self, body: bytes, stamp: str, signature: str, now: datetime) -> bool:
        if self.settings.signing_secret is None:
            return False
        secret = self.context.secret(self.settings.signing_secret)
        try:
            return SignatureVerifier(secret, _Now(now)).is_valid(body, stamp, signature)
        except (ValueError, TypeError):  # a time, a signature or a body that is no such text
            return False

    def answers_at_once(self, heard: Heard) -> bool:
        """What is answered to a press Slack does not show; it wants response_url to be called."""
        return not heard.pressed

    def answer(self, heard: Heard, message: Message) -> Response:
        return Response(json.dumps({"response_type": "ephemeral", **drawn(message)}).encode())

    def working(self, heard: Heard) -> Response:
        if heard.pressed:
            return Response()
        return self.answer(heard, Message("Working on it …", Tone.WORKING))

    def answer_late(self, heard: Heard, message: Message) -> None:
        # What is for one person's eyes replaces what was for theirs. A message that others read
        # stays as it is: it is not theirs, and its buttons are everybody's.
        replace = heard.pressed and not heard.place.message
        given = {"response_type": "ephemeral", "replace_original": replace, **drawn(message)}
        self._api.respond(heard.place.reply, given)

    def post(self, channel: str, message: Message, thread: str | None = None) -> str:
        given = {"channel": channel, "unfurl_links": False, "unfurl_media": False, **drawn(message)}
        if thread is not None:
            given["thread_ts"] = thread
        return str(self._call("chat.postMessage", given)["ts"])

    def edit(self, channel: str, id_: str, message: Message) -> None:
        self._call("chat.update", {"channel": channel, "ts": id_, **drawn(message)})

    def _call(self, method: str, given: dict[str, Any]) -> Any:
        return self._api.call(self.context.secret(self.settings.bot_token), method, given)

    def listen(self, hear: Callable[[Heard], None], stop: Callable[[], bool]) -> None:
        """Until `stop()`; DriverRefused when Slack does not let us."""
        assert self.settings.app_token is not None

        def take(envelope: str, said: Any) -> None:
            # No time is signed here: that it comes now, over a connection that we made, is better.
            heard = understood(said, envelope, datetime.now(UTC))
            if heard is not None:
                hear(heard)

        slack_socket.listen(self._api, self.context.secret(self.settings.app_token), take, stop)


def _parsed(body: bytes) -> Any:
    """A command is a form; what else people do is JSON in a form."""
    said = dict(parse_qsl(body.decode(), keep_blank_values=True))
    try:
        return json.loads(said["payload"]) if "payload" in said else said
    except (ValueError, RecursionError):
        return None


def understood(said: Any, once: str, at: datetime) -> Heard | None:
    """A slash command, or a press of a button in a message; None for anything else."""
    match said:
        case {
            "command": str(), "text": str(text), "team_id": str(tenant), "user_id": str(user),
            "channel_id": str(channel), "response_url": str(reply),
        }:  # fmt: skip
            person = Person(tenant, user, str(said.get("user_name", "")))
            return Heard(once, at, person, _place(channel, "", reply), text)
        case {
            "type": "block_actions", "user": {"id": str(user)} as who, "response_url": str(reply),
            "channel": {"id": str(channel)}, "container": dict() as container,
            "actions": [{"value": str(text)}, *_],
        }:  # fmt: skip
            # Whoever presses in a channel that two workspaces share is a person of their own.
            tenant = who.get("team_id") or (said.get("team") or {}).get("id") or ""
            message = "" if container.get("is_ephemeral") else str(container.get("message_ts", ""))
            person = Person(str(tenant), user, str(who.get("username", "")))
            return Heard(once, at, person, _place(channel, message, reply), text, pressed=True)
    return None


def _place(channel: str, message: str, reply: str) -> Place:
    """`message` is empty for one that a single person sees: nobody can change that later."""
    return Place(channel, message, reply, public=not channel.startswith("D"))


DRIVER = Slack
