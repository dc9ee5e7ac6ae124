"""The kickstart's own scripts, run: what they ask, tell and do. Only the machine is made up."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deployer.answers import prepare
from deployer.answers.grammars.kickstart import read
from tests import golden

MAC = "52:54:00:12:34:56"
HOST: dict[str, Any] = {"name": "web01", "macs": [MAC], "serial": "S-1"}
# What the installer's system would tell, and what would change a machine, is told instead.
MACHINE = """\
macs() { echo MAC; }
dmi() { [ "$1" != product_serial ] || echo SERIAL; }
firmware() { echo uefi; }
list_disks() { printf '{"name": "sda"}, {"name": "sdb"}'; }
restart() { echo restart >> "$OWN/did"; exit 9; }
sleep() { command sleep 0.05; }
lsblk() { printf '%s\\n' "$3 disk" "${3}1 part" "/dev/md127 raid1" "/dev/mapper/vg-root lvm"; }
for command in wipefs mdadm dmsetup udevadm; do
  eval "$command() { echo $command \\"\\$*\\" >> $OWN/did; }"
done
"""


class Server:
    """Hears what an installer says, and answers as told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []
        self.status = {"": 200}
        self.disks = {"action": "proceed", "disks": [{"path": "/dev/sdb"}]}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                is_json = self.headers["Content-Type"] == "application/json"
                what = self.path.rpartition("/")[2]
                outer.heard.append((what, json.loads(body) if is_json else body))
                answer = json.dumps(outer.disks, separators=(",", ":")) if what == "disks" else "ok"
                self.send_response(outer.status.get(what, 200))
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def names(self) -> list[str]:
        return [name for name, _ in self.heard]

    def said(self, name: str) -> list[Any]:
        return [body for what, body in self.heard if what == name]


class Installer:
    """A machine in Anaconda: /tmp and the new system are folders."""

    def __init__(self, folder: Path, server: Server, **profile: Any) -> None:
        self.folder, self.server = folder, server
        found = golden.found("redhat")
        values = golden.context_of(golden.snapshot(found, HOST, {"name": "web", **profile}))
        self.text = prepare.answers(found, values)["ks.cfg"].replace(golden.BASE, server.url)
        (folder / "sysimage/root").mkdir(parents=True)
        self.machine = MACHINE.replace("MAC", MAC).replace("SERIAL", "s-1")

    def runs(self, section: str, number: int = 0) -> int:
        """A section's body, as Anaconda runs it: from a file of its own."""
        sections = [s for s in read(self.text, "ks.cfg").sections if s.name == section]
        body = "\n".join(sections[number].body) + "\n"
        for own in ("OWN=/tmp/deployer", "INSTALLER=/tmp", "DISK_KS=/tmp/disk.ks"):
            body = body.replace(own, own.replace("/tmp", str(self.folder)))
        body = body.replace("TARGET=/mnt", f"TARGET={self.folder}")
        body = body.replace("bash /tmp/", f"bash {self.folder}/")
        body = body.replace("\ncase ${1:-pre} in", f"\n{self.machine}\ncase ${{1:-pre}} in")
        script = self.folder / "ks-script"
        script.write_text(body)
        done = subprocess.run(["bash", str(script)], timeout=30, check=False)
        return done.returncode

    def stops(self) -> None:
        """End the follower, which outlives its section; one that is yet to start finds nothing."""
        (self.folder / "deployer/agent.sh").unlink(missing_ok=True)
        while followers := list(self._followers()):
            subprocess.run(["kill", *followers], check=False, capture_output=True)
            time.sleep(0.05)

    def _followers(self) -> Iterator[str]:
        files = [f"{self.folder}/{name}".encode() for name in ("deployer/agent.sh", "anaconda.log")]
        for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = cmdline.read_bytes().split(b"\0")
            except OSError:
                continue
            if set(files) & set(words):
                yield cmdline.parent.name

    def logs(self, name: str, text: str) -> None:
        with (self.folder / name).open("a") as log:
            log.write(text)

    @property
    def did(self) -> list[str]:
        return (self.folder / "deployer/did").read_text().splitlines()

    @property
    def disk_ks(self) -> Path:
        return self.folder / "disk.ks"


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def installer(
    request: pytest.FixtureRequest, tmp_path: Path, server: Server
) -> Iterator[Installer]:
    made = Installer(tmp_path, server, **getattr(request, "param", {}))
    yield made
    made.stops()


