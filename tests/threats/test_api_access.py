"""Who may ask what of the API, and with which fields. THREATS T060-T064, T069."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import SQLModel

from deployer.app import build_parts, create_operator_app
from deployer.errors import ConfigurationError
from deployer.services import keys, people
from deployer.services.people import Role
from deployer.settings import Settings
from deployer.web.dependencies import PUBLIC_PATHS
from tests.support.routes import walk
from tests.support.service import PROFILE, Service, ok

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
Json = dict[str, Any]


# Everything that needs a token, and the least role that may. A new route belongs here.
NEEDS: dict[tuple[str, str], Role] = {
    ("GET", "/api/v1/hosts"): Role.VIEWER,
    ("POST", "/api/v1/hosts"): Role.OPERATOR,
    ("GET", "/api/v1/hosts/{name}"): Role.VIEWER,
    ("PATCH", "/api/v1/hosts/{name}"): Role.OPERATOR,
    ("DELETE", "/api/v1/hosts/{name}"): Role.OPERATOR,
    ("GET", "/api/v1/profiles"): Role.VIEWER,
    ("POST", "/api/v1/profiles"): Role.OPERATOR,
    ("GET", "/api/v1/profiles/{name}"): Role.VIEWER,
    ("PUT", "/api/v1/profiles/{name}"): Role.OPERATOR,
    ("DELETE", "/api/v1/profiles/{name}"): Role.OPERATOR,
    ("GET", "/api/v1/profiles/{name}/usual"): Role.VIEWER,
    ("POST", "/api/v1/profiles/{name}/check"): Role.VIEWER,
    ("GET", "/api/v1/images"): Role.VIEWER,
    ("GET", "/api/v1/images/{name}"): Role.VIEWER,
    ("GET", "/api/v1/deployments"): Role.VIEWER,
    ("POST", "/api/v1/deployments"): Role.OPERATOR,
    ("GET", "/api/v1/deployments/{id_}"): Role.VIEWER,
    ("GET", "/api/v1/deployments/{id_}/events"): Role.VIEWER,
    ("GET", "/api/v1/deployments/{id_}/explain"): Role.VIEWER,
    ("GET", "/api/v1/deployments/{id_}/logs/{name}"): Role.VIEWER,
    ("POST", "/api/v1/deployments/{id_}/approve"): Role.OPERATOR,
    ("POST", "/api/v1/deployments/{id_}/cancel"): Role.OPERATOR,
    ("POST", "/api/v1/deployments/{id_}/retry"): Role.OPERATOR,
    ("GET", "/api/v1/receivers"): Role.OPERATOR,
    ("POST", "/api/v1/receivers"): Role.ADMIN,
    ("GET", "/api/v1/receivers/{name}"): Role.OPERATOR,
    ("PUT", "/api/v1/receivers/{name}"): Role.ADMIN,
    ("DELETE", "/api/v1/receivers/{name}"): Role.ADMIN,
    ("POST", "/api/v1/receivers/{name}/test"): Role.OPERATOR,
    ("GET", "/api/v1/deliveries"): Role.OPERATOR,
    ("POST", "/api/v1/deliveries/{id_}/replay"): Role.OPERATOR,
    ("POST", "/api/v1/chat/links"): Role.VIEWER,
    ("POST", "/api/v1/chat/say"): Role.VIEWER,
    ("GET", "/api/v1/chat/threads"): Role.VIEWER,
    ("GET", "/api/v1/chat/people"): Role.ADMIN,
    ("DELETE", "/api/v1/chat/people"): Role.ADMIN,
    ("GET", "/api/v1/secrets"): Role.VIEWER,
    ("POST", "/api/v1/secrets"): Role.ADMIN,
    ("DELETE", "/api/v1/secrets/{name}"): Role.ADMIN,
    ("GET", "/api/v1/tokens"): Role.ADMIN,
    ("POST", "/api/v1/tokens"): Role.ADMIN,
    ("DELETE", "/api/v1/tokens/{name}"): Role.ADMIN,
    ("GET", "/api/v1/audit"): Role.ADMIN,
}
RECEIVER: Json = {"name": "noc", "type": "json", "settings": {"url": "http://noc.example/"}}
# A body that each of them would accept.
BODIES: dict[tuple[str, str], Json] = {
    ("POST", "/api/v1/hosts"): {"name": "new", "macs": ["02:00:00:00:00:09"]},
    ("PATCH", "/api/v1/hosts/{name}"): {"labels": {"a": "b"}},
    ("POST", "/api/v1/profiles"): {**PROFILE, "name": "new"},
    ("PUT", "/api/v1/profiles/{name}"): PROFILE,
    ("POST", "/api/v1/profiles/{name}/check"): {},
    ("POST", "/api/v1/deployments"): {"host": "web01", "profile": "debian-12-image"},
    ("POST", "/api/v1/receivers"): {**RECEIVER, "name": "new"},
    ("PUT", "/api/v1/receivers/{name}"): RECEIVER,
    ("POST", "/api/v1/chat/say"): {"text": "status"},
    ("POST", "/api/v1/secrets"): {"name": "new", "value": "correct horse"},
    ("POST", "/api/v1/tokens"): {"name": "new", "role": "viewer"},
}
PARAMETERS: dict[tuple[str, str], Json] = {
    ("DELETE", "/api/v1/chat/people"): {"platform": "slack", "user": "U1"},
}


def path_of(template: str, id_: str) -> str:
    kinds = {"hosts": "web01", "profiles": "debian-12-image", "images": "live-x86_64",
             "receivers": "noc"}  # fmt: skip
    name = next((name for kind, name in kinds.items() if f"/{kind}/" in template), "nobody")
    named = template.replace("{name}", name).replace("{id_}", id_)
    return named.replace("{platform}", "slack")


def asked(client: TestClient, route: tuple[str, str], id_: str, **more: Any) -> Any:
    method, template = route
    body, params = BODIES.get(route), PARAMETERS.get(route)
    return client.request(method, path_of(template, id_), json=body, params=params, **more)


# --- without a token --------------------------------------------------------------------------


@pytest.mark.slow
@on_sqlite
def test_t060_every_route_is_either_on_the_public_list_or_asks_for_a_token(
    service: Service,
) -> None:
    nobody = service.client(None)
    routes = set(walk(create_operator_app(service.parts).routes))
    assert {path for _, path in routes if path in PUBLIC_PATHS} == PUBLIC_PATHS, "no dead entries"
    for method, path in sorted(routes):
        answer = nobody.request(method, path_of(path, "dep_x"), follow_redirects=False)
        if path in PUBLIC_PATHS:
            assert answer.status_code in (200, 307), path
        else:
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"


@on_sqlite
def test_t080_the_page_of_the_api_is_all_ours(service: Service) -> None:
    """No script from elsewhere sees a token that is typed in there."""
    nobody = service.client(None)
    page = nobody.get("/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert loaded and all(nobody.get(url).status_code == 200 for url in loaded)
    assert "//" not in "".join(loaded)


@pytest.mark.slow
@on_sqlite
def test_t060_the_public_pages_tell_no_names_and_change_nothing(service: Service) -> None:
    service.knows()
    service.deploys()
    for path in PUBLIC_PATHS - {"/", "/docs", "/openapi.json"}:
        text = service.client(None).get(path).text
        assert "web01" not in text and "debian-12-image" not in text, path
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for path in PUBLIC_PATHS:
            assert service.client(None).request(method, path).status_code == 405


CREDENTIALS = [
    "", "Bearer", "Bearer ", "Bearer x", "Bearer dpl_", "Bearer dpl_x", "Basic {}", "{}",
    "Bearer {}x", "Bearer {}, Bearer {}", "Token {}", "Bearer null", "Bearer dpl_%00",
    "Bearer dpl_' OR 1=1 --", "Bearer " + "a" * 8000, "Bearer {}\u00e9",
]  # fmt: skip


@on_sqlite
def test_t060_a_wrong_credential_is_always_the_same_401(service: Service) -> None:
    secret, client = service.token(Role.ADMIN), service.client(None)
    expected = client.get("/api/v1/hosts").text
    for credential in CREDENTIALS:
        value = credential.replace("{}", secret).encode("latin-1")
        answer = client.get("/api/v1/hosts", headers=[(b"authorization", value)])
        assert (answer.status_code, answer.text) == (401, expected), credential[:30]
    right = {"Authorization": f"Bearer {secret}"}
    assert client.get("/api/v1/hosts", headers=right).status_code == 200


# --- roles ------------------------------------------------------------------------------------


@on_sqlite
def test_t062_the_table_of_roles_names_every_route(service: Service) -> None:
    routes = set(walk(create_operator_app(service.parts).routes))
    assert {r for r in routes if r[1].startswith("/api/")} == set(NEEDS)


@pytest.mark.slow
@on_sqlite
@pytest.mark.parametrize("role", Role)
def test_t062_each_role_may_do_its_work_and_no_more(service: Service, role: Role) -> None:
    service.knows()
    id_, client = service.queues(), service.client(role)
    ranks = list(Role)
    for route, least in NEEDS.items():
        answer = asked(client, route, id_)
        if ranks.index(role) < ranks.index(least):
            assert answer.status_code == 403, route
            assert f"this needs {least}" in answer.json()["detail"]
        else:
            assert answer.status_code in (200, 201, 204, 404, 409), (route, answer.text)


@pytest.mark.slow
@on_sqlite
def test_t062_a_refused_request_changes_nothing(service: Service) -> None:
    service.knows()
    id_ = service.queues()
    viewer = service.client(Role.VIEWER)
    before = [ok(service.api.get(f"/api/v1/{k}")) for k in ("hosts", "profiles", "deployments")]
    for route, least in NEEDS.items():
        if least is not Role.VIEWER:
            asked(viewer, route, id_, headers={"Idempotency-Key": "k"})
    after = [ok(service.api.get(f"/api/v1/{k}")) for k in ("hosts", "profiles", "deployments")]
    assert before == after


@on_sqlite
def test_t062_a_viewer_does_not_learn_from_an_error_whether_a_host_exists(
    service: Service,
) -> None:
    service.knows()
    viewer = service.client(Role.VIEWER)
    answers = {viewer.delete(f"/api/v1/hosts/{name}").text for name in ("web01", "nosuch")}
    assert len(answers) == 1


# --- fields -----------------------------------------------------------------------------------

OWNERS = ["owner", "owner_id", "group", "group_id", "team", "tenant", "created_by", "requested_by"]


@pytest.mark.slow
@on_sqlite
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
def test_t063_hosts_and_profiles_have_no_owner_to_change(service: Service, role: Role) -> None:
    # There is one fleet and there are no teams: the row's 403 is a 422, as for any unknown field.
    service.knows()
    client = service.client(role)
    for field in OWNERS:
        host = client.patch("/api/v1/hosts/web01", json={field: "me"})
        body = {**PROFILE, field: "me"}
        profile = client.put("/api/v1/profiles/debian-12-image", json=body)
        assert (host.status_code, profile.status_code) == (422, 422), field
        assert (host.json()["field"], profile.json()["field"]) == (field, field)


COLUMNS = {c.name for table in SQLModel.metadata.tables.values() for c in table.columns}
# What people may set, by the route's own contract.
SETTABLE: dict[tuple[str, str], set[str]] = {
    ("POST", "/api/v1/hosts"): {"name", "uuid", "serial", "protected", "vars"},
    ("PATCH", "/api/v1/hosts/{name}"): {"name", "uuid", "serial", "protected", "vars"},
    ("POST", "/api/v1/profiles"): {"name", "vars"},
    ("PUT", "/api/v1/profiles/{name}"): {"name", "vars"},
    ("POST", "/api/v1/profiles/{name}/check"): {"vars"},
    ("POST", "/api/v1/deployments"): {"vars"},
    ("POST", "/api/v1/receivers"): {"name", "type"},
    ("POST", "/api/v1/chat/say"): {"text"},
    ("PUT", "/api/v1/receivers/{name}"): {"name", "type"},
    ("POST", "/api/v1/secrets"): {"name", "value"},
    ("POST", "/api/v1/tokens"): {"name", "role"},
}


@pytest.mark.slow
@on_sqlite
@pytest.mark.parametrize("route", BODIES, ids=" ".join)
def test_t064_no_column_can_be_set_that_is_not_a_field_of_the_request(
    service: Service, route: tuple[str, str]
) -> None:
    service.knows()
    assert {"state", "role", "hash", "spec", "created_at", "snapshot", "requested_by"} <= COLUMNS
    method, template = route
    fields = (COLUMNS | {"token_hash", "owner", "is_admin", "__class__"}) - SETTABLE[route]
    for field in sorted(fields):
        body = {**BODIES[route], field: "x"}
        answer = service.api.request(method, path_of(template, "x"), json=body)
        assert answer.status_code == 422, field
        assert answer.json()["field"].startswith(field)


@on_sqlite
def test_t064_a_field_inside_another_is_no_way_round(service: Service) -> None:
    service.knows()
    bad: list[Json] = [
        {"network": {"state": "ready"}}, {"ssh": {"user": "root"}}, {"power": {"state": "x"}},
        {"local_boot": {"bios": "exit", "state": "x"}},
        {"network": {"interfaces": [{"host_id": "x"}]}},
    ]  # fmt: skip
    for changes in bad:
        assert service.api.patch("/api/v1/hosts/web01", json=changes).status_code == 422, changes


@on_sqlite
@pytest.mark.parametrize("act", ["cancel", "retry"])
def test_t064_what_takes_no_body_ignores_one(service: Service, act: str) -> None:
    service.knows()
    id_ = service.queues()
    if act == "retry":
        ok(service.api.post(f"/api/v1/deployments/{id_}/cancel"))
    body = {"state": "ready", "requested_by": "me", "host": "x", "ended_at": None}
    made = ok(service.api.post(f"/api/v1/deployments/{id_}/{act}", json=body))
    assert made["state"] == {"cancel": "cancelled", "retry": "queued"}[act]
    assert made["requested_by"].startswith("admin-")
    assert made["host"] == "web01"


# --- API tokens -------------------------------------------------------------------------------


def created(service: Service, **more: Any) -> Json:
    return ok(service.api.post("/api/v1/tokens", json={"name": "ci", "role": "viewer", **more}))


def may_read(service: Service, secret: str, path: str = "/api/v1/hosts", **headers: str) -> bool:
    headers = headers or {"Authorization": f"Bearer {secret}"}
    return service.client(None).get(path, headers=headers).status_code == 200


@on_sqlite
def test_t069_a_token_counts_in_the_header_and_nowhere_else(service: Service) -> None:
    secret = created(service)["token"]
    assert may_read(service, secret)
    for query in ("token", "access_token", "api_key", "authorization", "key"):
        assert not may_read(service, secret, f"/api/v1/hosts?{query}={secret}", X="x")
        assert not may_read(service, secret, f"/api/v1/hosts?{query}=Bearer+{secret}", X="x")
    assert not may_read(service, secret, Cookie=f"token={secret}; Authorization=Bearer {secret}")
    assert not may_read(service, secret, **{"X-Api-Key": secret, "X-Auth-Token": secret})


def test_t069_a_token_is_shown_once_and_kept_as_a_hash(service: Service) -> None:
    secret = created(service)["token"]
    (row,) = [t for t in ok(service.api.get("/api/v1/tokens"))["items"] if t["name"] == "ci"]
    assert set(row) == {"id", "name", "role", "created_at", "expires_at", "last_used_at"}
    again = service.api.post("/api/v1/tokens", json={"name": "ci", "role": "admin"})
    assert again.status_code == 409
    assert secret not in again.text
    with service.parts.database.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM api_tokens").all()
    assert secret not in str(rows) and secret.removeprefix("dpl_") not in str(rows)


@on_sqlite
def test_t069_every_token_ends(service: Service) -> None:
    for days in (0, -1, 3651, None, "forever", 10**9):
        body = {"name": "ci", "role": "viewer", "days": days}
        assert service.api.post("/api/v1/tokens", json=body).status_code == 422, days
    secret = created(service, days=1)["token"]
    service.clock.forward(hours=23)
    assert may_read(service, secret)
    service.clock.forward(hours=1)
    assert not may_read(service, secret)


@on_sqlite
def test_t069_a_revoked_token_is_dead_at_once(service: Service) -> None:
    secret = created(service)["token"]
    assert may_read(service, secret)
    ok(service.api.delete("/api/v1/tokens/ci"))
    assert not may_read(service, secret)


def test_t069_a_token_that_is_revoked_while_it_is_used_stays_revoked(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = created(service)["token"]
    remembers: Callable[..., bool] = people.needs_last_used

    def revoked_meanwhile(row: Any, now: Any) -> bool:
        if row.name == "ci":
            with service.parts.database.writing() as session:
                people.revoke_token(session, "ci")
        return remembers(row, now)

    with monkeypatch.context() as patch:
        patch.setattr(people, "needs_last_used", revoked_meanwhile)
        may_read(service, secret)
    assert not may_read(service, secret)
    assert "ci" not in [t["name"] for t in ok(service.api.get("/api/v1/tokens"))["items"]]


@on_sqlite
def test_t069_a_token_tells_when_it_was_used_last(service: Service) -> None:
    secret = created(service)["token"]
    may_read(service, secret)
    service.clock.forward(hours=1)
    may_read(service, secret)
    (row,) = [t for t in ok(service.api.get("/api/v1/tokens"))["items"] if t["name"] == "ci"]
    assert row["last_used_at"] > row["created_at"]
    assert row["last_used_at"].startswith("2026-03-01T13:")


@on_sqlite
def test_t069_no_token_is_called_as_histories_call_the_service(service: Service) -> None:
    answer = service.api.post("/api/v1/tokens", json={"name": "service", "role": "viewer"})
    assert (answer.status_code, answer.json()["field"]) == (422, "name")


@on_sqlite
def test_t069_two_tokens_are_never_alike(service: Service) -> None:
    with service.parts.database.writing() as session:
        made = {
            people.create_token(
                session, f"t{n}", Role.VIEWER, timedelta(days=1), service.clock()
            )[1]
            for n in range(100)
        }  # fmt: skip
    assert len(made) == 100
    assert all(len(secret) >= 43 for secret in made), "256 bits in base 64"


# --- the server's own key ---------------------------------------------------------------------

BAD_KEYS = {
    "empty": b"", "blank": b"\n", "short": bytes(range(31)).hex().encode(),
    "zeros": b"00" * 32, "ones": b"ff" * 32,
    "one pattern": b"deadbeef" * 8, "a word": b"changeme", "no text": b"\xff\xfe" * 40,
    "none": b"None", "another's": bytes(range(32)).hex().encode(),
}  # fmt: skip


@on_sqlite
def test_t061_the_service_does_not_start_with_a_key_that_is_no_secret(service: Service) -> None:
    settings = service.parts.settings
    for what, content in BAD_KEYS.items():
        settings.key_file.write_bytes(content)
        with pytest.raises(ConfigurationError) as refusal:
            build_parts(settings)
        assert str(settings.key_file) in refusal.value.message, what
        assert refusal.value.field == "DEPLOYER_SERVER_KEY_FILE"
        assert refusal.value.remedy
        if what != "another's":  # by itself that one is a good key
            with pytest.raises(ConfigurationError):
                keys.read_server_key(settings.key_file)


def test_t061_the_service_does_not_start_without_the_key_it_had(service: Service) -> None:
    settings = service.parts.settings
    settings.key_file.unlink()
    with pytest.raises(ConfigurationError, match="is missing, but the database knows one"):
        build_parts(settings)
    assert not settings.key_file.exists(), "and makes no new one"
    settings.key_file.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        build_parts(settings)


@pytest.mark.slow
@on_sqlite
def test_t061_the_command_ends_with_an_error_and_one_clear_line(settings: Settings) -> None:
    settings.key_file.write_text("changeme")
    done = subprocess.run(
        [sys.executable, "-m", "deployer", "serve"], capture_output=True, text=True, timeout=30,
        cwd=Path(__file__).parents[2], check=False,
        env={**os.environ, "DEPLOYER_DATA_DIR": str(settings.data_dir)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "the server's key" in done.stderr and "changeme" not in done.stderr
    assert "Traceback" not in done.stderr


def test_t061_a_new_key_is_random_and_for_its_owner_alone(tmp_path: Path) -> None:
    found = set()
    for name in ("a", "b"):
        parts = build_parts(Settings(data_dir=tmp_path / name))
        parts.database.dispose()
        found.add(parts.key)
        for file in (parts.settings.key_file, parts.ssh_key_file):
            assert file.stat().st_mode & 0o077 == 0, file
            assert file.parent.stat().st_mode & 0o077 == 0, file.parent
    assert len(found) == 2
    assert all(len(key) * 8 >= 256 for key in found)
