"""Push messages to phones by ntfy: https://ntfy.sh or one's own server."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field, model_validator

from deployer.core.chat import Message, Tone, fit, plain_text
from deployer.core.profiles import SecretRef
from deployer.drivers import tls
from deployer.drivers.calls import Call
from deployer.drivers.chat.base import ChatSettings
from deployer.drivers.notify.base import Notice, NotifyDriver, in_lines

# server.go of ntfy 2: a topic's name; a message longer than 4096 bytes becomes an attachment, and
# the JSON around it may be twice as long.
Topic = Annotated[str, Field(pattern=r"^[-_A-Za-z0-9]{1,64}$")]
_MESSAGE_BYTES, _TITLE_CHARACTERS, _LINE_CHARACTERS = 4000, 100, 500
_TAGS = {
    Tone.WORKING: "hourglass_flowing_sand", Tone.ASKING: "question",
    Tone.GOOD: "white_check_mark", Tone.BAD: "rotating_light",
}  # fmt: skip
_PRIORITIES = {Tone.BAD: 4, Tone.ASKING: 4}
_USUAL_PRIORITY = 3


class NtfySettings(ChatSettings):
    """Whoever knows the topic of a public server may read along: it may be a {secret: NAME}.

    `priority` is 1 to 5; unset: 4 for what failed or waits for somebody, else 3.
    """

    server: tls.Origin = "https://ntfy.sh"
    topic: Topic | SecretRef
    token: SecretRef | None = None
    priority: Annotated[int, Field(ge=1, le=5)] | None = None
    tags: Annotated[list[Annotated[str, Field(pattern=r"^[\w+-]{1,40}$")]], Field(max_length=5)] = (
        Field(default_factory=list)
    )
    verify: tls.Verify = True

    @model_validator(mode="after")
    def _secrets_are_not_sent_in_the_clear(self) -> NtfySettings:
        if self.token is not None:
            tls.refuse_clear_text(self.server, self.verify)
        return self


class Ntfy(NotifyDriver):
    name = "ntfy"
    Settings = NtfySettings
    settings: NtfySettings

    def send(self, notice: Notice) -> str:
        settings, message = self.settings, in_lines(notice.message, _LINE_CHARACTERS)
        tone = message.tone
        topic = settings.topic
        headers = {}
        if settings.token is not None:
            headers["Authorization"] = f"Bearer {self.context.secret(settings.token)}"
        body = _encoded({
            "topic": self.context.secret(topic) if isinstance(topic, SecretRef) else topic,
            "title": fit(message.title, _TITLE_CHARACTERS),
            "message": _text(message),
            "priority": settings.priority or _PRIORITIES.get(tone, _USUAL_PRIORITY),
            "tags": [*([_TAGS[tone]] if tone in _TAGS else []), *settings.tags],
        })  # fmt: skip
        call = Call("POST", f"{settings.server}/", headers, body)
        return self.called(call)


def _text(message: Message) -> str:
    """Without the title, which stands above it; ntfy shows what is empty as "triggered"."""
    _, _, rest = plain_text(message).partition("\n")
    text = rest or message.title
    while len(_encoded(text)) > _MESSAGE_BYTES:
        text = fit(text, len(text) * 9 // 10)
    return text


def _encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


DRIVER = Ntfy
