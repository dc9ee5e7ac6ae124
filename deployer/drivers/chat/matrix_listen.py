"""Asking a homeserver for what is said, again and again: long questions, pauses after errors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from deployer.drivers.chat.base import Heard
from deployer.drivers.chat.matrix_calls import Homeserver, part
from deployer.drivers.chat.matrix_sync import Me, batch_of, heard, invited, said_in
from deployer.drivers.chat.pause import Pause
from deployer.errors import DriverError, DriverRefused

# How long the homeserver keeps a question open; it takes us that long to stop, too.
_POLL_SECONDS = 10.0
# At most so many messages a room in one answer, of 64 KiB each.
_EVENTS, _ANSWER_BYTES = 50, 16 * 1024 * 1024
# How long we believe that nobody else is in a room.
_ALONE_SECONDS = 60.0


def listen(
    home: Homeserver, rooms: list[str], prefix: str, hear: Callable[[Heard], None],
    stop: Callable[[], bool],
) -> None:  # fmt: skip
    """Until `stop`; DriverRefused when we may not ask at all."""
    pause = Pause(stop)
    while not stop():
        try:
            me = _me(home, prefix)
        except DriverRefused:
            raise
        except DriverError as error:
            pause.after(error)
            continue
        try:
            _Ear(home, rooms, me).listen(hear, stop, pause)
        except DriverError as error:
            # This question will never be answered, such as one for too much: begin anew.
            pause.after(error)


def _me(home: Homeserver, prefix: str) -> Me:
    user = home.ask("GET", "/account/whoami").get("user_id")
    if not isinstance(user, str) or not user:
        raise DriverError(f"{home.origin} does not say whose token this is")
    name = None
    with suppress(DriverRefused):  # an account may have none
        name = home.ask("GET", f"/profile/{part(user)}/displayname").get("displayname")
    return Me(user, name if isinstance(name, str) else "", prefix)


@dataclass
class _Ear:
    home: Homeserver
    rooms: list[str]
    me: Me
    _alone: dict[str, tuple[float, bool]] = field(default_factory=dict)

    def listen(self, hear: Callable[[Heard], None], stop: Callable[[], bool], pause: Pause) -> None:
        """What is said after this call."""
        since = self._ask(None)[0]
        while not stop():
            try:
                since_next, answer = self._ask(since)
            except DriverRefused:
                raise
            except DriverError as error:
                pause.after(error)
                continue
            pause.is_over()
            for said in said_in(answer, self.me, self.rooms):
                found = heard(said, self.me, datetime.now(UTC), self._is_alone)
                if found is not None:
                    hear(found)
            since = since_next

    def _ask(self, since: str | None) -> tuple[str, dict[str, Any]]:
        query = {"filter": json.dumps(self._filter(since)), "set_presence": "offline"}
        seconds = _POLL_SECONDS if since else 0.0
        query["timeout"] = str(int(seconds * 1000))
        if since:
            query["since"] = since
        answer = self.home.ask(
            "GET", "/sync", query=query, seconds=seconds + 20, most=_ANSWER_BYTES
        )
        batch = batch_of(answer)
        if batch is None:
            raise DriverError(f"{self.home.origin} answers /sync as no homeserver does")
        for room in invited(answer) & set(self.rooms):
            with suppress(DriverError):  # such as one by a server that is gone
                self.home.ask("POST", f"/rooms/{part(room)}/join")
        return batch, answer

    def _filter(self, since: str | None) -> dict[str, Any]:
        nothing: dict[str, list[str]] = {"types": []}
        timeline = {
            "types": ["m.room.message"], "not_senders": [self.me.user],
            "limit": _EVENTS if since else 1,
        }  # fmt: skip
        room = {
            "rooms": self.rooms, "timeline": timeline, "state": nothing, "ephemeral": nothing,
            "account_data": nothing,
        }  # fmt: skip
        return {"room": room, "presence": nothing, "account_data": nothing}

    def _is_alone(self, room: str) -> bool:
        """Whether there are but the other one and we."""
        until, alone = self._alone.get(room, (0.0, False))
        if time.monotonic() >= until:
            joined = None
            with suppress(DriverError):
                joined = self.home.ask("GET", f"/rooms/{part(room)}/joined_members").get("joined")
            alone = isinstance(joined, dict) and len(joined) == 2
            self._alone[room] = (time.monotonic() + _ALONE_SECONDS, alone)
        return alone
