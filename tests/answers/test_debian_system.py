"""system.sh in a real Debian, in a chroot: what it leaves there is this host."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import golden
from tests.support.debian import CACHE, in_chroot

pytestmark = pytest.mark.slow


class Target:
    """A freshly installed Debian 12 on which system.sh has run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def becomes(self, example: str) -> None:
        text = golden.golden("debian", example)["system.sh"]
        (self.root / "root/system.sh").write_text(text)
        self.runs("bash", "/root/system.sh")

    def runs(self, *command: str) -> str:
        done = subprocess.run(
            in_chroot(self.root, *command), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def mode(self, path: str) -> str:
        return oct((self.root / path).stat().st_mode & 0o7777)

    def read(self, path: str) -> str:
        return (self.root / path).read_text()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    root = tmp_path_factory.mktemp("target")
    archive = CACHE / "debian-12-x86_64/root.tar.zst"
    subprocess.run(
        ["tar", "-C", str(root), "--zstd", "-xf", str(archive), "--exclude=./usr/lib/modules",
         "--exclude=./boot", "--exclude=./dev"], check=True,
    )  # fmt: skip
    (root / "dev").mkdir()
    (root / "dev/null").touch()
    yield Target(root)
    shutil.rmtree(root)


def test_accounts_keys_and_rights(target: Target) -> None:
    target.becomes("accounts")
    passwd = dict(line.split(":", 1) for line in target.read("etc/passwd").splitlines())
    shadow = dict(line.split(":")[:2] for line in target.read("etc/shadow").splitlines())
    assert passwd["ops"].endswith(":/home/ops:/bin/zsh")
    assert passwd["deployer"].endswith(":/var/lib/deployer:/bin/sh")
    assert shadow["ops"] == shadow["deployer"] == "!"
    assert shadow["guest"].startswith("$y$j9T$F5Jx5fExrKuPp53xLKQ..1$")
    keys = target.read("home/ops/.ssh/authorized_keys").splitlines()
    assert keys[1].endswith("""it's "quoted" <here> & $(there)""")
    assert target.mode("home/ops/.ssh") == "0o700"
    assert target.mode("home/ops/.ssh/authorized_keys") == "0o600"
    assert (target.root / "home/ops/.ssh").stat().st_uid == int(passwd["ops"].split(":")[1])
    assert target.mode("etc/sudoers.d/90-ops") == "0o440"
    assert "parsed OK" in target.runs("visudo", "-cf", "/etc/sudoers.d/90-ops")
    assert not (target.root / "etc/sudoers.d/90-guest").exists()
    assert target.read("var/lib/deployer/.ssh/authorized_keys").startswith("restrict ssh-ed25519")


def test_running_it_again_changes_nothing(target: Target) -> None:
    target.becomes("accounts")
    before = target.runs("sh", "-c", "cat /etc/passwd /etc/shadow /etc/group | cksum")
    target.becomes("accounts")
    assert target.runs("sh", "-c", "cat /etc/passwd /etc/shadow /etc/group | cksum") == before


def test_a_static_network_and_what_starts(target: Target) -> None:
    target.becomes("static")
    assert target.read("etc/hostname") == "db01\n"
    assert "127.0.1.1\tdb01.example.org db01\n" in target.read("etc/hosts")
    first = target.read("etc/systemd/network/10-deployer-1.network")
    assert "Address=10.0.0.7/24\nAddress=2001:db8::7/64\nGateway=10.0.0.1\n" in first
    for unit in ("systemd-networkd", "systemd-resolved", "ssh", "deployer-first-boot"):
        assert target.runs("systemctl", "is-enabled", f"{unit}.service") == "enabled\n"
    assert target.mode("usr/lib/deployer/first-boot") == "0o755"
    assert target.read("etc/default/locale") == "LANG=de_CH.UTF-8\n"


def test_the_profiles_script_runs_with_its_quotes_intact(target: Target) -> None:
    target.becomes("scripts")
    assert target.read("etc/motd") == '<b>50 % off</b> & "more" {{ not a template }}\n'
    assert target.mode("usr/lib/deployer/first-boot-script") == "0o600"


def test_repositories_are_files_that_apt_reads(target: Target) -> None:
    target.becomes("sources")
    listed = target.runs("apt-get", "update", "--print-uris")
    assert "'https://packages.example.org/debian/dists/stable/InRelease'" in listed
    assert "'http://builds.example.org/today/./InRelease'" in listed
    assert 'Acquire::http::Proxy "http://proxy.example.org:3142";' in target.runs(
        "apt-config", "dump"
    )


def test_a_task_that_tasksel_passed_over_is_an_error(target: Target) -> None:
    with pytest.raises(AssertionError, match="there is no task web-server"):
        target.becomes("tasks")
    descriptions = target.root / "usr/share/tasksel/descs"
    descriptions.mkdir(parents=True)
    (descriptions / "debian-tasks.desc").write_text("Task: web-server\nSection: server\n")
    target.becomes("tasks")
