"""The parts that services work with; `app.build_parts()` puts them together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from deployer import plugins
from deployer.answers.families import Catalogue
from deployer.core.tokens import Purpose, derive
from deployer.core.workflows import Workflow
from deployer.drivers import chat, notify, power
from deployer.drivers.chat.base import ChatDriver
from deployer.drivers.notify.base import NotifyDriver
from deployer.drivers.power.base import PowerDriver
from deployer.settings import Settings
from deployer.store.database import Database

POWER_DRIVERS: dict[str, type[PowerDriver]] = plugins.find(power, "DRIVER")
# The types of receivers; no name is both.
CHAT_DRIVERS: dict[str, type[ChatDriver]] = plugins.find(chat, "DRIVER")
NOTIFY_DRIVERS: dict[str, type[NotifyDriver]] = plugins.find(notify, "DRIVER")


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Parts:
    settings: Settings
    database: Database
    key: bytes
    catalogue: Catalogue
    workflows: dict[str, Workflow]
    ssh_key_file: Path
    ssh_public_key: str
    clock: Callable[[], datetime] = field(default=utc_now)

    def tokens(self, deployment_id: str) -> dict[Purpose, str]:
        return {purpose: derive(self.key, deployment_id, purpose) for purpose in Purpose}
