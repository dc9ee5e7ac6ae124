"""Lists in pages: every item exactly once, filtered by label or by part of a name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.service import KEY, PROFILE, Service, ok

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def mac(number: int) -> str:
    return f"52:54:00:00:00:{number:02x}"


def create_hosts(service: Service, count: int) -> list[str]:
    names = [f"web{number:02}" for number in range(count)]
    for number, name in enumerate(reversed(names)):
        labels = {"env": "staging" if number % 2 else "live", "rack": f"r{number % 3}"}
        body = {"name": name, "macs": [mac(number)], "labels": labels}
        ok(service.api.post("/api/v1/hosts", json=body))
    return names


def pages(service: Service, path: str, **params: Any) -> list[list[dict[str, Any]]]:
    """Every page of a list, as a client follows `next`."""
    found, cursor = [], None
    while True:
        query = {**params, **({"cursor": cursor} if cursor else {})}
        answer = ok(service.api.get(f"/api/v1/{path}", params=query))
        assert set(answer) == {"items", "next"}
        found.append(answer["items"])
        cursor = answer["next"]
        if cursor is None:
            return found


def names(found: list[list[dict[str, Any]]], field: str = "name") -> list[str]:
    return [item[field] for page in found for item in page]


@on_sqlite
def test_every_host_is_on_exactly_one_page_in_the_order_of_names(service: Service) -> None:
    expected = create_hosts(service, 7)
    for limit, sizes in {3: [3, 3, 1], 7: [7], 8: [7], 1: [1] * 7}.items():
        found = pages(service, "hosts", limit=limit)
        assert [len(page) for page in found] == sizes
        assert names(found) == expected


@on_sqlite
def test_hosts_that_come_and_go_between_two_pages_disturb_no_other(service: Service) -> None:
    create_hosts(service, 4)
    first = ok(service.api.get("/api/v1/hosts?limit=2"))
    service.api.delete("/api/v1/hosts/web01")
    ok(service.api.post("/api/v1/hosts", json={"name": "a", "macs": [mac(99)]}))
    second = ok(service.api.get("/api/v1/hosts", params={"limit": 2, "cursor": first["next"]}))
    assert names([first["items"], second["items"]]) == ["web00", "web01", "web02", "web03"]


@on_sqlite
def test_deployments_come_newest_first_each_once(service: Service) -> None:
    service.knows()
    made = []
    for _ in range(5):
        made.append(service.queues())
        ok(service.api.post(f"/api/v1/deployments/{made[-1]}/cancel"))
    assert names(pages(service, "deployments", limit=2), "id") == made[::-1]
    assert names(pages(service, "deployments", limit=2, state="cancelled"), "id") == made[::-1]
    assert pages(service, "deployments", state="ready") == [[]]
    assert pages(service, "deployments", host="web02") == [[]]


@on_sqlite
def test_profiles_tokens_images_and_the_audit_trail_are_lists_alike(service: Service) -> None:
    for number in range(3):
        ok(service.api.post("/api/v1/profiles", json={**PROFILE, "name": f"p{number}"}))
        ok(service.api.post("/api/v1/tokens", json={"name": f"t{number}", "role": "viewer"}))
    assert names(pages(service, "profiles", limit=2)) == ["p0", "p1", "p2"]
    assert names(pages(service, "images", limit=1)) == ["debian-12-x86_64", "live-x86_64"]
    assert set(names(pages(service, "tokens", limit=2))) > {"t0", "t1", "t2"}
    actions = names(pages(service, "audit", limit=2), "action")
    assert actions == ["token.create", "profile.create"] * 3


FOUND = [
    ({"label": "env=staging"}, ["web00", "web02"]),
    ({"label": "rack=r0"}, ["web00", "web03"]),
    ({"label": "env=none"}, []),
    ({"label": "env=staging", "q": "02"}, ["web02"]),
    ({"q": "b0"}, ["web00", "web01", "web02", "web03"]),
    ({"q": "WEB03"}, ["web03"]),
    ({"q": "00:00:03"}, ["web00"]),
    ({"q": "52:54:00:00:00:00"}, ["web03"]),
    ({"q": "%"}, []),
    ({"q": "_"}, []),
    ({"q": "'; DROP TABLE hosts; --"}, []),
]


def test_hosts_are_found_by_label_name_and_mac_on_both_databases(service: Service) -> None:
    create_hosts(service, 4)
    assert [(params, names(pages(service, "hosts", **params))) for params, _ in FOUND] == FOUND


def test_names_are_found_whatever_their_case(service: Service) -> None:
    ok(service.api.post("/api/v1/profiles", json={**PROFILE, "name": "Debian-Web"}))
    assert names(pages(service, "profiles", q="debian")) == ["Debian-Web"]


@on_sqlite
def test_a_filter_holds_over_all_pages(service: Service) -> None:
    create_hosts(service, 9)
    found = pages(service, "hosts", label="env=live", limit=2)
    assert [len(page) for page in found] == [2, 2, 1]
    assert all(host["labels"]["env"] == "live" for page in found for host in page)


REFUSED = [
    ({"limit": 0}, "limit"),
    ({"limit": 1001}, "limit"),
    ({"limit": 10**9}, "limit"),
    ({"limit": "all"}, "limit"),
    ({"cursor": "é"}, "cursor"),
    ({"cursor": "_w"}, "cursor"),
    ({"cursor": "!!!!"}, "cursor"),
    ({"label": "env"}, "label"),
    ({"q": "x" * 201}, "q"),
]


@on_sqlite
def test_a_page_that_cannot_be_is_refused_by_field(service: Service) -> None:
    for params, field in REFUSED:
        answer = service.api.get("/api/v1/hosts", params=params)
        assert (answer.status_code, answer.json().get("field")) == (422, field), params


NUL_OR_TOO_LARGE = [
    "hosts?q=%00", "hosts?cursor=AA", "hosts?label=a%00=b", "hosts/%00", "profiles/%00",
    "deployments/%00", "deployments?host=%00", "images/%00",
    "audit?cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5",
]  # fmt: skip


def test_what_no_database_can_hold_is_the_clients_fault(service: Service) -> None:
    answers = {path: service.api.get(f"/api/v1/{path}").status_code for path in NUL_OR_TOO_LARGE}
    assert {path: status for path, status in answers.items() if status >= 500} == {}


@pytest.mark.slow
@on_sqlite
def test_a_host_shows_the_state_of_its_unfinished_deployment(service: Service) -> None:
    service.knows(users=[{"name": "ops", "ssh_keys": [KEY]}])
    assert names(pages(service, "hosts"), "state") == [None]
    id_ = service.deploys()
    assert names(pages(service, "hosts"), "state") == ["booting"]
    ok(service.api.post(f"/api/v1/deployments/{id_}/cancel"))
    assert names(pages(service, "hosts"), "state") == [None]
