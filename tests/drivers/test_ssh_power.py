"""The ssh power driver against a real SSH server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployer.drivers import ssh
from deployer.drivers.power.base import BootMethod, PowerState
from deployer.errors import BootMethodRefused, DriverError, DriverRefused, DriverUnclear, Invalid
from deployer.services import keys, power
from tests.support.linux import ENTRIES, UefiLinux
from tests.support.power import driver, host
from tests.support.ssh_server import Manner, SshServer, new_key


class Lab:
    """A machine's SSH server, and a driver for it."""

    def __init__(self, folder: Path) -> None:
        self.key_file, self.public = keys.ssh_key(folder, bytes(range(32)))

    def server(
        self, says: Callable[[str], Any], *, user: str = "root", manner: Manner = "well"
    ) -> SshServer:
        return SshServer(says, self.public, user=user, manner=manner)

    def driver(self, server: SshServer, **more: Any) -> Any:
        settings = {
            "driver": "ssh", "address": "127.0.0.1", "port": server.port,
            "known_hosts": [server.host_key_line], **more,
        }  # fmt: skip
        return driver(settings, ssh_key_file=self.key_file)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_the_network_entry_of_the_hosts_own_nic_is_next(lab: Lab) -> None:
    machine = UefiLinux()
    with lab.server(machine) as server:
        said = lab.driver(server).boot_once()
    assert said == "the firmware shows Boot000A (UEFI PXEv4 (MAC:525400123456)) as BootNext"
    assert machine.boot_next == "000A"


def test_another_network_entry_will_do(lab: Lab) -> None:
    machine = UefiLinux(entries=ENTRIES.partition("Boot0003")[0])
    with lab.server(machine) as server:
        lab.driver(server).boot_once(BootMethod.BOOT_NEXT)
    assert machine.boot_next == "0002"


@pytest.mark.slow
def test_an_account_that_is_not_root_uses_sudo(lab: Lab) -> None:
    with lab.server(UefiLinux(), user="ops") as server:
        switch = lab.driver(server, username="ops")
        switch.boot_once()
        switch.cycle()
        assert all(command.startswith("sudo -n ") for command in server.commands)


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        (("EFI variables are not supported on this system.", 2), "not supported"),
        (("sh: efibootmgr: not found", 127), "127"),
        ("BootCurrent: 0001\nBoot0001* debian\tHD(1,GPT)\n", "no active boot entry"),
    ],
)
def test_a_machine_that_has_no_boot_next_leaves_other_ways(
    lab: Lab, says: Any, problem: str
) -> None:
    with (
        lab.server(lambda command: says) as server,
        pytest.raises(BootMethodRefused, match=problem),
    ):
        lab.driver(server).boot_once()


def test_a_firmware_that_forgets_is_caught(lab: Lab) -> None:
    with (
        lab.server(UefiLinux(keeps_boot_next=False)) as server,
        pytest.raises(DriverError, match="does not show it"),
    ):
        lab.driver(server).boot_once()


def test_a_restart_ends_the_connection_and_that_is_fine(lab: Lab) -> None:
    machine = UefiLinux()
    with lab.server(machine) as server:
        assert lab.driver(server).cycle() == "the machine restarts itself"
    assert machine.reboots == 1


def test_a_restart_that_is_not_allowed_is_refused(lab: Lab) -> None:
    says = ("sudo: a password is required", 1)
    with (
        lab.server(lambda command: says, user="ops") as server,
        pytest.raises(DriverRefused, match="password is required"),
    ):
        lab.driver(server, username="ops").cycle()


def test_a_restart_without_an_answer_is_unclear(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "_COMMAND_SECONDS", 0.3)
    with lab.server(UefiLinux(), manner="mute") as server, pytest.raises(DriverUnclear):
        lab.driver(server).cycle()


@pytest.mark.slow
def test_a_machine_that_does_not_answer_may_be_asked_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "_CONNECT_SECONDS", 0.3)
    with lab.server(UefiLinux(), manner="deaf") as server:
        switch = lab.driver(server)
        assert switch.state() is PowerState.UNKNOWN
        with pytest.raises(DriverError) as error:
            switch.cycle()
        assert type(error.value) is DriverError


def test_another_machine_at_that_address_is_not_touched(lab: Lab) -> None:
    machine, other = UefiLinux(), new_key()
    with lab.server(machine) as server:
        switch = lab.driver(server, known_hosts=[f"{other.get_name()} {other.get_base64()}"])
        for act in (switch.state, switch.boot_once, switch.cycle):
            with pytest.raises(DriverRefused, match="another SSH host key"):
                act()
        assert server.commands == []


def test_what_it_is(lab: Lab) -> None:
    with lab.server(UefiLinux()) as server:
        product = lab.driver(server).product()
    assert (product.manufacturer, product.firmware) == ("QEMU", "2024.02-2")


@pytest.mark.parametrize("known", [[], ["rubbish"], ["ssh-ed25519"], "accept-new", None])
def test_a_host_key_is_needed_beforehand(known: Any) -> None:
    settings = {"driver": "ssh", "address": "10.0.0.7", "known_hosts": known}
    with pytest.raises(Invalid) as refusal:
        power.check(host(**settings))
    assert str(refusal.value.field).startswith("power.known_hosts")
