"""agent.sh in the installer's own surroundings (busybox, wget), against the service as a process.

Only what the kernel would tell, and what would change a machine, is written by the test.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from deployer.settings import Settings
from tests.support.debian import InstallerRoot
from tests.support.images import register_installer
from tests.support.live import LiveService, until
from tests.support.service import KEY, MAC, ok

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("backend", ["sqlite"], indirect=True),
]
GIB = 2**30
UUID = "4c4c4544-0044-4810-8058-c4c04f4b3232"


class Machine:
    """A host `web01` whose installer has just fetched its preseed."""

    def __init__(self, live: LiveService, folder: Path, profile: dict[str, Any]) -> None:
        self.live = live
        self.root = InstallerRoot(folder)
        self.root.has_nic(MAC)
        self.root.is_called(serial="S-1", uuid=UUID)
        spec = {
            "name": "debian-12-image", "os": "debian", "release": "12", "verify": False,
            "users": [{"name": "ops", "ssh_keys": [KEY]}], **profile,
        }  # fmt: skip
        ok(live.api.post("/api/v1/profiles", json=spec))
        self.id = live.queues()
        live.waits_for(self.id, "booting")
        machine = live.machine()
        script = machine.asks(uuid=UUID, serial="S-1")
        match = re.search(r"url=(\S+)/preseed\.cfg", script)
        assert match is not None, script
        self.answers = match[1]
        self.preseed = httpx.get(f"{self.answers}/preseed.cfg").text
        self.root.write("tmp/agent.sh", httpx.get(f"{self.answers}/agent.sh").text)

    def early_command(self) -> str:
        match = re.search(r"^d-i preseed/early_command string (.*)$", self.preseed, re.MULTILINE)
        assert match is not None
        return match[1]

    def agent(self, what: str) -> str:
        return self.root.runs("sh", "/tmp/agent.sh", what)

    @property
    def answers_given(self) -> dict[str, str]:
        """What was set in debconf."""
        return dict(line.split(" ", 1) for line in self.root.told("debconf-set"))

    @property
    def deployment(self) -> dict[str, Any]:
        return self.live.deployment(self.id)

    def event(self, name: str) -> dict[str, Any]:
        lines = ok(self.live.api.get(f"/api/v1/deployments/{self.id}/events"))["items"]
        return next(line for line in lines if line["event"] == name)


@pytest.fixture
def host(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"name": "web01", "macs": [MAC], **getattr(request, "param", {})}


@pytest.fixture
def profile(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"storage": {"disk": {"min_size": "1G"}}, **getattr(request, "param", {})}


@pytest.fixture
def machine(
    settings: Settings, tmp_path: Path, host: dict[str, Any], profile: dict[str, Any]
) -> Iterator[Machine]:
    with LiveService(settings) as live:
        parts = live.parts()
        register_installer(parts)
        parts.database.dispose()
        live.start()
        ok(live.api.post("/api/v1/hosts", json=host))
        yield Machine(live, tmp_path / "root", profile)


def test_the_preseeds_first_command_says_that_the_installer_runs(machine: Machine) -> None:
    (machine.root.root / "tmp/agent.sh").unlink()
    machine.root.runs("sh", "-c", machine.early_command())
    machine.live.waits_for_event(machine.id, "installer_started")
    assert machine.deployment["state"] == "installing"
    assert (machine.root.root / "var/lib/deployer/system.sh").read_text().startswith("#!/bin/bash")
    # From now on nobody reads the answer files, which hold all the secrets there are.
    assert httpx.get(f"{machine.answers}/preseed.cfg").status_code == 404


def test_another_machine_than_the_host_is_stopped(machine: Machine) -> None:
    """A loader can be made to say anything; the installer sees for itself."""
    machine.root.has_nic("52:54:00:99:99:99")
    process = machine.root.starts("sh", "/tmp/agent.sh", "start")
    try:
        machine.live.waits_for(machine.id, "failed")
    finally:
        machine.root.stops(process)
    assert machine.deployment["cause"].startswith("none of this machine's NICs is one of web01's")


@pytest.mark.parametrize("host", [{"serial": "S-1", "uuid": UUID}], indirect=True)
@pytest.mark.parametrize(
    ("serial", "uuid", "cause"),
    [
        ("S-2", UUID, "the serial of this machine is S-2"),
        ("S-1", "11111111-0044-4810-8058-c4c04f4b3232", "the UUID of this machine is 11111111-"),
    ],
    ids=["serial", "uuid"],
)
def test_so_is_one_with_another_identity(
    machine: Machine, serial: str, uuid: str, cause: str
) -> None:
    machine.root.is_called(serial=serial, uuid=uuid)
    process = machine.root.starts("sh", "/tmp/agent.sh", "start")
    try:
        machine.live.waits_for(machine.id, "failed")
    finally:
        machine.root.stops(process)
    assert machine.deployment["cause"].startswith(cause)


@pytest.mark.parametrize("host", [{"serial": "s-1 ", "uuid": UUID}], indirect=True)
def test_a_uuid_with_its_bytes_turned_round_is_the_same(machine: Machine) -> None:
    """SMBIOS before 2.6, and what reads it."""
    machine.root.is_called(serial="S-1", uuid="44454c4c-4400-1048-8058-c4c04f4b3232")
    machine.agent("start")
    assert machine.deployment["state"] == "installing"


def test_the_disk_that_the_rule_means_is_set_and_the_others_are_not(machine: Machine) -> None:
    machine.root.has_disk("vda", 8 * GIB, "DISK-A")
    machine.root.has_disk("sdb", 64 * GIB, "STICK", removable=True)
    machine.agent("start")
    machine.agent("disks")
    given = machine.answers_given
    assert given["partman-auto/disk"] == given["grub-installer/bootdev"] == "/dev/vda"
    assert given["partman-auto/expert_recipe"] == (
        "deployer :: 1 1 1 free $iflabel{ gpt } method{ biosgrub } . 2000 2000 -1 ext4"
        " method{ format } format{ } use_filesystem{ } filesystem{ ext4 } mountpoint{ / } ."
    )
    assert machine.event("disk_chosen")["detail"]["disk"] == (
        "/dev/vda 8.6 GB serial DISK-A Model of vda"
    )


@pytest.mark.parametrize("profile", [{"storage": {"layout": "raid1"}}], indirect=True)
def test_a_mirror_is_made_of_both_disks_and_starts_by_uefi_from_either(machine: Machine) -> None:
    machine.root.boots_by_uefi()
    machine.root.has_disk("nvme0n1", 8 * GIB, "A")
    machine.root.has_disk("nvme1n1", 8 * GIB, "B")
    machine.agent("start")
    machine.agent("disks")
    given = machine.answers_given
    assert given["partman-auto/disk"] == "/dev/nvme0n1 /dev/nvme1n1"
    assert given["partman-auto-raid/recipe"] == "1 2 0 ext4 / /dev/nvme0n1p2#/dev/nvme1n1p2 ."
    assert given["partman-auto/expert_recipe"] == (
        "deployer :: 512 512 512 free $iflabel{ gpt } $reusemethod{ } method{ efi } format{ } ."
        " 2000 2000 -1 raid method{ raid } ."
    )


VOLUMES = {
    "swap": "1GiB",
    "volumes": [{"mount": "/", "size": "3GiB"}, {"mount": "/srv", "fs": "xfs"}],
}


def formatted(fs: str, mount: str) -> str:
    shape = (
        "method{{ format }} format{{ }} use_filesystem{{ }} filesystem{{ {} }} mountpoint{{ {} }} ."
    )
    return shape.format(fs, mount)


@pytest.mark.parametrize(
    ("profile", "recipe"),
    [
        ({"storage": VOLUMES}, [
            "1073 1073 1073 linux-swap method{ swap } format{ } .",
            "3221 3221 3221 ext4 " + formatted("ext4", "/"),
            "2000 2000 -1 xfs " + formatted("xfs", "/srv"),
        ]),
        ({"storage": {**VOLUMES, "layout": "lvm"}}, [
            "1024 1024 1024 ext4 $defaultignore{ } " + formatted("ext4", "/boot"),
            "1073 1073 1073 linux-swap $lvmok{ } lv_name{ swap } method{ swap } format{ } .",
            "3221 3221 3221 ext4 $lvmok{ } lv_name{ root } " + formatted("ext4", "/"),
            "2000 2000 -1 xfs $lvmok{ } lv_name{ srv } " + formatted("xfs", "/srv"),
        ]),
    ],
    indirect=["profile"], ids=["plain", "lvm"],
)  # fmt: skip
def test_volumes_and_swap_are_in_the_recipe_the_one_that_grows_last(
    machine: Machine, recipe: list[str]
) -> None:
    machine.root.has_disk("vda", 8 * GIB, "A")
    machine.agent("start")
    machine.agent("disks")
    assert machine.answers_given["partman-auto/expert_recipe"] == " ".join(
        ["deployer :: 1 1 1 free $iflabel{ gpt } method{ biosgrub } .", *recipe]
    )


@pytest.mark.parametrize("profile", [{"storage": {**VOLUMES, "layout": "raid1"}}], indirect=True)
def test_in_a_mirror_each_volume_is_on_both_disks(machine: Machine) -> None:
    machine.root.has_disk("vda", 8 * GIB, "A")
    machine.root.has_disk("vdb", 8 * GIB, "B")
    machine.agent("start")
    machine.agent("disks")
    given = machine.answers_given
    assert given["partman-auto-raid/recipe"] == (
        "1 2 0 swap - /dev/vda2#/dev/vdb2 . 1 2 0 ext4 / /dev/vda3#/dev/vdb3 ."
        " 1 2 0 xfs /srv /dev/vda4#/dev/vdb4 ."
    )
    assert given["partman-auto/expert_recipe"].count(" raid method{ raid } .") == 3


@pytest.mark.parametrize("profile", [{"storage": VOLUMES}], indirect=True)
def test_a_disk_too_small_for_its_volumes_is_none_that_may_be_written(machine: Machine) -> None:
    machine.root.has_disk("vda", 5 * GIB, "A")
    machine.agent("start")
    process = machine.root.starts("sh", "/tmp/agent.sh", "disks")
    try:
        machine.live.waits_for(machine.id, "failed")
        assert "smaller than 6.3 GB" in machine.deployment["cause"]
        assert machine.answers_given == {}
    finally:
        machine.root.stops(process)


def test_two_disks_that_fit_stop_the_installer_before_partitioning(machine: Machine) -> None:
    machine.root.has_disk("vda", 8 * GIB, "A")
    machine.root.has_disk("vdb", 8 * GIB, "B")
    machine.agent("start")
    process = machine.root.starts("sh", "/tmp/agent.sh", "disks")
    try:
        machine.live.waits_for(machine.id, "failed")
        assert machine.deployment["cause"].startswith("2 disks fit the rule")
        assert machine.answers_given == {}
        # It does not go on, and does not come back: a person can read the screen for a while.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
    finally:
        machine.root.stops(process)


def test_the_end_makes_the_new_system_this_host_and_says_so(machine: Machine) -> None:
    machine.root.has_disk("vda", 8 * GIB, "A")
    machine.root.write("target/etc/ssh/ssh_host_ed25519_key.pub", f"{KEY}\n")
    (machine.root.root / "target/root").mkdir()
    machine.agent("start")
    machine.agent("disks")
    machine.agent("late")
    assert machine.root.told("in-target") == ["bash /root/deployer-system.sh"]
    assert machine.deployment["state"] == "first_boot"
    left = [path for path in (machine.root.root / "target").rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["ssh_host_ed25519_key.pub"]
    hook = machine.root.root / "usr/lib/finish-install.d/99zz-deployer"
    assert "rm -rf /target/var/log/installer" in hook.read_text()


def test_a_cancelled_deployment_stops_the_installer_at_its_next_step(machine: Machine) -> None:
    machine.agent("start")
    ok(machine.live.api.post(f"/api/v1/deployments/{machine.id}/cancel"))
    process = machine.root.starts("sh", "/tmp/agent.sh", "disks")
    try:
        until(lambda: machine.root.told("reboot"), 10, "reboot")
    finally:
        machine.root.stops(process)
    assert machine.answers_given == {}


# --- watching: lines as the installer of Debian 12 writes them ----------------------------------

SYSLOG = """\
Nov 24 19:33:50 main-menu[253]: INFO: Menu item 'choose-mirror' selected
Nov 24 19:33:52 main-menu[253]: INFO: Menu item 'download-installer' selected
Nov 24 19:34:02 anna[3333]: http://10.0.2.2/debian/pool/main/a/apt-setup/apt.udeb:
Nov 24 19:34:02 anna[3333]: 2026-11-24 19:34:02 ERROR 404: Not Found.
Nov 24 19:34:02 anna[3333]: WARNING **: package retrieval failed
"""
ASKED = """\
Nov 24 19:34:03 debconf: --> INPUT critical retriever/net/error
Nov 24 19:34:03 debconf: <-- 0 question will be asked
Nov 24 19:34:03 debconf: --> GO
"""
ANSWERED = """\
Nov 24 19:34:04 debconf: <-- 0 ok
"""
FAILED = "Nov 24 19:40:00 main-menu[253]: WARNING **: Menu item 'pkgsel' failed.\n"


class Watching:
    """Context manager: `agent.sh watch`, which loses patience with a question after 3 seconds."""

    def __init__(self, machine: Machine) -> None:
        self.root = machine.root
        text = (self.root.root / "tmp/agent.sh").read_text()
        assert "ANSWER_PATIENCE=45" in text
        self.root.write("tmp/agent.sh", text.replace("ANSWER_PATIENCE=45", "ANSWER_PATIENCE=3"))
        (self.root.root / "var/lib/deployer").mkdir(parents=True)

    def __enter__(self) -> Watching:
        self.process = self.root.starts("sh", "/tmp/agent.sh", "watch")
        return self

    def __exit__(self, *_: object) -> None:
        self.root.stops(self.process)

    def logs(self, text: str) -> None:
        with (self.root.root / "var/log/syslog").open("a") as file:
            file.write(text)


def test_its_steps_are_told_as_stages(machine: Machine) -> None:
    with Watching(machine) as watching:
        watching.logs(SYSLOG)
        until(lambda: (machine.deployment["progress"] or {}).get("percent") == 4, 10, "4 %")
    assert machine.deployment["progress"]["stage"] == "retrieving"


def test_a_question_that_nobody_answers_is_a_failure_with_the_last_error(machine: Machine) -> None:
    with Watching(machine) as watching:
        watching.logs(SYSLOG + ASKED)
        machine.live.waits_for(machine.id, "failed")
    assert machine.deployment["cause"] == (
        "the installer asks retriever/net/error and waits; last error:"
        " http://10.0.2.2/debian/pool/main/a/apt-setup/apt.udeb: 404: Not Found."
        " (while retrieving)"
    )


def test_a_question_that_the_preseed_has_answered_is_none(machine: Machine) -> None:
    with Watching(machine) as watching:
        watching.logs(SYSLOG + ASKED + ANSWERED)
        until(lambda: (machine.deployment["progress"] or {}).get("percent") == 4, 10, "4 %")
        with pytest.raises(AssertionError, match="not within"):
            until(lambda: machine.deployment["state"] == "failed", 9, "failed")


def test_a_step_that_fails_is_a_failure_with_its_name(machine: Machine) -> None:
    with Watching(machine) as watching:
        watching.logs(FAILED + "Nov 24 19:40:01 x: passphrase is hunter2\n")
        machine.live.waits_for(machine.id, "failed")
    assert machine.deployment["cause"].startswith("the installer's step pkgsel failed")
    assert "hunter2" not in machine.event("installer_failed")["detail"]["log_tail"]


def test_a_mirror_that_hangs_up_is_given_up_before_long(machine: Machine) -> None:
    """Else the installer would try for twenty minutes before it asks, and is seen to ask."""
    machine.agent("start")
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        began = time.monotonic()
        url = f"http://127.0.0.1:{server.server_port}/Packages.xz"
        machine.root.runs("sh", "-c", f"wget --no-verbose -O /tmp/x {url} || true")
        assert len(asked) == 3 and time.monotonic() - began < 60
    finally:
        server.shutdown()
        server.server_close()
