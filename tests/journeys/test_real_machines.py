"""Real firmware, real iPXE, the real live system, a real Debian: whole stories in QEMU."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployer.settings import Settings
from lab.machine import DiskSpec, Firmware, Machine
from tests.support.apt import Repository
from tests.support.lab import INSTALL_SECONDS, MAC, Lab
from tests.support.live import until
from tests.support.service import ok

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.parametrize("backend", ["sqlite"], indirect=True),
]


@pytest.fixture
def lab(settings: Settings, tmp_path: Path) -> Iterator[Lab]:
    with Lab(settings, tmp_path) as lab:
        yield lab


def data_disk(folder: Path) -> tuple[DiskSpec, str]:
    """A second disk full of somebody's data, and its checksum."""
    path = folder / "data.raw"
    path.write_bytes(b"somebody's only copy " * 200_000)
    with path.open("ab") as file:
        file.truncate(3 * 10**9)
    return DiskSpec(path, serial="DISK-DATA"), checksum(path)


def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ends_ready(lab: Lab, machine: Machine, id_: str, layout: str, firmware: Firmware) -> None:
    """Verified by the service, and by us, who look for ourselves."""
    lab.becomes(id_, "ready", machine)
    seen = lab.logs_in(
        machine, "hostname; findmnt -no SOURCE,FSTYPE /; ls /sys/firmware; cat /etc/os-release"
    )
    assert seen.startswith("web01\n")
    assert ("/dev/mapper/vg0-root" if layout == "lvm" else "/dev/vda3") in seen
    assert ("efi\n" in seen) is (firmware == "uefi")
    assert 'VERSION_ID="12"' in seen


def test_t119_bios_plain_with_a_second_disk_that_survives(lab: Lab, tmp_path: Path) -> None:
    data, before = data_disk(tmp_path)
    machine = lab.a_machine("bios", lab.disk("a"), data)
    lab.describes(machine)
    id_ = lab.arms()
    with machine:
        ends_ready(lab, machine, id_, "plain", "bios")
        assert checksum(data.path) == before
        restarts_into_its_own_disk(lab, machine)
        assert lab.state(id_) == "ready"


def restarts_into_its_own_disk(lab: Lab, machine: Machine) -> None:
    """A finished host that comes by the network again is sent to its disk."""
    position = len(machine.console())
    machine.reset()
    machine.wait_for_console("Deployer: asking", 300, after=position)
    machine.wait_for_console("web01 login:", 600, after=position)
    assert "loading" not in machine.console()[position:].split("login:")[0].split("GRUB")[0]


@pytest.mark.e2e
@pytest.mark.parametrize("layout", ["plain", "lvm"])
@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_every_firmware_with_every_layout(lab: Lab, firmware: Firmware, layout: str) -> None:
    machine = lab.a_machine(firmware)
    lab.describes(machine, storage={"disk": {"min_size": "5G"}, "layout": layout})
    id_ = lab.arms()
    with machine:
        ends_ready(lab, machine, id_, layout, firmware)


@pytest.mark.e2e
def test_an_installed_disk_becomes_the_image_of_another_machine(lab: Lab, tmp_path: Path) -> None:
    """A raw image: written as it is, grown to the larger disk, and given an identity of its own."""
    first = lab.a_machine("bios", lab.disk("a", "4G"))
    lab.describes(first, storage={"disk": {"min_size": "3G"}})
    id_ = lab.arms()
    with first:
        lab.becomes(id_, "ready", first)
        machine_id = lab.logs_in(first, "cat /etc/machine-id")
        switches_off(first)
    lab.brings_in(first.disks[0].path, "golden")
    second = lab.a_machine("bios", lab.disk("b", "6G"))
    second.ssh_port = first.ssh_port
    profile = {**ok(lab.api.get("/api/v1/profiles/debian-12-image")), "release": "custom"}
    spec = {k: v for k, v in profile.items() if k not in ("id", "created_at", "updated_at")}
    ok(lab.api.put("/api/v1/profiles/debian-12-image", json={**spec, "vars": {"image": "golden"}}))
    id_ = lab.arms()
    with second:
        lab.becomes(id_, "ready", second)
        assert lab.logs_in(second, "cat /etc/machine-id") != machine_id
        size = int(lab.logs_in(second, "findmnt -bno SIZE /"))
        assert size > 4.5 * 10**9, "the root file system fills the larger disk"


@pytest.mark.e2e
@pytest.mark.parametrize("release", ["11", "13"])
def test_the_debian_before_and_the_one_after(lab: Lab, release: str) -> None:
    lab.builds(release)
    machine = lab.a_machine("uefi")
    verify = {"release": release, "packages": ["openssh-server"]}
    lab.describes(machine, release=f"debian-{release}", verify=verify)
    id_ = lab.arms()
    with machine:
        lab.becomes(id_, "ready", machine)
        assert f'VERSION_ID="{release}"' in lab.logs_in(machine, "cat /etc/os-release")


