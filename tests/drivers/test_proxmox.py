"""The proxmox driver against the calls of Proxmox VE's API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deployer.drivers.power import proxmox
from deployer.drivers.power.base import PowerDriver, PowerState, Product
from deployer.errors import DriverError, DriverRefused, Invalid
from deployer.services import power
from tests.support.power import SECRET, driver, host
from tests.support.proxmox import Proxmox


@pytest.fixture
def pve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxmox]:
    monkeypatch.setattr(proxmox, "_PAUSE", 0.01)
    with Proxmox() as pve:
        yield pve


@pytest.fixture
def switch(pve: Proxmox) -> PowerDriver:
    return driver(pve.settings)


def test_the_machine_starts_from_its_own_nic_and_then_from_its_disks(
    pve: Proxmox, switch: PowerDriver
) -> None:
    assert switch.state() is PowerState.OFF
    said = "Proxmox starts the machine with order=net1;scsi0;scsi1, from its next start on"
    assert switch.boot_once() == said
    assert switch.cycle() == "Proxmox started 104"
    assert pve.boots == ["order=net1;scsi0;scsi1"] and switch.state() is PowerState.ON


def test_a_running_machine_is_started_anew_so_that_the_order_counts(
    pve: Proxmox, switch: PowerDriver
) -> None:
    pve.running = True
    switch.boot_once()
    switch.cycle()
    assert pve.boots == ["order=net1;scsi0;scsi1"]
    assert switch.off() == "Proxmox stopped 104"
    assert switch.off() == "it was off"


def test_what_it_is(switch: PowerDriver) -> None:
    assert switch.product() == Product("Proxmox", "q35 ovmf", "8.2.4")


def test_an_order_that_is_taken_and_not_kept_is_caught(pve: Proxmox, switch: PowerDriver) -> None:
    pve.forgets = True
    with pytest.raises(DriverError, match="does not show it"):
        switch.boot_once()


@pytest.mark.parametrize(
    ("task", "ended", "fine"),
    [("qmstart", "VM 104 already running", True), ("qmstart", "WARNINGS: 1", True),
     ("qmstart", "start failed: no space left on device", False)],
)  # fmt: skip
def test_how_a_task_ended_counts(
    pve: Proxmox, switch: PowerDriver, task: str, ended: str, fine: bool
) -> None:
    pve.exits[task] = ended
    if fine:
        switch.cycle()
    else:
        with pytest.raises(DriverError, match="no space left"):
            switch.cycle()


@pytest.mark.parametrize("status", [500, 595, 503])
def test_a_fault_may_pass(pve: Proxmox, switch: PowerDriver, status: int) -> None:
    message = f"VM is locked (backup); {SECRET}"
    pve.failing["/status/current"] = (status, {"data": None, "message": message})
    with pytest.raises(DriverError, match="VM is locked") as error:
        switch.state()
    assert type(error.value) is DriverError and SECRET not in error.value.message


def test_a_wrong_token_or_one_without_rights_is_refused(pve: Proxmox, switch: PowerDriver) -> None:
    with pytest.raises(DriverRefused, match=r"401 .*deployer@pve!power"):
        driver(pve.settings, secret="another-secret").state()
    pve.failing["/status/stop"] = (403, {"message": "Permission check failed (VM.PowerMgmt)"})
    pve.running = True
    with pytest.raises(DriverRefused, match=r"VM\.PowerMgmt") as refused:
        switch.cycle()
    assert refused.value.field == "power.token"


def test_a_machine_that_is_not_there_or_is_a_container_is_refused(
    pve: Proxmox, switch: PowerDriver
) -> None:
    for vmid in (100, 999):
        with pytest.raises(DriverRefused, match=f"no virtual machine {vmid}"):
            driver({**pve.settings, "vmid": vmid}).state()


def test_a_machine_without_the_hosts_nic_is_not_changed(pve: Proxmox, switch: PowerDriver) -> None:
    pve.config["net1"] = "virtio=52:54:00:12:34:57,bridge=vmbr0"
    with pytest.raises(DriverRefused, match="no NIC with a MAC of the host's"):
        switch.boot_once()
    assert not any(method == "PUT" for method, _ in pve.asked)


@pytest.mark.parametrize("said", ["rubbish", {"dat": 1}, {"data": "../../evil"}, {"data": None}, 7])
def test_what_no_proxmox_says_is_an_error(pve: Proxmox, switch: PowerDriver, said: Any) -> None:
    for end in ("/status/start", "/resources?type=vm"):
        pve.failing = {end: (200, said)}
        with pytest.raises(DriverError):
            switch.cycle()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "https://root:pw@pve1"), ("url", "https://pve1/api2"), ("url", "ftp://pve1"),
        ("username", "root@pam"), ("username", "a@pve!b\r\nX: y"), ("vmid", 99),
        ("verify", True), ("verify", {"fingerprint": "abc"}), ("verify", {"ca": "abc"}),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(field: str, value: Any) -> None:
    good = {
        "driver": "proxmox", "url": "http://pve1:8006", "username": "a@pve!b",
        "token": {"secret": "pve"}, "vmid": 104, "verify": False,
    }  # fmt: skip
    power.check(host(**good))
    with pytest.raises(Invalid) as refusal:
        power.check(host(**{**good, field: value}))
    assert str(refusal.value.field).startswith("power") and "pw" not in str(refusal.value.value)
