"""agent.sh of Ubuntu's installer: what it says, and what it writes into /autoinstall.yaml.

It is run by sh, with a curl that only remembers, and once with the real one against the service as
a process; what the kernel would tell is plain files.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deployer.settings import Settings
from deployer.store import images
from tests import golden
from tests.support.live import LiveService
from tests.support.service import MAC

Json = dict[str, Any]
FAMILY = golden.found("ubuntu")
UUID = "4c4c4544-0044-4810-8058-c4c04f4b3232"
CURL = """\
#!/bin/sh
for last; do :; done
while [ $# -gt 0 ]; do
  case $1 in -o) answer=$2 ;; --data-binary) body=$(cat) ;; esac
  shift
done
case $last in
  */logs/*) printf '%s' "$body" > "$HERE/log-${last##*/}" ;;
  *) printf '%s %s\\n' "${last##*/}" "$body" >> "$HERE/calls" ;;
esac
case $last in */disks) cat "$HERE/reply" > "$answer" ;; *) echo ok > "$answer" ;; esac
printf 200
"""
RECORDER = '#!/bin/sh\nprintf "%s\\n" "$*" >> "$HERE/{name}.told"\nexit {status}\n'


class Machine:
    """A machine whose installer has just fetched agent.sh."""

    def __init__(self, folder: Path, profile: Json, firmware: str = "uefi", **host: Any) -> None:
        self.here = folder
        snapshot = golden.snapshot(
            FAMILY, {"name": "web01", "macs": [MAC], **host}, {"name": "web", **profile}
        )
        self.files, findings = golden.rendered(FAMILY, snapshot, firmware)  # type: ignore[arg-type]
        assert findings == []
        self.stands()

    def stands(self) -> None:
        """Its surroundings, for the `files` that it was given."""
        # As Subiquity writes it down, for early-commands to change.
        self.write("autoinstall.yaml", yaml.dump(self.given))
        self.write("bin/curl", CURL)
        for name, status in {
            "udevadm": 1,
            "sleep": 0,
            "curtin": 0,
            "mount": 0,
            "umount": 0,
        }.items():
            self.write(f"bin/{name}", RECORDER.format(name=name, status=status))
        self.write("bin/reboot", '#!/bin/sh\necho yes > "$HERE/rebooted"\nkill -9 $PPID\n')
        self.write("sys/class/net/eth0/address", f"{MAC}\n")
        self.write("sys/class/dmi/id/product_serial", "S-1\n")
        self.write("sys/class/dmi/id/product_uuid", f"{UUID}\n")
        self.write("sys/firmware/efi/fw_platform_size", "64\n")
        self.write("run/system.sh", self.files["system.sh"])
        self.write("target/root/.profile", "")
        self.write("target/etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA root@web01\n")

    @property
    def given(self) -> Json:
        """What Subiquity finds in user-data."""
        found: Json = yaml.safe_load(self.files["user-data"])["autoinstall"]
        return found

    def reports(self, name: str, description: str = "") -> None:
        """As Subiquity's webhook does."""
        event = {"name": name, "event_type": "start", "description": description, "level": "INFO",
                 "origin": "curtin", "timestamp": 1.5}  # fmt: skip
        webhook = self.given["reporting"]["deployer"]["endpoint"]
        assert httpx.post(webhook, json=event).status_code == 200

    def write(self, path: str, text: str) -> None:
        file = self.here / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if path.startswith("bin/"):
            file.chmod(0o755)

    def replies(self, *disks: str, action: str = "proceed") -> None:
        chosen = [{"name": path[5:], "path": path, "size": 1} for path in disks]
        reply = {"action": action, "disk": chosen[0] if chosen else None, "disks": chosen}
        self.write("reply", json.dumps(reply, separators=(",", ":")))

    def runs(self, what: str) -> int:
        text = self.files["agent.sh"]
        for real, ours in {
            "/run/deployer": "run", "/sys/": "sys/", "/autoinstall.yaml": "autoinstall.yaml",
            "TARGET=/target": "TARGET=target", "/var/log/installer": "logs", "/dev/console": "con",
        }.items():  # fmt: skip
            text = text.replace(real, f"{ours if '=' in ours else f'{self.here}/{ours}'}")
        self.write("agent.sh", text.replace("TARGET=target", f"TARGET={self.here}/target"))
        done = subprocess.run(
            ["sh", str(self.here / "agent.sh"), what], capture_output=True, text=True, timeout=60,
            env={"PATH": f"{self.here}/bin:/usr/bin:/bin", "HERE": str(self.here)}, check=False,
        )  # fmt: skip
        return done.returncode

    @property
    def calls(self) -> list[tuple[str, Json]]:
        file = self.here / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(line.partition(" ")[0], json.loads(line.partition(" ")[2])) for line in lines]

    @property
    def disks(self) -> list[str]:
        """What the installer would take."""
        actions = yaml.safe_load((self.here / "autoinstall.yaml").read_text())["storage"]["config"]
        return [action["path"] for action in actions if action["type"] == "disk"]

    def told(self, name: str) -> list[str]:
        file = self.here / f"{name}.told"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def failure(self) -> str:
        """What it said that failed; it restarts afterwards."""
        name, body = self.calls[-1]
        assert name == "installer_failed" and (self.here / "rebooted").exists()
        return f"{body['message']} (while {body['stage']})"


