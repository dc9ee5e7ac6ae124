"""F001-F011: what installers and machines do wrong, and what must come of it."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from deployer.core.lifecycle import RESTING, TRANSITIONS, Event, State
from deployer.drivers.power.fake import Fake
from tests.support.live import in_parallel
from tests.support.machine import FakeMachine
from tests.support.service import Service, ok

STEPS = ["asks", "boots_installer", "installer_started", "reports_disks", "progresses", "finished"]


def _gets_as_far_as(machine: FakeMachine, step: str) -> None:
    """The machine does everything up to and including `step`, and then no more."""
    acts: dict[str, Any] = {
        "asks": machine.asks,
        "boots_installer": machine.boots_installer,
        "installer_started": lambda: machine.phones_home("installer_started"),
        "reports_disks": machine.reports_disks,
        "progresses": lambda: machine.progresses("writing", 40),
        "finished": lambda: machine.phones_home("installer_finished"),
    }
    for name in STEPS[: STEPS.index(step) + 1]:
        acts[name]()


def _times_out(service: Service) -> None:
    service.clock.forward(hours=20)
    assert service.expire() == 1


# --- calls that get lost, come twice, come late -----------------------------------------------


def test_f001_a_lost_finished_is_made_up_for_by_the_new_systems_own_call(service: Service) -> None:
    service.knows()
    id_, machine = service.deploys(), service.machine()
    _gets_as_far_as(machine, "progresses")
    machine.phones_home("first_boot")
    assert service.state(id_) == "ready"


@pytest.mark.slow
def test_f001_when_every_last_call_is_lost_it_fails_and_is_not_installed_again(
    service: Service,
) -> None:
    service.knows()
    id_, machine = service.deploys(), service.machine()
    _gets_as_far_as(machine, "progresses")
    _times_out(service)
    assert service.state(id_) == "failed"
    assert "Last seen: progress" in service.cause(id_)
    assert not machine.is_offered_an_installer()
    assert service.work() == []


@pytest.mark.parametrize("event", ["installer_started", "installer_finished", "first_boot"])
def test_f002_a_call_repeated_because_its_answer_was_lost_gets_the_same_answer_and_one_effect(
    service: Service, event: str
) -> None:
    service.knows(verify={"packages": ["openssh-server"]})
    id_, machine = service.deploys(), service.machine()
    machine.boots_installer()
    answers = [machine.phones_home(event) for _ in range(3)]
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, "ok\n")}
    moves = [line["event"] for line in service.history(id_) if line["to"]]
    assert moves.count(event) <= 1
    ordered = [effect.name for effect in service.waiting()]
    assert ordered == (["ssh.verify"] if event == "first_boot" else [])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_f003_calls_twice_late_and_in_any_order_only_ever_move_it_forward(
    service: Service, seed: int
) -> None:
    order = random.Random(seed)
    service.knows()
    id_, machine = service.deploys(), service.machine()
    machine.boots_installer()
    calls = ["installer_started", "installer_finished", "first_boot", "installer_failed"]
    for call in order.choices(calls, k=12):
        service.clock.forward(minutes=order.choice([0, 0, 5, 200]))
        before = State(service.state(id_))
        answer = machine.phones_home(call)
        after = State(service.state(id_))
        assert answer.status_code in (200, 404)
        if before in RESTING:
            assert after is before, "a final state is final"
        elif after is not before:
            path = TRANSITIONS[before, Event(call)]
            assert after in (path, State.READY), f"{before} -{call}-> {after}"
        assert not machine.is_offered_an_installer()


@pytest.mark.slow
def test_f004_a_machine_that_stops_at_any_step_fails_disarmed_with_what_was_seen_last(
    service: Service,
) -> None:
    service.knows()
    for step in [None, *STEPS]:
        id_, machine = service.deploys(), service.machine()
        if step:
            _gets_as_far_as(machine, step)
        last = service.events(id_)[-1]
        _times_out(service)
        assert service.state(id_) == "failed"
        said = rf"no sign of life in \w+ .*Last seen: {last} .*Likely: \(1\)"
        assert re.search(said, service.cause(id_))
        assert not machine.is_offered_an_installer()
        assert service.work() == [], "nothing destructive happens without a person"
        assert {item["id"] for item in _unfinished(service)} == set()


# --- boots at the wrong moment ----------------------------------------------------------------


@pytest.mark.slow
def test_f005_a_reboot_after_the_answer_file_boots_the_disk(service: Service) -> None:
    service.knows()
    for step in STEPS[1:]:
        id_, machine = service.deploys(), service.machine()
        _gets_as_far_as(machine, step)
        state = service.state(id_)
        assert not machine.is_offered_an_installer()
        assert not machine.is_offered_an_installer()
        assert service.state(id_) == state, "it goes on waiting for what it waited for"
        seen = service.events(id_)
        assert seen.count("restarted") == (state == "installing"), "the alert stands there once"
        ok(service.api.post(f"/api/v1/deployments/{id_}/cancel"))


def test_f005_a_reboot_before_the_answer_file_gets_the_same_script(service: Service) -> None:
    service.knows()
    service.deploys()
    machine = service.machine()
    first = machine.asks()
    assert "kernel" in first and machine.asks() == first


@pytest.mark.slow
def test_f006_when_the_power_fails_it_fails_and_it_is_not_switched_on_again(
    service: Service,
) -> None:
    Fake.told.pop("web01", None)
    service.knows({"power": {"driver": "fake", "name": "web01"}})
    id_, machine = service.deploys(), service.machine()
    _gets_as_far_as(machine, "progresses")
    Fake.told["web01"].clear()  # somebody pulled the plug
    _times_out(service)
    assert service.state(id_) == "failed"
    assert service.work() == []
    assert Fake.told["web01"] == []
    assert not machine.is_offered_an_installer(), "should somebody switch it on"


@pytest.mark.slow
def test_f007_a_machine_in_a_boot_loop_gets_its_disk_after_the_limit(service: Service) -> None:
    service.knows()
    service.deploys()
    machine = service.machine()
    offers = [machine.is_offered_an_installer() for _ in range(50)]
    limit = service.parts.settings.boot_script_limit
    assert offers == [True] * limit + [False] * (50 - limit)


@pytest.mark.slow
def test_f007_an_installer_that_fails_and_restarts_again_and_again_runs_once(
    service: Service,
) -> None:
    service.knows()
    id_, machine = service.deploys(), service.machine()
    machine.boots_installer()
    machine.phones_home("installer_failed", {"message": "no space", "stage": "unpacking"})
    assert [machine.is_offered_an_installer() for _ in range(50)] == [False] * 50
    assert service.cause(id_) == "no space (while unpacking)"


@pytest.mark.slow
def test_f008_a_machine_that_boots_the_network_again_afterwards_boots_its_disk(
    service: Service,
) -> None:
    service.knows()
    id_, machine = service.deploys(), service.machine()
    machine.installs()
    assert [machine.is_offered_an_installer() for _ in range(5)] == [False] * 5
    machine.phones_home("first_boot")
    assert not machine.is_offered_an_installer()
    assert service.state(id_) == "ready"
    assert service.events(id_).count("network_boot") == 1, "a hint, once, at its boot order"


@pytest.mark.slow
def test_f009_an_installer_that_reboots_three_times_needs_one_shot_only(service: Service) -> None:
    service.knows()
    id_, machine = service.deploys(), service.machine()
    machine.boots_installer()
    machine.phones_home("installer_started")
    for percent in (25, 50, 75):
        assert not machine.is_offered_an_installer(), "it goes on from its disk"
        assert machine.progresses("reboot", percent).status_code == 200
        assert service.state(id_) == "installing"
    machine.phones_home("installer_finished")
    assert not machine.is_offered_an_installer()
    machine.phones_home("first_boot")
    assert service.state(id_) == "ready"
    locals_ = [line for line in service.history(id_) if line["from"] == "booting"]
    assert len(locals_) == 1, "the switch to local boot happened once"


# --- several NICs -----------------------------------------------------------------------------

MACS = ["52:54:00:12:34:56", "52:54:00:12:34:57"]


def _race_of_two_nics(real: Service, rounds: int) -> None:
    real.knows({"macs": MACS})
    nics = [real.machine(mac, f"10.0.0.{n}") for n, mac in enumerate(MACS, 7)]
    for _ in range(rounds):
        id_ = real.deploys()
        offers = in_parallel(*(nic.is_offered_an_installer for nic in nics))
        assert sorted(offers) == [False, True], offers
        winner = nics[offers.index(True)]
        assert winner.fetches_plan().status_code == 200
        assert real.row(id_).boot_mac == winner.mac
        ok(real.api.post(f"/api/v1/deployments/{id_}/cancel"))


@pytest.mark.slow
def test_f010_of_two_nics_that_boot_at_once_one_gets_the_installer(real: Service) -> None:
    _race_of_two_nics(real, rounds=12)


@pytest.mark.e2e
def test_f010_of_two_nics_that_boot_at_once_one_gets_the_installer_a_thousand_times(
    real: Service,
) -> None:
    object.__setattr__(real.parts.settings, "installs_per_hour", 100_000)
    _race_of_two_nics(real, rounds=1000)


@pytest.mark.slow
def test_f011_the_answer_file_names_interfaces_by_mac_whatever_their_order(
    service: Service,
) -> None:
    static = {"mac": MACS[1], "addresses": ["10.0.0.7/24"], "gateway": "10.0.0.1"}
    service.knows({"macs": MACS, "network": {"interfaces": [static]}})
    for mac in MACS:  # the firmware may find either NIC first
        id_, machine = service.deploys(), service.machine(mac)
        machine.boots_installer()
        ok(service.api.post(f"/api/v1/deployments/{id_}/cancel"))
        plan = str(machine.plan)
        network = plan[plan.index("MACAddress") :]
        assert re.search(
            rf"MACAddress={MACS[1]}[^\[]*\[Network\][^\[]*Address=10.0.0.7/24", network
        )
        assert not re.search(r"\b(eth|en[osp])\d", plan), "no name or index of an interface"


def _unfinished(service: Service) -> list[dict[str, Any]]:
    items = ok(service.api.get("/api/v1/deployments"))["items"]
    return [item for item in items if item["state"] not in RESTING]
