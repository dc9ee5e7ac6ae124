"""F040-F042: many at once. One winner each time, by the database and not by luck."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from deployer.services import deployments, effects
from deployer.services.deployments import cancel as real_cancel
from deployer.store import database
from deployer.store import deployments as store
from tests.support.live import LiveService, in_parallel, until
from tests.support.service import PROFILE, Service, ok

CREATE = "/api/v1/deployments"
BODY = {"host": "web01", "profile": PROFILE["name"]}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not turn a wait for a lock into a 503."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 60)


@pytest.fixture
def many(patient: None, real: Service) -> Service:
    real.knows()
    object.__setattr__(real.parts.settings, "installs_per_hour", 100_000)
    return real


# --- F040 -------------------------------------------------------------------------------------


def _create_at_once(service: Service, number: int) -> None:
    answers = in_parallel(*[lambda: service.api.post(CREATE, json=BODY)] * number)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: number - 1}
    [winner] = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    losers = {answer.json()["deployment"] for answer in answers if answer.status_code == 409}
    assert losers == {winner}
    items = ok(service.api.get(CREATE))["items"]
    assert [item["id"] for item in items if item["state"] == "queued"] == [winner]
    ok(service.api.post(f"{CREATE}/{winner}/cancel"))


@pytest.mark.slow
def test_f040_of_a_hundred_creations_at_once_one_wins_and_the_others_learn_its_id(
    many: Service,
) -> None:
    _create_at_once(many, 100)


@pytest.mark.e2e
def test_f040_of_a_hundred_creations_at_once_one_wins_fifty_times(many: Service) -> None:
    for _ in range(50):
        _create_at_once(many, 100)


def test_f040_the_database_itself_refuses_a_second_unfinished_deployment(
    many: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the check in the code sees nothing, as it does when two look at once."""
    first = many.queues()
    look, blind = store.unfinished_of, iter([True])
    monkeypatch.setattr(
        store, "unfinished_of", lambda *a, **k: None if next(blind, False) else look(*a, **k)
    )
    answer = many.api.post(CREATE, json=BODY)
    assert (answer.status_code, answer.json()["deployment"]) == (409, first)


# --- F041 -------------------------------------------------------------------------------------


def _with_key(api: httpx.Client, key: str, **body: Any) -> httpx.Response:
    return api.post(CREATE, json={**BODY, **body}, headers={"Idempotency-Key": key})


def test_f041_the_same_key_and_body_gets_the_stored_answer(many: Service) -> None:
    first, second = _with_key(many.api, "k"), _with_key(many.api, "k")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    many.work()
    assert _with_key(many.api, "k").json() == first.json(), "also once things have moved on"
    assert len(ok(many.api.get(CREATE))["items"]) == 1


def test_f041_the_same_key_with_another_body_is_refused(many: Service) -> None:
    _with_key(many.api, "k")
    answer = _with_key(many.api, "k", vars={"a": 1})
    assert answer.status_code == 422
    assert answer.json()["field"] == "Idempotency-Key"


def test_f041_a_key_whose_request_failed_may_be_used_again(many: Service) -> None:
    id_ = many.queues()
    assert _with_key(many.api, "k").status_code == 409
    ok(many.api.post(f"{CREATE}/{id_}/cancel"))
    assert _with_key(many.api, "k").status_code == 201


