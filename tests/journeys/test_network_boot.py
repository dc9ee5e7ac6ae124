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


def becomes_web01(lab: NetLab, firmware: Firmware, boots: Boots, layout: str = "plain") -> str:
    """Install it, let it come by the network once more, and look for ourselves."""
    machine = lab.plugs_in(firmware, boots)
    lab.describes(machine, storage={"disk": {"min_size": "5G"}, "layout": layout})
    id_ = lab.arms()
    with machine:
        lab.becomes(id_, "ready", machine)
        seen = lab.logs_in(machine, "hostname; findmnt -no SOURCE /; ls /sys/firmware")
        assert seen.startswith("web01\n")
        assert ("/dev/mapper/vg0-root" if layout == "lvm" else "/dev/vda3") in seen
        assert ("efi\n" in seen) is (firmware == "uefi")
    return id_


CASES: list[Any] = [
    pytest.param("uefi", "pxe", "full", id="uefi-pxe-full", marks=pytest.mark.qemu),
    pytest.param("uefi", "http", "full", id="uefi-http-full", marks=pytest.mark.e2e),
    pytest.param("bios", None, "full", id="bios-full", marks=pytest.mark.e2e),
    pytest.param("bios", None, "proxy", id="bios-proxy", marks=pytest.mark.e2e),
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
    id_ = becomes_web01(lab, firmware, boots, "lvm" if mode == "full" else "plain")
    told = saw(lab, id_)
    # Beside another server, PXE is told to ask again, on port 4011; HTTP boot has its file at once.
    first = {"full": "dhcp_offer", "proxy": "proxy_offer" if boots == "pxe" else "proxy_file"}[mode]
    if boots:  # by the firmware itself; a BIOS of QEMU has iPXE in its network card
        assert told[0] == first
    assert ("tftp_read" in told) is (boots == "pxe")
    assert told[-1] == "dhcp_script", "then iPXE asked, and was led to the boot script"


@pytest.mark.e2e
def test_a_site_that_keeps_grub_as_its_loader(lab: NetLab) -> None:
    lab.netboots("--mode", "full", "--range", RANGE, "--loader", "grub")
    id_ = becomes_web01(lab, "uefi", "pxe")
    read = [line["detail"]["file"] for line in lab.history(id_) if line["event"] == "tftp_read"]
    assert read[0] == "grub-x86_64.efi"
    assert "dhcp_script" not in saw(lab, id_), "no iPXE was there"


@pytest.mark.e2e
def test_a_site_that_keeps_pxelinux_as_its_loader(lab: NetLab) -> None:
    """The iPXE in QEMU's network card plays the PXE ROM here: it is sent to PXELINUX, too."""
    fragment = lab.folder / "fragment.conf"
    fragment.write_text("dhcp-boot=tag:ipxe,tag:arch0,lpxelinux.0\n")
    lab.netboots(
        "--mode", "full", "--range", RANGE, "--loader", "pxelinux", "--fragment", str(fragment)
    )
    machine = lab.plugs_in("bios", None)
    lab.describes(machine)
    id_ = lab.arms()
    with machine:
        lab.becomes(id_, "ready", machine)
        assert lab.logs_in(machine, "hostname").startswith("web01\n")
        assert "PXELINUX" in machine.console()
    read = [line["detail"]["file"] for line in lab.history(id_) if line["event"] == "tftp_read"]
    assert "lpxelinux.0" in read
