"""The way from our loader to a machine's own disk, learned from what its firmware did with it.

Firmware differs in what it makes of a loader's `exit`. A machine that comes back to us instead of
its new system has shown that one way does not work; one whose new system calls, that it does.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import cast

from sqlmodel import Session

from deployer.core.inventory import Firmware, LocalBootMethod
from deployer.services import experience
from deployer.services.parts import Parts
from deployer.store import experience as store
from deployer.store.tables import Deployment

PURPOSE: experience.Purpose = "local_boot"
# The first is what `auto` stands for.
WAYS: dict[Firmware, tuple[LocalBootMethod, ...]] = {
    "bios": ("exit", "sanboot", "exit1"),
    "uefi": ("chain", "exit1", "exit"),
}
# Firmware with several NICs asks once by each, and a loader tries again: all in the same start.
_PROVEN_SECONDS = 5.0
_SAME_START = timedelta(seconds=90)


def product_of(manufacturer: str, product: str, firmware: Firmware) -> str:
    """As a machine shows itself; empty where it does not, and then nothing is learned."""
    name = " ".join(f"{manufacturer} {product}".split())
    return f"{name} / {firmware}" if name else ""


def proven_way(session: Session, product: str) -> LocalBootMethod:
    """What worked on machines of this kind, or `auto`."""
    known = experience.proven(store.of(session, PURPOSE, product)) if product else {}
    return cast(LocalBootMethod, known.get(product, "auto"))


class Proven:
    """The ways that worked, by product: for the event loop, so looked up now and then."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._until = 0.0
        self._ways: dict[str, str] = {}

    @property
    def ways(self) -> dict[str, str]:
        now = time.monotonic()
        if now >= self._until:
            self._ways = experience.proven(store.glance(self.parts.database, PURPOSE))
            self._until = now + _PROVEN_SECONDS
        return self._ways


def next_way(
    session: Session, parts: Parts, deployment: Deployment, product: str, firmware: Firmware
) -> LocalBootMethod:
    """For a machine that asks while its new system is awaited: the same again within one start,
    else the next. After the last, the first again: whatever it was may have been something else."""
    now = parts.clock()
    tries = list(deployment.local_tries)
    if tries and now - datetime.fromisoformat(tries[-1]["at"]) < _SAME_START:
        return cast(LocalBootMethod, tries[-1]["way"])
    if tries:
        last = tries[-1]
        experience.remember(session, PURPOSE, last["product"], last["way"], worked=False, now=now)
    ways = experience.best_first(session, PURPOSE, product, WAYS[firmware])
    this_round = tries[len(tries) - len(tries) % len(ways) :]
    tried = {each["way"] for each in this_round}
    way = next((way for way in ways if way not in tried), ways[0])
    deployment.local_tries = [*tries, {"way": way, "product": product, "at": now.isoformat()}]
    return cast(LocalBootMethod, way)


def came_home(session: Session, parts: Parts, deployment: Deployment) -> None:
    """The new system has called: the way that its machine was given last has led there."""
    if deployment.local_tries:
        last = deployment.local_tries[-1]
        experience.remember(
            session, PURPOSE, last["product"], last["way"], worked=True, now=parts.clock()
        )
