"""Nobody loses a disk by accident or by a trick. THREATS T112, T119, T121."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlmodel import SQLModel

from deployer.core.tokens import Purpose
from deployer.drivers.power.fake import Fake
from deployer.services.people import Role
from tests.support.machine import DISK
from tests.support.service import HOST, MAC, PROFILE, Service, ok

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
Json = dict[str, Any]
URL = "/api/v1/hosts/web01"


def protects(service: Service) -> None:
    ok(service.api.patch(URL, json={"protected": True}))


def is_protected(service: Service) -> bool:
    return bool(ok(service.api.get(URL))["protected"])


# --- protected hosts --------------------------------------------------------------------------


def deploy(service: Service, old: str) -> httpx.Response:
    body = {"host": "web01", "profile": "debian-12-image"}
    return service.api.post("/api/v1/deployments", json=body)


def deploy_with_a_key(service: Service, old: str) -> httpx.Response:
    body = {"host": "web01", "profile": "debian-12-image"}
    headers = {"Idempotency-Key": "new"}
    return service.api.post("/api/v1/deployments", json=body, headers=headers)


def retry(service: Service, old: str) -> httpx.Response:
    return service.api.post(f"/api/v1/deployments/{old}/retry")


def delete(service: Service, old: str) -> httpx.Response:
    return service.api.delete(URL)


PATHS = [deploy, deploy_with_a_key, retry, delete]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
def test_t112_a_protected_host_is_refused_on_every_path(
    service: Service, path: Callable[[Service, str], httpx.Response]
) -> None:
    service.knows(host={"power": {"driver": "fake", "name": "t112"}})
    old = service.queues()
    ok(service.api.post(f"/api/v1/deployments/{old}/cancel"))
    protects(service)
    answer = path(service, old)
    assert answer.status_code == 403
    assert "web01 is protected" in answer.json()["detail"]
    assert "deployer hosts unprotect web01" in answer.json()["remedy"]
    service.work()
    assert Fake.told.get("t112", []) == [], "its power button was not touched either"
    assert not service.machine().is_offered_an_installer()


@pytest.mark.slow
@on_sqlite
def test_t112_protection_beats_a_deployment_that_waits_already(service: Service) -> None:
    service.knows()
    id_ = service.deploys()
    protects(service)
    assert not service.machine().is_offered_an_installer()
    assert service.state(id_) == "booting"


def test_t112_a_host_that_is_protected_after_it_was_queued_is_not_even_restarted(
    service: Service,
) -> None:
    Fake.told.pop("web01", None)
    service.knows({"power": {"driver": "fake", "name": "web01"}})
    id_ = service.queues()
    ok(service.api.patch(URL, json={"protected": True}))
    service.work()
    assert service.state(id_) == "failed"
    assert "web01 was protected after this was queued" in service.cause(id_)
    assert not Fake.told.get("web01")
    assert not service.machine().is_offered_an_installer()


@on_sqlite
def test_t112_a_dry_run_says_that_the_host_is_protected(service: Service) -> None:
    service.knows()
    protects(service)
    body = {"host": "web01", "profile": "debian-12-image"}
    shown = ok(service.api.post("/api/v1/deployments?dry_run=true", json=body))
    assert [finding["message"] for finding in shown["findings"]] == ["web01 is protected"]


# Everything that JSON and our lenient types take for false.
FALSE = [False, 0, 0.0, "false", "False", "FALSE", "no", "off", "0", "n", "f"]


@pytest.mark.slow
@on_sqlite
def test_t112_only_an_admin_lifts_protection_however_it_is_spelled(service: Service) -> None:
    service.knows()
    protects(service)
    for false in FALSE:
        for role in (Role.VIEWER, Role.OPERATOR):
            answer = service.client(role).patch(URL, json={"protected": false})
            assert answer.status_code in (403, 422)
            assert is_protected(service), repr(false)
        service.api.patch(URL, json={"protected": false, "labels": {"a": "b"}})
        assert is_protected(service), "and never along with another change"


@on_sqlite
def test_t112_what_is_neither_true_nor_false_leaves_protection_alone(service: Service) -> None:
    service.knows()
    protects(service)
    for nothing in (None, [], {}, "", "maybe", 2):
        assert service.api.patch(URL, json={"protected": nothing}).status_code == 422
    assert service.api.patch(URL, json={}).status_code == 200
    assert is_protected(service)


@on_sqlite
def test_t112_lifting_protection_is_an_act_of_its_own_in_the_audit_trail(
    service: Service,
) -> None:
    service.knows()
    protects(service)
    ok(service.api.patch(URL, json={"protected": False}))
    entry = ok(service.api.get("/api/v1/audit"))["items"][0]
    assert (entry["action"], entry["target"]) == ("host.change", "web01")
    assert entry["detail"] == {"fields": ["protected"]}


@on_sqlite
def test_t112_the_mac_of_a_protected_host_cannot_be_given_to_another(service: Service) -> None:
    # Else an operator could wipe the machine under another name.
    service.knows()
    protects(service)
    operator = service.client(Role.OPERATOR)
    for macs in (["02:00:00:00:00:01"], []):
        assert operator.patch(URL, json={"macs": macs}).status_code in (403, 422)
    assert operator.post("/api/v1/hosts", json={**HOST, "name": "other"}).status_code == 409
    assert operator.delete(URL).status_code == 403
    assert operator.patch(URL, json={"macs": [MAC, "02:00:00:00:00:01"]}).status_code == 200
    assert operator.patch(URL, json={"name": "renamed"}).status_code == 200
    assert service.api.get("/api/v1/hosts/renamed").json()["protected"] is True


@on_sqlite
def test_t112_a_change_of_the_profile_makes_no_protected_host_installable(
    service: Service,
) -> None:
    service.knows()
    protects(service)
    ok(service.api.put("/api/v1/profiles/debian-12-image", json={**PROFILE, "packages": ["vim"]}))
    assert deploy(service, "").status_code == 403


# --- the disk ---------------------------------------------------------------------------------

SYSTEM = {**DISK, "name": "sda", "path": "/dev/sda", "serial": "SYS-1", "wwn": "0x5000c5000000001"}
DATA = {**DISK, "name": "sdb", "path": "/dev/sdb", "serial": "DATA-1", "size": 64 * 2**30,
        "wwn": "0x5000c5000000002", "contents": ["ext4"]}  # fmt: skip
USB = {**DATA, "name": "sdc", "path": "/dev/sdc", "serial": "USB-1", "transport": "usb",
       "wwn": None}  # fmt: skip
LUN = {**DATA, "name": "sdd", "path": "/dev/sdd", "serial": "LUN-1", "transport": "fc",
       "wwn": "0x600a098000000001"}  # fmt: skip
OTHER_PATH = {**LUN, "name": "sde", "path": "/dev/sde"}


def asks_which_disk(service: Service, rule: Json, *disks: Json) -> tuple[str, Json]:
    profile = {**PROFILE, "storage": {"disk": rule}}
    ok(service.api.put("/api/v1/profiles/debian-12-image", json=profile))
    id_, machine = service.deploys(), service.machine()
    machine.boots_installer()
    return id_, ok(machine.reports_disks(*disks))


ABORTS: list[tuple[Json, list[Json]]] = [
    ({}, [SYSTEM, DATA]),
    ({}, [USB]),
    ({}, [LUN]),
    ({"pick": "largest"}, [USB, LUN]),
    ({"pick": "largest"}, [DATA, {**DATA, "name": "sdx", "path": "/dev/sdx", "wwn": None}]),
    ({"serial": "NONE"}, [SYSTEM, DATA]),
    ({"serial": "SYS"}, [SYSTEM, DATA]),
    ({"wwn": "0x5"}, [SYSTEM, DATA]),
    ({"path": "/dev/sd"}, [SYSTEM, DATA]),
    ({"min_size": "1G"}, [SYSTEM, DATA]),
    ({"max_size": "1G"}, [SYSTEM, DATA]),
    ({"wwn": LUN["wwn"]}, [LUN, OTHER_PATH]),
    ({"pick": "largest"}, [SYSTEM, {**SYSTEM, "name": "sdx", "path": "/dev/sdx"}]),
    ({"pick": "smallest"}, [SYSTEM, DATA, {**DATA, "name": "sdx", "path": "/dev/sdx"}]),
    ({}, [{**SYSTEM, "removable": True}]),
    ({}, [{**SYSTEM, "read_only": True}]),
    ({}, [{**SYSTEM, "size": 1000}]),
]


@pytest.mark.slow
@on_sqlite
def test_t119_unless_one_disk_is_meant_nothing_is_written(service: Service) -> None:
    service.knows()
    for rule, disks in ABORTS:
        id_, answer = asks_which_disk(service, rule, *disks)
        assert answer["action"] == "abort", (rule, disks)
        assert "disk" not in answer, "there is no path that could be written"
        assert service.row(id_).state == "failed"
        assert service.row(id_).cause == answer["reason"]


@pytest.mark.slow
@on_sqlite
def test_t119_the_disk_that_is_meant_is_the_only_one_named(service: Service) -> None:
    service.knows()
    meant: list[tuple[Json, str]] = [
        ({"serial": "SYS-1"}, "/dev/sda"), ({"wwn": "0x5000C5000000002"}, "/dev/sdb"),
        ({"max_size": "20G"}, "/dev/sda"), ({"pick": "largest"}, "/dev/sdb"),
        ({"serial": "USB-1"}, "/dev/sdc"), ({"wwn": LUN["wwn"]}, "/dev/sdd"),
    ]  # fmt: skip
    for rule, path in meant:
        id_, answer = asks_which_disk(service, rule, SYSTEM, DATA, USB, LUN)
        assert (answer["action"], answer.get("disk", {}).get("path")) == ("proceed", path), rule
        ok(service.api.post(f"/api/v1/deployments/{id_}/cancel"))


@on_sqlite
def test_t119_no_disk_at_all_is_no_disk(service: Service) -> None:
    service.knows()
    service.deploys()
    machine = service.machine()
    machine.boots_installer()
    answer = machine.http.post(machine.url("disks"), json={"disks": []})
    assert answer.json()["action"] == "abort"


@on_sqlite
def test_t119_the_answer_stays_the_same_and_never_becomes_a_second_disk(
    service: Service,
) -> None:
    service.knows()
    id_, first = asks_which_disk(service, {"pick": "largest"}, SYSTEM)
    machine = service.machine()
    url = f"/d/{service.parts.tokens(id_)[Purpose.PHONE_HOME]}/disks"
    again = ok(machine.http.post(url, json={"disks": [{**SYSTEM, "contents": ["gpt"]}]}))
    assert again == first
    other = ok(machine.http.post(url, json={"disks": [SYSTEM, DATA]}))
    assert other["action"] == "abort"
    assert "/dev/sda" in other["reason"]
    assert service.state(id_) == "failed"


@on_sqlite
@pytest.mark.parametrize("layout", ["plain", "lvm"])
def test_t119_no_plan_names_a_disk_before_the_rule_was_applied(
    service: Service, layout: str
) -> None:
    service.knows(storage={"layout": layout, "disk": {"path": "/dev/sda"}})
    service.deploys()
    machine = service.machine()
    machine.boots_installer()
    assert "/dev/sd" not in machine.fetches_plan().text
    assert set(machine.plan["storage"]) == {
        "layout", "esp_mib", "boot_mib", "swap_mib", "volume_group",
        "passphrase", "volumes",
    }  # fmt: skip


# --- looking before leaping -------------------------------------------------------------------


def database(service: Service) -> str:
    """A hash over every row of every table."""
    digest = hashlib.sha256()
    with service.parts.database.engine.connect() as connection:
        for table in SQLModel.metadata.sorted_tables:
            rows = connection.execute(table.select()).all()
            digest.update(repr((table.name, sorted(map(repr, rows)))).encode())
    return digest.hexdigest()


def test_t121_a_dry_run_shows_the_exact_target_and_changes_nothing(service: Service) -> None:
    service.knows(host={"power": {"driver": "fake", "name": "t121"}})
    ok(service.api.get("/api/v1/hosts"))  # the token's time of last use is remembered now
    before = database(service)
    body = {"host": "web01", "profile": "debian-12-image"}
    headers = {"Idempotency-Key": "k"}
    url = "/api/v1/deployments?dry_run=true"
    shown = ok(service.api.post(url, json=body, headers=headers))
    refused = service.api.post(url, json={**body, "host": "nosuch"})
    assert service.work() == []
    assert database(service) == before
    assert Fake.told.get("t121", []) == []
    assert refused.status_code == 404
    assert "web01 becomes debian-12-image" in shown["boot"]["ipxe"]
    assert shown["answers"]["plan.json"].count(MAC) >= 1
    # The hash would tell: the same request without dry_run changes it.
    ok(service.api.post("/api/v1/deployments", json=body, headers=headers))
    assert database(service) != before


@pytest.mark.slow
@on_sqlite
def test_t121_the_dry_run_shows_what_the_machine_then_gets(service: Service) -> None:
    service.knows()
    body = {"host": "web01", "profile": "debian-12-image"}
    shown = ok(service.api.post("/api/v1/deployments?dry_run=true", json=body))
    id_, machine = service.deploys(), service.machine()
    script = machine.asks()
    tokens = service.parts.tokens(id_)
    for purpose, token in tokens.items():
        script = script.replace(token, f"TOKEN-{purpose.upper()}")
    assert without_ids(script) == without_ids(shown["boot"]["ipxe"])


def without_ids(script: str) -> list[str]:
    return [line.split(":", 1)[-1] for line in script.split("\n") if "Deployer " in line] + [
        line for line in script.split("\n") if line.startswith(("kernel ", "initrd "))
    ]


@on_sqlite
def test_t121_a_check_of_a_profile_changes_nothing(service: Service) -> None:
    service.knows()
    ok(service.api.get("/api/v1/hosts"))
    before = database(service)
    for check in ({}, {"host": "web01"}, {"vars": {"a": 1}}):
        ok(service.api.post("/api/v1/profiles/debian-12-image/check", json=check))
    assert database(service) == before
