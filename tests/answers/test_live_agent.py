"""live/agent and its tasks in the live system's own surroundings, against the service as a process.

The machine is the test's: plain files for disks, stand-ins for what would end it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployer.settings import Settings
from tests.support.live import LiveService, until
from tests.support.live_root import MIB, LiveRoot, needs_live_root, unpack
from tests.support.service import MAC, ok

pytestmark = [*needs_live_root, pytest.mark.parametrize("backend", ["sqlite"], indirect=True)]
MARK = b"somebody's only copy "
ALL = {"disk": {"pick": "all"}}


def marked(mib: int) -> bytes:
    return (MARK * (mib * MIB // len(MARK) + 1))[: mib * MIB]


class Machine:
    """The host web01, which has something done to it by the live system."""

    def __init__(self, live: LiveService, root: LiveRoot) -> None:
        self.live, self.root = live, root
        self.root.changes("wipe", "256 * MIB", "4 * MIB")
        self.process: subprocess.Popen[str] | None = None
        self.id = ""

    def begins(self, release: str = "wipe", **profile: Any) -> None:
        given = {"users": [], "verify": {}, "workflow": release.replace("-", "_"), **profile}
        self.live.knows(os="live", release=release, **given)
        self.id = self.live.queues()
        self.live.waits_for(self.id, "booting")
        machine = self.live.machine()
        machine.asks()
        self.process = self.root.starts(
            f"{self.live.settings.effective_machine_url}{machine.plan_url}"
        )

    def ends(self, state: str) -> dict[str, Any]:
        until(
            lambda: self.live.state(self.id) in ("ready", "failed", "cancelled"), 60, self.root.log
        )
        found = self.live.deployment(self.id)
        assert found["state"] == state, f"{found['cause']}\n{self.root.log()}"
        return found

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = ok(self.live.api.get(f"/api/v1/deployments/{self.id}/events"))["items"]
        return [line for line in lines if line["event"] == name]

    def is_told(self, name: str) -> None:
        until(lambda: self.root.told(name), 20, self.root.log)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = unpack(tmp_path_factory.mktemp("live"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def machine(settings: Settings, tmp_path: Path, unpacked: Path) -> Iterator[Machine]:
    with LiveService(settings) as live:
        live.start()
        made = Machine(live, LiveRoot(unpacked, tmp_path / "root", MAC))
        yield made
        if made.process is not None:
            made.process.kill()
            made.process.communicate()


def test_every_disk_of_the_rule_holds_nothing_but_zeros_and_no_other_is_touched(
    machine: Machine,
) -> None:
    disks = [
        machine.root.has_disk("vda", marked(9)),
        machine.root.has_disk("vdb", marked(5) + b"x" * 512),
    ]
    other = machine.root.has_disk("sdc", marked(3), rota=True)
    stick = machine.root.has_disk("sdd", marked(3), rm=True)
    machine.begins(storage={"disk": {"type": "ssd", "pick": "all"}})
    machine.ends("ready")
    machine.is_told("poweroff")
    assert all(disk.read_bytes().strip(b"\0") == b"" for disk in disks)
    assert [disk.stat().st_size for disk in disks] == [9 * MIB, 5 * MIB + 512]
    assert other.read_bytes() == stick.read_bytes() == marked(3)
    (finished,) = machine.events("installer_finished")
    assert finished["detail"] == {
        "message": "wiped: /dev/vda /dev/vdb",
        "results": [
            "/dev/vda 9437184 bytes serial S-vda ACME: zeros all over, read back: whole",
            "/dev/vdb 5243392 bytes serial S-vdb ACME: zeros all over, read back: whole",
        ],
    }
    stages = [line["detail"]["stage"] for line in machine.events("progress")]
    assert stages == ["disks", "wiping", "reading", "finishing"]


def test_samples_are_read_of_both_ends_and_in_between(machine: Machine) -> None:
    disk = machine.root.has_disk("vda", marked(14))
    machine.root.changes("wipe", "100 * MIB", "5 * MIB")
    machine.root.program("usr/bin/dd.real", "")
    (machine.root.root / "usr/bin/dd").rename(machine.root.root / "usr/bin/dd.real")
    machine.root.program(
        "usr/bin/dd", '#!/bin/bash\necho "$*" >> /tmp/dd.told\nexec dd.real "$@"\n'
    )
    machine.begins(storage=ALL, vars={"read_back": "sampled"})
    machine.ends("ready")
    assert disk.read_bytes().strip(b"\0") == b""
    read = [line for line in machine.root.told("dd") if "if=/dev/vda" in line]
    at = [int(line.split("skip=")[1].split()[0]) // MIB for line in read]
    assert len(at) == 3 and at[0] == 0 and 5 <= at[1] < 10 and at[2] == 13


def test_a_place_that_cannot_be_zeroed_at_once_is_overwritten_piece_by_piece(
    machine: Machine,
) -> None:
    disk = machine.root.has_disk("vda", marked(9))
    machine.root.program("usr/bin/blkdiscard", "#!/bin/bash\nexit 1\n")
    machine.begins(storage=ALL)
    machine.ends("ready")
    assert disk.read_bytes().strip(b"\0") == b""


def test_a_disk_with_a_bad_place_fails_and_the_others_are_wiped_all_the_same(
    machine: Machine,
) -> None:
    bad, good = (machine.root.has_disk(name, marked(9)) for name in ("vda", "vdb"))
    begin = "  local at=0 length size=${SIZE[$1]} bad=()\n"
    only_here = '  if [ "$1" = /dev/vda ]; then PATH=/tmp/bad:$PATH; fi\n'
    machine.root.changes("wipe", begin, begin + only_here)
    machine.root.program("tmp/bad/blkdiscard", "#!/bin/bash\nexit 1\n")
    machine.root.program(
        "tmp/bad/dd",
        f'#!/bin/bash\n[[ "$*" != *seek={6 * MIB}* ]] || exit 1\nexec /usr/bin/dd "$@"\n',
    )
    machine.begins(storage=ALL)
    cause = machine.ends("failed")["cause"]
    assert f"/dev/vda: it cannot be overwritten at byte {6 * MIB} and 0 other places" in cause
    assert "no fault so far: /dev/vdb" in cause
    assert good.read_bytes().strip(b"\0") == b""
    assert bad.read_bytes().strip(b"\0") == marked(9)[6 * MIB : 7 * MIB]


def test_a_disk_that_only_says_that_it_was_overwritten_is_found_out(machine: Machine) -> None:
    machine.root.has_disk("vda", marked(9))
    machine.root.program("usr/bin/blkdiscard", "#!/bin/bash\nexit 0\n")
    machine.begins(storage=ALL)
    cause = machine.ends("failed")["cause"]
    assert "not wiped: /dev/vda: 4194304 bytes after byte 0 are not zero" in cause
    assert machine.root.told("poweroff") == []


def test_t119_without_being_asked_for_all_disks_one_of_two_is_not_chosen(machine: Machine) -> None:
    disks = [machine.root.has_disk(name, marked(3)) for name in ("vda", "vdb")]
    machine.begins()
    assert "2 disks fit" in machine.ends("failed")["cause"]
    assert [disk.read_bytes() for disk in disks] == [marked(3)] * 2


def test_t120_another_machine_with_this_mac_keeps_its_disks(machine: Machine) -> None:
    disk = machine.root.has_disk("vda", marked(3))
    machine.root.write("sys/class/net/eth0/address", "52:54:00:99:99:99\n")
    machine.begins(storage=ALL)
    assert "none of this machine's NICs" in machine.ends("failed")["cause"]
    assert disk.read_bytes() == marked(3)


def test_a_cancelled_wipe_goes_no_further(machine: Machine) -> None:
    disk = machine.root.has_disk("vda", marked(41))
    step = "    at=$((at + length))\n    echo"
    machine.root.changes("wipe", step, f"    sleep 1\n{step}")
    machine.begins(storage=ALL)
    until(
        lambda: (machine.live.deployment(machine.id)["progress"] or {}).get("percent", 0) > 10, 30
    )
    assert httpx.post(
        f"{machine.live.url}/api/v1/deployments/{machine.id}/cancel",
        headers=dict(machine.live.api.headers),
    ).is_success
    machine.is_told("reboot")
    assert disk.read_bytes()[-10 * MIB :] == marked(41)[-10 * MIB :]


# --- burn-in ----------------------------------------------------------------------------------


@pytest.fixture
def burning(machine: Machine) -> Machine:
    """Two seconds long; memory is fine, and so are disk, sensors and the kernel's log."""
    root = machine.root
    root.changes("burn-in", "{PLAN[burn_in.minutes]} * 60", "{PLAN[burn_in.minutes]} * 2")
    root.changes("burn-in", "sleep 10", "sleep 1")
    root.program("usr/bin/stressapptest", '#!/bin/bash\necho "$*" > /tmp/stress.told; sleep "$2"\n')
    root.program("usr/bin/dmesg", "#!/bin/bash\ncat /tmp/dmesg\n")
    (root.root / "usr/sbin/smartctl").unlink(missing_ok=True)
    root.program("usr/bin/smartctl", "#!/bin/bash\ncat /tmp/smart\n")
    root.write("tmp/dmesg", "old trouble: I/O error\n")
    smart = {"smart_status": {"passed": True}, "temperature": {"current": 38},
             "ata_smart_attributes": {"table": [{"id": 5, "raw": {"value": 3}}]}}  # fmt: skip
    root.write("tmp/smart", json.dumps(smart))
    root.write("sys/class/hwmon/hwmon0/name", "coretemp\n")
    root.write("sys/class/hwmon/hwmon0/temp1_input", "61000\n")
    root.write("sys/class/hwmon/hwmon0/temp1_label", "Package id 0\n")
    root.write("sys/class/hwmon/hwmon0/temp1_crit", "100000\n")
    root.write("sys/devices/system/edac/mc/mc0/ce_count", "2\n")
    root.write("sys/devices/system/edac/mc/mc0/ue_count", "0\n")
    return machine


