"""Machines and an operator that play their parts over HTTP, whatever happens to the service.

A player repeats what got no answer, as firmware, curl and people do, and remembers what was
acknowledged: that must never be lost.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

from deployer.core.effects import KINDS
from deployer.core.lifecycle import RESTING, TRANSITIONS, Event, State
from deployer.services.parts import Parts
from deployer.store import deployments as store
from deployer.store import effects as effect_store
from tests.support.live import Deed, LiveService
from tests.support.service import PROFILE

_EVENTS = ["installer_started", "installer_finished", "first_boot"]


class Stopped(Exception):
    """The test is over."""


class Gone(Exception):
    """The deployment has ended under the machine's feet; 404 says so."""


class Player(threading.Thread):
    """One host: its operator asks for it, its machine installs, again and again until stopped."""

    def __init__(self, live: LiveService, number: int, stop: threading.Event) -> None:
        super().__init__(name=f"h{number:02}", daemon=True)
        self.live, self.over = live, stop
        self.mac = f"52:54:00:00:00:{number:02x}"
        self.host = {
            "name": self.name, "macs": [self.mac], "power": {"driver": "fake", "name": self.name},
        }  # fmt: skip
        self.random = random.Random(number)
        self.api = live.client()
        self.machine = live.machine(self.mac, f"127.0.1.{number + 1}")
        self.acknowledged: list[tuple[str, str]] = []
        self.rounds, self.errors = 0, list[str]()

    def run(self) -> None:
        while not self.over.is_set():
            try:
                self._round()
                self.rounds += 1
            except (Stopped, Gone):
                pass
            except Exception as error:
                self.errors.append(f"{self.name}: {error!r}")

    def _surely(self, call: Callable[[], httpx.Response]) -> httpx.Response:
        """Ask until there is an answer that is one."""
        while not self.over.is_set():
            try:
                answer = call()
                if answer.status_code < 500:
                    return answer
                if answer.status_code != 503:
                    self.errors.append(f"{self.name}: {answer.status_code} {answer.text}")
            except httpx.HTTPError:
                pass
            time.sleep(0.02)
        raise Stopped

    def _round(self) -> None:
        key, body = str(uuid.uuid4()), {"host": self.name, "profile": PROFILE["name"]}
        created = self._surely(
            lambda: self.api.post(
                "/api/v1/deployments", json=body, headers={"Idempotency-Key": key}
            )
        )
        if created.status_code == 201:
            id_ = created.json()["id"]
            self.acknowledged.append((id_, "created"))
        else:
            assert created.status_code == 409, created.text
            id_ = created.json()["deployment"]
        if self._waits_for_booting(id_) is not State.BOOTING:
            return
        self.over.wait(self.random.uniform(0, 0.4))  # its firmware
        if self.random.random() < 0.2:
            self._cancels(id_)
        else:
            self._installs(id_)

    def _waits_for_booting(self, id_: str) -> State:
        while True:
            answer = self._surely(lambda: self.api.get(f"/api/v1/deployments/{id_}"))
            assert answer.status_code == 200, f"{id_} is lost: {answer.text}"
            state = State(answer.json()["state"])
            if state is not State.QUEUED:
                return state
            if self.over.wait(0.02):
                raise Stopped

    def _cancels(self, id_: str) -> None:
        answer = self._surely(lambda: self.api.post(f"/api/v1/deployments/{id_}/cancel"))
        # 409: it was cancelled, and the answer was lost.
        assert answer.status_code in (200, 409), answer.text
        self.acknowledged.append((id_, "cancel"))
        assert not self._is_offered_an_installer(), f"{id_} was cancelled"

    def _is_offered_an_installer(self) -> bool:
        params = {"mac": self.mac.replace(":", "-")}
        script = self._surely(lambda: self.machine.http.get("/boot/ipxe", params=params)).text
        return "kernel" in script

    def _installs(self, id_: str) -> None:
        while True:
            try:
                self.machine.asks()
                break
            except httpx.HTTPError:
                if self.over.wait(0.02):
                    raise Stopped from None
        plan = self._surely(lambda: self.machine.http.get(self.machine.plan_url or "/none"))
        if plan.status_code == 404:
            raise Gone
        self.machine.plan = plan.json()
        self.acknowledged.append((id_, "answers_fetched"))
        for event in _EVENTS:
            self._says(id_, event)
        assert not self._is_offered_an_installer(), f"{id_} is done"

    def _says(self, id_: str, event: str) -> None:
        url = f"{self.machine.url('phone_home')}/{event}"
        if self._surely(lambda: self.machine.http.post(url, json={})).status_code == 404:
            raise Gone
        self.acknowledged.append((id_, event))


