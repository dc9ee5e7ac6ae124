"""Receivers are told what happened: once, in time, by label and event, and nobody waits for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event as sql
from sqlmodel import select

from deployer.app import load_workflows
from deployer.core.text import is_plain_line
from deployer.observe import metrics
from deployer.services import deliveries
from deployer.services.people import Role
from deployer.settings import Settings
from deployer.store.tables import Delivery
from tests.support.hostile import HOSTILE
from tests.support.other import Other
from tests.support.service import Service, ok

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
Json = dict[str, Any]
RECEIVERS = "/api/v1/receivers"
DELIVERIES = "/api/v1/deliveries"


@pytest.fixture
def noc(service: Service) -> Iterator[Other]:
    """Whoever listens at the address of the receiver `noc`."""
    service.parts.settings.chat_networks = "127.0.0.0/8"
    with Other() as made:
        yield made


def knows_receiver(service: Service, noc: Other, **more: Any) -> None:
    spec = {"name": "noc", "type": "json", "settings": {"url": f"{noc.url}/in"}, **more}
    ok(service.api.post(RECEIVERS, json=spec))


def told(noc: Other) -> list[tuple[str, str]]:
    """(type, host) of each thing that it was told."""
    bodies = [json.loads(asked.body) for asked in noc.asked]
    return [(body["type"], body["data"]["host"]) for body in bodies]


def fails(service: Service, id_: str) -> None:
    service.clock.forward(hours=5)
    service.expire()
    assert service.state(id_) == "failed"


def becomes_ready(service: Service) -> None:
    machine = service.machine()
    machine.installs()
    machine.phones_home("first_boot")


def rows(service: Service, **asked: Any) -> list[Json]:
    items: list[Json] = ok(service.api.get(DELIVERIES, params=asked))["items"]
    return items


def age(service: Service, name: str) -> timedelta:
    """How far from now."""
    return datetime.fromisoformat(name) - service.clock()


# --- what is told -----------------------------------------------------------------------------


def test_a_receiver_is_told_of_the_end_as_the_api_shows_it(service: Service, noc: Other) -> None:
    service.knows({"labels": {"env": "production"}})
    knows_receiver(service, noc)
    id_ = service.deploys()
    becomes_ready(service)
    assert noc.asked == [], "nobody waits for a receiver"
    assert service.tells() == 1
    (asked,) = noc.asked
    body = json.loads(asked.body)
    shown = ok(service.api.get(f"/api/v1/deployments/{id_}"))
    assert body["type"] == "deployment.ready"
    assert {**body["data"], "logs": []} == {**shown, "labels": {"env": "production"}}
    ready = next(e for e in service.history(id_) if e["to"] == "ready")
    assert abs(age(service, body["timestamp"]) - age(service, ready["at"])) < timedelta(seconds=1)
    (row,) = rows(service)
    assert (row["outcome"], row["said"]) == ("sent", f"POST {noc.url}/in: 200")
    assert (row["deployment"], row["title"], row["attempts"]) == (
        id_,
        "web01 → debian-12-image: ready",
        1,
    )
    assert row["notice_id"] == asked.headers["idempotency-key"]
    assert service.tells() == 0


@on_sqlite
@pytest.mark.parametrize(
    ("when", "events"),
    [
        ({}, ["failed"]),
        ({"labels": {"env": "production"}}, ["failed"]),
        ({"labels": {"env": "production", "rack": "a1"}}, ["failed"]),
        ({"labels": {"env": "staging"}}, []),
        ({"labels": {"env": "production", "site": "b"}}, []),
        ({"events": ["ready"]}, []),
        ({"events": ["failed", "queued", "booting"]}, ["queued", "booting", "failed"]),
        ({"events": []}, []),
    ],
)
def test_by_label_and_event(service: Service, noc: Other, when: Json, events: list[str]) -> None:
    service.knows({"labels": {"env": "production", "rack": "a1"}})
    knows_receiver(service, noc, when=when)
    fails(service, service.deploys())
    service.tells()
    assert told(noc) == [(f"deployment.{event}", "web01") for event in events]


@pytest.mark.slow
@on_sqlite
def test_all_states_in_their_order_also_those_of_one_commit(service: Service, noc: Other) -> None:
    service.knows()
    every = ["queued", "booting", "installing", "first_boot", "verifying", "ready"]
    knows_receiver(service, noc, when={"events": every})
    service.deploys()
    becomes_ready(service)
    service.tells()
    assert [what for what, _ in told(noc)] == [f"deployment.{state}" for state in every]


@pytest.mark.slow
@on_sqlite
def test_whoever_is_switched_off_is_told_nothing(service: Service, noc: Other) -> None:
    service.knows()
    knows_receiver(service, noc, enabled=False)
    fails(service, service.deploys())
    assert service.tells() == 0 and rows(service) == []


@on_sqlite
def test_an_approval_that_is_waited_for_is_told(
    service: Service, noc: Other, tmp_path: Any
) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\nlabel: M\n'on': {queued: [{do: approve}]}")
    service.parts.workflows.update(load_workflows(Settings(workflows=tmp_path)))
    service.knows(workflow="mine")
    knows_receiver(service, noc)
    service.queues()
    service.tells()
    assert told(noc) == [("deployment.approval", "web01")]
    (row,) = rows(service)
    assert row["title"] == "web01 → debian-12-image: waits for approval"
    with service.parts.database.reading() as session:
        message = session.exec(select(Delivery)).one().message
    assert message["types"] == ["deployer approve web01"] and message["buttons"] == []


@on_sqlite
def test_what_is_rolled_back_is_not_told(service: Service, noc: Other) -> None:
    service.knows()
    knows_receiver(service, noc, when={"events": ["queued"]})
    service.queues()
    body = {"host": "web01", "profile": "debian-12-image"}
    assert service.api.post("/api/v1/deployments", json=body).status_code == 409
    assert len(rows(service)) == 1


@pytest.mark.slow
@on_sqlite
def test_without_receivers_it_costs_one_query(service: Service) -> None:
    asked: list[str] = []

    def watch(_c: Any, _k: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    service.knows()
    id_ = service.queues()
    row = service.row(id_)
    with service.parts.database.reading() as session:
        session.connection()
        sql.listen(session.get_bind(), "before_cursor_execute", watch)
        deliveries.tell(session, service.parts, row, "failed")
        sql.remove(session.get_bind(), "before_cursor_execute", watch)
    assert len(asked) == 1 and "receivers" in asked[0]


# --- F050: a receiver in trouble --------------------------------------------------------------


@pytest.mark.slow
def test_f050_a_receiver_that_is_ill_is_asked_again_after_growing_pauses(
    service: Service, noc: Other
) -> None:
    service.knows()
    knows_receiver(service, noc)
    fails(service, service.deploys())
    noc.statuses = [500]
    pauses = []
    for _ in range(12):
        assert service.tells() == 1
        (row,) = rows(service, outcome="waiting")
        pauses.append(round(age(service, row["next_at"]).total_seconds()))
        service.clock.forward(seconds=pauses[-1] + 1)
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
    assert row["said"] == f"POST {noc.url}/in was answered with 500"
    noc.statuses = [204]
    assert service.tells() == 1
    assert rows(service)[0]["outcome"] == "sent" and rows(service)[0]["attempts"] == 13
    assert len({asked.headers["idempotency-key"] for asked in noc.asked}) == 1


@pytest.mark.slow
@on_sqlite
def test_f050_retry_after_is_respected_also_by_what_happens_meanwhile(
    service: Service, noc: Other
) -> None:
    service.knows()
    knows_receiver(service, noc, when={"events": ["failed", "queued"]})
    noc.statuses, noc.headers = [429, 200], {"Retry-After": "1800"}
    id_ = service.deploys()
    assert service.tells() == 1
    assert age(service, rows(service)[0]["next_at"]) > timedelta(minutes=29)
    ok(service.api.post(f"/api/v1/deployments/{id_}/cancel"))
    service.deploys()
    service.clock.forward(minutes=29)
    assert service.tells() == 0, "it asked for half an hour"
    service.clock.forward(minutes=2)
    assert service.tells() == 2 and len(noc.asked) == 3


@pytest.mark.slow
@on_sqlite
def test_f050_one_that_does_not_answer_is_asked_once_a_minute_however_much_there_is_to_tell(
    service: Service, noc: Other
) -> None:
    service.knows()
    knows_receiver(service, noc, when={"events": ["queued", "booting", "cancelled"]})
    noc.statuses = [503]
    for _ in range(2):
        ok(service.api.post(f"/api/v1/deployments/{service.deploys()}/cancel"))

    def tries_in_half_an_hour() -> int:
        tries = 0
        for _ in range(30 * 6):
            tries += service.tells()
            service.clock.forward(seconds=10)
        return tries

    assert tries_in_half_an_hour() <= 50, "at first sooner"
    assert tries_in_half_an_hour() <= 30
    noc.statuses = [200]
    service.clock.forward(hours=1)
    assert service.tells() == 6


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 302])
@on_sqlite
def test_what_will_not_work_is_refused_at_once(service: Service, noc: Other, status: int) -> None:
    service.knows()
    knows_receiver(service, noc)
    fails(service, service.deploys())
    noc.statuses = [status]
    assert service.tells() == 1
    (row,) = rows(service, outcome="failed")
    assert row["outcome"] == "refused" and f"answered with {status}" in row["said"]


@pytest.mark.slow
def test_f050_after_a_day_it_is_given_up_and_after_a_month_forgotten(
    service: Service, noc: Other
) -> None:
    service.knows()
    knows_receiver(service, noc)
    fails(service, service.deploys())
    noc.statuses = [503]
    service.tells()
    service.clock.forward(hours=23, minutes=59)
    deliveries.tidy(service.parts)
    assert rows(service)[0]["outcome"] is None
    service.clock.forward(minutes=2)
    deliveries.tidy(service.parts)
    (row,) = rows(service, outcome="expired")
    assert row["said"].endswith("answered with 503") and row["next_at"] is None
    assert service.tells() == 0
    service.clock.forward(hours=30 * 24 - 1)
    service.api = service.client(Role.ADMIN)  # the token of a month ago is no longer good
    deliveries.tidy(service.parts)
    assert len(rows(service)) == 1
    service.clock.forward(hours=2)
    deliveries.tidy(service.parts)
    assert rows(service) == []


@pytest.mark.slow
@on_sqlite
def test_a_receiver_that_is_put_right_is_tried_at_once(service: Service, noc: Other) -> None:
    service.knows()
    knows_receiver(service, noc)
    fails(service, service.deploys())
    noc.statuses, noc.headers = [503, 200], {"Retry-After": "9999"}
    service.tells()
    better = {"name": "noc", "type": "json", "settings": {"url": f"{noc.url}/better"}}
    ok(service.api.put(f"{RECEIVERS}/noc", json=better))
    assert service.tells() == 1 and noc.asked[-1].path == "/better"


@pytest.mark.slow
@on_sqlite
def test_what_is_for_a_receiver_that_is_gone_or_lacks_a_secret_is_refused(
    service: Service, noc: Other
) -> None:
    service.knows()
    knows_receiver(service, noc)
    named = {"url": {"secret": "hook"}}
    ok(service.api.post(RECEIVERS, json={"name": "b", "type": "json", "settings": named}))
    fails(service, service.deploys())
    assert service.api.delete(f"{RECEIVERS}/noc").status_code == 204
    service.tells()
    said = {row["receiver"]: (row["outcome"], row["said"]) for row in rows(service)}
    assert said == {
        "noc": ("refused", "there is no receiver 'noc'"),
        "b": ("refused", "the receiver b names the secret hook, which is not there"),
    }


@on_sqlite
def test_a_crash_of_a_driver_is_said_and_counted(
    service: Service, noc: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deployer.drivers.notify import json as driver

    service.knows()
    knows_receiver(service, noc)
    fails(service, service.deploys())
    monkeypatch.setattr(driver.standard_webhooks, "body", lambda *_: 1 / 0)
    counter = metrics.deliveries.labels("json", "refused")
    before = counter._value.get()
    service.tells()
    assert "ZeroDivisionError" in rows(service)[0]["said"]
    assert counter._value.get() == before + 1


# --- several workers --------------------------------------------------------------------------


@pytest.mark.slow
def test_of_several_workers_one_sends_it(service: Service, noc: Other) -> None:
    service.knows()
    for number in range(5):
        spec = {"name": f"r{number}", "type": "json", "settings": {"url": f"{noc.url}/{number}"}}
        ok(service.api.post(RECEIVERS, json=spec))
    fails(service, service.deploys())
    taken: list[str] = []
    start = threading.Barrier(4)

    def worker() -> None:
        start.wait()
        taken.extend(deliveries.MAIL.take(service.parts, 100))

    threads = [threading.Thread(target=worker) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(taken) == len(set(taken)) == 5


@pytest.mark.slow
def test_what_a_dead_worker_had_in_hand_is_anothers_after_its_lease(
    service: Service, noc: Other
) -> None:
    service.knows()
    knows_receiver(service, noc, when={"events": ["queued", "failed"]})
    fails(service, service.deploys())
    (lost,) = deliveries.MAIL.take(service.parts, 100)
    assert service.tells() == 0, "one at a time for each receiver"
    service.clock.forward(seconds=31)
    assert service.tells() == 2
    assert [row["attempts"] for row in rows(service)] == [1, 2]
    deliveries.send(service.parts, lost)
    assert len(noc.asked) == 2, "who comes back from the dead finds it done"


# --- once more --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_replay_has_the_same_id_time_and_body(service: Service, noc: Other) -> None:
    service.knows()
    knows_receiver(service, noc)
    fails(service, service.deploys())
    noc.statuses = [400, 200]
    service.tells()
    (old,) = rows(service)
    service.clock.forward(hours=30)
    made = ok(service.api.post(f"{DELIVERIES}/{old['id']}/replay"))
    assert made["id"] != old["id"] and made["notice_id"] == old["notice_id"]
    again = service.api.post(f"{DELIVERIES}/{made['id']}/replay")
    assert again.status_code == 409 and "still being tried" in again.json()["detail"]
    deliveries.tidy(service.parts)
    assert service.tells() == 1
    assert [row["outcome"] for row in rows(service)] == ["sent", "refused"]
    first, second = noc.asked
    assert first == second


@on_sqlite
def test_what_is_not_there_is_not_replayed(service: Service, noc: Other) -> None:
    answer = service.api.post(f"{DELIVERIES}/dlv_nothing/replay")
    assert answer.status_code == 404 and "deployer notifications" in answer.json()["remedy"]


@pytest.mark.slow
@on_sqlite
def test_the_list_is_filtered_and_goes_on_page_by_page(service: Service, noc: Other) -> None:
    service.knows()
    knows_receiver(service, noc, when={"events": ["queued", "booting", "failed"]})
    ok(service.api.post(RECEIVERS, json={
        "name": "b", "type": "json", "settings": {"url": noc.url}, "when": {"events": ["failed"]},
    }))  # fmt: skip
    fails(service, service.deploys())
    noc.statuses = [400, 200]
    service.tells()
    assert len(rows(service, receiver="noc")) == 3 and len(rows(service, receiver="b")) == 1
    assert rows(service, outcome="waiting") == []
    assert len(rows(service, outcome="failed")) == 1 and len(rows(service, outcome="sent")) == 3
    page = ok(service.api.get(DELIVERIES, params={"limit": 3}))
    rest = ok(service.api.get(DELIVERIES, params={"limit": 3, "cursor": page["next"]}))
    assert page["items"] + rest["items"] == rows(service) and rest["next"] is None
    assert service.api.get(DELIVERIES, params={"outcome": "lost"}).status_code == 422


# --- a test -----------------------------------------------------------------------------------


@on_sqlite
@pytest.mark.parametrize(("status", "outcome"), [(200, "sent"), (503, "again"), (404, "refused")])
def test_a_receiver_can_be_tried(service: Service, noc: Other, status: int, outcome: str) -> None:
    knows_receiver(service, noc)
    noc.statuses = [status]
    answer = ok(service.api.post(f"{RECEIVERS}/noc/test"))
    assert answer["outcome"] == outcome and str(status) in answer["said"]
    assert told(noc) == [("deployment.test", "example")]
    assert rows(service) == []
    assert service.api.post(f"{RECEIVERS}/nobody/test").status_code == 404


# --- what a workflow says ---------------------------------------------------------------------


@pytest.fixture
def says(service: Service, tmp_path: Any) -> Any:
    def queued(text: str, receiver: str = "noc", **host: Any) -> str:
        step = json.dumps({"do": "notify", "with": {"receiver": receiver, "text": text}})
        lines = f"name: mine\nlabel: M\n'on':\n  queued: [{step}, {{do: power.boot_once}}]\n"
        (tmp_path / "mine.yaml").write_text(lines)
        service.parts.workflows.update(load_workflows(Settings(workflows=tmp_path)))
        service.knows({"labels": {"rack": "a1"}, **host}, workflow="mine")
        return service.queues()

    return queued


@pytest.mark.slow
@on_sqlite
def test_a_workflow_tells_a_receiver_and_does_not_wait(
    service: Service, noc: Other, says: Any
) -> None:
    noc.statuses = [500]
    knows_receiver(service, noc, when={"events": []})
    id_ = says("{{ host.name }} in {{ host.labels.rack }} is next\nOpen the door.")
    assert service.work() == ["notify", "power.boot_once"]
    assert service.state(id_) == "booting"
    service.tells()
    body = json.loads(noc.asked[0].body)
    assert body["type"] == "deployment.notify" and body["data"]["state"] == "queued"
    assert body["data"]["text"] == "web01 in a1 is next\nOpen the door."
    with service.parts.database.reading() as session:
        message = session.exec(select(Delivery)).one().message
    assert (message["title"], message["lines"]) == ("web01 in a1 is next", ["Open the door."])


@on_sqlite
@pytest.mark.parametrize("name", HOSTILE)
def test_t045_what_a_workflow_says_is_text(
    service: Service, noc: Other, says: Any, name: str
) -> None:
    knows_receiver(service, noc)
    # Half a character comes through no request; a template can make one.
    half = name == "surrogate"
    template = "half {{ '%c' % 55357 }}" if half else "{{ host.vars.motto }}"
    id_ = says(template, vars={"motto": "" if half else HOSTILE[name]})
    assert service.work() == ["notify", "power.boot_once"]
    service.tells()
    text = json.loads(noc.asked[0].body)["data"]["text"]
    assert is_plain_line(text.replace("\n", "")) and len(text) <= 10_002
    assert service.state(id_) == "booting"


@on_sqlite
def test_a_receiver_that_a_workflow_names_must_be_there_and_stays(
    service: Service, noc: Other, says: Any
) -> None:
    with pytest.raises(AssertionError, match="names the receiver noc, which is not there"):
        says("hello")
    knows_receiver(service, noc)
    service.queues()
    answer = service.api.delete(f"{RECEIVERS}/noc")
    assert answer.status_code == 409 and "the workflow mine names" in answer.json()["detail"]


@pytest.mark.slow
@on_sqlite
@pytest.mark.parametrize("text", ["{{ nothing }}", "{{ '' }}"])
def test_a_text_that_cannot_be_said_fails_the_step(
    service: Service, noc: Other, says: Any, text: str
) -> None:
    knows_receiver(service, noc)
    id_ = says(text)
    service.work()
    assert service.state(id_) == "failed" and "text" in service.cause(id_)
