"""Every power driver keeps the same contract. A new file in drivers/power/ is found by itself."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from deployer.core.profiles import SecretRef
from deployer.drivers import power as package
from deployer.drivers.power.base import BootMethod, DriverSettings, PowerDriver, PowerState, Product
from deployer.errors import BootMethodRefused, DriverRefused, Invalid
from deployer.services import power
from deployer.services.parts import POWER_DRIVERS
from tests.support.power import RIGS, SECRET, Rig, host

every_driver = pytest.mark.parametrize("name", sorted(POWER_DRIVERS))


@pytest.fixture
def rig(name: str, tmp_path: Path) -> Iterator[Rig]:
    with RIGS[name](tmp_path) as rig:
        yield rig


def test_every_module_but_the_base_is_a_driver_under_its_own_name() -> None:
    modules = {m.name for m in pkgutil.iter_modules(package.__path__)} - {"base"}
    drivers = {
        module: importlib.import_module(f"{package.__name__}.{module}").DRIVER for module in modules
    }
    assert {module: driver.name for module, driver in drivers.items()} == {m: m for m in modules}
    assert set(POWER_DRIVERS) == modules == set(RIGS)


@every_driver
def test_a_driver_does_what_the_base_says(name: str) -> None:
    driver = POWER_DRIVERS[name]
    assert issubclass(driver, PowerDriver) and not inspect.isabstract(driver)
    assert isinstance(driver.controls_power, bool)
    assert importlib.import_module(driver.__module__).__doc__


@every_driver
def test_its_settings_can_be_drawn_as_a_form(name: str) -> None:
    assert issubclass(POWER_DRIVERS[name].Settings, DriverSettings)
    schema = POWER_DRIVERS[name].Settings.model_json_schema()
    assert schema["type"] == "object" and schema["additionalProperties"] is False


@every_driver
def test_an_unknown_setting_is_refused_without_repeating_a_value(name: str, rig: Rig) -> None:
    with pytest.raises(Invalid) as refusal:
        power.check(host(**rig.settings, pasword=SECRET))
    told = f"{refusal.value.message} {refusal.value.value} {refusal.value.remedy}"
    assert SECRET not in told and f"power driver {name}" in told
    assert refusal.value.field == "power.pasword"


@every_driver
def test_a_missing_setting_is_named(name: str, rig: Rig) -> None:
    for field, info in POWER_DRIVERS[name].Settings.model_fields.items():
        if info.is_required():
            left = {key: value for key, value in rig.settings.items() if key != field}
            with pytest.raises(Invalid) as refusal:
                power.check(host(**left))
            assert refusal.value.field == f"power.{field}" and refusal.value.remedy


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for name, info in model.model_fields.items():
        yield name, info.annotation


@every_driver
def test_a_password_is_the_name_of_a_secret_and_never_the_password(name: str, rig: Rig) -> None:
    """Hosts are shown to viewers, and their settings are validated without the secret."""
    for field, annotation in _fields(POWER_DRIVERS[name].Settings):
        if not any(word in field for word in ("password", "secret", "token", "key")):
            continue
        assert annotation in (SecretRef, SecretRef | None), f"{name}.{field}"
        with pytest.raises(Invalid) as refusal:
            power.check(host(**{**rig.settings, field: SECRET}))
        told = f"{refusal.value.message} {refusal.value.value} {refusal.value.remedy}"
        assert SECRET not in told


@every_driver
def test_its_methods_are_known_without_asking_anybody(name: str, rig: Rig) -> None:
    methods = rig.driver().methods
    assert methods and len(set(methods)) == len(methods) and set(methods) <= set(BootMethod)


@every_driver
def test_a_method_that_it_does_not_have_is_refused_by_name(name: str, rig: Rig) -> None:
    driver = rig.driver()
    for method in set(BootMethod) - set(driver.methods):
        with pytest.raises(BootMethodRefused) as refusal:
            driver.boot_once(method)
        assert refusal.value.field == "method" and refusal.value.value == method
        assert all(each in str(refusal.value.remedy) for each in driver.methods)


@every_driver
def test_each_act_returns_one_line_for_the_history(name: str, rig: Rig) -> None:
    driver = rig.driver()
    for act in (driver.boot_once, driver.cycle):
        said = act()
        assert isinstance(said, str) and said and "\n" not in said and SECRET not in said
    assert driver.state() in PowerState
    assert isinstance(driver.product(), Product)


@every_driver
def test_off_works_twice_or_is_refused_for_good(name: str, rig: Rig) -> None:
    driver = rig.driver()
    try:
        assert driver.off() and driver.off()
    except DriverRefused as refusal:
        assert refusal.remedy
    else:
        assert driver.state() in (PowerState.OFF, PowerState.UNKNOWN)


@every_driver
def test_a_machine_that_is_off_is_on_after_a_cycle(name: str, rig: Rig) -> None:
    driver = rig.driver()
    try:
        driver.off()
    except DriverRefused:
        return  # it cannot, so that nothing could go wrong
    driver.cycle()
    assert driver.state() in (PowerState.ON, PowerState.UNKNOWN)


@every_driver
def test_media_go_in_and_out_or_are_refused_with_a_remedy(name: str, rig: Rig) -> None:
    driver = rig.driver()
    try:
        assert "\n" not in driver.insert_media("http://10.0.0.5:8081/live.iso")
    except DriverRefused as refusal:
        assert refusal.remedy
        with pytest.raises(DriverRefused):
            driver.eject_media()
    else:
        assert driver.eject_media()


def test_a_driver_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(Invalid) as refusal:
        power.check(host(driver="telepathy"))
    assert refusal.value.field == "power.driver"
    assert refusal.value.remedy == f"choose one of: {', '.join(sorted(POWER_DRIVERS))}"