PLACES = ["/dev/deployer-disk-1"]


def test_the_chosen_disk_is_written_into_the_installers_answers(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"scripts": {"pre": "echo before > $HERE/before"}})
    machine.replies("/dev/nvme0n1")
    assert machine.disks == PLACES
    assert machine.runs("start") == 0
    assert machine.disks == ["/dev/nvme0n1"]
    assert [name for name, _ in machine.calls] == ["installer_started", "progress", "disks"]
    assert machine.calls[0][1]["facts"]["macs"] == [MAC]
    assert (tmp_path / "before").exists()


def test_a_mirror_has_both_disks(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"storage": {"layout": "raid1"}})
    machine.replies("/dev/sda", "/dev/sdb")
    assert machine.runs("start") == 0
    assert machine.disks == ["/dev/sda", "/dev/sdb"]


@pytest.mark.parametrize(
    ("path", "text", "cause"),
    [
        ("sys/class/net/eth0/address", "52:54:00:99:99:99\n", "none of this machine's NICs is one"),
        ("sys/class/dmi/id/product_serial", "S-2\n", "the serial of this machine is S-2"),
        ("sys/class/dmi/id/product_uuid", UUID.replace("4c", "5d"), "the UUID of this machine is"),
    ],
)
def test_another_machine_than_the_host_is_stopped(
    tmp_path: Path, path: str, text: str, cause: str
) -> None:
    machine = Machine(tmp_path, {}, serial="S-1", uuid=UUID)
    machine.replies("/dev/sda")
    machine.write(path, text)
    assert machine.runs("start") != 0
    assert machine.failure.startswith(cause) and machine.disks == PLACES


def test_a_machine_started_otherwise_than_its_disk_would_be_is_stopped(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {}, firmware="bios")
    machine.replies("/dev/sda")
    assert machine.runs("start") != 0
    assert machine.failure.startswith("this machine was started by uefi")
    assert machine.disks == PLACES


def test_where_the_server_names_no_disk_none_is_taken(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {})
    machine.replies(action="abort")
    assert machine.runs("start") != 0
    assert machine.disks == PLACES and (tmp_path / "rebooted").exists()
    assert machine.calls[-1][0] == "disks"  # which was the server's own word that it has failed


@pytest.mark.parametrize("disk", ["/dev/a#b", "sda", "/dev/$(x)"])
def test_a_strange_name_of_a_disk_is_not_written(tmp_path: Path, disk: str) -> None:
    machine = Machine(tmp_path, {})
    machine.replies(disk)
    assert machine.runs("start") != 0
    assert machine.disks == PLACES and "strange name" in machine.failure


def test_answers_without_a_place_for_the_disk_are_a_failure(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {})
    machine.replies("/dev/sda")
    text = (tmp_path / "autoinstall.yaml").read_text()
    machine.write("autoinstall.yaml", text.replace("/dev/deployer-disk-1", "/dev/sdb"))
    assert machine.runs("start") != 0
    assert "does not take the disk /dev/sda" in machine.failure


def test_a_script_of_the_profile_that_fails_stops_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"scripts": {"pre": "echo no; exit 3"}})
    machine.replies("/dev/sda")
    assert machine.runs("start") != 0
    assert "script `pre` failed" in machine.failure and machine.disks == PLACES
    assert machine.calls[-1][1]["log_tail"] == "no"


def test_the_end_makes_the_new_system_this_host_and_says_so(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {})
    assert machine.runs("late") == 0
    assert machine.told("curtin") == [
        f"in-target --target={tmp_path}/target -- bash /root/deployer-system.sh"
    ]
    assert machine.calls[-1] == ("installer_finished", {"ssh_host_keys": ["ssh-ed25519 AAAA"]})
    assert not (tmp_path / "target/root/deployer-system.sh").exists()
    assert machine.runs("failed") == 0  # what goes wrong from now on is not told
    assert machine.calls[-1][0] == "installer_finished"