def test_what_was_tested_and_found_stands_in_the_history(burning: Machine) -> None:
    disk = burning.root.has_disk("vda", marked(3))
    stick = burning.root.has_disk("sdd", marked(1), rm=True)
    burning.begins("burn-in", vars={"minutes": 1})
    burning.ends("ready")
    burning.is_told("reboot")
    (finished,) = burning.events("installer_finished")
    assert finished["detail"]["message"] == "no fault in 1 minutes"
    memory, vda, *others = finished["detail"]["results"]
    assert re.fullmatch(r"memory and CPU: \d+ MiB by \d+ threads, no fault", memory)
    assert re.fullmatch(
        r"/dev/vda serial S-vda: read \d+ MiB of 3, 0 errors; SMART: passed, 38 °C", vda
    )
    assert others == [
        "ECC: no error", "hottest: coretemp Package id 0 61 °C", "kernel log: no error",
    ]  # fmt: skip
    assert disk.read_bytes() == marked(3) and stick.read_bytes() == marked(1)
    (told,) = (burning.root.root / "tmp/stress.told").read_text().splitlines()
    assert told.startswith("-s 2 -M ") and told.endswith(" -W")


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (
            "printf '#!/bin/bash\\necho Report Error: miscompare : DIMM Unknown; exit 1\\n'"
            " > /usr/bin/stressapptest",
            "Report Error: miscompare",
        ),
        ("echo 4 > /sys/devices/system/edac/mc/mc0/ce_count", "ECC: 2 corrected and 0 uncorrected"),
        ("echo 1 > /sys/devices/system/edac/mc/mc0/ue_count", "ECC: 0 corrected and 1 uncorrected"),
        ("echo 100000 > /sys/class/hwmon/hwmon0/temp1_input", "coretemp Package id 0 was 100 °C"),
        ("echo 'mce: [Hardware Error]: CPU 3' >> /tmp/dmesg", "kernel log: mce: [Hardware Error]"),
        ("sed -i s/true/false/ /tmp/smart", "/dev/vda: SMART: it foresees its own failure"),
        ("sed -i 's/: 3}/: 9}/' /tmp/smart", "/dev/vda: SMART: reallocated 3 → 9"),
    ],
    ids=["memory", "corrected", "uncorrected", "heat", "kernel", "foreseen", "reallocated"],
)
def test_what_breaks_while_it_works_fails_it_by_name(
    burning: Machine, breaks: str, words: str
) -> None:
    burning.root.has_disk("vda", marked(3))
    burning.root.changes("burn-in", "\nrun_tests() {\n", f"\nrun_tests() {{\n  {breaks}\n")
    burning.begins("burn-in", vars={"minutes": 1})
    cause = burning.ends("failed")["cause"]
    assert cause.startswith("burn-in: ") and words in cause


