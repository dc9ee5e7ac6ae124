"""Telegram: a bot that is called with a secret token, or asks for itself what is said."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Annotated

from pydantic import Field, ValidationError

from deployer.core.chat import Message
from deployer.core.profiles import SecretRef
from deployer.drivers import tls
from deployer.drivers.chat import telegram_listen
from deployer.drivers.chat.base import ChatDriver, ChatSettings, Heard, Request, Response
from deployer.drivers.chat.telegram_calls import CHANNEL, Bot, Params, chat
from deployer.drivers.chat.telegram_text import alert, params
from deployer.drivers.chat.telegram_updates import Reply, Update
from deployer.errors import DriverError, DriverRefused, Unauthorized

_SECRET_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}")


class TelegramSettings(ChatSettings):
    """`token` is what BotFather gave, `username` the bot's. With `secret_token`, Telegram calls us,
    as `setWebhook` was told; without one, we ask. `channel`: the id of a chat, or its @name; in a
    group with topics, ID:TOPIC."""

    token: SecretRef
    username: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{3,31}$")]
    secret_token: SecretRef | None = None
    channel: Annotated[str, Field(pattern=CHANNEL, coerce_numbers_to_str=True)] | None = None
    api: tls.Origin = "https://api.telegram.org"


class Telegram(ChatDriver):
    name = "telegram"
    signs_time = False
    repeats = True
    Settings = TelegramSettings
    settings: TelegramSettings

    @property
    def _bot(self) -> Bot:
        ref, networks = self.settings.token, self.context.networks
        return Bot(self.settings.api, ref.secret, self.context.secret(ref), networks)

    # --- in ---------------------------------------------------------------------------------

    def hear(self, request: Request, now: datetime) -> Heard | Response:
        """The secret token covers neither time nor message."""
        given = request.headers.get("x-telegram-bot-api-secret-token", "")
        if not hmac.compare_digest(given.encode(), self._secret_token()):
            raise Unauthorized("this has not the secret token that setWebhook was told")
        try:
            update = Update.model_validate_json(request.body)
        except ValidationError:
            return Response(status=400)
        # What is not for us is taken all the same, or Telegram would bring it again.
        return update.heard(self._bot.id, self.settings.username) or Response()

    def _secret_token(self) -> bytes:
        ref = self.settings.secret_token
        secret = self.context.secret(ref) if ref else ""
        if not _SECRET_TOKEN.fullmatch(secret):
            raise Unauthorized("this bot has no secret token that Telegram could show")
        return secret.encode()

    @property
    def listens(self) -> bool:
        return self.settings.secret_token is None

    def listen(self, hear: Callable[[Heard], None], stop: Callable[[], bool]) -> None:
        telegram_listen.listen(self._bot, self.settings.username, hear, stop)

    # --- the answer -------------------------------------------------------------------------

    def answer(self, heard: Heard, message: Message) -> Response:
        """To what was typed, a message; to a press, Telegram wants that it was seen, and the
        message is a call of ours, unless it is short enough to be both."""
        reply = Reply.of(heard)
        if not heard.pressed:
            return _call_back("sendMessage", self._reply(heard, message))
        said = None if reply.own else alert(message)
        if said is None:
            self._say(heard, message)
        return _call_back("answerCallbackQuery", _seen(reply, said))

    def working(self, heard: Heard) -> Response:
        if heard.pressed:
            return _call_back("answerCallbackQuery", _seen(Reply.of(heard)))
        return _call_back("sendChatAction", {**chat(heard.place.channel), "action": "typing"})

    def answer_late(self, heard: Heard, message: Message) -> None:
        reply = Reply.of(heard)
        if not heard.pressed or not self.listens:
            # Where Telegram calls us, `working` told it that a press was seen.
            self._say(heard, message)
            return
        said = None if reply.own else alert(message)
        if said is None:
            self._say(heard, message)
            with suppress(DriverError):  # what is to be seen is there
                self._bot.call("answerCallbackQuery", _seen(reply))
            return
        try:
            self._bot.call("answerCallbackQuery", _seen(reply, said))
        except DriverRefused:  # it was pressed too long ago
            self._say(heard, message)

    def _say(self, heard: Heard, message: Message) -> None:
        reply = Reply.of(heard)
        if reply.own:
            try:
                self._edit(heard.place.channel, reply.message, params(message, heard.person.user))
                return
            except DriverRefused:  # it is gone, or older than what may be changed
                pass
        self._bot.call("sendMessage", self._reply(heard, message))

    def _reply(self, heard: Heard, message: Message) -> Params:
        """Where there are others, they see what it answers."""
        shown = {**chat(heard.place.channel), **params(message, heard.person.user)}
        return shown | (_reply_to(Reply.of(heard).message) if heard.place.public else {})

    # --- out --------------------------------------------------------------------------------

    def post(self, channel: str, message: Message, thread: str | None = None) -> str:
        shown = {**chat(channel), **params(message)} | (_reply_to(thread) if thread else {})
        sent = self._bot.call("sendMessage", shown)
        id_ = sent.get("message_id") if isinstance(sent, dict) else None
        if not isinstance(id_, int):
            raise DriverError(f"{self.settings.api} answers as no Telegram does")
        return str(id_)

    def edit(self, channel: str, id_: str, message: Message) -> None:
        self._edit(channel, id_, params(message))

    def _edit(self, channel: str, id_: str, shown: Params) -> None:
        where = {"chat_id": chat(channel)["chat_id"], "message_id": int(id_)}
        try:
            self._bot.call("editMessageText", where | shown)
        except DriverRefused as error:
            if "message is not modified" not in error.message:
                raise


def _call_back(method: str, given: Params) -> Response:
    """A call of ours in our answer to theirs."""
    return Response(json.dumps({"method": method, **given}).encode())


def _seen(reply: Reply, said: str | None = None) -> Params:
    """That a press was seen; `said` is shown to whoever pressed."""
    shown = {"text": said, "show_alert": True} if said is not None else {}
    return {"callback_query_id": reply.press, **shown}


def _reply_to(message: str) -> Params:
    return {"reply_parameters": {"message_id": int(message), "allow_sending_without_reply": True}}


DRIVER = Telegram