@pytest.mark.parametrize(("disks", "esp"), [("sd", "/dev/sdb1"), ("nvme", "/dev/nvme1n1p1")])
def test_the_second_disk_of_a_mirror_can_start_the_system_too(
    tmp_path: Path, disks: str, esp: str
) -> None:
    machine = Machine(tmp_path, {"storage": {"layout": "raid1"}})
    machine.replies(*{"sd": ["/dev/sda", "/dev/sdb"]}.get(disks, ["/dev/nvme0n1", "/dev/nvme1n1"]))
    machine.write("target/boot/efi/EFI/ubuntu/shimx64.efi", "MZ")
    assert machine.runs("start") == machine.runs("late") == 0
    assert machine.told("mount") == [f"{esp} {tmp_path}/run/esp"]
    assert (tmp_path / "run/esp/EFI/ubuntu/shimx64.efi").exists()
    assert machine.calls[-1][0] == "installer_finished"


def test_a_new_system_that_cannot_be_made_is_a_failure_told_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {})
    machine.write("bin/curtin", "#!/bin/sh\necho 'useradd: no such shell'\nexit 1\n")
    assert machine.runs("late") != 0
    assert machine.failure == "making the new system web01 failed (while finishing)"
    assert "no such shell" in machine.calls[-1][1]["log_tail"]
    before = len(machine.calls)
    assert machine.runs("failed") == 0 and len(machine.calls) == before


def test_what_the_installer_wrote_is_told_without_secrets(tmp_path: Path) -> None:
    profile = {"storage": {"layout": "encrypted", "passphrase": {"secret": "disk"}}}
    machine = Machine(tmp_path, profile)
    machine.write(
        "logs/subiquity-server-debug.log",
        "2026 DEBUG merged config: {'storage': {'key': 'SECRET-VALUE'}}\n"
        "2026 ERROR root:39 finish: x: FAIL: http://10.0.0.5/d/abc/answers: no disk\n"
        "2026 DEBUG http://10.0.0.5/d/abc/answers\n",
    )
    assert machine.runs("failed") != 0
    assert machine.failure.endswith("http://10.0.0.5/d/.../answers: no disk (while installing)")
    said = json.dumps(machine.calls[-1]) + (tmp_path / "log-installer").read_text()
    assert "no disk" in said and "SECRET-VALUE" not in said and "/d/abc/" not in said


# --- against the service as a process -----------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_from_the_seed_to_the_first_boot(settings: Settings, tmp_path: Path) -> None:
    """An installer's calls, in the order of a run."""
    with LiveService(settings) as live:
        parts = live.parts()
        with parts.database.writing() as session:
            image = {
                "name": "ubuntu-24.04-x86_64",
                "kind": "netboot",
                "arch": "x86_64",
                "files": [],
            }
            images.save(session, image, parts.clock())
        parts.database.dispose()
        live.start()
        live.knows(os="ubuntu", release="24.04", storage={"disk": {"min_size": "1G"}})
        id_ = live.queues()
        live.waits_for(id_, "booting")
        script = live.machine().asks(platform="efi")
        seed = re.search(r"ds=nocloud;s=(\S+/)", script)
        assert seed is not None, script
        machine = _installing(tmp_path, seed[1])
        live.waits_for(id_, "installing")
        assert machine.runs("start") == 0
        assert machine.disks == ["/dev/vda"]
        assert live.deployment(id_)["progress"]["stage"] == "disks"
        # From now on nobody reads the answer files, which hold all the secrets there are.
        assert httpx.get(f"{seed[1]}user-data").status_code == 404
        stage = "subiquity/Install/install/curtin_install/cmd-install/stage-extract"
        machine.reports(stage, "writing install sources to disk")
        progress = live.deployment(id_)["progress"]
        assert (progress["stage"], progress["percent"]) == ("writing", 20)
        assert machine.runs("late") == 0
        live.waits_for(id_, "first_boot")


def _installing(folder: Path, seed: str) -> Machine:
    """A machine whose cloud-init has its seed, and whose early-commands have fetched the rest."""
    names = ["user-data", "meta-data", "vendor-data", "network-config"]
    replies = [httpx.get(seed + name) for name in names]
    assert [reply.status_code for reply in replies] == [200] * 4
    machine = Machine.__new__(Machine)
    machine.here, machine.files = folder, {"user-data": replies[0].text}
    # Subiquity says so before it runs a command; that must not cut off what the command fetches.
    for name in (
        "subiquity/Meta/status_GET",
        "subiquity/Early/run",
        "subiquity/Early/run/command_0",
    ):
        machine.reports(name)
    command = machine.given["early-commands"][0].replace("/run/deployer", str(folder / "got"))
    fetch, _, agent = command.rpartition(" && ")
    assert agent == f"sh {folder}/got/agent.sh start"
    subprocess.run(["sh", "-c", fetch], check=True, timeout=30)
    for name in ("agent.sh", "system.sh"):
        machine.files[name] = (folder / "got" / name).read_text()
    machine.stands()
    (folder / "bin/curl").unlink()
    for fact, value in {"size": 2**24, "serial": "A", "removable": 0, "ro": 0,
                        "queue/rotational": 0}.items():  # fmt: skip
        machine.write(f"sys/block/vda/{fact}", f"{value}\n")
    return machine
