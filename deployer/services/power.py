"""The power driver of a host: its settings checked, and for an act its secrets looked up."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from deployer.core.inventory import Firmware, HostSpec
from deployer.drivers.power.base import Context, DriverSettings, PowerDriver
from deployer.errors import Invalid, PowerRefused
from deployer.services import secrets
from deployer.services.parts import POWER_DRIVERS, Parts


def check(host: HostSpec) -> DriverSettings:
    """The settings of a host's power driver; Invalid names the driver or the setting that is wrong.

    No secret is looked up: the host may be written before its secrets are set.
    """
    given: dict[str, Any] = host.power.model_dump(exclude={"driver"})
    try:
        return _driver(host).Settings.model_validate(given)
    except ValidationError as error:
        problem = min(error.errors(), key=lambda each: _rank(each, given))
        field = ".".join(["power", *map(str, _place(problem, given))])
        rule = problem["msg"].removeprefix("Value error, ")
        raise Invalid(
            f"{field}: {rule} (power driver {host.power.driver})", field=field,
            value=_harmless(problem), remedy=_REMEDIES.get(problem["type"], "correct this setting")
            + f"; docs/power.md has an example for {host.power.driver}",
        ) from None  # fmt: skip


_REMEDIES = {
    "extra_forbidden": "remove it, or correct its name",
    "missing": "add it",
    "model_type": "write `{secret: NAME}`, and give its value to `deployer secret set NAME`",
}


def _rank(problem: Any, given: dict[str, Any]) -> tuple[bool, int]:
    """Of what is wrong with a value that may have one form or another, the closest comes first."""
    return problem["type"] in ("extra_forbidden", "missing"), -len(_place(problem, given))


def _place(problem: Any, given: Any) -> list[str | int]:
    """Where the bad setting is in what was given, without the names of forms that were tried."""
    place: list[str | int] = []
    for part in problem["loc"]:
        try:
            given = given[part]
        except (LookupError, TypeError):
            continue
        place.append(part)
    return place + list(problem["loc"][-1:]) if problem["type"] == "missing" else place


def _harmless(problem: Any) -> Any:
    """The bad value as an error may repeat it: nothing that may hold a secret."""
    value, place = problem["input"], ".".join(map(str, problem["loc"])).lower()
    secret = any(word in place for word in ("pass", "secret", "token"))
    unknown = problem["type"] in _REMEDIES or not isinstance(value, str | int | float)
    return None if secret or unknown or "@" in str(value) else value


def controls_power(host: HostSpec) -> bool:
    """False when a person must press the button."""
    return _driver(host).controls_power


def lane(host: HostSpec) -> str | None:
    """What one BMC's hosts have in common, so that not all of them talk to it at once."""
    place = [getattr(host.power, name, None) for name in ("url", "address", "uri")]
    return next((f"{host.power.driver} {text}" for text in place if text), None)


def driver_of(parts: Parts, host: HostSpec, firmware: Firmware | None = None) -> PowerDriver:
    """Ready to act; PowerRefused when a secret that it names is not there."""
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
        raise PowerRefused(
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
