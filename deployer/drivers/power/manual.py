"""A person presses the button. We say so and wait."""

from __future__ import annotations

from deployer.drivers.power.base import BootMethod, DriverSettings, PowerDriver


class ManualSettings(DriverSettings):
    """None: a person knows what to do."""


class Manual(PowerDriver):
    name = "manual"
    controls_power = False
    Settings = ManualSettings

    def _boot_once(self, method: BootMethod, url: str | None) -> str:
        return "a person sets the machine to boot from the network"

    def cycle(self) -> str:
        return "waiting for a person to restart the machine"

    def off(self) -> str:
        return "a person switches the machine off"


DRIVER = Manual
