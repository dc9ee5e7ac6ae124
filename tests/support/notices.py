"""Something that a receiver may be told, and drivers that tell it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from deployer.core.chat import Message, Tone
from deployer.core.ids import new_id
from deployer.drivers.chat.base import Context
from deployer.drivers.notify.base import Notice, NotifyDriver

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DATA: dict[str, Any] = {
    "id": "dep_01kjmma2gfyp0yz690p4cq8g14", "host": "web01", "profile": "debian-12",
    "state": "failed", "cause": "the installer did not find a disk", "labels": {"rack": "a1"},
}  # fmt: skip
FAILED = Message(
    "web01 → debian-12: failed", Tone.BAD, lines=("the installer did not find a disk",),
    facts=(("disk", "was not touched"), ("after", "4 min")), types=("deployer explain web01",),
)  # fmt: skip


def notice(message: Message = FAILED) -> Notice:
    return Notice(new_id("msg", AT), "failed", AT, dict(DATA), message)


def driver(
    kind: type[NotifyDriver], settings: dict[str, Any], *, networks: str = "127.0.0.0/8",
    **secrets: str,
) -> NotifyDriver:  # fmt: skip
    return kind(kind.Settings.model_validate(settings), Context(secrets, networks))
