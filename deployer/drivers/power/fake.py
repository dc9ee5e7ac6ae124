"""A switch in memory that remembers what it was told: for tests, and the shortest to read."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from deployer.drivers.power.base import PowerState
from deployer.errors import PowerError


class FakeSettings(BaseModel):
    """`name` tells switches apart; `fails`: how many acts fail before one works."""

    model_config = ConfigDict(extra="forbid")
    name: str
    fails: int = 0


class Fake:
    name = "fake"
    controls_power = True
    Settings = FakeSettings

    told: dict[str, list[str]] = {}  # noqa: RUF012  (shared on purpose: one wall of switches)

    def __init__(self, settings: FakeSettings) -> None:
        self.settings = settings
        self.acts = Fake.told.setdefault(settings.name, [])

    def _act(self, what: str) -> str:
        self.acts.append(what)
        if len(self.acts) <= self.settings.fails:
            raise PowerError(f"{self.settings.name} did not answer")
        return f"{what} done"

    def state(self) -> PowerState:
        return PowerState.ON if "cycle" in self.acts else PowerState.OFF

    def boot_once(self) -> str:
        return self._act("boot_once")

    def cycle(self) -> str:
        return self._act("cycle")

    def off(self) -> str:
        return self._act("off")


DRIVER = Fake
