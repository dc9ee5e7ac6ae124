"""Not all at once: what a BMC, a rack and a building's power bear at the same time.

Five hundred deployments must not become five hundred resets in the same second. What is held back
stays in the outbox, in its order, and holds up nothing that has room.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from sqlmodel import Session

from deployer.core.effects import KINDS
from deployer.services.parts import Parts
from deployer.store import effects as store
from deployer.store.effects import Waiting

_LIMITED = frozenset(name for name, kind in KINDS.items() if kind.limited)
_RESTARTS = frozenset(name for name, kind in KINDS.items() if kind.restarts)
# Looked at in one turn: enough for whole halls that wait behind a rack which is at its limit.
_LOOKED_AT = 5000


def choose(session: Session, parts: Parts, now: datetime, room: int) -> list[Waiting]:
    """What may begin now, `room` at the most. Who takes it in hand does so in the transaction of
    this choice, begun by `store.effects.one_at_a_time`."""
    held = _Held(session, parts, now)
    chosen: list[Waiting] = []
    for effect in store.waiting(session, now, _LOOKED_AT):
        if len(chosen) == room:
            break
        if effect.name not in _LIMITED or held.admits(effect):
            chosen.append(effect)
    return chosen


class _Held:
    """How much is in hand, in all and by rack and BMC, on all replicas."""

    def __init__(self, session: Session, parts: Parts, now: datetime) -> None:
        self.settings = parts.settings
        in_hand = store.in_hand(session, _LIMITED)
        self.all = len(in_hand)
        self.racks = Counter(effect.rack for effect in in_hand if effect.rack)
        self.bmcs = Counter(effect.bmc for effect in in_hand if effect.bmc)
        self.restarts = store.begun_since(session, _RESTARTS, now - timedelta(minutes=1))

    def admits(self, effect: Waiting) -> bool:
        """Counts it when it does."""
        settings = self.settings
        full = (
            self.all >= settings.power_at_once
            or self.racks[effect.rack or ""] >= settings.power_at_once_per_rack
            or self.bmcs[effect.bmc or ""] >= settings.power_at_once_per_bmc
            or (effect.name in _RESTARTS and self.restarts >= settings.restarts_per_minute)
        )
        if full:
            return False
        self.all += 1
        if effect.rack:
            self.racks[effect.rack] += 1
        if effect.bmc:
            self.bmcs[effect.bmc] += 1
        self.restarts += effect.name in _RESTARTS
        return True
