"""What a power driver must do, and what the service lends it.

Raise DriverError when trying again may help, DriverRefused when it will not, BootMethodRefused when
another way to boot may, DriverUnclear when an act that must not be repeated may have happened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from deployer.core.inventory import Firmware, HostSpec
from deployer.core.profiles import SecretRef
from deployer.errors import BootMethodRefused, DriverRefused


class PowerState(StrEnum):
    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"


class BootMethod(StrEnum):
    """How a machine is led to us once."""

    PXE = "pxe"
    UEFI_HTTP = "uefi_http"
    VIRTUAL_MEDIA = "virtual_media"
    BOOT_NEXT = "boot_next"  # UEFI's own variable, set from the running system


@dataclass(frozen=True)
class Product:
    """What kind of machine it is, so that what worked on one is tried first on the next."""

    manufacturer: str = ""
    model: str = ""
    firmware: str = ""


@dataclass(frozen=True)
class Context:
    """What the service lends a driver: nothing of it stands in a host's settings.

    `firmware` is None until the machine was seen; `networks`, comma-separated, are those that may
    be connected to (empty: all but this machine's own and link-local ones).
    """

    host: HostSpec
    firmware: Firmware | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    networks: str = ""
    ssh_key_file: Path | None = None
    programs: Path | None = None

    def secret(self, ref: SecretRef) -> str:
        return self.secrets[ref.secret]


# A host name or a numeric address, as drivers are told where to connect to.
Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:_-]{0,252}$")]
# What is said for a driver that cannot set the next boot.
OWN_ORDER = "nothing is set: the machine's own boot order has to begin with the network"


class DriverSettings(BaseModel):
    """What a host says under `power:`, beside `driver`; a form can be drawn from it."""

    model_config = ConfigDict(extra="forbid")


class PowerDriver(ABC):
    """One host's power switch; each act returns a line for the host's history.

    `controls_power` is False when a person must act; `settings` are an instance of `Settings`.
    """

    name: ClassVar[str]
    controls_power: ClassVar[bool] = True
    Settings: ClassVar[type[DriverSettings]]
    settings: Any

    def __init__(self, settings: Any, context: Context) -> None:
        self.settings, self.context = settings, context

    @property
    def methods(self) -> tuple[BootMethod, ...]:
        """Those that this host could use, the best first; nobody is asked for it."""
        return (BootMethod.PXE,)

    def boot_once(self, method: BootMethod | None = None, url: str | None = None) -> str:
        """Make the next start come to us, and see that it is set.

        `url` is the loader (`uefi_http`; DHCP says it if unset) or the image (`virtual_media`).
        """
        chosen = method or self.methods[0]
        if chosen not in self.methods:
            raise BootMethodRefused(
                f"the power driver {self.name} cannot boot {self.context.host.name} by {chosen}",
                field="method", value=str(chosen),
                remedy=f"choose one of: {', '.join(self.methods)}",
            )  # fmt: skip
        return self._boot_once(chosen, url)

    @abstractmethod
    def _boot_once(self, method: BootMethod, url: str | None) -> str: ...

    def state(self) -> PowerState:
        return PowerState.UNKNOWN

    @abstractmethod
    def cycle(self) -> str:
        """Restart the machine; one that is off is switched on. At most one restart is asked for."""

    def off(self) -> str:
        """Switch off; fine when it is off."""
        raise self._has_no("way to switch a machine off")

    def insert_media(self, url: str) -> str:
        raise self._has_no("virtual media")

    def eject_media(self) -> str:
        raise self._has_no("virtual media")

    def product(self) -> Product:
        return Product()

    def _has_no(self, what: str) -> DriverRefused:
        return DriverRefused(
            f"the power driver {self.name} has no {what}",
            remedy="do it by hand, or use a driver that has it (docs/power.md)",
        )
