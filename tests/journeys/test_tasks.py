"""What the live system does beside installing, on real machines in QEMU."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployer.settings import Settings
from lab.machine import KERNEL_ARGS, DiskSpec, Machine
from tests.support.lab import MAC, Lab
from tests.support.live import until
from tests.support.service import ok

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.parametrize("backend", ["sqlite"], indirect=True),
]
MARK = b"somebody's only copy "
MIB = 2**20


@pytest.fixture
def lab(settings: Settings, tmp_path: Path) -> Iterator[Lab]:
    with Lab(settings, tmp_path) as lab:
        yield lab


def full_disk(folder: Path, name: str, mib: int) -> DiskSpec:
    """A disk with somebody's data all over."""
    path = folder / f"{name}.raw"
    path.write_bytes((MARK * (mib * MIB // len(MARK) + 1))[: mib * MIB])
    return DiskSpec(path, serial=f"DISK-{name.upper()}")


def checksum(disk: DiskSpec) -> str:
    return hashlib.sha256(disk.path.read_bytes()).hexdigest()


def event(lab: Lab, id_: str, name: str) -> dict[str, Any]:
    lines = ok(lab.api.get(f"/api/v1/deployments/{id_}/events"))["items"]
    found: dict[str, Any] = next(line["detail"] for line in lines if line["event"] == name)
    return found


def begins(lab: Lab, machine: Machine, **profile: Any) -> str:
    """web01 is about to have this done to it."""
    ssh = {"address": "127.0.0.1", "port": machine.ssh_port}
    ok(lab.api.post("/api/v1/hosts", json={"name": "web01", "macs": [MAC], "ssh": ssh}))
    spec = {"name": "task", "os": "live", "kernel_args": KERNEL_ARGS, **profile}
    ok(lab.api.post("/api/v1/profiles", json=spec))
    body = {"host": "web01", "profile": "task"}
    id_ = str(ok(lab.api.post("/api/v1/deployments", json=body))["id"])
    lab.waits_for(id_, "booting")
    return id_


def test_a_wiped_disk_holds_no_byte_of_what_was_on_it(lab: Lab, tmp_path: Path) -> None:
    wiped = [full_disk(tmp_path, "a", 64), full_disk(tmp_path, "b", 300)]
    kept = full_disk(tmp_path, "data", 400)
    before = checksum(kept)
    machine = lab.a_machine("bios", *wiped, kept)
    rule = {"max_size": "350MiB", "pick": "all"}
    id_ = begins(lab, machine, release="wipe", workflow="wipe", storage={"disk": rule})
    with machine:
        lab.becomes(id_, "ready", machine)
        until(lambda: not machine.running, 120, "switched itself off")
    for disk in wiped:
        assert disk.path.read_bytes().strip(b"\0") == b""
    assert checksum(kept) == before
    assert event(lab, id_, "installer_finished")["results"] == [
        f"/dev/vda {64 * MIB} bytes serial DISK-A: zeros all over, read back: whole",
        f"/dev/vdb {300 * MIB} bytes serial DISK-B: zeros all over, read back: whole",
    ]
    (left,) = event(lab, id_, "disk_chosen")["others"]
    assert "DISK-DATA" in left


def test_a_rescued_machine_lets_in_who_may_and_is_known_by_its_key(
    lab: Lab, tmp_path: Path
) -> None:
    disk = full_disk(tmp_path, "a", 64)
    before = checksum(disk)
    machine = lab.a_machine("bios", disk)
    public = lab.key().with_suffix(".pub").read_text().strip()
    users = [{"name": "ops", "ssh_keys": [public]}]
    id_ = begins(lab, machine, release="rescue", workflow="rescue", users=users)
    with machine:
        lab.becomes(id_, "ready", machine)
        (line,) = event(lab, id_, "installer_finished")["results"]
        login, _, host_key = line.partition("; its host key: ")
        assert login == "ssh root@10.0.2.15"
        assert logs_in(lab, machine, host_key, "cat /proc/mounts; lvs; mdadm --version; id -un")
        assert "/dev/vda" not in logs_in(lab, machine, host_key, "cat /proc/mounts")
        assert logs_in(lab, machine, host_key, "lsblk -dno NAME,SERIAL /dev/vda").split() == [
            "vda", "DISK-A",
        ]  # fmt: skip
        position = len(machine.console())
        machine.reset()
        machine.wait_for_console(
            "No more network devices|Booting from Hard Disk", 300, after=position
        )
        assert "loading" not in machine.console()[position:]
    assert checksum(disk) == before


def logs_in(lab: Lab, machine: Machine, host_key: str, command: str) -> str:
    """What `command` prints, as root, by ssh that trusts this host key and no other."""
    known = lab.folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{machine.ssh_port} {host_key}\n")
    ssh = ["ssh", "-i", str(lab.key()), "-p", str(machine.ssh_port), "-o", "BatchMode=yes",
           "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={known}"]  # fmt: skip
    done = subprocess.run(
        [*ssh, "root@127.0.0.1", command], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_machine_that_is_burnt_in_tells_what_was_tested_and_keeps_its_disk(
    lab: Lab, tmp_path: Path
) -> None:
    disk = full_disk(tmp_path, "a", 64)
    before = checksum(disk)
    machine = lab.a_machine("bios", disk)
    id_ = begins(lab, machine, release="burn-in", workflow="burn_in", vars={"minutes": 1})
    with machine:
        lab.becomes(id_, "ready", machine)
        machine.wait_for_console("No more network devices|Booting from Hard Disk", 300)
    assert checksum(disk) == before
    found = event(lab, id_, "installer_finished")
    assert found["message"] == "no fault in 1 minutes"
    memory, vda, *_ = found["results"]
    assert re.fullmatch(r"memory and CPU: \d{3,4} MiB by 2 threads, no fault", memory)
    assert (match := re.match(r"/dev/vda serial DISK-A: read (\d+) MiB of 64, 0 errors", vda))
    assert int(match[1]) >= 64, "all of it at least once"
