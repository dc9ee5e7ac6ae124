"""Is the machine what was asked for? Logs in over SSH and compares."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deployer.answers.context import Snapshot
from deployer.core import checks
from deployer.core.checks import Check
from deployer.core.profiles import Verify
from deployer.drivers import ssh
from deployer.services.parts import Parts

# A machine calls home as soon as its network is up; its SSH server may need a while longer.
_PATIENCE_SECONDS = 120
_PAUSE_SECONDS = 3


@dataclass(frozen=True)
class Verdict:
    """`cause` is empty when every check held."""

    checks: list[Check]
    cause: str | None = None


def verify(
    parts: Parts,
    snapshot: Snapshot,
    reported: dict[str, Any],
    *,
    patience: float = _PATIENCE_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> Verdict:
    """Try until somebody answers, `patience` seconds at the most; a refusal ends it at once."""
    wanted = snapshot.profile.verify or Verify()
    address = address_of(snapshot, reported)
    if address is None:
        return Verdict([], "no address to log in to: the machine reported none that may be used;"
                           " set `ssh: {address: ...}` for the host")  # fmt: skip
    target = ssh.Target(address, snapshot.host.ssh.port, tuple(reported.get("ssh_host_keys", ())))
    commands = dict(checks.COMMANDS)
    if wanted.packages:
        commands["packages"] = checks.package_command(wanted.packages)
    end = time.monotonic() + patience
    while True:
        try:
            outputs = ssh.run(target, parts.ssh_key_file, commands)
            break
        except ssh.Refused as refusal:
            return Verdict([], str(refusal))
        except ssh.NotReachable as problem:
            if time.monotonic() > end:
                return Verdict([], f"installed, not verified: {problem}")
            sleep(_PAUSE_SECONDS)
    done = checks.judge(outputs, snapshot.host.name, reported.get("disks", []), wanted)
    wrong = [str(check) for check in done if not check.ok]
    return Verdict(done, "not as asked: " + "; ".join(wrong) if wrong else None)


def address_of(snapshot: Snapshot, reported: dict[str, Any]) -> str | None:
    """Where to log in: what the operator set, else a static address, else whence it called.

    What a machine reports is a hint: loopback, link-local and the like are never followed
    (THREATS T047); its identity is proven by its host key in any case.
    """
    if snapshot.host.ssh.address:
        return snapshot.host.ssh.address
    for interface in snapshot.host.network.interfaces:
        for address in interface.addresses:
            return address.split("/")[0]
    called_from = reported.get("first_boot_address")
    return called_from if isinstance(called_from, str) and _may_be_a_machine(called_from) else None


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
