"""What a person is shown before a machine is touched: the real files, without their secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlmodel import SQLModel

from deployer.services.parts import Parts
from tests.support.service import Service, ok

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
HASH = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7"
ROOT_HASH = "$6$saltsalt$" + "a/b." * 21 + "cd"


def dry_run(service: Service, **body: Any) -> dict[str, Any]:
    body = {"host": "web01", "profile": "debian-12-image", **body}
    return ok(service.api.post("/api/v1/deployments?dry_run=true", json=body))


@on_sqlite
def test_tokens_and_password_hashes_are_masked_wherever_they_stand(service: Service) -> None:
    service.knows(
        users=[{"name": "ops", "password_hash": HASH}], root={"password_hash": ROOT_HASH},
        scripts={"post": f"echo 'ops:{HASH}' | chpasswd -e"},
    )  # fmt: skip
    shown = dry_run(service)
    text = json.dumps(shown)
    assert HASH not in text and ROOT_HASH not in text
    system = json.loads(shown["answers"]["plan.json"])["system"]
    assert [user["password_hash"] for user in system["users"]] == ["********"]
    assert system["root"]["password_hash"] == "********"
    assert system["scripts"]["post"] == "echo 'ops:********' | chpasswd -e"
    for name in ("ANSWERS", "PHONE-HOME", "LOGS"):
        assert f"/d/TOKEN-{name}/" in text
    assert service.machine().http.get("/d/TOKEN-ANSWERS/answers/plan.json").status_code == 404


@on_sqlite
def test_apart_from_secrets_and_ids_it_is_what_the_machine_will_get(service: Service) -> None:
    service.knows()
    shown = dry_run(service, vars={"boot_mib": 300})
    id_, machine = service.deploys(vars={"boot_mib": 300}), service.machine()
    script = machine.asks()
    machine.fetches_plan()
    plan = json.dumps(machine.plan)
    for purpose, token in service.parts.tokens(id_).items():
        script = script.replace(token, f"TOKEN-{purpose.upper()}")
        plan = plan.replace(token, f"TOKEN-{purpose.upper()}")
    shown_plan = json.loads(shown["answers"]["plan.json"])
    shown_id = shown_plan["deployment"]
    assert script.replace(id_[-8:], shown_id[-8:]) == shown["boot"]["ipxe"]
    assert json.loads(plan.replace(id_, shown_id)) == shown_plan


@pytest.mark.slow
@on_sqlite
def test_nothing_is_stored(service: Service, parts: Parts) -> None:
    service.knows()
    before = contents(parts)
    dry_run(service)
    assert contents(parts) == before


def contents(parts: Parts) -> dict[str, list[Any]]:
    with parts.database.reading() as session:
        return {
            table.name: list(session.execute(table.select()))
            for table in SQLModel.metadata.sorted_tables
            if table.name != "api_tokens"  # when a token was last used is noted
        }


@on_sqlite
def test_a_missing_image_says_how_to_get_it(service: Service) -> None:
    service.knows(release="debian-13")
    answer = service.api.post(
        "/api/v1/deployments?dry_run=true", json={"host": "web01", "profile": "debian-12-image"}
    )
    assert answer.status_code == 422
    assert answer.json()["detail"] == "the image debian-13-x86_64 is not there"
    assert answer.json()["remedy"] == (
        "run `deployer image build debian-13-x86_64` or `deployer image add` on the server"
    )


@on_sqlite
def test_what_would_be_refused_is_shown_beside_the_files(service: Service) -> None:
    service.knows(host={"protected": True})
    assert [f["message"] for f in dry_run(service)["findings"]] == ["web01 is protected"]