@pytest.mark.e2e
def test_a_machine_is_installed_again_over_its_old_volume_group(lab: Lab) -> None:
    machine = lab.a_machine("bios")
    lab.describes(machine, storage={"disk": {"min_size": "5G"}, "layout": "lvm"})
    seen = []
    for _ in range(2):
        id_ = lab.arms()
        with machine:
            ends_ready(lab, machine, id_, "lvm", "bios")
            seen.append(lab.logs_in(machine, "cat /etc/machine-id; sudo vgs --noheadings -o uuid"))
    first, second = (text.split() for text in seen)
    assert len(first) == len(second) == 2, "one volume group"
    assert not set(first) & set(second), "nothing is left of the first"


@pytest.mark.e2e
@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_a_mirror_starts_without_the_first_of_its_disks(lab: Lab, firmware: Firmware) -> None:
    lab.builds(include=["mdadm"])
    machine = lab.a_machine(firmware, lab.disk("a", "4G"), lab.disk("b", "4G"))
    disk = {"serial": ["DISK-A", "DISK-B"]}
    lab.describes(machine, storage={"layout": "raid1", "disk": disk, "swap": "200MiB"})
    id_ = lab.arms()
    with machine:
        lab.becomes(id_, "ready", machine)
        seen = lab.logs_in(machine, "findmnt -no SOURCE /; cat /proc/mdstat /proc/swaps")
        assert seen.startswith("/dev/md") and seen.count("[2/2] [UU]") == 2
        assert seen.split("Filename")[1].count("/dev/md") == 1
        switches_off(machine)
    machine.disks = machine.disks[1:]
    position = len(machine.console())
    with machine:
        machine.wait_for_console("web01 login:", 600, after=position)
        seen = lab.logs_in(
            machine, "cat /proc/mdstat; lsblk -dno SERIAL /dev/vda; systemctl --failed"
        )
        assert seen.count("[2/1] [_U]") == 2 and "DISK-B" in seen
        assert "0 loaded units listed" in seen


def switches_off(machine: Machine) -> None:
    machine.power_down()
    until(lambda: not machine.running, 120, "switched off")


@pytest.mark.e2e
@pytest.mark.parametrize(("firmware", "layout"), [("uefi", "lvm"), ("bios", "plain")])
def test_volumes_of_every_kind_over_a_bond_with_a_tagged_network(
    lab: Lab, firmware: Firmware, layout: str
) -> None:
    lab.builds(include=["xfsprogs", "btrfs-progs"])
    machine = lab.a_machine(firmware)
    volumes = [
        {"mount": "/var/log", "size": "400MiB", "fs": "xfs"},
        {"mount": "/var", "size": "1GiB"},
        {"mount": "/", "size": "3GiB", "fs": "xfs"},
        {"mount": "/srv/data", "fs": "btrfs"},
    ]
    disk = {"min_size": "5G"}
    lab.describes(
        machine, storage={"disk": disk, "layout": layout, "swap": "200MiB", "volumes": volumes}
    )  # fmt: skip
    bond = {"members": [MAC], "mode": "active-backup"}
    lab.has_interfaces(
        {"name": "bond7", "bond": bond},
        {"name": "tagged", "vlan": {"id": 42, "link": "bond7"}, "addresses": ["10.42.0.7/24"]},
    )
    id_ = lab.arms()
    with machine:
        lab.becomes(id_, "ready", machine)
        mounts = lab.logs_in(machine, "findmnt --real -rno TARGET,FSTYPE; cat /proc/swaps")
        assert {"/ xfs", "/var ext4", "/var/log xfs", "/srv/data btrfs"} <= set(mounts.splitlines())
        assert "204796" in mounts
        size = int(lab.logs_in(machine, "findmnt -bno SIZE /srv/data"))
        assert size > 1.5 * 10**9, "it takes what the others leave"
        links = lab.logs_in(machine, "ip -d -br addr; cat /proc/net/bonding/bond7; networkctl; "
                            "systemctl --failed")  # fmt: skip
        assert "tagged@bond7" in links and "10.42.0.7/24" in links and "10.0.2.15/24" in links
        assert "fault-tolerance (active-backup)" in links and f"HW addr: {MAC}" in links
        assert "0 loaded units listed" in links


@pytest.mark.e2e
def test_an_encrypted_system_starts_when_somebody_types_the_passphrase(lab: Lab) -> None:
    lab.builds(include=["cryptsetup-initramfs"])
    machine = lab.a_machine("bios")
    lab.keeps_secret("disk", "correct horse 'battery'")
    encrypted = {"layout": "encrypted", "passphrase": {"secret": "disk"}, "swap": "200MiB"}
    lab.describes(machine, storage={"disk": {"min_size": "5G"}, **encrypted})
    id_ = lab.arms()
    with machine:
        machine.wait_for_console("Please unlock disk", INSTALL_SECONDS)
        assert lab.state(id_) == "first_boot"
        machine.types("correct horse 'battery'\n")
        lab.becomes(id_, "ready", machine)
        seen = lab.logs_in(machine, "lsblk -rno NAME,TYPE,MOUNTPOINT; cat /etc/crypttab")
        assert "crypt0 crypt" in seen and "vg0-root lvm /" in seen and "vg0-swap lvm [SWAP]" in seen
        assert "correct horse" not in machine.console().replace("correct horse 'battery'\n", "")