class Fleet:
    """Context manager: the players play while it lasts."""

    def __init__(self, live: LiveService, size: int) -> None:
        self.live, self.over = live, threading.Event()
        self.players = [Player(live, number, self.over) for number in range(size)]

    def __enter__(self) -> Fleet:
        self.live.knows(*(player.host for player in self.players))
        for player in self.players:
            player.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for player in self.players:
            player.join(20)
            player.api.close()
            player.machine.http.close()

    @property
    def calls(self) -> int:
        """How many have been acknowledged."""
        return sum(len(player.acknowledged) for player in self.players)

    @property
    def rounds(self) -> int:
        return sum(player.rounds for player in self.players)

    @property
    def errors(self) -> list[str]:
        return [error for player in self.players for error in player.errors]


def broken_promises(parts: Parts, fleet: Fleet | None = None) -> list[str]:
    """What is wrong in the database, and what was acknowledged and is not there."""
    found: list[str] = []
    events: dict[str, set[str]] = {}
    with parts.database.reading() as session:
        rows = store.page(session, host=None, state=None, before=None, limit=100_000)
        hosts = [row.host_name for row in rows if row.ended_at is None]
        found += [f"{host} has two unfinished" for host in set(hosts) if hosts.count(host) > 1]
        for row in rows:
            lines = store.history(session, row.id)
            events[row.id] = {line.event for line in lines}
            moves = [
                (line.from_state, line.event, line.to_state) for line in lines if line.to_state
            ]
            found += [f"{row.id}: {problem}" for problem in _wrong_moves(row, moves)]
            for effect in effect_store.of_deployment(session, row.id):
                if effect.ended_at is None:
                    found.append(f"{row.id} ({row.state}): {effect.name} is not done")
    for player in fleet.players if fleet else []:
        found += player.errors
        found += [
            f"{id_}: {event} was acknowledged and is lost"
            for id_, event in player.acknowledged
            if event not in events.get(id_, ())
        ]
    return found


def wrong_deeds(parts: Parts, deeds: list[Deed]) -> list[str]:
    """Effects of which the power switch was told nothing, or twice what may not be repeated."""
    told = Counter((deed.effect, deed.what) for deed in deeds)
    found: list[str] = []
    with parts.database.reading() as session:
        rows = store.page(session, host=None, state=None, before=None, limit=100_000)
        for effect in (e for row in rows for e in effect_store.of_deployment(session, row.id)):
            name = effect.name.removeprefix("power.")
            often, done = told.pop((effect.id, name), 0), effect.ended_at and not effect.error
            if effect.name.startswith("power.") and done and not often:
                found.append(f"{effect.id}: {name} is done, and its switch was not told")
            if not KINDS[effect.name].repeatable and often > 1:
                found.append(f"{effect.id}: {name}, {often} times")
    return found + [f"{what} for {effect}, which is no effect" for effect, what in told]


def _wrong_moves(row: Any, moves: list[tuple[str | None, str, str | None]]) -> list[str]:
    found, at = [], None
    for before, event, after in moves:
        legal = before is None or TRANSITIONS.get((State(before), Event(event))) == after
        if before != at or not legal:
            found.append(f"{before} -{event}-> {after}, coming from {at}")
        at = after
    if at != row.state or row.version != len(moves):
        found.append(f"is {row.state} version {row.version}, after {len(moves)} moves to {at}")
    if (row.ended_at is not None) != (State(row.state) in RESTING):
        found.append(f"{row.state}, ended {row.ended_at}")
    return found
