"""`deploy` alone: no other hand switches the machine on, and it boots, installs and ends ready.

Real BMC emulators switch a real machine in QEMU, which starts from the network only where the
emulator was told so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deployer.settings import Settings
from lab.machine import Firmware, Machine
from tests.support.ipmi_sim import PASSWORD as IPMI_PASSWORD
from tests.support.ipmi_sim import IpmiSim
from tests.support.lab import Lab
from tests.support.live import until
from tests.support.service import ok
from tests.support.sushy import PASSWORD as REDFISH_PASSWORD
from tests.support.sushy import SushyEmulator

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.e2e,
    pytest.mark.parametrize("backend", ["sqlite"], indirect=True),
]


@pytest.fixture
def lab(settings: Settings, tmp_path: Path) -> Iterator[Lab]:
    settings.power_networks = "127.0.0.0/8"
    settings.boot_request_within = 60  # beside another machine, on two slow cores
    with Lab(settings, tmp_path) as lab:
        yield lab


class Switched:
    """A BMC's machine, which is the one in QEMU."""

    def __init__(self, machine: Machine, from_network: Callable[[], bool]) -> None:
        self.machine, self.from_network = machine, from_network
        self.starts = 0
        self.cd: Path | None = None

    @property
    def runs(self) -> bool:
        return self.machine.running

    def switch(self, on: bool) -> None:
        if on and not self.runs:
            self.machine.network_first = self.from_network()
            self.machine.cd = self.cd
            self.machine.start()
            self.starts += 1
        if not on:
            self.machine.stop()

    def holds(self, cd: Path | None) -> None:
        """What is put in is booted at the next start; what is taken out is gone at once."""
        self.cd = cd
        if cd is None:
            self.machine.eject()


def deploys(lab: Lab, machine: Machine, power: dict[str, Any], password: str) -> str:
    lab.keeps_secret("bmc", password)
    lab.describes(machine)
    ok(lab.api.patch("/api/v1/hosts/web01", json={"power": power}))
    id_ = lab.queues()
    until(lambda: machine.running or lab.state(id_) == "failed", 60, "a machine that runs")
    assert lab.state(id_) == "booting", lab.deployment(id_)["cause"]
    return id_


def test_by_redfish(lab: Lab, tmp_path: Path) -> None:
    machine = lab.a_machine("uefi")
    folder = tmp_path / "bmc"
    folder.mkdir()
    with SushyEmulator(folder) as bmc:
        switched = Switched(machine, lambda: bmc.boot["BootSourceOverrideTarget"] == "Pxe")
        bmc.machine = switched  # type: ignore[assignment]
        id_ = deploys(lab, machine, bmc.settings, REDFISH_PASSWORD)
        lab.becomes(id_, "ready", machine)
        assert switched.starts == 1 and machine.network_first
    (start,) = [line for line in lab.history(id_) if line["event"] == "start"]
    assert start["detail"]["method"] == "pxe"


@pytest.mark.parametrize("firmware", ["uefi", "bios"])
def test_where_the_network_names_no_loader_the_bmc_shows_our_iso(
    lab: Lab, tmp_path: Path, firmware: Firmware
) -> None:
    """Its override to the network is taken, and leads to nothing."""
    lab.has_loaders()
    machine = lab.a_machine(firmware)
    machine.boot_url = ""
    folder = tmp_path / "bmc"
    folder.mkdir()
    with SushyEmulator(folder) as bmc:
        switched = Switched(machine, lambda: bmc.boot["BootSourceOverrideTarget"] == "Pxe")
        bmc.machine = switched  # type: ignore[assignment]
        id_ = deploys(lab, machine, bmc.settings, REDFISH_PASSWORD)
        until(lambda: switched.starts == 2, 180, "a second start")
        lab.becomes(id_, "ready", machine)
        assert switched.starts == 2 and switched.cd is None
    ways = [(e["event"], e["detail"]) for e in lab.history(id_) if "method" in e["detail"]]
    assert [(event, detail["method"]) for event, detail in ways] == [
        ("start", "pxe"), ("boot_not_seen", "pxe"), ("power.boot_once", "virtual_media"),
    ]  # fmt: skip
    assert ways[-1][1]["refused"].startswith("uefi_http: ")
    (out,) = [line for line in lab.history(id_) if line["event"] == "power.eject_media"]
    assert out["detail"]["power"] == "the virtual drive Cd is empty"


@contextmanager
def followed(bmc: IpmiSim, switched: Switched) -> Iterator[None]:
    """The machine is on while the simulator says so."""
    over = threading.Event()

    def follow() -> None:
        while not over.is_set():
            switched.switch(bmc.power)
            time.sleep(0.2)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5)
        switched.switch(False)


def test_by_ipmi(lab: Lab, tmp_path: Path) -> None:
    machine = lab.a_machine("bios")
    folder = tmp_path / "bmc"
    folder.mkdir()
    with IpmiSim(folder) as bmc:
        switched = Switched(machine, lambda: bmc.boot == "pxe")
        with followed(bmc, switched):
            id_ = deploys(lab, machine, bmc.settings, IPMI_PASSWORD)
            lab.becomes(id_, "ready", machine)
        assert switched.starts == 1 and machine.network_first
