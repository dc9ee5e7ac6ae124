"""From the firmware's first DHCP packet to a verified system: real dnsmasq, real loaders, QEMU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest

from deployer.settings import Settings
from lab.machine import Firmware
from tests.support.netboot import another_server, open_folder
from tests.support.netlab import RANGE, NetLab
from tests.support.netns import Segment, needs_root

pytestmark = [
    needs_root,
    pytest.mark.parametrize("backend", ["sqlite"], indirect=True),
]
Boots = Literal["pxe", "http"] | None


@pytest.fixture
def lab(settings: Settings) -> Iterator[NetLab]:
    with (
        open_folder() as folder,
        Segment(others=("other",)) as segment,
        NetLab(settings, folder, segment) as lab,
    ):
        yield lab


def saw(lab: NetLab, id_: str) -> list[str]:
    """What DHCP and TFTP have told, in order."""
    told = [line for line in lab.history(id_) if line["by"].startswith("netboot")]
    return [line["event"] for line in told]


def becomes_web01(lab: NetLab, firmware: Firmware, boots: Boots) -> str:
    """Install it, look for ourselves, and let it come by the network once more."""
    machine = lab.plugs_in(firmware, boots)
    lab.describes(machine)
    id_ = lab.arms()
    with machine:
        lab.becomes(id_, "ready", machine)
        seen = lab.logs_in(machine, "hostname; ls /sys/firmware")
        assert seen.startswith("web01\n")
        assert ("efi\n" in seen) is (firmware == "uefi")
    return id_


CASES: list[Any] = [
    pytest.param("uefi", "pxe", "full", id="uefi-pxe-full", marks=pytest.mark.qemu),
    pytest.param("uefi", "http", "full", id="uefi-http-full", marks=pytest.mark.e2e),
    pytest.param("bios", None, "full", id="bios-full", marks=pytest.mark.e2e),
    pytest.param("bios", None, "proxy", id="bios-proxy", marks=pytest.mark.qemu),
    pytest.param("uefi", "pxe", "proxy", id="uefi-pxe-proxy", marks=pytest.mark.e2e),
    pytest.param("uefi", "http", "proxy", id="uefi-http-proxy", marks=pytest.mark.e2e),
]


@pytest.mark.parametrize(("firmware", "boots", "mode"), CASES)
def test_from_dhcp_to_a_login(lab: NetLab, firmware: Firmware, boots: Boots, mode: str) -> None:
    if mode == "proxy":
        another_server(lab.segment.others["other"], lab.folder)
        lab.netboots("--mode", "proxy", "--dhcp-server", "10.77.0.2")
    else:
        lab.netboots("--mode", "full", "--range", RANGE)
    id_ = becomes_web01(lab, firmware, boots)
    print(saw(lab, id_))
    for line in lab.history(id_):
        print(line)
