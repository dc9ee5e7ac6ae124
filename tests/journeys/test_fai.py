"""FAI, from Debian's packages alone: firmware, network, installation, and a login in the end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.media.build import build_fai
from deployer.settings import Settings
from lab.machine import Firmware
from tests.support.lab import CACHE, Lab

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.e2e,
    pytest.mark.parametrize("backend", ["sqlite"], indirect=True),
]
_IMAGE = CACHE / "images" / "fai-12-x86_64"


@pytest.fixture
def lab(settings: Settings, tmp_path: Path) -> Iterator[Lab]:
    if not (_IMAGE / "image.json").exists():
        build_fai(_IMAGE, log=lambda _: None)
    with Lab(settings, tmp_path) as lab:
        lab._register(_IMAGE)
        yield lab


@pytest.mark.parametrize(
    ("firmware", "layout", "root"),
    [("bios", "plain", "ext4"), ("uefi", "lvm", "xfs"), ("bios", "raid1", "ext4")],
)
def test_a_machine_is_installed_by_fai(
    lab: Lab, firmware: Firmware, layout: str, root: str
) -> None:
    disks = [lab.disk("a"), *([lab.disk("b")] if layout == "raid1" else [])]
    machine = lab.a_machine(firmware, *disks)
    machine.memory_mib = 3072  # MiB; the installation system lies in memory
    fs = [{"mount": "/", "fs": root}]
    storage = {"disk": {"min_size": "5G"}, "layout": layout, "volumes": fs, "swap": "512MiB"}
    if layout == "raid1":
        storage["disk"] = {"serial": ["DISK-A", "DISK-B"]}
    lab.describes(machine, os="fai", release="12", storage=storage, timezone="Europe/Zurich")
    id_ = lab.arms()
    with machine:
        lab.becomes(id_, "ready", machine, seconds=3600)
        swap = "/sbin/swapon --show=SIZE --noheadings"  # not in the path of an account
        seen = lab.logs_in(machine, f"findmnt -no FSTYPE /; {swap}; date +%Z").split()
        size = "511M" if layout == "raid1" else "512M"  # RAID keeps a megabyte for itself
        assert seen[:2] == [root, size] and seen[2] in ("CET", "CEST")
        home = "/var/lib/deployer"  # of the account that verifies
        left = lab.logs_in(machine, f"sudo find /var/log /var/lib /root -type f ! -path '{home}/*'")
        assert "/root/.bashrc" in left and "/fai" not in left.replace("/faillog", "")
        assert "deployer" not in left
    events = lab.history(id_)
    assert [e["detail"].get("stage") for e in events if e["event"] == "progress"][:3] == [
        "disks", "partitioning", "writing",
    ]  # fmt: skip


def test_where_the_rule_fits_two_disks_fai_writes_to_none(lab: Lab) -> None:
    machine = lab.a_machine("bios", lab.disk("a"), lab.disk("b"))
    machine.memory_mib = 3072
    lab.describes(machine, os="fai", release="12")
    id_ = lab.arms()
    with machine:
        lab.becomes(id_, "failed", machine)
    assert "2 disks fit" in lab.deployment(id_)["cause"]
    for disk in machine.disks:
        compared = subprocess.run(
            ["qemu-img", "map", "--output=json", str(disk.path)], capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert '"data": true' not in compared.stdout
