"""install.sh of Flatcar and CoreOS, run: only what would change a machine, or be asked of it or of
the server, is played by the test."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import golden

MAC = "52:54:00:12:34:56"
HOST = {"name": "web01", "macs": [MAC]}
GIB = 2**30
both = pytest.mark.parametrize("family", ["flatcar", "fedora-coreos"])

# What a live system has. Each thing that happens is a line of $TRACE.
PLAYED = r"""
did() { echo "$*" >> "$TRACE"; }
curl() {
  local out= body= url=${!#}
  while [ $# -gt 1 ]; do
    case $1 in
      -o) out=$2 ;;
      --data-binary) body=$(cat) ;;
    esac
    shift
  done
  did "${url##*8081/d/} $body"
  case $url in
    */disks) printf '%s' "$DISKS_ANSWER" > "$out" ;;
    */target.ign) cp "$TARGET" "$out" ;;
    *) : > "$out" ;;
  esac
  case $url in */$REFUSES) printf 422 ;; *) printf 200 ;; esac
}
macs() { echo "$MACS"; }
dmi() { :; }
list_disks() { printf '{"path": "/dev/vda"}'; }
firmware() { echo uefi; }
lsblk() {
  case "$*" in
    *PKNAME*) echo "$PARTS" ;;
    *) printf '/dev/vda disk\n/dev/vda1 part\n' ;;
  esac
}
blockdev() { echo "$SIZE"; }
swapoff() { :; }
vgchange() { :; }
mdadm() { :; }
wipefs() { did "wipefs ${!#}"; }
watch_writing() { sleep 60; }
flatcar-install() { did "flatcar-install $*"; echo "it says why"; return $WRITES; }
coreos-installer() { did "coreos-installer $*"; echo "it says why"; return $WRITES; }
systemctl() { did "systemctl $*"; }
journalctl() { echo "the journal's end"; }
sync() { :; }
restart() { did restart; exit 9; }
sleep() { command sleep $(($1 == 1 ? 1 : 0)); }
"""


class Machine:
    """A live system that runs install.sh for `profile`."""

    def __init__(self, folder: Path, family: str, **profile: Any) -> None:
        found = golden.found(family)
        snapshot = golden.snapshot(found, HOST, {"name": "web", **profile})
        files, findings = golden.rendered(found, snapshot, "uefi")
        assert findings == []
        (folder / "install.sh").write_text(files["install.sh"], encoding="utf-8")
        (folder / "target.ign").write_text(files["target.ign"], encoding="utf-8")
        (folder / "played.sh").write_text(PLAYED, encoding="utf-8")
        self.folder = folder
        self.told: dict[str, str] = {
            "MACS": MAC, "PARTS": "", "WRITES": "0", "SIZE": str(100 * GIB), "REFUSES": "-",
            "DISKS_ANSWER": '{"action":"proceed","disks":[{"path":"/dev/vda"}]}',
        }  # fmt: skip

    def runs(self, what: str = "install", **told: str) -> list[str]:
        """Everything that happened, in order; tokens left out."""
        own, trace = self.folder / "own", self.folder / "trace"
        subprocess.run(
            ["bash", "-c", f"source ./install.sh; source ./played.sh; {what}"],
            cwd=self.folder, check=False, capture_output=True, timeout=30, text=True,
            env={
                "PATH": "/usr/bin:/bin", "OWN": str(own), "TRACE": str(trace), "FAIL_SECONDS": "0",
                "TARGET": str(self.folder / "target.ign"), **self.told, **told,
            },
        )  # fmt: skip
        lines = trace.read_text(encoding="utf-8").splitlines()
        return [
            line.removeprefix("TOKEN-PHONE-HOME/").removeprefix("TOKEN-ANSWERS/") for line in lines
        ]

    def target(self) -> dict[str, Any]:
        """What is installed as the new system's config."""
        made: dict[str, Any] = json.loads((self.folder / "own" / "target.ign").read_text())
        return made


def kinds(happened: list[str]) -> list[str]:
    """Without what was said with it, but for progress its stage."""
    shown = []
    for line in happened:
        word, _, rest = line.partition(" ")
        stage = json.loads(rest)["stage"] if word == "progress" else ""
        shown.append(f"{word} {stage}".strip() if word != "wipefs" else line)
    return shown


WRITTEN = {"flatcar": "flatcar-install", "fedora-coreos": "coreos-installer"}


@both
def test_a_machine_is_installed_and_says_how_far_it_is(tmp_path: Path, family: str) -> None:
    happened = Machine(tmp_path, family).runs()
    assert kinds(happened) == [
        "phone-home/installer_started", "progress disks", "disks", "progress retrieving",
        "answers/target.ign", "wipefs /dev/vda1", "wipefs /dev/vda", "progress writing",
        WRITTEN[family], "progress finishing", "phone-home/installer_finished", "systemctl",
    ]  # fmt: skip
    facts = json.loads(happened[0].partition(" ")[2])["facts"]
    assert facts["macs"] == [MAC] and facts["firmware"] == "uefi"


