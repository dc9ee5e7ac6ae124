"""A database full of hosts, made in seconds: one deployment is made as always, the rest copy it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from sqlmodel import SQLModel

from deployer.app import build_parts
from deployer.core.ids import new_id
from deployer.core.inventory import HostSpec
from deployer.core.lifecycle import Event, State
from deployer.core.profiles import ProfileSpec
from deployer.core.tokens import Purpose, derive
from deployer.media import library
from deployer.services import deployments, inventory
from deployer.services.parts import Parts
from deployer.settings import Settings
from deployer.store import images
from deployer.store.tables import Deployment, Host, HostMac

_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy0c2y6s7k5p1gk0wU ops"
PROFILE: dict[str, Any] = {
    "name": "debian-12-image", "os": "image", "release": "debian-12", "verify": False,
    "users": [{"name": "ops", "sudo": True, "ssh_keys": [_KEY]}],
}  # fmt: skip
_BATCH = 5000


@dataclass(frozen=True)
class Fleet:
    """`idle` have no deployment, `armed` wait for their machine, `installing` are being written."""

    idle: list[str]
    armed: list[str]
    installing: list[str]
    answers: list[str]
    phone_home: list[str]

    @property
    def size(self) -> int:
        return len(self.idle) + len(self.armed) + len(self.installing)

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(vars(self)))

    @classmethod
    def load(cls, file: Path) -> Fleet:
        return cls(**json.loads(file.read_text()))


def mac(number: int) -> str:
    return "52:54:" + ":".join(f"{byte:02x}" for byte in number.to_bytes(4, "big"))


def make(settings: Settings, size: int, media: Path) -> Fleet:
    """Fill the empty data folder of `settings` with `size` hosts and the images in `media`.

    A tenth of the hosts is armed, four tenths (at most 4,000) are installing.
    """
    parts = build_parts(settings, create=True)
    try:
        _register_images(parts, media)
        example = _example(parts)
        armed = max(1, size // 10)
        return _copies(parts, example, size, armed, min(size * 4 // 10, 4000))
    finally:
        parts.database.dispose()


def _register_images(parts: Parts, media: Path) -> None:
    for folder in sorted(media.iterdir()):
        manifest = library.add(parts.settings.images_dir, folder)
        with parts.database.writing() as session:
            images.save(session, manifest, parts.clock())


def _example(parts: Parts) -> dict[str, Any]:
    """A row of `deployments` that waits for its machine, made by the service's own code."""
    spec = HostSpec.model_validate({"name": "example", "macs": [mac(0)]})
    request = deployments.Request("example", PROFILE["name"], {}, "benchmark")
    with parts.database.writing() as session:
        inventory.save_host(session, parts, None, spec)
        inventory.save_profile(session, parts, None, ProfileSpec.model_validate(PROFILE))
        checked = deployments.check(session, parts, request)
        made = deployments.create(session, parts, checked, request)
        deployments.advance(session, parts, made, Event.START, by="benchmark")
        row = made.model_dump()
        deployments.cancel(session, parts, made.id, "benchmark")
        return row


def _copies(parts: Parts, example: dict[str, Any], size: int, armed: int, installing: int) -> Fleet:
    now = parts.clock()
    fleet = Fleet([], [], [], [], [])
    for start in range(1, size + 1, _BATCH):
        hosts, macs, rows = [], [], []
        for number in range(start, min(start + _BATCH, size + 1)):
            host, address = _host(number, now)
            hosts.append(host)
            macs.append({"mac": address, "host_id": host["id"]})
            if number > armed + installing:
                fleet.idle.append(address)
                continue
            row = _deployment(example, host, now)
            rows.append(row)
            if number <= armed:
                fleet.armed.append(address)
                continue
            row |= {"state": State.INSTALLING, "answers_address": "127.0.0.1",
                    "answers_first_at": now}  # fmt: skip
            fleet.installing.append(address)
            fleet.answers.append(derive(parts.key, row["id"], Purpose.ANSWERS))
            fleet.phone_home.append(derive(parts.key, row["id"], Purpose.PHONE_HOME))
        _insert(parts, (Host, hosts), (HostMac, macs), (Deployment, rows))
    return fleet


def _host(number: int, now: datetime) -> tuple[dict[str, Any], str]:
    address = mac(number)
    spec = HostSpec.model_validate({
        "name": f"h{number:06}", "macs": [address], "labels": {"rack": f"r{number // 40}"},
    })  # fmt: skip
    return {
        "id": new_id("host", now), "name": spec.name, "uuid": None, "protected": False,
        "spec": spec.model_dump(mode="json", exclude_none=True), "created_at": now,
        "updated_at": now,
    }, address  # fmt: skip


def _deployment(example: dict[str, Any], host: dict[str, Any], now: datetime) -> dict[str, Any]:
    return {
        **example, "id": new_id("dep", now), "host_id": host["id"], "host_name": host["name"],
        "snapshot": {**example["snapshot"], "host": host["spec"]},
    }  # fmt: skip


def _insert(parts: Parts, *batches: tuple[type[SQLModel], list[dict[str, Any]]]) -> None:
    with parts.database.writing() as session:
        for table, rows in batches:
            if rows:
                session.execute(insert(table), rows)
