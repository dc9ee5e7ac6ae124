"""May this machine be given its installer? The one place where that is decided, and it is pure.

Every doubt ends at the local disk. Promises 1 and 2 of the design live here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from deployer.core.hosts import comparable_serial, same_uuid
from deployer.core.inventory import HostSpec
from deployer.core.lifecycle import State


@dataclass(frozen=True)
class BootRequest:
    """What a machine says of itself. None of it is proof; it may narrow, never grant."""

    mac: str
    address: str
    uuid: str | None = None
    serial: str | None = None


@dataclass(frozen=True)
class Claim:
    """The first client that fetched this deployment's script, and how often it has."""

    address: str
    mac: str
    first_at: datetime
    count: int


@dataclass(frozen=True)
class Limits:
    scripts: int
    window: timedelta


@dataclass(frozen=True)
class Verdict:
    """`reason` is for the history and for metrics; the machine never sees it.

    `suspicious`: somebody may be posing as this host, or a NIC has moved; a person should look.
    """

    install: bool
    reason: str
    suspicious: bool = False


# Without a deployment there is nothing to weigh, whoever asks.
UNKNOWN, IDLE = Verdict(False, "unknown"), Verdict(False, "idle")


def decide(
    request: BootRequest,
    host: HostSpec | None,
    state: State | None,
    claim: Claim | None,
    deadline: datetime | None,
    now: datetime,
    limits: Limits,
) -> Verdict:
    """`state`, `claim` and `deadline` are those of the host's unfinished deployment, if any."""
    if host is None:
        return UNKNOWN
    if state is None:
        return IDLE
    if state is not State.BOOTING:
        return Verdict(False, state.value)
    if host.protected:
        return Verdict(False, "protected")
    if deadline is not None and now >= deadline:
        return Verdict(False, "expired")
    if host.uuid and not same_uuid(host.uuid, request.uuid or ""):
        return Verdict(False, "other_uuid", suspicious=True)
    if host.serial and comparable_serial(host.serial) != comparable_serial(request.serial):
        return Verdict(False, "other_serial", suspicious=True)
    return _by_claim(request, claim, now, limits)


def _by_claim(request: BootRequest, claim: Claim | None, now: datetime, limits: Limits) -> Verdict:
    if claim is None:
        return Verdict(True, "first_request")
    if claim.mac != request.mac:
        return Verdict(False, "other_nic")
    if claim.address != request.address:
        return Verdict(False, "second_claimant", suspicious=True)
    if now >= claim.first_at + limits.window:
        return Verdict(False, "window_closed")
    if claim.count >= limits.scripts:
        return Verdict(False, "too_many_requests")
    return Verdict(True, "repeated_request")
