"""Steps of a workflow: one after the other, on conditions, and waiting for whom they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deployer.app import load_workflows
from deployer.drivers.power.fake import Fake
from deployer.errors import DriverRefused
from deployer.services.people import Role
from deployer.settings import Settings
from deployer.store import effects as store
from tests.support.service import Service, ok

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
pytestmark = on_sqlite
POWER = {"driver": "fake", "name": "flow"}
BOOT = "  booting: [{do: power.cycle}]\n"

Follows = Callable[..., str]


@pytest.fixture
def acts() -> list[str]:
    told = Fake.told.setdefault("flow", [])
    told.clear()
    return told


@pytest.fixture
def follows(service: Service, tmp_path: Path, acts: list[str]) -> Follows:
    """A deployment, not yet begun, by a workflow with these lines under `on:`."""

    def queued(lines: str, host: dict[str, Any] | None = None, **profile: Any) -> str:
        (tmp_path / "mine.yaml").write_text(f"name: mine\nlabel: Mine\n'on':\n{lines}")
        found = load_workflows(Settings(workflows=tmp_path))
        service.parts.workflows.update(found)
        service.knows(host={"power": POWER, **(host or {})}, workflow="mine", **profile)
        return service.queues()

    return queued


def test_a_step_begins_when_the_one_before_has_ended(
    service: Service, follows: Follows, acts: list[str]
) -> None:
    id_ = follows("  queued: [{do: power.off}, {do: power.boot_once}]\n" + BOOT)
    assert service.work(1) == ["power.off"]
    assert acts == ["off"] and service.state(id_) == "queued"
    assert service.work() == ["power.boot_once", "power.cycle"]
    assert service.state(id_) == "booting"


def test_a_wait_holds_up_the_next_step_and_not_the_deadline(
    service: Service, follows: Follows, acts: list[str]
) -> None:
    steps = "[{do: wait, with: {for: 2h}}, {do: power.boot_once}]"
    id_ = follows(f"  queued: {steps}\n{BOOT}")
    assert service.work() == []
    service.clock.forward(minutes=119)
    assert service.work() == [] and service.expire() == 0
    service.clock.forward(minutes=2)
    assert service.work() == ["wait", "power.boot_once", "power.cycle"]
    assert service.state(id_) == "booting"


def test_after_a_wait_it_may_still_be_overdue(service: Service, follows: Follows) -> None:
    id_ = follows("  queued: [{do: wait, with: {for: 2h}}, {do: power.boot_once}]\n")
    service.clock.forward(minutes=131)
    service.expire()
    assert service.state(id_) == "failed", "no worker came"


def test_a_step_that_may_fail_does_not_end_the_deployment(
    service: Service, follows: Follows, acts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(switch: Fake) -> str:
        raise DriverRefused("it has no off")

    monkeypatch.setattr(Fake, "off", off)
    id_ = follows("  queued: [{do: power.off, on_failure: go_on}, {do: power.boot_once}]\n" + BOOT)
    service.work()
    assert service.state(id_) == "booting"
    (line,) = [line for line in service.history(id_) if line["event"] == "power.off"]
    assert line["detail"]["failed"] == "power.off: it has no off"


def _dies_over(service: Service, name: str) -> None:
    """The worker that has this effect in hand begins it, and is not heard of again."""
    (waiting,) = [effect for effect in service.waiting() if effect.name == name]
    with service.parts.database.writing() as session:
        row = store.get(session, waiting.id)
        assert row is not None
        row.started_at, row.attempts = service.clock(), 1
        session.add(row)


def test_after_a_restart_that_was_interrupted_the_machine_is_awaited_and_the_next_step_begins(
    service: Service, follows: Follows, acts: list[str]
) -> None:
    id_ = follows(
        "  queued: [{do: power.boot_once}]\n  booting: [{do: power.cycle}, {do: power.off}]\n"
    )
    service.work(1)
    _dies_over(service, "power.cycle")
    service.work()
    assert acts == ["boot_once", "off"] and "effect_interrupted" in service.events(id_)
    assert service.row(id_).boot_awaited_until is not None


def test_when_the_machine_came_before_it_was_restarted_the_next_step_begins(
    service: Service, follows: Follows, acts: list[str]
) -> None:
    follows("  queued: [{do: power.boot_once}]\n  booting: [{do: power.cycle}, {do: power.off}]\n")
    service.work(1)
    assert service.machine().is_offered_an_installer()
    service.work()
    assert acts == ["boot_once", "off"]


@pytest.mark.parametrize(("on_failure", "ends"), [("fail", "failed"), ("go_on", "ready")])
def test_a_command_that_was_interrupted_has_failed(
    service: Service, follows: Follows, acts: list[str], on_failure: str, ends: str
) -> None:
    run = f"{{do: ssh.run, with: {{command: 'true'}}, on_failure: {on_failure}}}"
    id_ = follows(
        f"  queued: [{{do: power.boot_once}}]\n{BOOT}  verifying: [{run}, {{say: verified}}]\n"
    )
    service.work()
    machine = service.machine()
    machine.installs()
    machine.phones_home("first_boot")
    _dies_over(service, "ssh.run")
    service.work()
    assert service.state(id_) == ends
    if ends == "failed":
        cause = "ssh.run: interrupted; whether it was done is not known"
        assert service.cause(id_) == cause


@pytest.mark.parametrize(
    ("condition", "given", "holds"),
    [
        ("power_control", {}, True),
        ("label:env=prod", {"host": {"labels": {"env": "prod"}}}, True),
        ("label:env=prod", {"host": {"labels": {"env": "production"}}}, False),
        ("label:env=prod", {}, False),
        ("var:burn_in", {"vars": {"burn_in": True}}, True),
        ("var:burn_in", {"vars": {"burn_in": False}}, False),
        ("var:burn_in", {"vars": {"burn_in": True}, "host": {"vars": {"burn_in": False}}}, False),
        ("verify", {}, False),
    ],
)
@pytest.mark.parametrize("word", ["when", "unless"])
def test_a_condition_lets_a_step_be_done_or_skips_it(
    service: Service, follows: Follows, acts: list[str], condition: str, given: dict[str, Any],
    holds: bool, word: str,
) -> None:  # fmt: skip
    step = f"{{do: power.off, {word}: '{condition}'}}"
    follows(f"  queued: [{step}, {{do: power.boot_once}}]\n{BOOT}", **given)
    service.work()
    assert ("off" in acts) is (holds == (word == "when"))


# --- a person's word --------------------------------------------------------------------------

APPROVED = "  queued: [{do: approve}, {do: power.boot_once}]\n" + BOOT


@pytest.mark.slow
def test_nothing_is_touched_until_a_person_has_approved(
    service: Service, follows: Follows, acts: list[str]
) -> None:
    id_ = follows(APPROVED)
    assert service.work() == [] and acts == []
    why = ok(service.api.get(f"/api/v1/deployments/{id_}/explain"))
    assert "deployer approve" in why["likely"][0]
    service.clock.forward(hours=23)
    assert service.expire() == 0
    assert service.client(Role.VIEWER).post(f"/api/v1/deployments/{id_}/approve").status_code == 403
    ok(service.api.post(f"/api/v1/deployments/{id_}/approve"))
    service.work()
    assert service.state(id_) == "booting"
    assert "approved" in service.events(id_)


def test_twice_is_a_conflict_and_restarts_nothing(
    service: Service, follows: Follows, acts: list[str]
) -> None:
    id_ = follows(APPROVED)
    url = f"/api/v1/deployments/{id_}/approve"
    assert [service.api.post(url).status_code for _ in range(2)] == [200, 409]
    service.work()
    assert acts == ["boot_once", "cycle"]


def test_what_nobody_approves_fails_in_the_end(service: Service, follows: Follows) -> None:
    id_ = follows("  queued: [{do: approve, with: {within: 1h}}, {do: power.boot_once}]\n")
    service.clock.forward(minutes=61)
    service.work()
    assert service.state(id_) == "failed"
    assert service.cause(id_) == "nobody has approved it in time"


def test_a_second_pair_of_eyes_is_somebody_elses(service: Service, follows: Follows) -> None:
    id_ = follows("  queued: [{do: approve, with: {by_another: true}}, {do: power.boot_once}]\n")
    url = f"/api/v1/deployments/{id_}/approve"
    assert service.api.post(url).status_code == 403
    service.clock.forward(seconds=1)
    ok(service.client(Role.ADMIN).post(url))


def test_a_cancelled_deployment_cannot_be_approved(service: Service, follows: Follows) -> None:
    id_ = follows(APPROVED)
    ok(service.api.post(f"/api/v1/deployments/{id_}/cancel"))
    assert service.api.post(f"/api/v1/deployments/{id_}/approve").status_code == 409


# --- not all at once --------------------------------------------------------------------------


def chosen(service: Service) -> Counter[str | None]:
    """Racks of the effects that a worker would take in hand now; all stay in hand."""
    found = service.waiting()
    with service.parts.database.writing() as session:
        ids = [each.id for each in found]
        store.mark_dispatched(session, ids, service.clock(), timedelta(hours=1))
    return Counter(each.rack for each in found)


def hall(service: Service, racks: int, hosts: int, **power: Any) -> None:
    service.knows()
    for rack in range(racks):
        for number in range(hosts):
            name = f"r{rack}n{number}"
            service.knows_host(
                name=name, macs=[f"52:54:00:01:{rack:02x}:{number:02x}"],
                labels={"rack": f"r{rack}"}, power={"driver": "fake", "name": name, **power},
            )  # fmt: skip
            service.queues(host=name)


@pytest.mark.slow
def test_a_rack_has_only_so_many_in_hand_and_holds_up_no_other(service: Service) -> None:
    service.parts.settings.power_at_once_per_rack = 3
    hall(service, racks=2, hosts=5)
    assert chosen(service) == {"r0": 3, "r1": 3}
    assert chosen(service) == {}, "until one of them has ended"


@pytest.mark.slow
def test_the_whole_service_has_only_so_many_in_hand(service: Service) -> None:
    service.parts.settings.power_at_once = 4
    hall(service, racks=3, hosts=3)
    assert sum(chosen(service).values()) == 4


@pytest.mark.slow
def test_within_a_minute_only_so_many_are_restarted(service: Service) -> None:
    service.parts.settings.restarts_per_minute = 2
    hall(service, racks=1, hosts=5)
    assert Counter(service.work()) == {"power.boot_once": 5, "power.cycle": 2}
    service.clock.forward(seconds=61)
    assert service.work() == ["power.cycle"] * 2


@pytest.mark.slow
def test_fifty_dead_bmcs_hold_up_no_living_one(service: Service) -> None:
    service.parts.settings.power_at_once = 10
    service.knows()
    ids = {}
    for number in range(100):
        name = f"{'dead' if number < 50 else 'live'}{number}"
        power = {"driver": "fake", "name": f"fifty-{name}", "fails": 1000 if number < 50 else 0}
        Fake.told.pop(power["name"], None)
        service.knows_host(name=name, macs=[f"52:54:00:02:00:{number:02x}"], power=power)
        ids[name] = service.queues(host=name)
    service.work()
    states = Counter((name[:4], service.state(id_)) for name, id_ in ids.items())
    assert states == {("dead", "queued"): 50, ("live", "booting"): 50}
    for _ in range(6):
        service.clock.forward(seconds=40)
        service.work()
    assert Counter(service.state(id_) for name, id_ in ids.items() if name < "e") == {"failed": 50}
    assert service.cause(ids["dead0"]).endswith("did not answer (after 6 tries)")


def test_a_workflow_whose_file_was_taken_away_fails_in_time_and_holds_up_nobody(
    service: Service, follows: Follows, acts: list[str]
) -> None:
    """As after a restart; machines' calls and other deployments go on."""
    id_ = follows("  queued: [{do: power.off}, {do: power.boot_once}]\n" + BOOT)
    del service.parts.workflows["mine"]
    assert service.work() == ["power.off"]
    assert service.events(id_)[-1] == "workflow_missing"
    service.clock.forward(hours=1)
    assert service.expire() == 1
    assert service.state(id_) == "failed"
    assert "the file of its workflow, mine, was taken away" in service.cause(id_)