def test_flatcar_is_written_from_our_library_with_a_boot_entry(tmp_path: Path) -> None:
    (line,) = [n for n in Machine(tmp_path, "flatcar").runs() if n.startswith("flatcar-install")]
    assert line == (
        f"flatcar-install -d /dev/vda -i {tmp_path}/own/target.ign -o "
        " -b http://10.0.0.5:8081/images -V flatcar-stable-x86_64 -u"
    )


def test_coreos_is_written_with_the_profiles_kernel_arguments(tmp_path: Path) -> None:
    happened = Machine(tmp_path, "fedora-coreos", kernel_args=["quiet", "panic=3"]).runs()
    (line,) = [n for n in happened if n.startswith("coreos-installer")]
    assert line.endswith("--append-karg quiet --append-karg panic=3 /dev/vda")


@both
def test_another_machine_is_not_installed(tmp_path: Path, family: str) -> None:
    happened = Machine(tmp_path, family).runs(MACS="52:54:00:ff:ff:ff")
    assert kinds(happened) == ["phone-home/installer_failed", "restart"]
    assert "none of this machine's NICs is one of web01's" in happened[0]


@both
def test_a_disk_that_is_not_clear_is_not_written(tmp_path: Path, family: str) -> None:
    happened = Machine(tmp_path, family).runs(DISKS_ANSWER='{"action":"abort","reason":"two fit"}')
    assert kinds(happened)[-2:] == ["disks", "restart"]
    assert not [line for line in happened if line.startswith(("wipefs", WRITTEN[family]))]


@pytest.mark.slow
@both
def test_what_fails_is_told_with_the_end_of_the_log(tmp_path: Path, family: str) -> None:
    happened = Machine(tmp_path, family).runs(WRITES="1")
    word, _, said = happened[-2].partition(" ")
    assert (word, happened[-1]) == ("phone-home/installer_failed", "restart")
    failure = json.loads(said)
    assert failure["stage"] == "writing" and failure["message"] == "writing to /dev/vda failed"
    assert "it says why" in failure["log_tail"]


@both
def test_an_end_that_nobody_expected_is_told_by_the_unit_for_failures(
    tmp_path: Path, family: str
) -> None:
    happened = Machine(tmp_path, family).runs("failed")
    assert json.loads(happened[0].partition(" ")[2])["log_tail"] == "the journal's end"


@both
def test_a_pre_script_that_fails_ends_it_before_a_disk_is_asked_for(
    tmp_path: Path, family: str
) -> None:
    happened = Machine(tmp_path, family, scripts={"pre": "exit 3"}).runs()
    assert kinds(happened) == [
        "phone-home/installer_started", "progress start", "phone-home/installer_failed", "restart",
    ]  # fmt: skip


def test_a_flatcar_on_another_disk_stops_it_before_anything_is_wiped(tmp_path: Path) -> None:
    happened = Machine(tmp_path, "flatcar").runs(PARTS="/dev/vdb USR-A")
    assert "Flatcar is on /dev/vdb too" in happened[-2]
    assert not [line for line in happened if line.startswith("wipefs")]


def test_a_flatcar_on_the_same_disk_is_overwritten(tmp_path: Path) -> None:
    happened = Machine(tmp_path, "flatcar").runs(PARTS="/dev/vda USR-A")
    assert happened[-1] == "systemctl reboot"


VOLUMES = {"volumes": [{"mount": "/home", "size": "10GiB"}], "swap": "2GiB"}


def test_root_of_coreos_takes_what_the_volumes_leave(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "fedora-coreos", storage=VOLUMES)
    assert machine.runs()[-1] == "systemctl reboot"
    (disk,) = machine.target()["storage"]["disks"]
    sizes = [part["sizeMiB"] for part in disk["partitions"]]
    assert sizes == [100 * 1024 - 513 - 12 * 1024 - 4, 2048, 10240]


def test_volumes_that_leave_root_too_little_stop_it(tmp_path: Path) -> None:
    happened = Machine(tmp_path, "fedora-coreos", storage=VOLUMES).runs(SIZE=str(16 * GIB))
    assert "the volumes leave 3579 MiB for /, which needs 8192" in happened[-2]
    assert not [line for line in happened if line.startswith("wipefs")]


def test_a_mirror_is_made_of_the_disks_that_the_server_has_chosen(tmp_path: Path) -> None:
    storage = {"layout": "raid1", "disk": {"serial": ["A", "B"]}}
    machine = Machine(tmp_path, "fedora-coreos", storage=storage)
    two = '{"action":"proceed","disks":[{"path":"/dev/vdx"},{"path":"/dev/vdy"}]}'
    happened = machine.runs(DISKS_ANSWER=two)
    assert happened[-1] == "systemctl reboot"
    devices = [disk["device"] for disk in machine.target()["storage"]["disks"]]
    assert devices == ["/dev/vdx", "/dev/vdy"], "no link to them here, so by their names"
    assert {"wipefs /dev/vdx", "wipefs /dev/vdy"} <= set(happened), "both are cleared"
