"""A switch in memory that remembers what it was told: for tests, and the shortest to read."""

from __future__ import annotations

from typing import ClassVar

from deployer.drivers.power.base import (
    BootMethod,
    Context,
    DriverSettings,
    PowerDriver,
    PowerState,
    Product,
)
from deployer.errors import DriverError


class FakeSettings(DriverSettings):
    """`name` tells switches apart; `fails`: how many acts fail before one works."""

    name: str
    fails: int = 0


class Fake(PowerDriver):
    name = "fake"
    Settings = FakeSettings

    told: ClassVar[dict[str, list[str]]] = {}  # shared on purpose: one wall of switches

    def __init__(self, settings: FakeSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.acts = Fake.told.setdefault(settings.name, [])

    def _act(self, what: str) -> str:
        self.acts.append(what)
        if len(self.acts) <= self.settings.fails:
            raise DriverError(f"{self.settings.name} did not answer")
        return f"{what} done"

    @property
    def methods(self) -> tuple[BootMethod, ...]:
        return tuple(BootMethod)

    def state(self) -> PowerState:
        switched = [act for act in self.acts if act in ("cycle", "off")]
        return PowerState.ON if switched[-1:] == ["cycle"] else PowerState.OFF

    def _boot_once(self, method: BootMethod, url: str | None) -> str:
        by = "" if method is BootMethod.PXE else f" {method}"
        return self._act("boot_once" + by + (f" {url}" if url else ""))

    def cycle(self) -> str:
        return self._act("cycle")

    def off(self) -> str:
        return self._act("off")

    def insert_media(self, url: str) -> str:
        return self._act(f"insert_media {url}")

    def eject_media(self) -> str:
        return self._act("eject_media")

    def product(self) -> Product:
        return Product("Deployer", "Fake", "1")


DRIVER = Fake
