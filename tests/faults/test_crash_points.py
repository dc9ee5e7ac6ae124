"""F031: dying between a commit and what follows it, either way round, has one effect."""

from __future__ import annotations

from contextlib import suppress

import httpx
import pytest

from tests.support import faults
from tests.support.live import Fault, LiveService
from tests.support.service import PROFILE, ok

HOST = {
    "name": "web01", "macs": ["52:54:00:12:34:56"], "power": {"driver": "fake", "name": "web01"},
}  # fmt: skip
ONCE = ["boot_once", "cycle"]


def _asks(live: LiveService) -> httpx.Response:
    """The same request each time, as a client that got no answer repeats it."""
    body = {"host": "web01", "profile": PROFILE["name"]}
    headers = {"Idempotency-Key": "the same"}
    return live.api.post("/api/v1/deployments", json=body, headers=headers)


def _dies_there(live: LiveService, fault: Fault) -> None:
    """Queue a deployment in a process that dies at `fault`."""
    live.start(fault)
    live.knows(HOST)
    with suppress(httpx.HTTPError):
        _asks(live)
    assert live.wait() == faults.EXIT_CODE, "the fault was not reached"


def _after_restart(live: LiveService) -> str:
    live.start()
    answer = ok(_asks(live))
    live.waits_for(answer["id"], "booting")
    items = ok(live.api.get("/api/v1/deployments"))["items"]
    assert [item["id"] for item in items] == [answer["id"]], "one request, one deployment"
    return str(answer["id"])


@pytest.mark.parametrize(
    "fault",
    [
        faults.at_commit("after_commit", "created"),
        faults.at_handover,
        faults.at_act("before", "boot_once"),
        faults.at_commit("after_commit", "start"),
    ],
    ids=["creation_unanswered", "handed_over_unmarked", "before_the_act", "act_committed"],
)
def test_f031_what_was_ordered_is_done_once(live: LiveService, fault: Fault) -> None:
    _dies_there(live, fault)
    id_ = _after_restart(live)
    live.expects_told("web01", ONCE)
    assert "effect_interrupted" not in live.events(id_)


def test_f031_an_effect_that_may_be_repeated_is_done_again(live: LiveService) -> None:
    _dies_there(live, faults.at_act("after", "boot_once"))
    _after_restart(live)
    live.expects_told("web01", ["boot_once", "boot_once", "cycle"])


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (faults.at_act("before", "cycle"), ["boot_once"]),
        (faults.at_commit("before_commit", "power.cycle"), ONCE),
    ],
    ids=["before_the_act", "before_its_commit"],
)
def test_f031_a_power_cycle_that_was_interrupted_is_reported_and_not_repeated(
    live: LiveService, fault: Fault, told: list[str]
) -> None:
    _dies_there(live, fault)
    id_ = _after_restart(live)
    live.waits_for_event(id_, "effect_interrupted")
    live.expects_told("web01", told)


def test_f031_a_callback_whose_answer_was_lost_counts_once(live: LiveService) -> None:
    live.start().knows()
    id_ = live.queues()
    live.waits_for(id_, "booting")
    machine = live.machine()
    machine.boots_installer()
    live.kill()
    live.start(faults.at_commit("after_commit", "installer_finished"))
    with pytest.raises(httpx.HTTPError):
        machine.phones_home("installer_finished")
    live.wait()
    live.start()
    assert live.state(id_) == "first_boot"
    assert machine.phones_home("installer_finished").status_code == 200
    assert live.state(id_) == "first_boot"
