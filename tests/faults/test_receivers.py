"""A receiver that hangs, beside the real worker: neither installs nor others wait. FAULTS F050."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from deployer.engine import Worker
from deployer.services import deliveries as deliveries_
from deployer.services.parts import Parts
from deployer.services.sender import Sender
from deployer.store.deliveries import get
from tests.support.live import until
from tests.support.other import Other
from tests.support.service import Service, ok

pytestmark = pytest.mark.slow

EVERY = ["queued", "booting", "installing", "first_boot", "verifying", "ready"]


@pytest.fixture
def hanging(real: Service) -> Iterator[Other]:
    real.parts.settings.chat_networks = "127.0.0.0/8"
    with Other() as made:
        made.hangs.set()
        knows_receiver(real, "hanging", made)
        yield made


@pytest.fixture
def fine(real: Service) -> Iterator[Other]:
    with Other() as made:
        knows_receiver(real, "fine", made)
        yield made


def knows_receiver(service: Service, name: str, other: Other) -> None:
    spec = {"name": name, "type": "json", "settings": {"url": other.url}, "when": {"events": EVERY}}
    ok(service.api.post("/api/v1/receivers", json=spec))


def deliveries(service: Service, **asked: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = ok(service.api.get("/api/v1/deliveries", params=asked))["items"]
    return items


def installs(service: Service) -> float:
    """Seconds that a whole installation took."""
    service.knows()
    began = time.monotonic()
    id_ = service.queues()
    until(lambda: service.state(id_) == "booting")
    machine = service.machine()
    machine.installs()
    machine.phones_home("first_boot")
    assert service.state(id_) == "ready"
    return time.monotonic() - began


def test_f050_a_receiver_that_hangs_holds_up_no_install_and_no_other(
    hanging: Other, fine: Other, worker: Worker, real: Service
) -> None:
    assert installs(real) < 5
    until(lambda: len(deliveries(real, receiver="fine", outcome="sent")) == len(EVERY))
    assert len(hanging.asked) == 1, "one at a time"
    waiting = deliveries(real, receiver="hanging", outcome="waiting")
    assert len(waiting) == len(EVERY) and [row["attempts"] for row in waiting] == [0] * 5 + [1]
    assert worker.problems == []
    hanging.hangs.clear()
    until(lambda: len(deliveries(real, receiver="hanging", outcome="sent")) == len(EVERY))
    assert len(hanging.asked) == len(EVERY), "each of them once"


def test_f050_the_service_stops_while_a_receiver_hangs_and_goes_on_afterwards(
    hanging: Other, real_parts: Parts, real: Service
) -> None:
    worker = Worker(real_parts)
    worker.start()
    try:
        real.knows()
        real.queues()
        until(lambda: hanging.asked)
    finally:
        began = time.monotonic()
        worker.stop(2)
    assert time.monotonic() - began < 5
    id_ = deliveries(real, outcome="waiting")[-1]["id"]
    with real_parts.database.reading() as session:
        row = get(session, id_)
    assert row is not None and row.lease_until is not None
    assert row.lease_until <= real_parts.clock(), "handed back"


def test_two_workers_send_each_thing_once(fine: Other, real: Service, real_parts: Parts) -> None:
    real_parts.settings.chat_networks = "127.0.0.0/8"
    names = [f"r{number}" for number in range(8)]
    for name in names:
        knows_receiver(real, name, fine)
    real.knows()
    senders = [Sender(replace(real_parts), deliveries_.MAIL, lambda: None) for _ in range(2)]
    for _ in range(5):
        ok(real.api.post(f"/api/v1/deployments/{real.queues()}/cancel"))

    def all_sent() -> bool:
        for sender in senders:
            sender.turn()
        return not deliveries(real, outcome="waiting")

    until(all_sent, 30)
    until(lambda: not any(sender.in_hand for sender in senders))
    assert len(fine.asked) == 5 * (len(names) + 1)
