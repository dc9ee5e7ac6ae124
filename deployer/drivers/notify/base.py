"""What a driver must do that only tells: webhook, mail, ntfy, JSON to any program.

Raise DriverError when trying again may help (chat.base.Busy says when), DriverRefused when not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar

from deployer.core.chat import Message, fit
from deployer.core.profiles import SecretRef
from deployer.core.text import printable
from deployer.drivers import calls, reach
from deployer.drivers.calls import Call
from deployer.drivers.chat.base import ChatSettings, Context


@dataclass(frozen=True)
class Notice:
    """What happened. `id` is the same however often it is sent; `data` is the deployment as the API
    shows it, `message` the same for people."""

    id: str
    event: str
    at: datetime
    data: dict[str, Any]
    message: Message


class NotifyDriver(ABC):
    """One receiver; each call stands alone."""

    name: ClassVar[str]
    Settings: ClassVar[type[ChatSettings]]
    settings: Any

    def __init__(self, settings: Any, context: Context) -> None:
        self.settings, self.context = settings, context

    @abstractmethod
    def send(self, notice: Notice) -> str:
        """Returns a line for whoever asks what became of it, such as the answer's status."""

    def called(self, call: Call) -> str:
        """Such a line, for those that send by one HTTP request; `settings.verify` is heeded."""
        status = calls.send(call, self.context.networks, reach.RECEIVERS, self.settings.verify)
        return f"{call.told}: {status}"


def url_of(url: str | SecretRef, context: Context) -> tuple[str, bool]:
    """(the URL, whether it is a secret)."""
    return (context.secret(url), True) if isinstance(url, SecretRef) else (url, False)


def in_lines(message: Message, most: int) -> Message:
    """Each text of it as one line of `most` characters that shows what is invisible: none can
    pass for a line of ours."""

    def line(text: str) -> str:
        return fit(" ".join(printable(text, most).split()), most)

    return replace(
        message, title=line(message.title), lines=tuple(map(line, message.lines)),
        facts=tuple((line(name), line(value)) for name, value in message.facts),
        types=tuple(map(line, message.types)),
        buttons=tuple(replace(each, label=line(each.label)) for each in message.buttons),
    )  # fmt: skip
