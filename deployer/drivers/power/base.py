"""What a power driver must do. Raise PowerError when trying again may help, else PowerRefused."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Protocol

from pydantic import BaseModel


class PowerState(StrEnum):
    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"


class PowerDriver(Protocol):
    """One host's power switch.

    `Settings` says what the driver needs; `controls_power` is False when a person must act.
    Each act returns a line for the host's history.
    """

    name: str
    controls_power: bool
    Settings: type[BaseModel]

    def __init__(self, settings: Any) -> None: ...
    def state(self) -> PowerState: ...
    def boot_once(self) -> str: ...
    def cycle(self) -> str: ...
    def off(self) -> str: ...
