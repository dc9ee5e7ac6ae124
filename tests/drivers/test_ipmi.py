"""The ipmi driver against OpenIPMI's simulator."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.drivers.power.base import BootMethod, PowerState
from deployer.drivers.power.ipmi import Ipmi
from deployer.errors import BootMethodRefused, DriverError, DriverRefused, DriverUnclear, Invalid
from deployer.services import power
from tests.support.ipmi_sim import PASSWORD, IpmiSim
from tests.support.live import until
from tests.support.power import driver, host


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[IpmiSim]:
    with IpmiSim(tmp_path) as bmc:
        yield bmc


@pytest.mark.slow
def test_the_machine_is_switched_on_cycled_and_off(bmc: IpmiSim) -> None:
    switch = driver(bmc.settings)
    assert switch.state() is PowerState.OFF
    assert switch.cycle() == "the BMC switches it on"
    assert switch.state() is PowerState.ON
    assert switch.cycle() == "the BMC switches it off and on"
    until(lambda: bmc.power, 5, "on again")
    assert switch.off() == "the BMC switched it off"
    assert switch.off() == "it was off"
    assert bmc.calls == ["set power 1", "set power 0", "set power 1", "set power 0"]


def test_the_next_boot_is_set_and_read_back(bmc: IpmiSim) -> None:
    """The simulator keeps the device, and neither the valid bit nor UEFI."""
    said = driver(bmc.settings, firmware="uefi").boot_once()
    assert said == (
        "the BMC shows PXE for the next boot, but does not call it valid, but does not say UEFI"
    )
    assert bmc.boot == "pxe"
    with pytest.raises(BootMethodRefused):
        driver(bmc.settings).boot_once(BootMethod.UEFI_HTTP)


def test_a_bmc_that_takes_the_boot_device_and_ignores_it_is_caught(bmc: IpmiSim) -> None:
    chassis = bmc.folder / "chassis"
    chassis.write_text(chassis.read_text().replace('echo "$3" > boot', "true"))
    with pytest.raises(DriverError, match="took PXE for the next boot, but shows boot flags 00 08"):
        driver(bmc.settings).boot_once()


def test_a_wrong_password_or_user_is_refused(bmc: IpmiSim) -> None:
    with pytest.raises(
        DriverRefused, match="does not let lab in: RAKP 2 HMAC is invalid"
    ) as refused:
        driver(bmc.settings, secret="another-password").state()
    assert "another-password" not in str(refused.value) + str(refused.value.remedy)
    with pytest.raises(DriverRefused, match="does not let nobody in"):
        driver({**bmc.settings, "username": "nobody"}).state()
    with pytest.raises(DriverRefused, match="at most 20 bytes"):
        driver(bmc.settings, secret="x" * 21).state()


def test_the_newer_cipher_suite_is_tried_first_and_a_wrong_one_is_named(bmc: IpmiSim) -> None:
    switch = driver(bmc.settings)
    switch.state()
    assert isinstance(switch, Ipmi) and switch._ciphers == [3]
    with pytest.raises(DriverRefused, match="none of our cipher suites") as refused:
        driver({**bmc.settings, "cipher": 17}).state()
    assert refused.value.field == "power.cipher"


@pytest.mark.slow
def test_nobody_there_may_come_back(bmc: IpmiSim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployer.drivers.power.ipmi._RETRIES", 1)
    monkeypatch.setattr("deployer.drivers.power.ipmi._RETRY_SECONDS", 1)
    bmc.freeze()
    with pytest.raises(DriverError, match="does not answer") as error:
        driver({**bmc.settings, "cipher": 3}).state()
    assert type(error.value) is DriverError


# --- with a program in the place of ipmitool, for what the simulator cannot do ---------------


@pytest.fixture
def ipmitool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that comes first in PATH; write a script `ipmitool` into it."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(Ipmi, "seconds", 1)
    return tmp_path


def _script(folder: Path, body: str) -> None:
    file = folder / "ipmitool"
    file.write_text(f'#!/bin/sh\ncd {folder}\necho "$*" >> calls\ncat > given\n{body}\n')
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


SETTINGS = {
    "driver": "ipmi", "address": "127.0.0.1", "username": "lab", "password": {"secret": "bmc"},
}  # fmt: skip
ON = 'case "$*" in *status*) echo Chassis Power is on; exit;; esac\n'


@pytest.mark.slow
@pytest.mark.parametrize(
    "end", ["echo Unable to set Chassis Power Control to Cycle >&2; exit 1", "sleep 60"]
)
def test_a_lost_answer_to_a_cycle_is_unclear_and_not_asked_twice(ipmitool: Path, end: str) -> None:
    _script(ipmitool, ON + end)
    with pytest.raises(DriverUnclear):
        driver(SETTINGS).cycle()
    calls = (ipmitool / "calls").read_text().splitlines()
    assert [call.split()[-1] for call in calls] == ["status", "cycle"]
    assert "-R 1 power cycle" in calls[-1]


def test_a_bmc_without_a_cycle_is_reset(ipmitool: Path) -> None:
    refusal = "echo 'Set Chassis Power Control to Cycle failed: Invalid data field in request' >&2"
    _script(ipmitool, ON + f'case "$*" in *cycle*) {refusal}; exit 1;; esac')
    assert driver(SETTINGS).cycle() == "the BMC resets it"


def test_a_busy_bmc_may_be_asked_again(ipmitool: Path) -> None:
    _script(
        ipmitool, ON + "echo 'Set Chassis Power Control to Cycle failed: Node busy' >&2; exit 1"
    )
    with pytest.raises(DriverError, match="Node busy") as error:
        driver(SETTINGS).cycle()
    assert type(error.value) is DriverError


def test_the_password_is_on_standard_input_and_nowhere_else(ipmitool: Path) -> None:
    _script(ipmitool, "cat /proc/$$/cmdline /proc/$$/environ > seen; echo Chassis Power is on")
    driver(SETTINGS).state()
    assert (ipmitool / "given").read_text() == f"{PASSWORD}\n"
    assert PASSWORD not in (ipmitool / "seen").read_text() + (ipmitool / "calls").read_text()


@pytest.mark.slow
def test_output_without_end_is_cut(ipmitool: Path) -> None:
    _script(ipmitool, "yes 'Chassis Power is on'")
    before = threading.active_count()
    with pytest.raises(DriverError, match="did not answer in 1 s"):
        driver(SETTINGS).state()
    assert threading.active_count() <= before


def test_without_the_program_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DriverRefused, match="ipmitool cannot be run"):
        driver(SETTINGS).state()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "-oProxyCommand=x"), ("address", "10.0.0.1 -P x"), ("address", ""),
        ("username", "a b"), ("username", "x" * 17), ("username", "a\nb"), ("port", 0),
        ("cipher", 256), ("privilege", "root"),
    ],
)  # fmt: skip
def test_what_could_be_taken_for_an_option_is_refused(field: str, value: object) -> None:
    with pytest.raises(Invalid) as refusal:
        power.check(host(**{**SETTINGS, field: value}))
    assert refusal.value.field == f"power.{field}" and refusal.value.value == value
