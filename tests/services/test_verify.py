"""Logging in to see whether a machine is what was asked for, against a real SSH server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deployer.answers.context import Snapshot
from deployer.core.checks import COMMANDS
from deployer.core.inventory import HostSpec
from deployer.core.profiles import ProfileSpec
from deployer.drivers import ssh
from deployer.services import keys, verify
from deployer.services.verify import Verdict
from tests.support.postgres import free_port
from tests.support.ssh_server import SshServer, new_key

DISK = {"name": "vda", "path": "/dev/vda", "size": 8 * 2**30, "serial": "DISK-1"}
ROOT = {"name": "vda3", "type": "part", "size": 1, "mountpoints": ["/"]}
LSBLK = {"blockdevices": [{**DISK, "type": "disk", "mountpoints": [None], "children": [ROOT]}]}


def healthy(command: str) -> str:
    """What web01 with Debian 12 prints."""
    return {
        "cat /etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
        "cat /proc/sys/kernel/hostname": "web01\n",
        COMMANDS["disks"]: json.dumps(LSBLK),
    }.get(command, "openssh-server installed\n")


class Installed:
    """A host of ours, and the key with which we log in to it."""

    def __init__(self, folder: Path) -> None:
        self.key_file, self.public_key = keys.ssh_key(folder, bytes(range(32)))

    def verify(self, port: int, host_keys: list[str], patience: float = 0, **more: Any) -> Verdict:
        snapshot = Snapshot(
            HostSpec.model_validate({
                "name": "web01", "macs": ["52:54:00:12:34:56"],
                "ssh": {"address": "127.0.0.1", "port": port},
            }),
            ProfileSpec.model_validate({
                "name": "web", "os": "image", "release": "debian-12",
                "verify": {"release": "12", "packages": ["openssh-server"], **more},
            }),
            None, {},
        )  # fmt: skip
        parts: Any = SimpleNamespace(ssh_key_file=self.key_file)
        reported = {"ssh_host_keys": host_keys, "disks": [DISK]}
        return verify.verify(parts, snapshot, reported, patience=patience, sleep=lambda _: None)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    monkeypatch.setattr(ssh, "_CONNECT_SECONDS", 1)
    monkeypatch.setattr(ssh, "_LOGIN_SECONDS", 1)
    monkeypatch.setattr(ssh, "_COMMAND_SECONDS", 1)
    monkeypatch.setattr(ssh, "_SESSION_SECONDS", 2)
    return Installed(tmp_path)


def in_time(act: Callable[[], Verdict], seconds: float = 4) -> Verdict:
    """What `act` returns; a failure when it does not return at all."""
    done: list[Verdict] = []
    thread = threading.Thread(target=lambda: done.append(act()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert done, f"no verdict within {seconds} s"
    return done[0]


@pytest.mark.slow
def test_a_machine_as_asked_for_is_verified(installed: Installed) -> None:
    with SshServer(healthy, installed.public_key) as server:
        verdict = installed.verify(server.port, [server.host_key_line])
    assert verdict.cause is None
    assert [(check.name, check.ok) for check in verdict.checks] == [
        ("hostname", True), ("release", True), ("disk", True), ("package openssh-server", True),
    ]  # fmt: skip
    assert len(server.commands) == 5 and server.asked_for_more == []


@pytest.mark.slow
def test_ports_are_asked_from_here(installed: Installed) -> None:
    closed = free_port()
    with SshServer(healthy, installed.public_key) as server:
        ports = [server.port, closed]
        verdict = installed.verify(server.port, [server.host_key_line], ports=ports)
    assert verdict.result == "differs"
    assert verdict.cause == f"not as asked: port {closed}: no answer (expected open)"


def test_who_could_not_look_says_so_and_no_more(installed: Installed) -> None:
    key = f"ssh-ed25519 {new_key().get_base64()}"
    verdict = installed.verify(free_port(), [key])
    assert verdict.result == "unverified"
    assert str(verdict.cause).startswith("installed, not verified: ")


@pytest.mark.slow
def test_one_of_several_reported_host_keys_is_enough(installed: Installed) -> None:
    with SshServer(healthy, installed.public_key) as server:
        reported = [
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7",
            f"{server.host_key_line} root@web01",
        ]
        assert installed.verify(server.port, reported).cause is None


def test_another_host_key_is_another_machine(installed: Installed) -> None:
    other = new_key()
    with SshServer(healthy, installed.public_key) as server:
        verdict = installed.verify(server.port, [f"ssh-ed25519 {other.get_base64()}"], patience=60)
    assert verdict.cause == (
        f"127.0.0.1 port {server.port} shows another SSH host key than the one that we know;"
        " this is another machine, or somebody is in between"
    )
    assert server.commands == []


@pytest.mark.parametrize(
    "reported", [[], ["ssh-dss AAAA"], ["rubbish"], [""], ["ssh-ed25519"]], ids=repr
)
def test_without_a_host_key_to_check_we_do_not_log_in(
    installed: Installed, reported: list[str]
) -> None:
    with SshServer(healthy, installed.public_key) as server:
        verdict = installed.verify(server.port, reported, patience=60)
    assert verdict.cause and "SSH host key" in verdict.cause
    assert server.commands == []


@pytest.mark.parametrize("user", ["deployer", "somebody"])
def test_an_account_that_does_not_let_us_in_is_named(installed: Installed, user: str) -> None:
    authorized = installed.public_key if user != "deployer" else f"x {new_key().get_base64()}"
    with SshServer(healthy, authorized, user=user) as server:
        verdict = installed.verify(server.port, [server.host_key_line], patience=60)
    assert verdict.cause == (
        "the machine does not accept our key for the account 'deployer'; was it removed by"
        " a script?"
    )
    assert server.logins == 4, "fail2ban shuts out at the fifth"


@pytest.mark.slow
def test_a_machine_that_still_starts_lets_nobody_in_and_is_asked_again(
    installed: Installed,
) -> None:
    with SshServer(healthy, installed.public_key, refusals=3) as server:
        assert installed.verify(server.port, [server.host_key_line]).result == "verified"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "prints", "cause"),
    [
        ("cat /proc", "web02\n", "not as asked: hostname: web02 (expected web01)"),
        ("cat /etc", "VERSION_ID=11\n", "not as asked: release: 11 (expected 12)"),
        (
            "lsblk", json.dumps(LSBLK).replace("DISK-1", "DISK-2"),
            "not as asked: disk: 8.6 GB, serial DISK-2 (expected 8.6 GB, serial DISK-1)",
        ),
        (
            "dpkg", "openssh-server config-files\n",
            "not as asked: package openssh-server: not installed (expected installed)",
        ),
        (
            "", "", "not as asked: hostname: nothing (expected web01); release: nothing (expected"
            " 12); disk: no list of disks (expected 8.6 GB, serial DISK-1);"
            " package openssh-server: not installed (expected installed)",
        ),
        (
            "lsblk", "\ufffd" * 99,
            "not as asked: disk: no list of disks (expected 8.6 GB, serial DISK-1)",
        ),
    ],
    ids=["hostname", "release", "disk", "package", "nothing at all", "rubbish"],
)  # fmt: skip
def test_what_differs_is_named(installed: Installed, command: str, prints: str, cause: str) -> None:
    def says(asked: str) -> str:
        return prints if asked.startswith(command) else healthy(asked)

    with SshServer(says, installed.public_key) as server:
        assert installed.verify(server.port, [server.host_key_line]).cause == cause


@pytest.mark.slow
@pytest.mark.parametrize("manner", ["deaf", "undecided", "mute", "stuck"])
def test_a_machine_that_falls_silent_is_not_waited_for_without_end(
    installed: Installed, manner: Any
) -> None:
    with SshServer(healthy, installed.public_key, manner=manner) as server:
        verdict = in_time(lambda: installed.verify(server.port, [server.host_key_line]))
    assert verdict.cause and verdict.cause.startswith("installed, not verified: ")


def test_output_without_end_is_cut(installed: Installed) -> None:
    with SshServer(healthy, installed.public_key, manner="endless") as server:
        verdict = in_time(lambda: installed.verify(server.port, [server.host_key_line]))
    assert verdict.cause and len(verdict.cause) < 300_000


def test_nobody_there_is_tried_again_until_patience_ends(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    verdict = installed.verify(free_port(), [f"ssh-ed25519 {new_key().get_base64()}"], patience=0.3)
    assert verdict.cause and "Connection refused" in verdict.cause
    assert time.monotonic() - began >= 0.3


# --- where to log in --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "called_from", "address"),
    [
        ({}, "10.0.0.9", "10.0.0.9"),
        ({}, "2001:db8::9", "2001:db8::9"),
        ({"ssh": {"address": "192.0.2.1"}}, "10.0.0.9", "192.0.2.1"),
        ({"network": {"interfaces": [{"addresses": ["10.0.0.7/24"]}]}}, "10.0.0.9", "10.0.0.7"),
        ({}, "127.0.0.1", None),
        ({}, "::1", None),
        ({}, "::ffff:127.0.0.1", None),
        ({}, "169.254.169.254", None),
        ({}, "fe80::1", None),
        ({}, "0.0.0.0", None),
        ({}, "224.0.0.1", None),
        ({}, "255.255.255.255", None),
        ({}, "web01.example.org", None),
        ({}, None, None),
    ],
    ids=str,
)
def test_we_log_in_where_the_operator_says_or_whence_the_machine_called(
    host: dict[str, Any], called_from: str | None, address: str | None
) -> None:
    snapshot: Any = SimpleNamespace(
        host=HostSpec.model_validate({"name": "web01", "macs": ["52:54:00:12:34:56"], **host})
    )
    reported = {"first_boot_address": called_from} if called_from else {}
    assert verify.address_of(snapshot, reported) == address