@pytest.mark.slow
def test_f041_the_same_key_in_flight_waits_for_the_first_and_gets_its_answer(
    many: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, began = deployments.create, []

    def slow(*args: Any) -> Any:
        began.append(True)
        time.sleep(0.3)
        return create(*args)

    monkeypatch.setattr(deployments, "create", slow)

    def second() -> httpx.Response:
        until(lambda: began)
        return _with_key(many.api, "k")

    one, two, three = in_parallel(lambda: _with_key(many.api, "k"), second, second)
    assert [answer.status_code for answer in (one, two, three)] == [201] * 3
    assert one.json() == two.json() == three.json()
    assert len(began) == 1


def test_f041_the_same_key_after_a_restart_gets_the_stored_answer(live: LiveService) -> None:
    live.start().knows()
    first = _with_key(live.api, "k")
    live.restart()
    assert _with_key(live.api, "k").json() == first.json()
    assert len(ok(live.api.get(CREATE))["items"]) == 1


# --- F042 -------------------------------------------------------------------------------------


def _interleave(service: Service, order: random.Random) -> str:
    """Cancel, at a random moment, against something else; the name of what it was."""
    id_ = service.queues()
    machine = service.machine()
    armed = order.random() < 0.9
    if armed:
        service.work()
        if order.random() < 0.7:
            machine.asks()
    if machine.plan_url and order.random() < 0.5:
        machine.fetches_plan()

    def times_out() -> None:
        with service.parts.database.writing() as session:
            row = store.get(session, id_, lock=True)
            if row is not None and row.deadline:
                row.deadline = service.clock() - timedelta(seconds=1)
        service.expire()

    rivals: dict[str, Callable[[], Any]] = {
        "script": machine.asks, "timeout": times_out, "effects": service.work,
    }  # fmt: skip
    if machine.plan_url:
        rivals["answer"] = machine.fetches_plan
    if machine.plan:
        rivals["callback"] = lambda: machine.phones_home("installer_finished")
        rivals["failure"] = lambda: machine.phones_home("installer_failed")
    name = order.choice(sorted(rivals))
    confirmed: list[bool] = []

    def cancels() -> None:
        time.sleep(order.choice([0, 0, 0.005, 0.02]))
        answer = service.api.post(f"{CREATE}/{id_}/cancel")
        assert answer.status_code in (200, 409), answer.text
        if answer.status_code == 200:
            confirmed.append(True)
            _gives_nothing_any_more(service, machine, name)

    in_parallel(cancels, rivals[name])
    _has_one_end(service, id_, bool(confirmed), machine)
    if not confirmed:
        service.api.post(f"{CREATE}/{id_}/cancel")
    return name


def _gives_nothing_any_more(service: Service, machine: Any, rival: str) -> None:
    """From the moment when the cancel was answered, whatever else is still under way."""
    other = service.machine()
    assert not other.is_offered_an_installer(), rival
    if machine.plan_url:
        assert other.http.get(machine.plan_url).status_code == 404, rival


def _has_one_end(service: Service, id_: str, confirmed: bool, machine: Any) -> None:
    row, history = service.row(id_), service.history(id_)
    ends = [line for line in history if line["to"] in ("ready", "failed", "cancelled")]
    assert len(ends) <= 1, history
    if confirmed:
        assert row.state == "cancelled" and ends[0]["event"] == "cancel"
        was = "may have been changed" if row.answers_first_at else "was not touched"
        assert ends[0]["detail"] == {"disk": was}
    assert row.version == sum(line["to"] is not None for line in history)


@pytest.mark.slow
def test_f042_after_a_confirmed_cancel_nothing_goes_out_whatever_it_raced_with(
    many: Service,
) -> None:
    order = random.Random(42)
    assert {_interleave(many, order) for _ in range(15)} >= {"script", "answer", "callback"}


@pytest.mark.e2e
def test_f042_a_thousand_interleavings(many: Service) -> None:
    order = random.Random(1000)
    for _ in range(1000):
        _interleave(many, order)


def test_f042_an_effect_that_was_under_way_when_it_was_cancelled_arms_nothing(
    many: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = many.queues()
    begun = effects._begin

    def cancelled_meanwhile(*args: Any) -> Any:
        result = begun(*args)
        with many.parts.database.writing() as session:
            real_cancel(session, many.parts, id_, by="somebody")
        return result

    monkeypatch.setattr(effects, "_begin", cancelled_meanwhile)
    effects.perform(many.parts, many.waiting()[0].id)
    assert many.state(id_) == "cancelled"
    assert not many.machine().is_offered_an_installer()