def waits_for(server: Server, condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, server.heard
        time.sleep(0.05)


def test_only_the_disk_that_the_server_names_is_wiped_and_divided(
    installer: Installer, server: Server
) -> None:
    assert installer.runs("%pre") == 0
    assert server.names()[:4] == ["installer_started", "progress", "disks", "progress"]
    (facts,) = server.said("installer_started")
    assert facts["facts"]["macs"] == [MAC]
    assert server.said("disks") == [{"disks": [{"name": "sda"}, {"name": "sdb"}]}]
    lines = installer.disk_ks.read_text()
    assert "ignoredisk --only-use=sdb\n" in lines and "sda" not in lines
    # From the top down: what lies on the disk, then the disk.
    assert installer.did == [
        "dmsetup remove /dev/mapper/vg-root", "mdadm --stop /dev/md127", "wipefs -af /dev/sdb1",
        "wipefs -af /dev/sdb", "udevadm settle --timeout=30",
    ]  # fmt: skip


def test_another_machine_is_stopped_before_it_asks_for_a_disk(
    installer: Installer, server: Server
) -> None:
    installer.machine = installer.machine.replace("s-1", "S-2")
    assert installer.runs("%pre") == 9
    assert server.names() == ["installer_failed"]
    (said,) = server.said("installer_failed")
    assert said["message"] == "the serial of this machine is S-2, not that of web01"
    assert not installer.disk_ks.exists() and installer.did == ["restart"]


@pytest.mark.parametrize(
    "answer",
    [{"action": "abort", "reason": "two disks fit"}, {"action": "proceed", "disks": []}],
    ids=["ambiguous", "none"],
)
def test_without_one_disk_nothing_is_written(
    installer: Installer, server: Server, answer: dict[str, Any]
) -> None:
    server.disks = answer
    assert installer.runs("%pre") == 9
    assert not installer.disk_ks.exists() and installer.did == ["restart"]


def test_a_deployment_that_has_ended_writes_nothing(installer: Installer, server: Server) -> None:
    server.status["installer_started"] = 404
    assert installer.runs("%pre") == 9
    assert server.names() == ["installer_started"] and not installer.disk_ks.exists()


@pytest.mark.parametrize("installer", [{"scripts": {"pre": "echo oops; exit 3"}}], indirect=True)
def test_a_pre_script_that_fails_is_reported_with_what_it_said(
    installer: Installer, server: Server
) -> None:
    assert installer.runs("%pre") == 9
    (said,) = server.said("installer_failed")
    assert (said["message"], said["log_tail"]) == (
        "the profile's script `pre` failed", "oops",
    )  # fmt: skip
    assert not installer.disk_ks.exists()


@pytest.mark.slow
def test_what_the_installer_logs_becomes_progress(installer: Installer, server: Server) -> None:
    installer.runs("%pre")
    installer.runs("%pre-install")
    waits_for(server, lambda: len(server.said("progress")) >= 3)
    packages = "".join(f"INF payload: Installing pkg{n}.x86_64 ({n}/10)\n" for n in range(1, 11))
    installer.logs("anaconda.log", "12:00:01 INF x: Creating disklabel on /dev/sdb\n")
    installer.logs("packaging.log", "INF payload: Downloading 10 RPMs, 1 MB / 9 MB (11%) done.\n")
    waits_for(server, lambda: said(server)[-1][0] == "retrieving")
    installer.logs("packaging.log", packages)
    waits_for(server, lambda: said(server)[-1] == ("writing", 75))
    installer.logs("anaconda.log", "INF x: Installing boot loader\nINF: Generating initramfs\n")
    waits_for(server, lambda: said(server)[-1] == ("configuring", 87))
    assert said(server) == [
        ("start", 1), ("disks", 5), ("partitioning", 15), ("retrieving", 20),
        *(("writing", percent) for percent in range(30, 80, 5)),
        ("bootloader", 80), ("configuring", 87),
    ]  # fmt: skip


def said(server: Server) -> list[tuple[str, int]]:
    return [(body["stage"], body["percent"]) for body in server.said("progress")]


@pytest.mark.slow
def test_giving_up_is_reported_with_the_stage_and_the_logs_without_secrets(
    installer: Installer, server: Server
) -> None:
    installer.runs("%pre")
    installer.runs("%pre-install")
    token = "http://h/d/abc123/answers"
    installer.logs("anaconda.log", f"INF x: {token}\nINF: rootpw $6$abc\nERR x: no space left\n")
    installer.runs("%onerror")
    (report,) = server.said("installer_failed")
    assert report["stage"] == "partitioning"
    assert report["message"] == "the installer gave up: ERR x: no space left"
    for text in (report["log_tail"], *server.said("anaconda.log")):
        assert "no space left" in text and "abc123" not in text and "$6$" not in text


@pytest.mark.slow
def test_it_is_finished_when_the_new_system_was_made(installer: Installer, server: Server) -> None:
    installer.runs("%pre")
    made = installer.folder / "sysimage/root/.deployer-made"
    made.touch()
    (made.parent / "deployer-post.log").touch()
    installer.runs("%post", 1)
    assert server.names()[-1] == "installer_finished"
    assert list(made.parent.iterdir()) == []
    # What Anaconda itself says afterwards changes nothing.
    installer.runs("%onerror")
    assert "installer_failed" not in server.names()


def test_a_post_that_broke_off_is_a_failure_with_its_log(
    installer: Installer, server: Server
) -> None:
    installer.runs("%pre")
    log = installer.folder / "sysimage/root/deployer-post.log"
    log.write_text("chmod: no such file\n")
    installer.runs("%post", 1)
    assert "installer_finished" not in server.names()
    (report,) = server.said("installer_failed")
    assert report["message"] == "making the new system web01 failed"
    assert "chmod: no such file" in report["log_tail"]
