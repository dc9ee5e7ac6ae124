"""A person presses the button. We say so and wait."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from deployer.drivers.power.base import PowerState


class ManualSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Manual:
    name = "manual"
    controls_power = False
    Settings = ManualSettings

    def __init__(self, settings: ManualSettings) -> None:
        pass

    def state(self) -> PowerState:
        return PowerState.UNKNOWN

    def boot_once(self) -> str:
        return "a person sets the machine to boot from the network"

    def cycle(self) -> str:
        return "waiting for a person to restart the machine"

    def off(self) -> str:
        return "a person switches the machine off"


DRIVER = Manual