@pytest.mark.e2e
def test_packages_of_a_repository_and_cloud_init_in_the_image(lab: Lab, tmp_path: Path) -> None:
    """cloud-init finds its seed and leaves names, network, users and host keys as they are."""
    lab.builds(include=["cloud-init"])
    machine = lab.a_machine("bios")
    with Repository(tmp_path / "repository", "company-hello") as repository:
        source = {"name": "ours", "url": f"http://10.0.2.2:{repository.port}"}
        lab.describes(
            machine, repositories=[{**source, "key": repository.public_key}],
            packages=["company-hello", "openssh-server"],
            scripts={"post": "cat /usr/share/company-hello/hello > /etc/motd"},
            verify={"release": "12", "packages": ["company-hello"]},
        )  # fmt: skip
        id_ = lab.arms()
        with machine:
            ends_ready(lab, machine, id_, "plain", "bios")
            assert lab.logs_in(machine, "cat /etc/motd") == "hello from a package\n"
            said = lab.logs_in(
                machine, "cloud-init status --wait --long; cat /run/cloud-init/result.json"
            )
            assert "status: done" in said and "DataSourceNoCloud" in said
            assert '"errors": []' in said
            left = lab.logs_in(machine, "find /etc/netplan /etc/network /etc/systemd/network; true")
            assert "10-deployer-1.network" in left and "cloud-init" not in left


@pytest.mark.e2e
def test_f030_the_service_is_killed_at_every_stage(lab: Lab) -> None:
    """And callbacks are repeated and out of order meanwhile (T041, T042)."""
    machine = lab.a_machine("bios")
    lab.describes(machine)
    id_ = lab.arms()
    with machine:
        machine.wait_for_console("Deployer: looking for hardware", 600)
        lab.restart()
        for stage in ("disks", "partitioning", "writing", "configuring", "bootloader"):
            lab.reaches_stage(id_, stage, machine)
            lab.kill()
            time.sleep(3)
            lab.start()
            repeats_itself(lab, id_)
        lab.becomes(id_, "first_boot", machine)
        lab.restart()
        repeats_itself(lab, id_)
        lab.becomes(id_, "verifying", machine)
        lab.restart()
        ends_ready(lab, machine, id_, "plain", "bios")
    moves = [line["to"] for line in history(lab, id_) if line["to"]]
    assert moves == ["queued", "booting", "installing", "first_boot", "verifying", "ready"]


def history(lab: Lab, id_: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = lab.api.get(f"/api/v1/deployments/{id_}/events").json()["items"]
    return items


def repeats_itself(lab: Lab, id_: str) -> None:
    """Say again what was said before; progress of long ago, too."""
    parts = lab.parts()
    token = parts.tokens(id_)["phone-home"]  # type: ignore[index]
    parts.database.dispose()
    state = lab.state(id_)
    url = f"http://{lab.settings.machine_listen}/d/{token}"
    assert httpx.post(f"{url}/phone-home/installer_started").status_code == 200
    old = {"stage": "partitioning", "percent": 1}
    assert httpx.post(f"{url}/progress", json=old).status_code == 200
    assert lab.state(id_) == state


def test_cancelled_in_the_middle_it_stops_and_boots_its_disk(lab: Lab) -> None:
    machine = lab.a_machine("bios")
    lab.describes(machine)
    id_ = lab.arms()
    with machine:
        lab.reaches_stage(id_, "writing", machine)
        assert lab.api.post(f"/api/v1/deployments/{id_}/cancel").status_code == 200
        position = len(machine.console())
        machine.wait_for_console("this deployment has ended", 180, after=position)
        machine.wait_for_console(
            "No more network devices|Booting from Hard Disk", 300, after=position
        )
        assert "loading" not in machine.console()[position:]
        assert lab.state(id_) == "cancelled"


def test_t119_a_rule_that_fits_two_disks_writes_to_none(lab: Lab, tmp_path: Path) -> None:
    machine = lab.a_machine("bios", lab.disk("a"), lab.disk("b"))
    lab.describes(machine)
    id_ = lab.arms()
    with machine:
        lab.becomes(id_, "failed", machine)
        machine.wait_for_console("STOPPED, nothing was written", 180)
    cause = lab.deployment(id_)["cause"]
    assert "2 disks fit" in cause and "DISK-A" in cause and "DISK-B" in cause
    for disk in machine.disks:
        assert disk.path.stat().st_size < 1_000_000, "a blank qcow2 has grown"


def test_t001_an_unknown_machine_boots_its_own_disk(lab: Lab) -> None:
    machine = lab.a_machine("bios")
    with machine:
        machine.wait_for_console("Deployer: asking", 300)
        machine.wait_for_console("No more network devices|Booting from Hard Disk", 300)
        assert "loading" not in machine.console()
