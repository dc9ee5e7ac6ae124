"""What Telegram tells us: https://core.telegram.org/bots/api#update"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, Field

from deployer.core.chat_commands import Verb
from deployer.drivers.chat.base import Heard, Person, Place

_COMMAND = re.compile(r"/(\w+)(?:@(\w+))?(?:\s+(.*))?", re.DOTALL)
# What Telegram's own button says when a person meets a bot.
_START = "start"


class _User(BaseModel):
    id: int
    is_bot: bool = False
    first_name: str = ""
    username: str = ""


class _Chat(BaseModel):
    id: int
    type: str = "private"


class _Entity(BaseModel):
    type: str
    user: _User | None = None


class _Message(BaseModel):
    message_id: int
    chat: _Chat
    sender: _User | None = Field(None, alias="from")
    text: str = ""
    entities: list[_Entity] = []
    message_thread_id: int | None = None
    is_topic_message: bool = False
    sender_chat: Any = None
    via_bot: Any = None
    forward_origin: Any = None

    @property
    def channel(self) -> str:
        topic = f":{self.message_thread_id}" if self.is_topic_message else ""
        return f"{self.chat.id}{topic}"

    @property
    def public(self) -> bool:
        return self.chat.type != "private"

    @property
    def own_words(self) -> bool:
        """Whoever is anonymous in a group shares an id with all others who are; and what another
        bot wrote, or what is passed on, are not the words of who sent it."""
        return not (self.sender_chat or self.via_bot or self.forward_origin)


class _Pressed(BaseModel):
    id: str
    sender: _User = Field(alias="from")
    message: _Message | None = None
    data: str = ""


class Update(BaseModel):
    update_id: int
    message: _Message | None = None
    callback_query: _Pressed | None = None

    def heard(self, bot: str, username: str) -> Heard | None:
        """None for what is not meant for us; `bot` is our id, `username` our name."""
        once = f"{bot} {self.update_id}"
        if self.callback_query is not None:
            return _pressed(once, self.callback_query)
        message = self.message
        if message is None or not message.own_words:
            return None
        text = _said(message.text, message.public, username)
        sender = message.sender
        if text is None or sender is None or sender.is_bot:
            return None
        reply = Reply(str(message.message_id))
        place = Place(message.channel, "", str(reply), message.public)
        return Heard(once, None, _person(sender), place, text)


def _pressed(once: str, pressed: _Pressed) -> Heard | None:
    message = pressed.message
    if message is None or pressed.sender.is_bot:
        return None
    own = any(each.user and each.user.id == pressed.sender.id for each in message.entities)
    reply = Reply(str(message.message_id), pressed.id, own)
    place = Place(message.channel, str(message.message_id), str(reply), message.public)
    return Heard(once, None, _person(pressed.sender), place, pressed.data, pressed=True)


def _said(text: str, public: bool, username: str) -> str | None:
    """`status web01` of `/status@ourbot web01`; None when it is not for us. Among others, it has to
    be a command, ours by its name or by ours."""
    command = _COMMAND.fullmatch(text.strip())
    if command is None:
        return None if public or not text.strip() else text
    name, to, rest = command[1].lower(), command[2], command[3] or ""
    if to is not None and to.lower() != username.lower():
        return None
    if name == "deployer":
        return rest
    if name == _START:
        return "" if to or not public else None
    known = to is not None or not public or name in set(Verb)
    return f"{name} {rest}".strip() if known else None


def _person(user: _User) -> Person:
    return Person("", str(user.id), user.username or user.first_name)


class Reply:
    """`Place.reply`: the message that is answered; of a press, also its id, and whether the message
    of the button was made for this person, so that it may become the answer."""

    def __init__(self, message: str, press: str = "", own: bool = False) -> None:
        self.message, self.press, self.own = message, press, own

    def __str__(self) -> str:
        return f"{self.message} {'own' if self.own else 'other'} {self.press}"

    @classmethod
    def of(cls, heard: Heard) -> Reply:
        message, own, press = heard.place.reply.split(" ", 2)
        return cls(message, press, own == "own")
