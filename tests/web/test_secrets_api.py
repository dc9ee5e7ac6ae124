"""Secrets that profiles name: kept encrypted, in the answer file alone, never shown."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlmodel import select

from deployer.core.text import MASK
from deployer.services.people import Role
from deployer.store.tables import AuditEntry, Secret
from tests.support.images import register_installer
from tests.support.service import Service, ok

VALUE = "correct horse battery staple"
ENCRYPTED = {
    "os": "debian", "release": "12",
    "storage": {"layout": "encrypted", "passphrase": {"secret": "disk"}},
}  # fmt: skip


@pytest.fixture
def vault(service: Service) -> Service:
    register_installer(service.parts)
    service.knows(**ENCRYPTED)
    return service


def sets(service: Service, value: str = VALUE, name: str = "disk") -> Any:
    return service.api.post("/api/v1/secrets", json={"name": name, "value": value})


def test_a_secret_is_listed_by_name_and_told_to_nobody(service: Service) -> None:
    answer = sets(service)
    assert answer.status_code == 201
    listed = service.api.get("/api/v1/secrets")
    assert [item["name"] for item in listed.json()["items"]] == ["disk"]
    assert VALUE not in answer.text + listed.text
    with service.parts.database.reading() as session:
        (row,) = session.exec(select(Secret)).all()
        assert VALUE.encode() not in row.ciphertext
        audits = session.exec(select(AuditEntry)).all()
        assert any(audit.action == "secret.set" for audit in audits)
        assert VALUE not in str([audit.model_dump() for audit in audits])


def test_only_an_admin_sets_or_deletes_one(service: Service) -> None:
    operator = service.client(Role.OPERATOR)
    body = {"name": "disk", "value": VALUE}
    assert operator.post("/api/v1/secrets", json=body).status_code == 403
    sets(service)
    assert operator.delete("/api/v1/secrets/disk").status_code == 403


def test_it_reaches_the_machine_in_its_answer_file(vault: Service) -> None:
    sets(vault)
    vault.queues()
    vault.work()
    machine = vault.machine()
    found = re.search(r"url=(\S+)", machine.asks())
    assert found is not None
    text = machine.http.get(machine.path(found[1])).text
    assert f"d-i partman-crypto/passphrase password {VALUE}\n" in text


def test_a_dry_run_shows_a_mask(vault: Service) -> None:
    sets(vault)
    body = {"host": "web01", "profile": "debian-12-image"}
    answer = vault.api.post("/api/v1/deployments?dry_run=true", json=body)
    assert f"partman-crypto/passphrase password {MASK}" in ok(answer)["answers"]["preseed.cfg"]
    assert VALUE not in answer.text


def test_a_profile_that_names_a_missing_one_is_refused_at_queue_time(vault: Service) -> None:
    body = {"host": "web01", "profile": "debian-12-image"}
    answer = vault.api.post("/api/v1/deployments", json=body)
    assert answer.status_code == 422
    (finding,) = answer.json()["findings"]
    assert finding["message"].endswith("names the secret disk, which is not there")
    assert "deployer secret set disk" in finding["remedy"]


def test_the_value_is_nowhere_in_the_deployment_that_used_it(vault: Service) -> None:
    sets(vault)
    id_ = vault.queues()
    with vault.parts.database.reading() as session:
        from deployer.store import deployments

        row = deployments.get(session, id_)
        assert row is not None
        assert VALUE not in str(row.model_dump())


def test_one_that_a_profile_names_cannot_be_deleted(vault: Service) -> None:
    sets(vault)
    sets(vault, name="other")
    answer = vault.api.delete("/api/v1/secrets/disk")
    assert answer.status_code == 409
    assert "debian-12-image" in answer.json()["detail"]
    assert vault.api.delete("/api/v1/secrets/other").status_code == 204
    assert vault.api.delete("/api/v1/secrets/other").status_code == 404


def test_one_that_is_longer_than_installers_take_is_found_before_anything_is_touched(
    vault: Service,
) -> None:
    sets(vault, "x" * 129)
    answer = vault.api.post(
        "/api/v1/deployments", json={"host": "web01", "profile": "debian-12-image"}
    )
    assert answer.status_code == 422 and answer.json()["field"] == "storage.passphrase"
    assert "has 129 characters" in answer.json()["detail"]
    sets(vault, "x" * 128)
    vault.queues()


@pytest.mark.parametrize(
    "value", ["short", "x" * 1001, " leading blank", "ends in \\", "line\nbreak", "ümläut-ünd"]
)
def test_what_no_installer_takes_is_refused_without_repeating_it(
    service: Service, value: str
) -> None:
    answer = sets(service, value)
    assert answer.status_code == 422
    assert value.strip() not in answer.text


@pytest.mark.parametrize(
    "storage",
    [{"layout": "encrypted"}, {"layout": "lvm", "passphrase": {"secret": "disk"}}],
    ids=["none", "of no use"],
)
def test_encryption_and_passphrase_belong_together(
    service: Service, storage: dict[str, Any]
) -> None:
    profile = {"name": "p", "os": "debian", "release": "12", "storage": storage}
    answer = service.api.post("/api/v1/profiles", json=profile)
    assert answer.status_code == 422
    assert "deployer secret set NAME" in answer.text
