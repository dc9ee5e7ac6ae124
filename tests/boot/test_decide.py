"""May this machine be given its installer? Every verdict, and that doubt always means no."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.boot.decide import BootRequest, Claim, Limits, Verdict, decide
from deployer.core.inventory import HostSpec
from deployer.core.lifecycle import State

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MAC, OTHER_MAC = "52:54:00:12:34:56", "52:54:00:12:34:57"
UUID = "4c4c4544-0044-4810-8058-c4c04f4b3232"
TURNED = "44454c4c-4400-1048-8058-c4c04f4b3232"
LIMITS = Limits(scripts=3, window=timedelta(minutes=15))
SOON, PAST = NOW + timedelta(minutes=5), NOW - timedelta(seconds=1)


def host(**more: Any) -> HostSpec:
    return HostSpec.model_validate({"name": "web01", "macs": [MAC, OTHER_MAC], **more})


def request(**more: Any) -> BootRequest:
    return BootRequest(**{"mac": MAC, "address": "10.0.0.7", **more})


def claim(**more: Any) -> Claim:
    return Claim(**{"address": "10.0.0.7", "mac": MAC, "first_at": NOW, "count": 1, **more})


def verdict(**given: Any) -> Verdict:
    """The verdict on a machine that is expected, apart from what is given."""
    case: dict[str, Any] = {
        "request": request(), "host": host(), "state": State.BOOTING, "claim": None,
        "deadline": SOON, "now": NOW, "limits": LIMITS, **given,
    }  # fmt: skip
    return decide(**case)


@pytest.mark.parametrize(
    ("given", "install", "reason", "suspicious"),
    [
        ({}, True, "first_request", False),
        ({"host": None}, False, "unknown", False),
        ({"state": None}, False, "idle", False),
        ({"state": State.QUEUED}, False, "queued", False),
        ({"state": State.INSTALLING}, False, "installing", False),
        ({"state": State.FIRST_BOOT}, False, "first_boot", False),
        ({"state": State.VERIFYING}, False, "verifying", False),
        ({"state": State.READY}, False, "ready", False),
        ({"state": State.FAILED}, False, "failed", False),
        ({"state": State.CANCELLED}, False, "cancelled", False),
        ({"host": host(protected=True)}, False, "protected", False),
        ({"deadline": NOW}, False, "expired", False),
        ({"deadline": PAST}, False, "expired", False),
        ({"host": host(uuid=UUID)}, False, "other_uuid", True),
        ({"host": host(uuid=UUID), "request": request(uuid=OTHER_MAC)}, False, "other_uuid", True),
        ({"host": host(uuid=UUID), "request": request(uuid=UUID)}, True, "first_request", False),
        ({"host": host(uuid=UUID), "request": request(uuid=TURNED)}, True, "first_request", False),
        ({"host": host(serial="S1")}, False, "other_serial", True),
        ({"host": host(serial="S1"), "request": request(serial="S2")}, False, "other_serial", True),
        ({"host": host(serial="S"), "request": request(serial="s ")}, True, "first_request", False),
        ({"request": request(uuid=UUID, serial="S9")}, True, "first_request", False),
        ({"claim": claim()}, True, "repeated_request", False),
        ({"claim": claim(count=2)}, True, "repeated_request", False),
        ({"claim": claim(count=3)}, False, "too_many_requests", False),
        ({"claim": claim(mac=OTHER_MAC)}, False, "other_nic", False),
        ({"claim": claim(address="10.0.0.8")}, False, "second_claimant", True),
        ({"claim": claim(first_at=NOW - LIMITS.window)}, False, "window_closed", False),
        (
            {"claim": claim(first_at=NOW - LIMITS.window + timedelta(seconds=1))},
            True, "repeated_request", False,
        ),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else str(value),
)  # fmt: skip
def test_every_verdict(given: dict[str, Any], install: bool, reason: str, suspicious: bool) -> None:
    assert verdict(**given) == Verdict(install, reason, suspicious)


# --- whatever comes together ------------------------------------------------------------------

UUIDS = st.sampled_from([None, UUID, TURNED, "4c4c4544-0044-4810-8058-c4c04f4b3233"])
SERIALS = st.sampled_from([None, "S1", " s1", "S2", "None"])
MACS = st.sampled_from([MAC, OTHER_MAC])
ADDRESSES = st.sampled_from(["10.0.0.7", "10.0.0.8"])
MOMENTS = st.integers(-2000, 2000).map(lambda seconds: NOW + timedelta(seconds=seconds))
HOSTS = st.none() | st.builds(
    host, uuid=UUIDS, serial=SERIALS, protected=st.booleans()
)  # fmt: skip
REQUESTS = st.builds(
    BootRequest, mac=MACS, address=ADDRESSES, uuid=UUIDS, serial=SERIALS
)  # fmt: skip
CLAIMS = st.none() | st.builds(
    Claim, address=ADDRESSES, mac=MACS, first_at=MOMENTS, count=st.integers(0, 5)
)


@given(REQUESTS, HOSTS, st.none() | st.sampled_from(State), CLAIMS, st.none() | MOMENTS)
def test_nothing_but_a_live_deployment_of_this_very_machine_installs(
    request: BootRequest,
    host: HostSpec | None,
    state: State | None,
    claim: Claim | None,
    deadline: datetime | None,
) -> None:
    if not decide(request, host, state, claim, deadline, NOW, LIMITS).install:
        return
    assert host is not None and not host.protected
    assert state is State.BOOTING
    assert deadline is None or deadline > NOW
    assert host.uuid is None or request.uuid in (host.uuid, *turned(host.uuid))
    assert host.serial in (None, "None") or (request.serial or "").strip().lower() == (
        host.serial.strip().lower()
    )
    if claim is not None:
        assert (claim.mac, claim.address) == (request.mac, request.address)
        assert claim.count < LIMITS.scripts and claim.first_at + LIMITS.window > NOW


def turned(uuid: str) -> tuple[str, ...]:
    return {UUID: (TURNED,), TURNED: (UUID,)}.get(uuid, ())


@given(REQUESTS, HOSTS, st.none() | st.sampled_from(State), CLAIMS, st.none() | MOMENTS)
def test_whatever_is_suspicious_is_refused(
    request: BootRequest,
    host: HostSpec | None,
    state: State | None,
    claim: Claim | None,
    deadline: datetime | None,
) -> None:
    answer = decide(request, host, state, claim, deadline, NOW, LIMITS)
    assert not (answer.suspicious and answer.install)
