"""Mattermost: a slash command, buttons in posts, and threads.

It signs nothing: a command comes with a token that is always the same, a button with what we gave
it. So whoever knows the token may pretend that a person spoke, and must not hear the answer: a
command is answered at its `response_url`, which Mattermost shows to the person it had it from.
https://developers.mattermost.com/integrate/slash-commands
https://developers.mattermost.com/integrate/plugins/interactive-messages
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote

from pydantic import AfterValidator, Field, model_validator

from deployer.core.chat import Message
from deployer.core.profiles import SecretRef
from deployer.core.text import printable
from deployer.drivers import reach, tls
from deployer.drivers.chat.base import (
    ChatDriver,
    ChatSettings,
    Heard,
    Person,
    Place,
    Request,
    Response,
)
from deployer.drivers.chat.busy import busy
from deployer.drivers.chat.mattermost_posts import drawn, sealed, spoken
from deployer.drivers.http import Client, Limits, Reply
from deployer.errors import DriverError, DriverRefused, Invalid, Unauthorized

_LIMITS = Limits(request_seconds=10, total_seconds=25, body_bytes=1024 * 1024, requests=4)
_API, _HOOKS = "/api/v4", "/hooks/commands"
_HOOK = re.compile(rf".*{_HOOKS}/([a-z0-9]{{26}})", re.DOTALL)
_REMEDIES = {
    401: "store the bot's token anew: Integrations, Bot Accounts, Create New Token",
    403: "add the bot to the team and to the channel; the message may also be gone",
    404: "correct `api`, and the channel's ID; the message may also be gone",
}


def _channel(text: str) -> str:
    if not re.fullmatch("[a-z0-9]{26}", text):
        raise ValueError(
            "must be the ID of a channel, 26 letters and digits: in Mattermost, View Info"
        )
    return text


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[!-~]{1,500}", text):
        raise ValueError("must be the URL of this receiver: https://…/chat/mattermost")
    return text


class MattermostSettings(ChatSettings):
    """One server, and the slash command of one of its teams."""

    api: Annotated[tls.Origin, Field(description="The server: https://mattermost.example.com")]
    token: Annotated[SecretRef, Field(description="The slash command's, which Mattermost sends.")]
    bot_token: Annotated[SecretRef, Field(description="The bot account's.")]
    url: Annotated[
        str,
        AfterValidator(_url),
        Field(
            description="Where the server reaches us, for the buttons: https://…/chat/mattermost"
        ),
    ]
    command: Annotated[
        str, Field(pattern=r"^/[a-z0-9._-]{1,128}$", description="The slash command.")
    ] = "/deployer"
    channel: Annotated[
        str | None,
        AfterValidator(_channel),
        Field(description="Where deployments are told of that nobody asked for here."),
    ] = None
    verify: tls.Verify = True

    @model_validator(mode="after")
    def _in_the_clear_on_purpose(self) -> MattermostSettings:
        tls.refuse_clear_text(self.api, self.verify)
        return self


class Mattermost(ChatDriver):
    name = "mattermost"
    signs_time = False
    Settings = MattermostSettings
    settings: MattermostSettings
    limits = _LIMITS

    def hear(self, request: Request, now: datetime) -> Heard:
        """Invalid when what comes with the right token lacks what we need to know of it."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme != "Token":
            return self._pressed(_json(request.body))
        token = self.context.secret(self.settings.token)
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise Unauthorized("this is not the token of our slash command")
        said = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
        hook = _HOOK.fullmatch(said.get("response_url", ""))
        return self._heard(said, said.get("text", ""), hook[1] if hook else "")

    def _pressed(self, said: Any) -> Heard:
        match said:
            case {"context": {"says": str(says), "seal": str(seal)}}:
                ours = sealed(self.context.secret(self.settings.bot_token), says)
                if hmac.compare_digest(seal.encode("utf-8", "replace"), ours.encode()):
                    return self._heard(said, says, "", pressed=True)
        raise Unauthorized("this is neither our slash command nor a button of ours")

    def _heard(self, said: dict[str, Any], text: str, hook: str, pressed: bool = False) -> Heard:
        # Teams share their users, but what another server calls a user is none of ours.
        person = Person(self.settings.api, _needed(said, "user_id"), str(said.get("user_name", "")))
        place = Place(
            _needed(said, "channel_id"), _needed(said, "post_id") if pressed else "", hook,
            public="__" not in str(said.get("channel_name", "")),
        )  # fmt: skip
        return Heard(_needed(said, "trigger_id"), None, person, place, text, pressed)

    def answers_at_once(self, heard: Heard) -> bool:
        return heard.pressed

    def answer(self, heard: Heard, message: Message) -> Response:
        """To a press only text can be said to one person, and no message that one person sees can
        be changed: no buttons, but what to type."""
        if not heard.pressed:
            return _response(self._private(message))
        text = spoken(message, self.settings.command)
        return _response({"ephemeral_text": text, "skip_slack_parsing": True})

    def working(self, heard: Heard) -> Response:
        """Nothing is shown: the answer to a command follows in any case, and mostly at once."""
        return _response({})

    def answer_late(self, heard: Heard, message: Message) -> None:
        """At its `response_url`; to a press, which has none, in a direct message."""
        with self._client() as client:
            if heard.place.reply:
                _ask(client, "POST", f"{_HOOKS}/{heard.place.reply}", self._private(message))
                return
            me = self._asked(client, "GET", "/users/me")["id"]
            direct = self._asked(client, "POST", "/channels/direct", [me, heard.person.user])
            self._post(client, direct["id"], message, None)

    def post(self, channel: str, message: Message, thread: str | None = None) -> str:
        with self._client() as client:
            return self._post(client, channel, message, thread)

    def edit(self, channel: str, id_: str, message: Message) -> None:
        with self._client() as client:
            self._asked(client, "PUT", f"/posts/{quote(id_, '')}/patch", self._public(message))

    def _post(self, client: Client, channel: str, message: Message, thread: str | None) -> str:
        given = {"channel_id": channel, "root_id": thread or "", **self._public(message)}
        return str(self._asked(client, "POST", "/posts", given)["id"])

    def _public(self, message: Message) -> dict[str, Any]:
        post = self._drawn(message)
        return {"message": post["message"], "props": {"attachments": post["attachments"]}}

    def _private(self, message: Message) -> dict[str, Any]:
        post = self._drawn(message)
        return {
            "response_type": "ephemeral", "text": post["message"],
            "attachments": post["attachments"], "skip_slack_parsing": True,
        }  # fmt: skip

    def _drawn(self, message: Message) -> dict[str, Any]:
        # What Mattermost never sends: whoever has the command's token can seal nothing.
        return drawn(message, self.settings.url, self.context.secret(self.settings.bot_token))

    def _client(self) -> Client:
        settings = self.settings
        return Client(
            settings.api, settings.verify, self.context.networks, self.limits, reach.RECEIVERS
        )

    def _asked(self, client: Client, method: str, path: str, given: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.context.secret(self.settings.bot_token)}"}
        said = _json(_ask(client, method, f"{_API}{path}", given, headers).body)
        if not isinstance(said, dict) or "id" not in said:
            raise DriverError(f"{client.origin} is no Mattermost, by its answer to {method} {path}")
        return said


