"""The power driver of a host: its settings checked, and for an act its secrets looked up."""

from __future__ import annotations

from deployer.core.inventory import Firmware, HostSpec
from deployer.drivers.power.base import Context, DriverSettings, PowerDriver
from deployer.errors import DriverRefused, Invalid
from deployer.services import driver_settings, secrets
from deployer.services.parts import POWER_DRIVERS, Parts


def check(host: HostSpec) -> DriverSettings:
    """The settings of a host's power driver; Invalid names the driver or the setting that is wrong.

    No secret is looked up: the host may be written before its secrets are set.
    """
    given = host.power.model_dump(exclude={"driver"})
    settings: DriverSettings = driver_settings.check(
        _driver(host), given, "power", "power driver", "docs/power.md"
    )
    return settings


def controls_power(host: HostSpec) -> bool:
    """False when a person must press the button."""
    return _driver(host).controls_power


def lane(host: HostSpec) -> str | None:
    """What one BMC's hosts have in common, so that not all of them talk to it at once."""
    place = [getattr(host.power, name, None) for name in ("url", "address", "uri")]
    return next((f"{host.power.driver} {text}" for text in place if text), None)


def driver_of(parts: Parts, host: HostSpec, firmware: Firmware | None = None) -> PowerDriver:
    """Ready to act; DriverRefused when a secret that it names is not there."""
    settings = check(host)
    context = Context(
        host=host,
        firmware=firmware or ("uefi" if host.secure_boot else None),
        secrets=_secrets(parts, host),
        networks=parts.settings.power_networks,
        ssh_key_file=parts.ssh_key_file,
        programs=parts.settings.data_dir / "power.d",
    )
    return _driver(host)(settings, context)


def _secrets(parts: Parts, host: HostSpec) -> dict[str, str]:
    fields = host.secret_fields()
    if not fields:
        return {}
    try:
        with parts.database.reading() as session:
            return secrets.values_of(session, parts, fields, f"the host {host.name}")
    except Invalid as error:
        raise DriverRefused(
            error.message, field=error.field, value=error.value, remedy=error.remedy
        ) from None


def _driver(host: HostSpec) -> type[PowerDriver]:
    driver = POWER_DRIVERS.get(host.power.driver)
    if driver is None:
        raise Invalid(
            f"there is no power driver {host.power.driver!r}",
            field="power.driver",
            value=host.power.driver,
            remedy=f"choose one of: {', '.join(sorted(POWER_DRIVERS))}",
        )
    return driver
