"""Changing a host: only what is given, and its protection only on purpose."""

from __future__ import annotations

from typing import Any

import pytest

from deployer.services.people import Role
from tests.support.service import HOST, MAC, Service, ok

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
URL = "/api/v1/hosts/web01"
FULL: dict[str, Any] = {
    **HOST, "labels": {"rack": "a1"}, "serial": "S1", "vars": {"role": "web"},
    "uuid": "4c4c4544-0044-4810-8058-c4c04f4b3232",
}  # fmt: skip


def patched(service: Service, **changes: Any) -> dict[str, Any]:
    return ok(service.api.patch(URL, json=changes))


def shown(service: Service) -> dict[str, Any]:
    host = ok(service.api.get(URL))
    return {k: v for k, v in host.items() if k != "updated_at"}


def test_a_host_is_shown_with_its_defaults(service: Service) -> None:
    host = ok(service.api.post("/api/v1/hosts", json={**HOST, "macs": ["52-54-00-12-34-56"]}))
    assert host.pop("id").startswith("host_")
    assert host.pop("created_at") == host.pop("updated_at")
    assert host == {
        "name": "web01", "macs": [MAC], "uuid": None, "serial": None, "labels": {},
        "protected": False, "secure_boot": False, "power": {"driver": "manual"},
        "local_boot": "auto",
        "network": {"interfaces": [], "domain": None}, "ssh": {"address": None, "port": 22},
        "vars": {}, "state": None,
    }  # fmt: skip


def test_what_is_not_given_stays(service: Service) -> None:
    ok(service.api.post("/api/v1/hosts", json=FULL))
    before = shown(service)
    patched(service, serial="S2")
    assert shown(service) == {**before, "serial": "S2"}


def test_what_is_given_is_replaced_as_a_whole_and_null_takes_it_away(service: Service) -> None:
    ok(service.api.post("/api/v1/hosts", json=FULL))
    before = shown(service)
    patched(service, labels={"env": "live"}, uuid=None, serial=None)
    assert shown(service) == {**before, "labels": {"env": "live"}, "uuid": None, "serial": None}
    assert ok(service.api.get("/api/v1/hosts?label=rack=a1"))["items"] == []


def test_nothing_given_changes_nothing(service: Service) -> None:
    ok(service.api.post("/api/v1/hosts", json=FULL))
    before = shown(service)
    patched(service)
    assert shown(service) == before


def test_a_host_may_be_renamed_and_keeps_its_id(service: Service) -> None:
    id_ = ok(service.api.post("/api/v1/hosts", json=FULL))["id"]
    assert patched(service, name="web02")["id"] == id_
    assert service.api.get(URL).status_code == 404
    assert ok(service.api.get("/api/v1/hosts/web02"))["id"] == id_


def test_what_a_host_cannot_be_is_refused_by_field_and_changes_nothing(service: Service) -> None:
    ok(service.api.post("/api/v1/hosts", json=FULL))
    ok(service.api.post("/api/v1/hosts", json={"name": "db01", "macs": ["52:54:00:00:00:09"]}))
    before = shown(service)
    for changes, status, field in [
        ({"macs": []}, 422, "macs"),
        ({"macs": ["52:54:00:00:00:09"]}, 409, "macs"),
        ({"name": "db01"}, 409, "name"),
        ({"power": {"driver": "fake", "name": "********"}}, 422, "power.name"),
        ({"id": "host_x"}, 422, "id"),
        ({"state": "ready"}, 422, "state"),
        ({"created_at": "2020-01-01"}, 422, "created_at"),
        ({"power": {"driver": "telepathy"}}, 422, "power.driver"),
        ({"protected": None}, 422, "protected"),
        ({"name": None}, 422, "name"),
    ]:
        answer = service.api.patch(URL, json=changes)
        assert (answer.status_code, answer.json()["field"]) == (status, field), changes
        assert answer.json()["remedy"]
    assert shown(service) == before
    for body in ("[]", "7", "null", '"x"'):
        answer = service.api.patch(URL, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422


def test_protection_is_lifted_by_an_admin_and_by_itself(service: Service) -> None:
    ok(service.api.post("/api/v1/hosts", json={**HOST, "protected": True}))
    operator = service.client(Role.OPERATOR)
    assert operator.patch(URL, json={"protected": False}).status_code == 403
    together = service.api.patch(URL, json={"protected": False, "serial": "x"})
    assert together.status_code == 403
    assert together.json()["remedy"] == "lift it by itself: `deployer hosts unprotect web01`"
    assert service.api.delete(URL).status_code == 403
    assert operator.patch(URL, json={"serial": "x"}).status_code == 200
    assert patched(service, protected=False)["protected"] is False
    assert service.api.delete(URL).status_code == 204


@pytest.mark.slow
def test_a_host_with_an_unfinished_deployment_is_not_deleted(service: Service) -> None:
    service.knows()
    id_ = service.queues()
    answer = service.api.delete(URL)
    assert (answer.status_code, answer.json()["deployment"]) == (409, id_)
    ok(service.api.post(f"/api/v1/deployments/{id_}/cancel"))
    assert service.api.delete(URL).status_code == 204
    assert ok(service.api.get(f"/api/v1/deployments/{id_}"))["host"] == "web01"


def test_what_a_person_does_is_written_down(service: Service) -> None:
    service.knows()
    patched(service, labels={"a": "b"}, serial="x")
    id_ = service.queues()
    ok(service.api.post(f"/api/v1/deployments/{id_}/cancel"))
    service.api.delete("/api/v1/profiles/debian-12-image")
    service.api.delete(URL)
    lines = ok(service.api.get("/api/v1/audit"))["items"]
    assert [(line["action"], line["target"], line["detail"]) for line in lines] == [
        ("host.delete", "web01", {}),
        ("profile.delete", "debian-12-image", {}),
        ("deployment.cancel", id_, {}),
        ("deployment.create", id_, {"host": "web01", "profile": "debian-12-image"}),
        ("host.change", "web01", {"fields": ["labels", "serial"]}),
        ("profile.create", "debian-12-image", {}),
        ("host.create", "web01", {}),
    ]
    assert {line["actor"].split("-")[0] for line in lines} == {"admin"}
    assert {line["address"] for line in lines} == {"testclient"}


def test_what_was_refused_leaves_no_line_that_says_it_was_done(service: Service) -> None:
    service.knows(host={"protected": True})
    service.api.delete(URL)
    service.api.post("/api/v1/deployments", json={"host": "web01", "profile": "debian-12-image"})
    lines = ok(service.api.get("/api/v1/audit"))["items"]
    assert [line["action"] for line in lines] == ["profile.create", "host.create"]
