"""What a machine shows of itself is kept with its host, apart from what the operator wrote."""

from __future__ import annotations

import pytest

from tests.support.machine import DISK
from tests.support.service import Service, ok

SHOWN = {"manufacturer": "HPE", "product": "DL360", "serial": "S1", "uuid": ""}


def test_disks_firmware_and_product_are_kept(service: Service) -> None:
    service.knows()
    before = ok(service.api.get("/api/v1/hosts/web01"))
    assert (before["facts"], before["facts_at"]) == ({}, None)
    service.deploys()
    machine = service.machine()
    assert machine.is_offered_an_installer(**SHOWN)
    assert machine.fetches_plan().status_code == 200
    machine.reports_disks({**DISK, "contents": ["ext4"]}, {**DISK, "path": "/dev/vdb", "size": 5})
    seen = ok(service.api.get("/api/v1/hosts/web01"))
    assert seen["facts"]["boot"]["product"] == "HPE DL360 / bios"
    assert [(d["path"], d["serial"], d["contents"]) for d in seen["facts"]["disks"]] == [
        ("/dev/vda", "DISK-1", ["ext4"]), ("/dev/vdb", "DISK-1", []),
    ]  # fmt: skip
    assert seen["updated_at"] == before["updated_at"], "the host itself has not changed"


def test_the_disks_of_a_machine_that_was_refused_are_kept_too(service: Service) -> None:
    service.knows(storage={"disk": {"serial": "ANOTHER"}})
    service.deploys()
    machine = service.machine()
    machine.boots_installer()
    assert machine.reports_disks().json()["action"] == "abort"
    (disk,) = ok(service.api.get("/api/v1/hosts/web01"))["facts"]["disks"]
    assert disk["serial"] == "DISK-1", "so that the rule can be corrected"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_they_go_with_the_host(service: Service) -> None:
    service.knows()
    id_ = service.deploys()
    service.machine().boots_installer()
    ok(service.api.post(f"/api/v1/deployments/{id_}/cancel"))
    ok(service.api.delete("/api/v1/hosts/web01"))
    service.knows_host()
    assert ok(service.api.get("/api/v1/hosts/web01"))["facts"] == {}
