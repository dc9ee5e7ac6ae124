"""The power driver of a host, with its settings checked."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from deployer.core.inventory import HostSpec
from deployer.drivers.power.base import PowerDriver
from deployer.errors import Invalid
from deployer.services.parts import POWER_DRIVERS


def driver_of(host: HostSpec) -> PowerDriver:
    """Invalid names the driver or the setting that is wrong."""
    settings: dict[str, Any] = host.power.model_dump(exclude={"driver"})
    driver = POWER_DRIVERS.get(host.power.driver)
    if driver is None:
        raise Invalid(
            f"there is no power driver {host.power.driver!r}",
            field="power.driver",
            value=host.power.driver,
            remedy=f"choose one of: {', '.join(sorted(POWER_DRIVERS))}",
        )
    try:
        return driver(driver.Settings.model_validate(settings))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(["power", *map(str, first["loc"])])
        # The value is not repeated: it may be a password.
        raise Invalid(
            f"{field}: {first['msg']} (power driver {host.power.driver})",
            field=field,
            remedy=f"give the driver {host.power.driver} the settings that it needs, and no others",
        ) from None
