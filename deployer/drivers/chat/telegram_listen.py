"""Asking Telegram what is said: https://core.telegram.org/bots/api#getupdates"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from deployer.drivers.chat.base import Heard
from deployer.drivers.chat.pause import Pause
from deployer.drivers.chat.telegram_calls import SECONDS, Bot
from deployer.drivers.chat.telegram_updates import Update
from deployer.errors import DriverError, DriverRefused

# How long Telegram keeps a question open; it takes us that long to stop, too.
_POLL_SECONDS, _MOST = 10, 20


def listen(
    bot: Bot, username: str, hear: Callable[[Heard], None], stop: Callable[[], bool]
) -> None:
    """Until `stop`; DriverRefused when we may not ask at all."""
    after, pause = 0, Pause(stop)
    while not stop():
        try:
            updates = _updates(bot, after, _POLL_SECONDS)
        except DriverRefused:
            raise
        except DriverError as error:
            pause.after(error)
            continue
        pause.is_over()
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
