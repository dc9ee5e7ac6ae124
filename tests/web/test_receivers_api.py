"""Receivers as operators write them: checked by their drivers, kept without secrets."""

from __future__ import annotations

from typing import Any

import pytest

from deployer.core.text import MASK
from deployer.services.parts import CHAT_DRIVERS, NOTIFY_DRIVERS
from deployer.store import people as people_store
from tests.support.service import Service, ok

NOC: dict[str, Any] = {
    "name": "noc", "type": "json",
    "settings": {"url": "https://noc.example/x", "headers": {"X-Api-Key": {"secret": "noc"}}},
    "when": {"labels": {"env": "production"}, "events": ["failed"]},
}  # fmt: skip
PATH = "/api/v1/receivers"


def test_a_receiver_is_written_read_replaced_and_forgotten(service: Service) -> None:
    made = ok(service.api.post(PATH, json=NOC))
    assert {**NOC, "enabled": True}.items() <= made.items()
    assert ok(service.api.get(PATH))["items"] == [made]
    service.clock.forward(minutes=1)
    other = {**NOC, "settings": {"url": "https://other.example"}, "enabled": False}
    changed = ok(service.api.put(f"{PATH}/noc", json=other))
    assert ok(service.api.get(f"{PATH}/noc")) == changed
    assert changed["settings"] == {"url": "https://other.example"} and not changed["enabled"]
    assert changed["created_at"] == made["created_at"] < changed["updated_at"]
    assert service.api.delete(f"{PATH}/noc").status_code == 204
    gone = service.api.get(f"{PATH}/noc")
    assert gone.status_code == 404 and "deployer receivers" in gone.json()["remedy"]
    with service.parts.database.reading() as session:
        done = [row.action for row in people_store.audit_page(session, before=None, limit=9)]
    assert done == ["receiver.delete", "receiver.change", "receiver.create"]


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"type": "telepathy"}, "type", "choose one of: "),
        ({"settings": {}}, "settings.url", "docs/notifications.md has an example for json"),
        ({"settings": {"url": "ftp://a"}}, "settings.url", "must be a URL"),
        ({"settings": {"url": "http://a", "urk": "x"}}, "settings.urk", "remove it"),
        ({"settings": {"url": "http://a", "headers": {"Auth": {"secret": "noc"}}}}, "settings",
         "in the clear"),
        ({"settings": {"url": "http://a", "headers": {"Token": MASK}}}, "settings.headers.Token",
         "the mask that we showed"),
        ({"when": {"events": ["redy"]}}, "when.events.0.", "correct"),
        ({"when": {"label": {}}}, "when.label", "it is unknown here"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_what_its_driver_does_not_take_is_refused_by_name(
    service: Service, change: dict[str, Any], field: str, words: str
) -> None:
    answer = service.api.post(PATH, json={**NOC, **change})
    problem = answer.json()
    assert answer.status_code == 422 and problem["field"].startswith(field)
    assert words in f"{problem['detail']} {problem['remedy']}"
    assert ok(service.api.get(PATH))["items"] == []


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_what_may_be_a_secret_is_masked(service: Service) -> None:
    headers = {"X-Token": "not-by-name", "X-Team": "ops", "Authorization": "Basic abc"}
    made = service.api.post(PATH, json={**NOC, "settings": {"url": "http://a", "headers": headers}})
    shown = {"X-Token": MASK, "X-Team": "ops", "Authorization": MASK}
    assert made.json()["settings"]["headers"] == shown
    assert "not-by-name" not in service.api.get(PATH).text


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_name_is_taken_once_and_not_changed(service: Service) -> None:
    ok(service.api.post(PATH, json=NOC))
    again = service.api.post(PATH, json=NOC)
    assert again.status_code == 409 and again.json()["field"] == "name"
    assert service.api.put(f"{PATH}/noc", json={**NOC, "name": "soc"}).status_code == 422


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_secret_that_a_receiver_names_is_kept(service: Service) -> None:
    ok(service.api.post("/api/v1/secrets", json={"name": "noc", "value": "x" * 1000}))
    ok(service.api.post(PATH, json=NOC))
    answer = service.api.delete("/api/v1/secrets/noc")
    assert answer.status_code == 409 and "the receiver noc names" in answer.json()["detail"]
    service.api.delete(f"{PATH}/noc")
    assert service.api.delete("/api/v1/secrets/noc").status_code == 204


def test_no_type_is_both_a_chat_and_only_told() -> None:
    assert set(CHAT_DRIVERS) & set(NOTIFY_DRIVERS) == set()
