"""Calls of Telegram's Bot API: https://core.telegram.org/bots/api#making-requests

The bot's token stands in the path of each: it is in no error, and what Telegram says is searched
for it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

from deployer.core.text import MASK, printable
from deployer.drivers import http, reach
from deployer.drivers.chat.busy import busy
from deployer.errors import DriverError, DriverRefused

SECONDS = 10.0
CHANNEL = r"^(-?[0-9]{1,20}|@[A-Za-z][A-Za-z0-9_]{3,31})(:[0-9]{1,10})?$"
_TOKEN = re.compile(r"([0-9]{1,20}):[A-Za-z0-9_-]{20,100}")

Params = dict[str, Any]


@dataclass(frozen=True)
class Bot:
    """`secret` is the name of the secret that `token` was kept as."""

    api: str
    secret: str
    token: str = field(repr=False)
    networks: str

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.token):
            raise DriverRefused(
                f"the secret {self.secret} is no token of a bot", field="settings.token",
                remedy="it is what BotFather says: 123456:ABC-DEF…",
            )  # fmt: skip

    @property
    def id(self) -> str:
        return self.token.partition(":")[0]

    def call(self, method: str, given: Params, seconds: float = SECONDS) -> Any:
        """What stands under `result` in its answer."""
        shown = f"/bot{MASK}/{method}"
        limits = http.Limits(request_seconds=seconds, total_seconds=2 * seconds, requests=5)
        with http.Client(self.api, True, self.networks, limits, reach.RECEIVERS) as client:
            reply = client.request(
                "POST", f"/bot{self.token}/{method}", body=json.dumps(given).encode(), shown=shown
            )
        answer = self._parsed(reply.body)
        if answer.get("ok") is True:
            return answer.get("result")
        raise _refusal(f"{self.api}{shown}", reply, answer)

    def _parsed(self, body: bytes) -> dict[str, Any]:
        try:
            found = json.loads(body.decode("utf-8", "replace").replace(self.token, MASK))
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def chat(channel: str) -> Params:
    """Of `ID`, `@NAME` or `ID:TOPIC`."""
    if not re.fullmatch(CHANNEL, channel):
        raise DriverRefused(
            f"{printable(channel, 40)!r} is no chat of Telegram's",
            remedy="write the chat's id, such as -1001234567890, or the @name of a public one",
        )
    id_, _, topic = channel.partition(":")
    where: Params = {"chat_id": id_ if id_.startswith("@") else int(id_)}
    return where | ({"message_thread_id": int(topic)} if topic else {})


def _refusal(what: str, reply: http.Reply, answer: dict[str, Any]) -> DriverError:
    said = printable(str(answer.get("description") or ""), 300)
    message = f"{what}: {reply.status} {said}".rstrip()
    more = answer.get("parameters")
    more = more if isinstance(more, dict) else {}
    if reply.status == 429:
        wait = {"retry-after": str(more["retry_after"])} if "retry_after" in more else {}
        return busy(message, replace(reply, headers={**reply.headers, **wait}))
    if "migrate_to_chat_id" in more:
        new = printable(str(more["migrate_to_chat_id"]), 30)
        return DriverRefused(
            message, field="settings.channel",
            remedy=f"the group has a new id, {new}: write it as the receiver's `channel`",
        )  # fmt: skip
    if reply.status in (401, 404):
        return DriverRefused(
            message, field="settings.token",
            remedy="ask BotFather for the bot's token, and run `deployer secret set` for it",
        )  # fmt: skip
    if reply.status == 403:
        return DriverRefused(message, remedy="add the bot to the chat, and let it send messages")
    if reply.status == 409 and "webhook" in said:
        return DriverRefused(
            message, field="settings.secret_token",
            remedy="call deleteWebhook, or name the secret token that setWebhook was told",
        )  # fmt: skip
    if reply.status == 400:
        return DriverRefused(message)
    return DriverError(message)
