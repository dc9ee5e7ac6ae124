"""Asking Telegram what is said: https://core.telegram.org/bots/api#getupdates"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from deployer.drivers.chat.base import Busy, Heard
from deployer.drivers.chat.telegram_calls import SECONDS, Bot
from deployer.drivers.chat.telegram_updates import Update
from deployer.errors import DriverError, DriverRefused

# How long Telegram keeps a question open; it takes us that long to stop, too.
_POLL_SECONDS, _MOST = 10, 20
_FIRST_PAUSE, _LONGEST_PAUSE, _LOOK = 1.0, 60.0, 0.2


def listen(
    bot: Bot, username: str, hear: Callable[[Heard], None], stop: Callable[[], bool]
) -> None:
    """Until `stop`; DriverRefused when we may not ask at all."""
    after, pause = 0, _FIRST_PAUSE
    while not stop():
        try:
            updates = _updates(bot, after, _POLL_SECONDS)
        except DriverRefused:
            raise
        except DriverError as error:
            _rest(error.wait.total_seconds() if isinstance(error, Busy) else pause, stop)
            pause = min(pause * 2, _LONGEST_PAUSE)
            continue
        pause = _FIRST_PAUSE
        for id_, update in updates:
            if stop():
                break
            heard = update.heard(bot.id, username) if update else None
            if heard is not None:
                hear(heard)
            after = id_ + 1
    if after:
        # Asked for what comes after it, Telegram forgets what was heard.
        with suppress(DriverError):
            _updates(bot, after, 0)


def _updates(bot: Bot, after: int, seconds: int) -> list[tuple[int, Update | None]]:
    """By id; None where it is nothing that we understand."""
    given: dict[str, Any] = {
        "timeout": seconds, "limit": _MOST, "allowed_updates": ["message", "callback_query"],
    }  # fmt: skip
    found = bot.call("getUpdates", given | ({"offset": after} if after else {}), seconds + SECONDS)
    if not isinstance(found, list):
        raise DriverError(f"{bot.api} answers getUpdates as no Telegram does")
    return [
        (each["update_id"], _understood(each))
        for each in found
        if isinstance(each, dict) and isinstance(each.get("update_id"), int)
    ]


def _understood(said: dict[str, Any]) -> Update | None:
    try:
        return Update.model_validate(said)
    except ValidationError:
        return None


def _rest(seconds: float, stop: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not stop() and time.monotonic() < until:
        time.sleep(min(_LOOK, max(0.0, until - time.monotonic())))
