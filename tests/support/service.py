"""The service as people and machines see it, in this process."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import httpx
from fastapi.testclient import TestClient

from deployer.app import create_machine_app, create_operator_app
from deployer.services import deadlines, deliveries, effects, lanes, people
from deployer.services.chat import threads
from deployer.services.parts import Parts
from deployer.services.people import Role
from deployer.store import deployments as deployment_store
from deployer.store import effects as effect_store
from deployer.store.effects import Waiting
from deployer.store.tables import Deployment
from tests.support.clock import Clock
from tests.support.machine import FakeMachine

MAC = "52:54:00:12:34:56"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy0c2y6s7k5p1gk0wU ops@example"
HOST: dict[str, Any] = {"name": "web01", "macs": [MAC]}
PROFILE: dict[str, Any] = {
    "name": "debian-12-image", "os": "image", "release": "debian-12",
    "users": [{"name": "ops", "sudo": True, "ssh_keys": [KEY]}], "verify": False,
}  # fmt: skip


class Service:
    """`api` calls as an admin; `machine()` makes machines; `work()` is the engine, run by hand."""

    def __init__(self, parts: Parts, clock: Clock) -> None:
        self.parts, self.clock = parts, clock
        self.operators = create_operator_app(parts)
        self.machines = create_machine_app(parts)
        self._clients = ExitStack()
        self.api = self.client(Role.ADMIN)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self._clients.close()

    def client(self, role: Role | None) -> TestClient:
        """A client with a token of this role, or with none."""
        headers = {"Authorization": f"Bearer {self.token(role)}"} if role else {}
        client = TestClient(self.operators, headers=headers, raise_server_exceptions=False)
        return self._clients.enter_context(client)  # or each request makes an event loop of its own

    def token(self, role: Role) -> str:
        with self.parts.database.writing() as session:
            name = f"{role}-{self.clock().timestamp():.3f}"
            return people.create_token(session, name, role, timedelta(days=9), self.clock())[1]

    def machine(self, mac: str = MAC, address: str = "10.0.0.7") -> FakeMachine:
        machine = FakeMachine(self.machines, mac, address)
        self._clients.enter_context(machine.http)
        return machine

    def knows(self, host: dict[str, Any] | None = None, **profile: Any) -> None:
        """Create the example host and profile, or others."""
        self.knows_host(**(host or {}))
        ok(self.api.post("/api/v1/profiles", json={**PROFILE, **profile}))

    def knows_host(self, **host: Any) -> None:
        ok(self.api.post("/api/v1/hosts", json={**HOST, **host}))

    def machines_know_again(self) -> FakeMachine:
        """Of a machine side that has looked up anew what it has at hand for a few seconds."""
        self.machines = create_machine_app(self.parts)
        return self.machine()

    def queues(self, host: str = "web01", profile: str = "debian-12-image", **more: Any) -> str:
        """The id of a new deployment; no effect of it has run yet."""
        body = {"host": host, "profile": profile, **more}
        return str(ok(self.api.post("/api/v1/deployments", json=body))["id"])

    def deploys(self, **more: Any) -> str:
        """A new deployment that waits for its machine."""
        id_ = self.queues(**more)
        self.work()
        return id_

    def work(self, most: int = 1000) -> list[str]:
        """Carry out the effects that are waiting, as the engine would; their names."""
        done: list[str] = []
        while waiting := self.waiting()[: most - len(done)]:
            with self.parts.database.writing() as session:
                ids = [e.id for e in waiting]
                effect_store.mark_dispatched(session, ids, self.clock(), timedelta(minutes=1))
            for effect in waiting:
                effects.perform(self.parts, effect.id, effect.offer)
                done.append(effect.name)
        return done

    def tells(self) -> int:
        """Send what is due, as the worker would, until nothing is; how many tries it took."""
        tries = 0
        while ids := deliveries.MAIL.take(self.parts, 100):
            for id_ in ids:
                deliveries.send(self.parts, id_)
                tries += 1
        return tries

    def turns(self, count: int = 1) -> None:
        """What the worker does about messages in chats, so many times."""
        for _ in range(count):
            for id_ in threads.MAIL.take(self.parts, 9):
                threads.update(self.parts, id_)
            self.clock.forward(seconds=4)

    def waiting(self) -> list[Waiting]:
        """What a worker would take in hand next."""
        with self.parts.database.writing() as session:
            return lanes.choose(session, self.parts, self.clock(), 100)

    def expire(self) -> int:
        return deadlines.expire(self.parts)

    def row(self, id_: str) -> Deployment:
        with self.parts.database.reading() as session:
            row = deployment_store.get(session, id_)
        assert row is not None
        return row

    def state(self, id_: str) -> str:
        return str(ok(self.api.get(f"/api/v1/deployments/{id_}"))["state"])

    def cause(self, id_: str) -> str:
        return str(ok(self.api.get(f"/api/v1/deployments/{id_}"))["cause"])

    def events(self, id_: str) -> list[str]:
        return [line["event"] for line in self.history(id_)]

    def history(self, id_: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = ok(self.api.get(f"/api/v1/deployments/{id_}/events"))["items"]
        return items


def ok(answer: httpx.Response) -> dict[str, Any]:
    """The JSON of a successful answer."""
    assert answer.is_success, f"{answer.status_code}: {answer.text}"
    body: dict[str, Any] = answer.json() if answer.content else {}
    return body