def _ask(
    client: Client, method: str, path: str, given: Any, headers: Mapping[str, str] | None = None
) -> Reply:
    body = b"" if given is None else json.dumps(given).encode()
    reply = client.request(method, path, headers=headers, body=body)
    if not 200 <= reply.status < 300:
        raise _refusal(method, path, reply)
    return reply


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _needed(said: dict[str, Any], name: str) -> str:
    text = said.get(name)
    if not isinstance(text, str) or not 0 < len(text) <= 500:
        raise Invalid(
            f"what Mattermost sent has no {name}", field=name,
            remedy="is this a slash command, with POST as its request method?",
        )  # fmt: skip
    return text


def _response(said: dict[str, Any]) -> Response:
    return Response(json.dumps(said).encode())


def _refusal(method: str, path: str, reply: Reply) -> DriverError:
    match _json(reply.body):
        case {"message": str(message), "id": str(id_)}:
            reason = f"{message} ({id_})"
        case _:
            reason = reply.body.decode("utf-8", "replace")
    # The id of a hook is for one person's answers.
    place = _HOOKS if path.startswith(_HOOKS) else path
    told = f"Mattermost answers {reply.status} to {method} {place}: {printable(reason, 300)}"
    if reply.status == 429:
        return busy(told, reply)
    # 501: switched off by the server's configuration.
    if reply.status == 408 or (reply.status >= 500 and reply.status != 501):
        return DriverError(told)
    return DriverRefused(told, remedy=_REMEDIES.get(reply.status))


DRIVER = Mattermost
