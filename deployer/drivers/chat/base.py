"""What a chat platform's driver must do: hear what is said to us, and show what we say.

Raise Unauthorized for what the platform did not sign, and DriverError's family for what it does
with our own calls: DriverError when trying again may help (Busy says when), DriverRefused when not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from deployer.core.chat import Message
from deployer.core.profiles import SecretRef
from deployer.errors import DriverError

# How far the time of a signed request may be from ours, both ways. THREATS T091.
SIGNED_WITHIN = timedelta(minutes=5)


class Busy(DriverError):
    """The platform wants us to wait so long before we ask again."""

    def __init__(self, message: str, wait: timedelta) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Context:
    """What the service lends a driver. `secrets` are by name; `networks`, comma-separated, are
    those that may be connected to (empty: all but this machine's own and link-local ones)."""

    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    networks: str = ""

    def secret(self, ref: SecretRef) -> str:
        return self.secrets[ref.secret]


@dataclass(frozen=True)
class Person:
    """Who spoke. Platform, tenant and user are the identity; `shown` is for display, and means
    nothing. `tenant` is the workspace, guild, team or server, empty where there is but one."""

    tenant: str
    user: str
    shown: str = ""

    def at(self, platform: str) -> str:
        """The identity in one line, for the audit trail."""
        return " ".join(filter(None, (platform, self.tenant, self.user)))


@dataclass(frozen=True)
class Place:
    """Where something was said. `message` is the one whose button was pressed; `reply` is what the
    platform wants to see again with a late answer; `public`: others read along."""

    channel: str
    message: str = ""
    reply: str = field(default="", repr=False)  # it may hold a token
    public: bool = True


@dataclass(frozen=True)
class Heard:
    """One thing that a person typed, or said by pressing a button.

    `once` is the same when the platform, or a thief, sends this very request again. `at` is when
    it was said, by the platform's signed word; None where its signature covers no time.
    """

    once: str
    at: datetime | None
    person: Person
    place: Place
    text: str
    pressed: bool = False


@dataclass(frozen=True)
class Request:
    """An HTTP request, as it came: nothing is parsed before its signature is checked."""

    headers: Mapping[str, str]  # names in lower case
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Response:
    """What the platform is answered."""

    body: bytes = b""
    content_type: str = "application/json"
    status: int = 200


class ChatSettings(BaseModel):
    """What a receiver says under `settings:`."""

    model_config = ConfigDict(extra="forbid")


class ChatDriver(ABC):
    """One connection to one platform; each call stands alone, from whatever thread it comes.

    `buttons`, `edits`, `threads`: what the platform can do. Where it has no buttons, the driver
    shows what to type instead. `repeats`: it sends again what it thinks was lost, so that a
    replay is no attack and is quietly not heard. `listens`: it is called by nobody, and asks the
    platform itself. `signs_time`: whether its signature covers when something was said.
    """

    name: ClassVar[str]
    signs_time: ClassVar[bool] = True
    repeats: ClassVar[bool] = False
    buttons: ClassVar[bool] = True
    edits: ClassVar[bool] = True
    threads: ClassVar[bool] = True
    Settings: ClassVar[type[ChatSettings]]
    settings: Any

    def __init__(self, settings: Any, context: Context) -> None:
        self.settings, self.context = settings, context

    @classmethod
    def channel_of(cls, settings: Any) -> str | None:
        """Where deployments are told of that nobody asked for here; None: nowhere."""
        return getattr(settings, "channel", None)

    @property
    def listens(self) -> bool:
        return False

    @abstractmethod
    def hear(self, request: Request, now: datetime) -> Heard | Response:
        """What was said; or the answer itself, to what only asks whether we are there.

        Unauthorized when the raw bytes are not signed, or not lately.
        """

    def answers_at_once(self, heard: Heard) -> bool:
        """False where the answer can hold no message: `working`, then `answer_late`."""
        return True

    @abstractmethod
    def answer(self, heard: Heard, message: Message) -> Response:
        """The answer at once: for this person's eyes alone, where the platform can do that."""

    @abstractmethod
    def working(self, heard: Heard) -> Response:
        """The answer at once where the real one takes longer; `answer_late` follows."""

    @abstractmethod
    def answer_late(self, heard: Heard, message: Message) -> None:
        """The answer after `working`, or to what was heard by `listen`."""

    @abstractmethod
    def post(self, channel: str, message: Message, thread: str | None = None) -> str:
        """A new message, in the thread of another one if said; returns its id."""

    def edit(self, channel: str, id_: str, message: Message) -> None:
        """The message becomes another one. Only called where `edits`."""
        raise NotImplementedError(f"{self.name} cannot change a message")

    def listen(self, hear: Callable[[Heard], None], stop: Callable[[], bool]) -> None:
        """Ask the platform for what is said and hand each on, until `stop()`; connections that
        break are made again. Only called where `listens`."""
        raise NotImplementedError(f"{self.name} calls us")
