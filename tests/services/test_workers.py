"""A service without a worker knows whether there is one; and replicas have the same keys."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from deployer.services import keys, workers
from deployer.services.parts import Parts
from tests.support.service import Service


def named(parts: Parts, name: str) -> Parts:
    return replace(parts, settings=parts.settings.model_copy(update={"worker_name": name}))


def ready(service: Service) -> dict[str, Any]:
    answer = service.api.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (200, True), "it serves all the same"
    problems: dict[str, Any] = answer.json()["problems"]
    return problems


def counted(service: Service) -> float:
    found = re.search(r"^deployer_workers (\S+)$", service.api.get("/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])


def test_readyz_says_that_nobody_works(service: Service) -> None:
    first, second = named(service.parts, "first"), named(service.parts, "second")
    nobody = "no worker is heard of; is `deployer worker` running?"
    assert (ready(service), counted(service)) == ({"worker": nobody}, 0)
    workers.beat(first)
    workers.beat(second)
    assert (ready(service), counted(service)) == ({}, 2)
    service.clock.forward(seconds=20)
    workers.beat(second)
    service.clock.forward(seconds=20)
    assert (ready(service), counted(service)) == ({}, 1)
    at = service.clock()
    service.clock.forward(minutes=5)
    assert re.search(rf"since {at:%Y-%m-%d %H:%M}:\d\d UTC \(second\)", ready(service)["worker"])
    workers.leave(second)
    assert "(first)" in ready(service)["worker"]
    workers.leave(first)
    assert ready(service) == {"worker": nobody}


def test_names_that_are_not_used_any_more_are_forgotten(service: Service) -> None:
    workers.beat(named(service.parts, "old"))
    service.clock.forward(days=2)
    workers.beat(named(service.parts, "new"))
    workers.leave(named(service.parts, "new"))
    assert "since" not in ready(service)["worker"]


def test_replicas_have_one_ssh_key_because_they_have_one_server_key(tmp_path: Path) -> None:
    one, other = bytes(range(32)), bytes(range(1, 33))
    here, there = (keys.ssh_key(tmp_path / name, one) for name in ("here", "there"))
    assert here[1] == there[1] and here[0] != there[0]
    assert keys.ssh_key(tmp_path / "else", other)[1] != here[1]
    assert keys.ssh_key(tmp_path / "here", other)[1] == here[1], "one that is there is kept"
    assert here[0].stat().st_mode & 0o777 == 0o600
