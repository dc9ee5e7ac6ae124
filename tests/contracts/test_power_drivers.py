"""Every power driver keeps the same contract. A new file in drivers/power/ is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pytest
from pydantic import ValidationError

from deployer.core.inventory import HostSpec
from deployer.drivers import power as package
from deployer.drivers.power.base import PowerState
from deployer.errors import Invalid
from deployer.services import power
from deployer.services.parts import POWER_DRIVERS

every_driver = pytest.mark.parametrize("name", sorted(POWER_DRIVERS))
# What a driver needs to be made; its own tests give it somebody to talk to.
SETTINGS: dict[str, dict[str, Any]] = {"fake": {"name": "switch-1"}, "manual": {}}
SECRET = "s3cret-of-the-bmc"


def host(driver: str, **settings: Any) -> HostSpec:
    return HostSpec.model_validate(
        {"name": "web01", "macs": ["52:54:00:12:34:56"], "power": {"driver": driver, **settings}}
    )


def test_every_module_but_the_base_is_a_driver_under_its_own_name() -> None:
    modules = {m.name for m in pkgutil.iter_modules(package.__path__)} - {"base"}
    for module in modules:
        driver = getattr(importlib.import_module(f"{package.__name__}.{module}"), "DRIVER", None)
        assert driver is None or driver.name == module, module
    assert set(POWER_DRIVERS) <= modules


@every_driver
def test_a_driver_does_what_the_protocol_says(name: str) -> None:
    driver = POWER_DRIVERS[name]
    for act in ("state", "boot_once", "cycle", "off"):
        assert callable(getattr(driver, act))
    assert isinstance(driver.controls_power, bool)
    assert driver.__module__ and importlib.import_module(driver.__module__).__doc__


@every_driver
def test_its_settings_can_be_drawn_as_a_form(name: str) -> None:
    schema = POWER_DRIVERS[name].Settings.model_json_schema()
    assert schema["type"] == "object" and schema["additionalProperties"] is False


@every_driver
def test_an_unknown_setting_is_refused_without_repeating_a_value(name: str) -> None:
    given = {**SETTINGS.get(name, {}), "pasword": SECRET}
    with pytest.raises(ValidationError):
        POWER_DRIVERS[name].Settings.model_validate(given)
    with pytest.raises(Invalid) as refusal:
        power.driver_of(host(name, **given))
    told = f"{refusal.value.message} {refusal.value.value} {refusal.value.remedy}"
    assert SECRET not in told and f"power driver {name}" in told
    assert (refusal.value.field or "").startswith("power.")


@every_driver
def test_a_secret_among_its_settings_is_not_printed(name: str) -> None:
    model = POWER_DRIVERS[name].Settings
    for field, info in model.model_fields.items():
        if any(word in field for word in ("password", "secret", "token")):
            assert "Secret" in str(info.annotation), f"{name}.{field} should be a SecretStr"


@pytest.mark.parametrize("name", sorted(SETTINGS))
@pytest.mark.parametrize("act", ["boot_once", "cycle", "off"])
def test_each_act_returns_one_line_for_the_history(name: str, act: str) -> None:
    driver = power.driver_of(host(name, **SETTINGS[name]))
    said = getattr(driver, act)()
    assert isinstance(said, str) and said and "\n" not in said
    assert driver.state() in PowerState


def test_a_driver_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(Invalid) as refusal:
        power.driver_of(host("telepathy"))
    assert refusal.value.field == "power.driver"
    assert refusal.value.remedy == f"choose one of: {', '.join(sorted(POWER_DRIVERS))}"
