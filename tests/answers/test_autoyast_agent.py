"""AutoYaST's own script, in a bash whose surroundings are made up: what it writes and says."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.answers import suse

Y = "{http://www.suse.com/1.0/yast2ns}"


def ours(example: str) -> str:
    return suse.ours("autoinst.xml", "sles-15-sp7", example)


@pytest.fixture
def agent(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(example: str, commands: str) -> subprocess.CompletedProcess[str]:
        root = ElementTree.fromstring(ours(example))
        source = root.findtext(f"{Y}scripts/{Y}pre-scripts/{Y}script/{Y}source") or ""
        functions = source.replace("/tmp/profile", str(tmp_path)).replace("/mnt", f"{tmp_path}/mnt")
        return suse.run_agent(f"OWN={tmp_path}/own\n{functions}", "", commands)

    return run


def test_the_chosen_disks_are_written_into_the_profile(
    agent: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "autoinst.xml").write_text(ours("raid1"))
    done = agent("raid1", "hand_over /dev/sdb /dev/nvme0n1\n")
    assert done.returncode == 0, done.stderr
    root = ElementTree.parse(tmp_path / "modified.xml").getroot()
    devices = [drive.findtext(f"{Y}device") for drive in root.iter(f"{Y}drive")]
    assert devices == ["/dev/sdb", "/dev/nvme0n1", "/dev/md/0", "/dev/md/1"]


def test_a_profile_whose_disk_cannot_be_replaced_is_not_handed_over(
    agent: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "autoinst.xml").write_text("<profile><device>/dev/sda</device></profile>")
    done = agent("dhcp", "hand_over /dev/sdb\n")
    assert "CALL installer_failed" in done.stdout and "RESTART" in done.stdout
    assert not (tmp_path / "modified.xml").exists()


def test_it_says_how_far_it_is_by_what_lies_on_the_new_disk(
    agent: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    history = tmp_path / "mnt/var/log/zypp/history"
    history.parent.mkdir(parents=True)
    history.write_text("2026-01-01|install|bash|5\n" * 250)
    done = agent("dhcp", "follow; follow\n")
    assert done.stdout.count("CALL progress") == 1  # said once
    assert (
        '"stage": "writing", "percent": 45, "message": "250 packages are installed"' in done.stdout
    )
    (tmp_path / "mnt/boot/grub2").mkdir(parents=True)
    (tmp_path / "mnt/boot/grub2/grub.cfg").touch()
    assert '"stage": "bootloader"' in agent("dhcp", "follow\n").stdout
    (tmp_path / "mnt/root").mkdir()
    (tmp_path / "mnt/root/deployer.log").touch()
    assert '"stage": "configuring"' in agent("dhcp", "follow\n").stdout


def test_it_finishes_when_the_new_system_is_ready_and_fails_when_it_is_not(
    agent: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "mnt/root").mkdir(parents=True)
    (tmp_path / "mnt/root/deployer.log").write_text("useradd: no such shell\n")
    failed = agent("dhcp", "finish 'useradd: no such shell'\n")
    assert "CALL installer_failed" in failed.stdout and "installer_finished" not in failed.stdout
    assert "useradd: no such shell" in failed.stdout.split("log_tail")[1]
    (tmp_path / "own/failed").rmdir()
    done = agent("dhcp", "finish ready\n")
    assert "CALL installer_finished" in done.stdout
    assert (tmp_path / "mnt/root/deployer.heard").exists()


@pytest.mark.parametrize(("log", "process", "words"), [
    ("2026 <1> n1 all is well\n", "true", None),
    ("2026 <3> n1(1) [Ruby] a.rb:1 some error\n", "true", None),
    ("2026 <5> n1(1) [ui] x.cc:1 ] it broke\n", "true", "YaST has broken"),
    ("2026 <3> n1(1) [x] a.rb:1 Internal error. Please report\n", "true", "YaST has broken"),
    ("2026 <3> n1(1) [Ruby] a.rb:1 no space\n", "false", "YaST has ended; last error:"),
])  # fmt: skip
def test_what_its_log_says_of_a_failure_is_told(
    agent: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path, log: str, process: str, words: str | None,
) -> None:  # fmt: skip
    (tmp_path / "y2log").write_text(log)
    looks = "for i in {1..12}; do look_for_failure; done"
    done = agent("dhcp", f"LOG={tmp_path}/y2log\npgrep() {{ {process}; }}\n{looks}\n")
    assert (words or "") in done.stdout
    assert ("CALL installer_failed" in done.stdout) == (words is not None), done.stdout


def test_a_silent_installer_is_no_installer(
    agent: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    log = tmp_path / "y2log"
    log.write_text("2026 <1> n1 waiting\n")
    subprocess.run(["touch", "-d", "20 minutes ago", str(log)], check=True)
    done = agent("dhcp", f"LOG={log}\npgrep() {{ true; }}\nlook_for_failure\n")
    assert "has written nothing into its log for 900 seconds" in done.stdout
