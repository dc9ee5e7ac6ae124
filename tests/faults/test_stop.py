"""F046: told to stop, the service answers what it has accepted, and hands back the rest."""

from __future__ import annotations

import threading
import time
from collections import Counter

import httpx

from tests.support import faults
from tests.support.live import LiveService, until

HOST = {
    "name": "web01", "macs": ["52:54:00:12:34:56"], "power": {"driver": "fake", "name": "web01"},
}  # fmt: skip


class _Caller(threading.Thread):
    """Calls again and again, one connection each, until nobody listens any more."""

    def __init__(self, live: LiveService, number: int) -> None:
        super().__init__(daemon=True)
        self.machine = live.machine("52:54:00:12:34:56", f"127.0.2.{number}")
        self.seen: Counter[str] = Counter()

    def run(self) -> None:
        while "refused" not in self.seen:
            try:
                answer = self.machine.http.get("/boot/ipxe", params={"mac": self.machine.mac})
                self.seen["answered" if answer.text.startswith("#!ipxe") else answer.text] += 1
            except httpx.ConnectError:
                self.seen["refused"] += 1
            except httpx.HTTPError as error:
                self.seen[repr(error)] += 1


def test_f046_told_to_stop_under_load_it_drops_no_answer(live: LiveService) -> None:
    live.start().knows()
    for _ in range(3):
        callers = [_Caller(live, number) for number in range(1, 13)]
        for caller in callers:
            caller.start()
        until(lambda: sum(c.seen["answered"] for c in callers) > 40)  # noqa: B023
        began = time.monotonic()
        live.terminate()
        assert live.wait() == 0
        assert time.monotonic() - began < 10
        for caller in callers:
            caller.join(10)
        total = sum((caller.seen for caller in callers), Counter[str]())
        assert set(total) == {"answered", "refused"}, total
        live.start()


def test_f046_a_power_switch_that_hangs_does_not_hold_up_the_stop_and_is_tried_again_later(
    live: LiveService,
) -> None:
    live.start(faults.hanging_power).knows(HOST)
    id_ = live.queues()
    until(lambda: "hanging" in live.log.read_text())
    began = time.monotonic()
    live.terminate()
    assert live.wait() == 0
    assert time.monotonic() - began < 10
    assert "effects_handed_back" in live.log.read_text()
    live.start()
    live.waits_for(id_, "booting")
    live.expects_told("web01", ["boot_once", "cycle"])


def test_f046_a_slow_request_is_answered_before_the_process_ends(live: LiveService) -> None:
    live.start(faults.slow_creation).knows()
    answers: list[int] = []
    body = {"host": "web01", "profile": "debian-12-image"}
    caller = threading.Thread(
        target=lambda: answers.append(live.api.post("/api/v1/deployments", json=body).status_code)
    )
    caller.start()
    time.sleep(0.3)
    live.terminate()
    caller.join(15)
    assert live.wait() == 0
    assert answers == [201]
