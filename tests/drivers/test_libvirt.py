"""The libvirt driver against a stand-in with a machine, and its XML against libvirt itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from deployer.drivers.power.base import PowerState
from deployer.drivers.power.libvirt import network, with_network_first
from deployer.errors import DriverError, DriverRefused, Invalid
from deployer.services import power
from tests.support.power import driver, host
from tests.support.virsh import DOMAIN, Libvirt

MACS = ["52:54:00:12:34:56"]


@pytest.fixture
def libvirt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Libvirt:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return Libvirt(tmp_path)


def test_the_machine_starts_from_its_own_nic_and_then_from_its_disk(libvirt: Libvirt) -> None:
    switch = driver({"driver": "libvirt"})
    assert switch.state() is PowerState.OFF
    assert "from the network" in switch.boot_once()
    assert switch.cycle() == "libvirt started web01"
    live = ET.fromstring(libvirt.live)
    assert live.findall("os/boot") == []
    orders = {
        next(iter(child.attrib.values())): boot.get("order")
        for device in live.findall("devices/*")
        if (boot := device.find("boot")) is not None
        for child in device.findall("mac") + device.findall("target")
    }
    assert orders == {"52:54:00:12:34:56": "1", "vda": "2"}


@pytest.mark.slow
def test_a_running_machine_is_started_anew(libvirt: Libvirt) -> None:
    switch = driver({"driver": "libvirt", "domain": "web01"})
    switch.cycle()
    switch.boot_once()
    switch.cycle()
    assert ET.fromstring(libvirt.live).find("devices/interface/boot") is not None
    assert switch.off() == "libvirt switched web01 off"
    assert switch.off() == "it was off"
    assert libvirt.state == "shut off"


def test_over_ssh_our_own_key_is_used_and_nobody_is_asked(libvirt: Libvirt, tmp_path: Path) -> None:
    uri = "qemu+ssh://root@127.0.0.1/system"
    driver({"driver": "libvirt", "uri": uri}, ssh_key_file=tmp_path / "key").state()
    assert (tmp_path / "uri").read_text() == f"{uri}?no_tty=1&keyfile={tmp_path}/key"


def test_it_goes_to_allowed_networks_alone(libvirt: Libvirt) -> None:
    with pytest.raises(DriverRefused, match="may not be connected to"):
        driver({"driver": "libvirt", "uri": "qemu+tcp://127.0.0.1/system"}, networks="").state()


def test_a_machine_that_is_not_there_is_refused(libvirt: Libvirt) -> None:
    with pytest.raises(DriverRefused, match="failed to get domain 'web02'"):
        driver({"driver": "libvirt", "domain": "web02"}).state()


def test_a_machine_without_the_hosts_nic_is_not_changed(libvirt: Libvirt) -> None:
    (libvirt.folder / "inactive").write_text(DOMAIN.replace("12:34:56", "12:34:57"))
    with pytest.raises(DriverRefused, match="no NIC with a MAC of the host's"):
        driver({"driver": "libvirt"}).boot_once()
    assert not any("define" in call for call in libvirt.calls)


def test_a_libvirt_that_forgets_is_caught(libvirt: Libvirt) -> None:
    script = libvirt.folder / "virsh"
    forgets = script.read_text().replace(
        "sys.exit(", "'define' in sys.argv and sys.exit(0)\nsys.exit("
    )
    script.write_text(forgets)
    with pytest.raises(DriverError, match="does not show it"):
        driver({"driver": "libvirt"}).boot_once()


@pytest.mark.parametrize(
    "uri",
    [
        "qemu+ext:///system?command=/bin/sh", "qemu+ssh://kvm1/system?command=/bin/sh",
        "qemu+ssh://-oProxyCommand=x/system", "qemu+ssh://root:secret@kvm1/system", "qemu",
        "file:///etc/passwd", "qemu+ssh://kvm1/system?netcat=x", "qemu:///system\n", "",
        "test:///etc/passwd", "qemu+libssh2://kvm1/system",
    ],
)  # fmt: skip
def test_a_uri_that_could_run_something_is_refused(uri: str) -> None:
    with pytest.raises(Invalid) as refusal:
        power.check(host(driver="libvirt", uri=uri))
    assert refusal.value.field == "power.uri" and "secret" not in str(refusal.value.value)


@pytest.mark.parametrize("domain", ["--help", "", "a;b", "$(x)", "a\nb"])
def test_a_domain_that_could_be_an_option_is_refused(domain: str) -> None:
    with pytest.raises(Invalid):
        power.check(host(driver="libvirt", domain=domain))


def test_disks_keep_their_order() -> None:
    text = (
        "<domain><os/><devices><disk><target dev='vda'/><boot order='3'/></disk>"
        "<disk><target dev='vdb'/><boot order='2'/></disk><disk><target dev='vdc'/></disk>"
        "<interface><mac address='52:54:00:12:34:56'/></interface></devices></domain>"
    )
    domain = with_network_first(ET.fromstring(text), MACS)
    orders = {
        str(disk.find("target").get("dev")): disk.find("boot").get("order")  # type: ignore[union-attr]
        for disk in domain.findall("devices/disk")
    }
    assert orders == {"vdb": "2", "vda": "3", "vdc": "4"}
    assert network(domain, MACS).find("boot").get("order") == "1"  # type: ignore[union-attr]


@pytest.mark.skipif(shutil.which("virsh") is None, reason="libvirt-clients is not installed")
def test_libvirt_itself_takes_the_description_and_keeps_it() -> None:
    """Its test driver forgets at the end of each call, so both are one call."""
    virsh = ["virsh", "-q", "-c", "test:///default"]
    described = subprocess.run(
        [*virsh, "dumpxml", "--inactive", "test"], capture_output=True, text=True, check=True
    ).stdout
    wanted = ET.tostring(with_network_first(ET.fromstring(described), ["aa:bb:cc:dd:ee:ff"]))
    kept = subprocess.run(
        [*virsh, "define /dev/stdin; dumpxml --inactive test"],
        input=wanted, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    domain = ET.fromstring(kept[kept.index("<domain") :])
    assert network(domain, ["aa:bb:cc:dd:ee:ff"]).find("boot").get("order") == "1"  # type: ignore[union-attr]
    assert [disk.find("boot").get("order") for disk in domain.findall("devices/disk")] == ["2"]  # type: ignore[union-attr]
