"""Is the machine what was asked for? Logs in over SSH and compares."""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from deployer.answers.context import Snapshot
from deployer.core import checks
from deployer.core.checks import Check
from deployer.core.inventory import HostSpec
from deployer.core.profiles import Verify
from deployer.drivers import ssh
from deployer.services.parts import Parts

# A machine calls home as soon as its network is up; its SSH server may need a while longer.
_PATIENCE_SECONDS = 120
_PAUSE_SECONDS = 3
# While it starts, nobody but root may log in (pam_nologin). So few tries, that far apart, as do
# not look like an attack to fail2ban, which shuts out at the fifth.
_REFUSED_PAUSES = (5, 15, 40)
_PORT_SECONDS = 3


@dataclass(frozen=True)
class Verdict:
    """`cause` is empty when every check held; without checks, nobody could look."""

    checks: list[Check]
    cause: str | None = None
    machine_id: str | None = None

    @property
    def result(self) -> Literal["verified", "differs", "unverified"]:
        if self.cause is None:
            return "verified"
        return "differs" if self.checks else "unverified"


def verify(
    parts: Parts,
    snapshot: Snapshot,
    reported: dict[str, Any],
    *,
    patience: float = _PATIENCE_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> Verdict:
    """Try until somebody answers, `patience` seconds at the most; another host key ends it at once.

    Who answers and does not let us in is asked again a few times.
    """
    wanted = snapshot.profile.verify or Verify()
    target = target_of(snapshot, reported)
    if target is None:
        return Verdict([], f"{_UNVERIFIED}: {NO_ADDRESS}")
    expected = _expected(snapshot, reported)
    commands = checks.commands(wanted, expected)
    end = time.monotonic() + patience
    refused = iter(_REFUSED_PAUSES)
    while True:
        try:
            outputs = ssh.run(target, parts.ssh_key_file, commands)
            break
        except ssh.NotLetIn as refusal:
            if (pause := next(refused, None)) is None:
                return Verdict([], str(refusal))
            sleep(pause)
        except ssh.Refused as refusal:
            return Verdict([], str(refusal))
        except ssh.NotReachable as problem:
            if time.monotonic() > end:
                return Verdict([], f"{_UNVERIFIED}: {problem}")
            sleep(_PAUSE_SECONDS)
    done = checks.judge(outputs, expected, wanted, _open_ports(target.address, wanted.ports))
    wrong = [str(check) for check in done if not check.ok]
    cause = "not as asked: " + "; ".join(wrong) if wrong else None
    return Verdict(done, cause, machine_id_of(outputs))


MACHINE_ID = {"machine_id": checks.COMMANDS["machine_id"]}


def machine_id_of(outputs: dict[str, str]) -> str | None:
    """As systemd makes one for each installation; None where there is none."""
    found = outputs["machine_id"].strip()
    return found if re.fullmatch("[0-9a-f]{32}", found) else None


def _expected(snapshot: Snapshot, reported: dict[str, Any]) -> checks.Expected:
    interfaces = snapshot.host.network.interfaces
    return checks.Expected(
        snapshot.host.name, reported.get("disks", []), snapshot.profile.storage.layout,
        tuple(address for each in interfaces for address in each.addresses),
    )  # fmt: skip


def _open_ports(address: str, ports: list[int]) -> list[int]:
    """Those that answer from here: what a firewall keeps from us is not open."""
    return [port for port in ports if _answers(address, port)]


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), _PORT_SECONDS).close()
    except OSError:
        return False
    return True


_UNVERIFIED = "installed, not verified"
NO_ADDRESS = (
    "no address to log in to: the machine reported none that may be used; set"
    " `ssh: {address: ...}` for the host"
)


def target_of(snapshot: Snapshot, reported: dict[str, Any]) -> ssh.Target | None:
    """Where to log in, and by which host keys the machine is known; None without an address."""
    address = address_of(snapshot, reported)
    if address is None:
        return None
    return ssh.Target(address, snapshot.host.ssh.port, tuple(reported.get("ssh_host_keys", ())))


def address_of(snapshot: Snapshot, reported: dict[str, Any]) -> str | None:
    """Where to log in: what the operator set, else a static address, else whence it called.

    What a machine reports is a hint: loopback, link-local and the like are never followed
    (THREATS T047); its identity is proven by its host key in any case.
    """
    if configured := configured_address(snapshot.host):
        return configured
    called_from = reported.get("first_boot_address")
    return called_from if isinstance(called_from, str) and _may_be_a_machine(called_from) else None


def configured_address(host: HostSpec) -> str | None:
    if host.ssh.address:
        return host.ssh.address
    for interface in host.network.interfaces:
        for address in interface.addresses:
            return address.split("/")[0]
    return None


def _may_be_a_machine(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return not (
        address.is_loopback or address.is_link_local or address.is_unspecified
        or address.is_multicast or address.is_reserved
    )  # fmt: skip
