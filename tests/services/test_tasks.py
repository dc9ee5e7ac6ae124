"""What is not an install: release and workflow fit together, and it ends without a first boot."""

from __future__ import annotations

from typing import Any

import pytest

from deployer.services.people import Role
from tests.support.machine import DISK
from tests.support.service import KEY, PROFILE, Service, ok

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
WIPE: dict[str, Any] = {
    "name": "wipe", "os": "live", "release": "wipe", "workflow": "wipe",
    "storage": {"disk": {"pick": "all"}},
}  # fmt: skip
RESCUE: dict[str, Any] = {
    "name": "rescue", "os": "live", "release": "rescue", "workflow": "rescue",
    "users": [{"name": "ops", "ssh_keys": [KEY]}],
}  # fmt: skip
SECOND = {**DISK, "name": "vdb", "path": "/dev/vdb", "serial": "DISK-2", "size": 2**30}


def profile(service: Service, given: dict[str, Any]) -> None:
    service.knows_host(power={"driver": "fake", "name": "tasks"})
    ok(service.api.post("/api/v1/profiles", json=given))


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({**WIPE, "workflow": "install"}, "workflow", "install is for install, and live wipe is"),
        ({**WIPE, "workflow": "rescue"}, "workflow", "the workflow rescue is for rescue"),
        ({**RESCUE, "workflow": "wipe"}, "workflow", "the workflow wipe is for wipe"),
        ({**PROFILE, "workflow": "wipe"}, "workflow", "and image debian-12 is for install"),
        ({**WIPE, "workflow": "wash"}, "workflow", "there is no workflow 'wash'"),
        ({**WIPE, "users": RESCUE["users"]}, "users", "cannot do"),
        ({**WIPE, "verify": {"release": "12"}}, "verify", "cannot do"),
        ({**PROFILE, "storage": WIPE["storage"]}, "storage.disk.pick", "cannot do 'all'"),
        ({**RESCUE, "storage": WIPE["storage"]}, "storage", "cannot do"),
    ],
)  # fmt: skip
def test_a_profile_whose_parts_do_not_fit_is_refused(
    service: Service, given: dict[str, Any], field: str, words: str
) -> None:
    answer = service.api.post("/api/v1/profiles", json=given)
    assert answer.status_code == 422
    assert answer.json()["field"] == field and words in answer.json()["detail"]


def test_the_remedy_names_the_workflows_that_fit(service: Service) -> None:
    answer = service.api.post("/api/v1/profiles", json={**WIPE, "workflow": "install"})
    assert answer.json()["remedy"] == "choose one of: decommission, wipe"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({**WIPE, "vars": {"read_back": "never"}}, "wipe.read_back: Input should be 'whole'"),
        ({**RESCUE, "users": [{"name": "ops"}]}, "rescue.ssh_keys: List should have at least 1"),
    ],
)
def test_what_the_live_system_would_not_understand_is_refused(
    service: Service, given: dict[str, Any], words: str
) -> None:
    profile(service, given)
    body = {"host": "web01", "profile": given["name"]}
    answer = service.api.post("/api/v1/deployments", json=body)
    assert answer.status_code == 422 and words in answer.json()["detail"]


def test_a_wipe_is_given_every_disk_and_ends_when_they_are_wiped(service: Service) -> None:
    profile(service, WIPE)
    id_ = service.deploys(profile="wipe")
    machine = service.machine()
    machine.boots_installer()
    assert machine.plan["task"] == "wipe"
    answer = machine.reports_disks(DISK, SECOND).json()
    assert [disk["path"] for disk in answer["disks"]] == ["/dev/vda", "/dev/vdb"]
    machine.phones_home("installer_finished", {"message": "wiped", "results": ["a", 7, "b"]})
    assert service.state(id_) == "first_boot"
    assert service.work() == ["power.off"]
    assert service.state(id_) == "ready"
    (finished,) = [line for line in service.history(id_) if line["event"] == "installer_finished"]
    assert finished["detail"] == {"message": "wiped", "results": ["a", "b"]}
    assert not service.machine().is_offered_an_installer()


@pytest.mark.slow
def test_it_may_take_as_long_as_its_workflow_says(service: Service) -> None:
    profile(service, WIPE)
    id_ = service.deploys(profile="wipe")
    machine = service.machine()
    machine.boots_installer()
    for hour in range(30):
        machine.progresses("wiping", hour)
        service.clock.forward(minutes=59)
        assert service.expire() == 0
    service.clock.forward(minutes=2)
    assert service.expire() == 1
    assert service.state(id_) == "failed"


def test_a_protected_host_is_not_wiped(service: Service) -> None:
    profile(service, WIPE)
    ok(service.api.patch("/api/v1/hosts/web01", json={"protected": True}))
    answer = service.api.post("/api/v1/deployments", json={"host": "web01", "profile": "wipe"})
    assert answer.status_code == 403


def test_a_rescue_lets_in_the_keys_of_its_users_and_says_where(service: Service) -> None:
    profile(service, RESCUE)
    id_ = service.deploys(profile="rescue")
    machine = service.machine()
    machine.boots_installer()
    assert machine.plan["rescue"] == {"ssh_keys": [KEY]}
    machine.phones_home("installer_finished", {"results": ["ssh root@10.0.0.7"]})
    assert service.state(id_) == "ready"
    assert service.history(id_)[-3]["detail"] == {"results": ["ssh root@10.0.0.7"]}
    assert not service.machine().is_offered_an_installer(), "the next restart boots the disk"


@pytest.mark.slow
def test_a_machine_is_taken_out_of_service_by_two_people(service: Service) -> None:
    profile(service, {**WIPE, "workflow": "decommission"})
    id_ = service.queues(profile="wipe")
    assert service.work() == []
    assert service.api.post(f"/api/v1/deployments/{id_}/approve").status_code == 403
    service.clock.forward(seconds=1)
    ok(service.client(Role.ADMIN).post(f"/api/v1/deployments/{id_}/approve"))
    assert service.work() == ["power.boot_once", "power.cycle"]
