"""Every error is an RFC 9457 document that says what was asked and what to try."""

from __future__ import annotations

from typing import Any

import pytest

from deployer.services.people import Role
from tests.support.service import HOST, PROFILE, Service, ok

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def problem(answer: Any, status: int) -> dict[str, Any]:
    """The body of an error, its form checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail"} <= set(body)
    assert body["status"] == status
    assert None not in body.values()
    return body


def said(answer: Any, status: int) -> dict[str, Any]:
    """The same without its form and findings."""
    body = problem(answer, status)
    return {k: v for k, v in body.items() if k not in ("type", "title", "status", "findings")}


@on_sqlite
def test_without_a_token_one_is_told_how_to_get_one(service: Service) -> None:
    answer = service.client(None).get("/api/v1/hosts")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert said(answer, 401) == {
        "detail": "this needs a valid bearer token",
        "remedy": "create one on the server with `deployer token create --name NAME --role ROLE`"
        " and send it as `Authorization: Bearer ...` (the CLI reads DEPLOYER_TOKEN)",
    }


@on_sqlite
def test_a_role_that_is_too_low_is_told_which_one_is_needed(service: Service) -> None:
    body = problem(service.client(Role.VIEWER).post("/api/v1/hosts", json=HOST), 403)
    assert body["detail"].endswith("has the role viewer; this needs operator")
    assert body["remedy"] == "ask an admin for a token with the role operator"


NOT_THERE = {
    "hosts/web09": {
        "detail": "there is no host 'web09'", "field": "host", "value": "web09",
        "remedy": "`deployer hosts` lists the names",
    },
    "profiles/none": {
        "detail": "there is no profile 'none'", "field": "profile", "value": "none",
        "remedy": "`deployer profiles` lists the names",
    },
    "images/none": {
        "detail": "there is no image 'none'", "field": "image", "value": "none",
        "remedy": "`deployer image list` lists the names",
    },
    "deployments/dep_x": {
        "detail": "there is no deployment 'dep_x'", "field": "id", "value": "dep_x",
        "remedy": "`deployer status` lists them; ids of deployments begin with dep_",
    },
    "nothing": {"detail": "there is nothing here"},
}  # fmt: skip


@on_sqlite
def test_what_is_not_there_is_named(service: Service) -> None:
    answers = {path: said(service.api.get(f"/api/v1/{path}"), 404) for path in NOT_THERE}
    assert answers == NOT_THERE


@on_sqlite
def test_a_second_deployment_is_answered_with_the_first(service: Service) -> None:
    service.knows()
    id_ = service.queues()
    body = {"host": "web01", "profile": "debian-12-image"}
    assert said(service.api.post("/api/v1/deployments", json=body), 409) == {
        "detail": f"web01 has an unfinished deployment, {id_} (queued)",
        "field": "host", "value": "web01", "deployment": id_,
        "remedy": "wait for it, or cancel it: `deployer cancel web01`",
    }  # fmt: skip


@on_sqlite
def test_a_host_that_is_there_already_is_named(service: Service) -> None:
    first: dict[str, Any] = {**HOST, "uuid": "4c4c4544-0044-4810-8058-c4c04f4b3232"}
    ok(service.api.post("/api/v1/hosts", json=first))
    other_mac = {"macs": ["52:54:00:00:00:99"]}
    cases: list[tuple[dict[str, Any], str, str]] = [
        (other_mac, "name", "web01"),
        ({"name": "web02"}, "macs", "52:54:00:12:34:56"),
        ({"name": "web02", **other_mac}, "uuid", first["uuid"]),
    ]
    for other, field, value in cases:
        assert said(service.api.post("/api/v1/hosts", json={**first, **other}), 409) == {
            "detail": f"{field}: {value} belongs to the host web01", "field": field,
            "value": value, "remedy": "correct it here, or change the host web01 first",
        }  # fmt: skip


@on_sqlite
def test_a_body_that_is_too_large_is_refused_with_the_limit(service: Service) -> None:
    answer = service.api.post("/api/v1/hosts", content=b" " * (1024 * 1024 + 1))
    assert said(answer, 413) == {
        "detail": "the body is larger than 1048576 bytes", "field": "body",
        "remedy": "send at most 1048576 bytes",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "findings"),
    [
        (
            {},
            [("name", "Field required", None), ("macs", "Field required", None)],
        ),
        (
            {**HOST, "macs": ["xx"], "state": "ready"},
            [
                ("macs.0", "must be a MAC address of six bytes, such as 52:54:00:12:34:56", "xx"),
                ("state", "Extra inputs are not permitted", "ready"),
            ],
        ),
    ],
    ids=["empty", "two faults"],
)
@on_sqlite
def test_every_broken_rule_is_a_finding(
    service: Service, body: dict[str, Any], findings: list[tuple[str, str, Any]]
) -> None:
    answer = problem(service.api.post("/api/v1/hosts", json=body), 422)
    shown = [(f["field"], f["message"], f["value"]) for f in answer["findings"]]
    assert [(f, m, v if isinstance(v, str) else None) for f, m, v in shown] == findings
    assert all(f["remedy"] for f in answer["findings"])
    assert answer["field"] == findings[0][0]
    assert answer["detail"] == f"{findings[0][0]}: {findings[0][1]}"


NO_JSON = [
    (b"{", "acceptable JSON"),
    (b'{"name": "a", "name": "b"}', "a key is written twice"),
    (b'{"limit": NaN}', "NaN is no JSON"),
    (b"\xff\xfe", "acceptable JSON"),
    (b"[" * 100_000, "acceptable JSON"),
    (b"[]", "valid dictionary"),
]


@on_sqlite
def test_a_body_with_no_single_meaning_is_refused(service: Service) -> None:
    for content, words in NO_JSON:
        answer = service.api.post(
            "/api/v1/hosts", content=content, headers={"Content-Type": "application/json"}
        )
        assert words in problem(answer, 422)["detail"]


@on_sqlite
def test_a_password_that_was_refused_is_not_repeated(service: Service) -> None:
    for profile in (
        {"users": [{"name": "ops", "password_hash": "my-plain-password"}]},
        {"root": {"password_hash": "my-plain-password"}},
        {"users": [{"name": "ops", "password": "my-plain-password"}]},
    ):
        answer = service.api.post("/api/v1/profiles", json={**PROFILE, **profile})
        assert answer.status_code == 422
        assert "my-plain-password" not in answer.text, answer.text


@on_sqlite
def test_a_profile_its_installer_cannot_do_is_answered_with_all_findings(service: Service) -> None:
    body = {**PROFILE, "arch": "arm64", "package_groups": ["x"], "kernel_args": ["init=/x"]}
    answer = problem(service.api.post("/api/v1/profiles", json=body), 422)
    assert (
        answer["detail"] == "arch: Image of a disk or a Debian root cannot do 'arm64' (and 2 more)"
    )
    assert [f["field"] for f in answer["findings"]] == ["arch", "package_groups", "kernel_args"]


@on_sqlite
def test_an_id_or_word_of_another_kind_is_the_clients_fault(service: Service) -> None:
    host_id = "/api/v1/deployments/host_01k9abcdefghjkmnpqrstvwxyz"
    assert problem(service.api.get(host_id), 422)["field"] == "id"
    assert problem(service.api.get("/api/v1/deployments?state=asleep"), 422)["field"] == "state"


@on_sqlite
def test_a_method_that_does_not_exist_is_a_problem_too(service: Service) -> None:
    problem(service.api.put("/api/v1/hosts", json={}), 405)


@on_sqlite
def test_machines_get_errors_of_the_same_form(service: Service) -> None:
    http = service.machine().http
    assert said(http.get("/d/nonsense/answers/plan.json"), 404) == {
        "detail": "there is nothing here"
    }
    assert problem(http.post("/d/x/phone-home/hello", json={}), 422)["field"] == "event"
    large = http.post("/d/x/phone-home/first_boot", content=b"x" * (64 * 1024 + 1))
    assert problem(large, 413)["remedy"] == "send at most 65536 bytes"
