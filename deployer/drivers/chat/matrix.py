"""Matrix: an account on a homeserver, which asks what is said in the rooms that it may listen to.

Nobody calls us, and there are no buttons: what one would say is shown to be typed. Rooms with
end-to-end encryption are not supported; what is said there is not heard.
https://spec.matrix.org/latest/client-server-api/
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any
from uuid import uuid4

from pydantic import Field, StringConstraints, model_validator

from deployer.core.chat import Message
from deployer.core.profiles import SecretRef
from deployer.core.text import Name
from deployer.drivers import tls
from deployer.drivers.chat.base import Busy, ChatDriver, ChatSettings, Heard, Request, Response
from deployer.drivers.chat.matrix_calls import Homeserver, part
from deployer.drivers.chat.matrix_html import content
from deployer.drivers.chat.matrix_listen import listen
from deployer.errors import DriverError, DriverRefused, Unauthorized

# Until room version 11 with the name of a server after a colon, and since 12 without.
RoomId = Annotated[str, StringConstraints(pattern=r"^![!-~]{1,254}$")]


class MatrixSettings(ChatSettings):
    """What a receiver says under `settings:`."""

    api: Annotated[
        tls.Origin, Field(description="Of the homeserver's client-server API: https://HOST.")
    ]
    token: Annotated[SecretRef, Field(description="The access token of the bot's account.")]
    rooms: Annotated[
        list[RoomId],
        Field(
            min_length=1, max_length=50, description="Ids of those to be in; no other is joined."
        ),
    ]
    channel: Annotated[
        RoomId | None, Field(description="One of them, to tell of what nobody asked for there.")
    ] = None
    name: Annotated[Name, Field(description="As typed after !, before a command.")] = "deployer"
    verify: tls.Verify = True

    @model_validator(mode="after")
    def _fit_together(self) -> MatrixSettings:
        if self.channel is not None and self.channel not in self.rooms:
            raise ValueError(f"channel is {self.channel}, which is not one of rooms: add it there")
        tls.refuse_clear_text(self.api, self.verify)
        return self


class Matrix(ChatDriver):
    name = "matrix"
    signs_time = False
    buttons = False
    Settings = MatrixSettings
    settings: MatrixSettings

    @property
    def listens(self) -> bool:
        return True

    def hear(self, request: Request, now: datetime) -> Heard | Response:
        raise Unauthorized("no homeserver calls us: we ask it")

    def answer(self, heard: Heard, message: Message) -> Response:
        """Sent as a message of its own; there is nobody who waits for this one."""
        self.answer_late(heard, message)
        return Response()

    def working(self, heard: Heard) -> Response:
        return Response()

    def answer_late(self, heard: Heard, message: Message) -> None:
        """A reply, in the thread of what was said if that is in one. Twice is once."""
        id_, _, thread = heard.place.reply.partition(" ")
        said = content(message, self._prefix)
        relates: dict[str, Any] = {"m.in_reply_to": {"event_id": id_}}
        if thread:
            relates |= {"rel_type": "m.thread", "event_id": thread, "is_falling_back": False}
        mark = sha256(json.dumps([heard.once, said]).encode()).hexdigest()
        self._send(heard.place.channel, {**said, "m.relates_to": relates}, mark)

    def post(self, channel: str, message: Message, thread: str | None = None) -> str:
        said = content(message, self._prefix)
        if thread is not None:
            # Clients that know no threads show it as a reply to the thread's first message.
            said["m.relates_to"] = {
                "rel_type": "m.thread", "event_id": thread, "is_falling_back": True,
                "m.in_reply_to": {"event_id": thread},
            }  # fmt: skip
        return self._send(channel, said, uuid4().hex)

    def edit(self, channel: str, id_: str, message: Message) -> None:
        said = content(message, self._prefix)
        edit = {
            "msgtype": said["msgtype"],
            # For clients that know no edits: the title will do.
            "body": f"* {said['body'].partition(chr(10))[0]}",
            "m.mentions": {},
            "m.new_content": said,
            "m.relates_to": {"rel_type": "m.replace", "event_id": id_},
        }
        self._send(channel, edit, uuid4().hex)

    @property
    def _prefix(self) -> str:
        return f"!{self.settings.name}"

    def _home(self) -> Homeserver:
        token = self.context.secret(self.settings.token).strip()
        settings = self.settings
        return Homeserver(settings.api, token, settings.verify, self.context.networks)

    def _send(self, room: str, said: dict[str, Any], mark: str) -> str:
        """Its id. The homeserver takes what has the same `mark` once, so that a lost answer can be
        asked for again."""
        if room not in self.settings.rooms:
            raise DriverRefused(
                f"{room} is no room of this receiver", field="settings.rooms", value=room,
                remedy="add it there, and invite the bot",
            )  # fmt: skip
        path = f"/rooms/{part(room)}/send/m.room.message/{mark}"
        home = self._home()
        try:
            answer = home.ask("PUT", path, said)
        except (DriverRefused, Busy):
            raise
        except DriverError:
            answer = home.ask("PUT", path, said)
        id_ = answer.get("event_id")
        if not isinstance(id_, str) or not id_:
            raise DriverError(f"{self.settings.api} took a message, and gave it no id")
        return id_

    def listen(self, hear: Callable[[Heard], None], stop: Callable[[], bool]) -> None:
        """From now on: what was said while nobody listened is nobody's wish any more.

        DriverRefused when the account cannot be used at all.
        """
        listen(self._home(), self.settings.rooms, self._prefix, hear, stop)


DRIVER = Matrix
