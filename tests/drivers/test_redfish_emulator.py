"""The redfish driver against OpenStack's emulator, over TLS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deployer.drivers.power.base import BootMethod, PowerDriver, PowerState
from deployer.drivers.redfish import boot
from deployer.errors import BootMethodRefused, DriverError, DriverRefused
from tests.support.live import until
from tests.support.power import driver
from tests.support.sushy import UUID, SushyEmulator


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SushyEmulator]:
    with SushyEmulator(tmp_path_factory.mktemp("sushy")) as emulator:
        yield emulator


@pytest.fixture
def bmc(emulator: SushyEmulator) -> PowerDriver:
    return driver(emulator.settings)


@pytest.mark.slow
def test_the_machine_is_switched_on_restarted_and_off(
    emulator: SushyEmulator, bmc: PowerDriver
) -> None:
    assert bmc.state() is PowerState.OFF and not emulator.machine.runs

    assert bmc.cycle() == "the BMC switches it on (On)"
    until(lambda: bmc.state() is PowerState.ON and emulator.machine.runs, 5, "on")

    assert bmc.cycle() == "the BMC restarts it (ForceRestart)"
    until(lambda: bmc.state() is PowerState.ON, 5, "on again")

    assert bmc.off() == "the BMC switched it off"
    assert bmc.state() is PowerState.OFF and not emulator.machine.runs
    assert bmc.off() == "it was off"


def test_the_next_boot_is_set_and_seen(emulator: SushyEmulator, bmc: PowerDriver) -> None:
    assert bmc.boot_once() == "the BMC shows Pxe for the next boot"
    assert emulator.boot["BootSourceOverrideTarget"] == "Pxe"


@pytest.mark.slow
def test_a_bmc_that_sets_something_else_is_caught(
    bmc: PowerDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The emulator offers UefiHttp, takes it, and sets Pxe."""
    monkeypatch.setattr(boot, "_READ_BACK_SECONDS", 1)
    with pytest.raises(DriverError, match="took UefiHttp for the next boot, but shows Pxe"):
        bmc.boot_once(BootMethod.UEFI_HTTP)


@pytest.mark.slow
def test_virtual_media_goes_in_boots_and_comes_out(
    emulator: SushyEmulator, bmc: PowerDriver
) -> None:
    assert (
        bmc.insert_media(emulator.image_url) == f"{emulator.image_url} is in the virtual drive Cd"
    )
    assert bmc.boot_once(BootMethod.VIRTUAL_MEDIA) == "the BMC shows Cd for the next boot"
    assert bmc.eject_media() == "the virtual drive Cd is empty"
    with pytest.raises(BootMethodRefused, match="no image"):
        bmc.boot_once(BootMethod.VIRTUAL_MEDIA)
    bmc.boot_once(BootMethod.VIRTUAL_MEDIA, emulator.image_url)
    assert bmc.eject_media() == "the virtual drive Cd is empty"
    assert bmc.eject_media() == "the virtual drives were empty"


def test_what_it_is(bmc: PowerDriver) -> None:
    product = bmc.product()
    assert (product.manufacturer, product.model) == ("Sushy Emulator", "")
    assert product.firmware.startswith("1.00")


def test_a_wrong_password_is_refused_and_not_told(emulator: SushyEmulator) -> None:
    with pytest.raises(DriverRefused, match="401") as refusal:
        driver(emulator.settings, secret="a-wrong-password").state()
    assert "a-wrong-password" not in str(refusal.value) and "operator" in refusal.value.message


def test_a_system_that_is_not_there_is_answered_with_those_that_are(
    emulator: SushyEmulator,
) -> None:
    with pytest.raises(DriverRefused, match=UUID):
        driver({**emulator.settings, "system": "1"}).state()
    assert driver({**emulator.settings, "system": UUID}).state() in PowerState


def test_its_certificate_is_told_so_that_it_can_be_compared(emulator: SushyEmulator) -> None:
    for verify in (True, {"fingerprint": "0" * 64}):
        with pytest.raises(DriverRefused, match=emulator.certificate.fingerprint):
            driver({**emulator.settings, "verify": verify}).state()


def test_its_own_ca_will_do(emulator: SushyEmulator) -> None:
    settings = {**emulator.settings, "verify": {"ca": emulator.certificate.pem}}
    assert driver(settings).state() in PowerState


def test_whoever_asks_for_no_verification_reads_it_in_the_history(emulator: SushyEmulator) -> None:
    said = driver({**emulator.settings, "verify": False}).boot_once()
    assert said.endswith("(whoever it is: verify is false)")