def test_a_place_that_cannot_be_read_is_named(burning: Machine) -> None:
    burning.root.has_disk("vda", marked(9))
    (burning.root.root / "usr/bin/dd").rename(burning.root.root / "usr/bin/dd.real")
    # It fails for any piece in which the sixth MiB is.
    burning.root.program("usr/bin/dd", f"""\
#!/bin/bash
value() {{ sed -n "s/.*$1=\\([0-9]*\\).*/\\1/p" <<< "$words"; }}
words=$* at=$(value skip) length=$(value count)
[ "$at" -gt {6 * MIB} ] || [ $((at + length)) -le {6 * MIB} ] || exit 1
exec dd.real "$@"
""")  # fmt: skip
    burning.begins("burn-in", vars={"minutes": 1})
    assert f"errors, the first at byte {6 * MIB}" in burning.ends("failed")["cause"]


def test_disks_are_written_where_the_profile_says_so_and_only_those_of_its_rule(
    burning: Machine,
) -> None:
    written, kept = (burning.root.has_disk(name, marked(9)) for name in ("vda", "vdb"))
    burning.root.changes("burn-in", "PATTERN_MIB=61", "PATTERN_MIB=2")
    rule = {"disk": {"serial": "S-vda"}}
    burning.begins("burn-in", vars={"minutes": 8, "write_disks": True}, storage=rule)
    burning.ends("ready")
    (finished,) = burning.events("installer_finished")
    assert "/dev/vda serial S-vda: written and read 8 MiB of 9, 0 errors" in str(finished)
    assert MARK not in written.read_bytes()[: 8 * MIB]
    assert kept.read_bytes() == marked(9)


def test_a_disk_that_forgets_what_was_written_is_found_out(burning: Machine) -> None:
    burning.root.has_disk("vda", marked(9))
    burning.root.changes("burn-in", "PATTERN_MIB=61", "PATTERN_MIB=2")
    burning.root.changes("burn-in", 'seek="$end"', 'seek="$((end == 4194304 ? 0 : end))"')
    rule = {"disk": {"serial": "S-vda"}}
    burning.begins("burn-in", vars={"minutes": 8, "write_disks": True}, storage=rule)
    assert f"/dev/vda: 1 errors, the first at byte {4 * MIB}" in burning.ends("failed")["cause"]
