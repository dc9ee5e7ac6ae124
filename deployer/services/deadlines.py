"""Nothing waits for ever: what is overdue fails, with what was seen and what is likely wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from statistics import median

from sqlmodel import Session

from deployer.core.explain import Explanation, explain
from deployer.core.lifecycle import Event, State
from deployer.observe import log
from deployer.services import deployments, flow, netboot, network_boot
from deployer.services.parts import Parts
from deployer.store import deployments as store
from deployer.store.tables import Deployment, HistoryEntry

_BATCH = 100
_USUAL_FROM = 20


def expire(parts: Parts) -> int:
    """Fail what is overdue, each in its own transaction; the number that failed."""
    with parts.database.reading() as session:
        away = store.not_come(session, parts.clock(), _BATCH)
        ids = store.overdue(session, parts.clock(), _BATCH)
    for id_ in away:
        _boot_otherwise(parts, id_)
    return sum(_expire_one(parts, id_) for id_ in ids)


def _boot_otherwise(parts: Parts, id_: str) -> None:
    """The machine was restarted and did not come to us: by another way, if there is one."""
    with parts.database.writing() as session:
        deployment = store.get(session, id_, lock=True)
        now = parts.clock()
        if deployment is None or (deployment.boot_awaited_until or now) >= now:
            return
        failed = network_boot.did_not_come(session, parts, deployment)
        seconds = parts.settings.boot_request_within
        deployments.note(
            session, deployment, "boot_not_seen", "service", now,
            method=failed["method"], seconds=seconds,
        )  # fmt: skip
        flow.order(session, deployment, network_boot.EFFECT, now)
        session.add(deployment)


def _expire_one(parts: Parts, id_: str) -> bool:
    with parts.database.writing() as session:
        deployment = store.get(session, id_, lock=True)
        now = parts.clock()
        if deployment is None or deployment.deadline is None or deployment.deadline > now:
            return False  # it moved on, or was given more time, while we were looking
        why = explanation(session, deployment, now)
        state = deployment.state
        cause = f"no sign of life in {state} within the time allowed. {why}"
        if state == State.BOOTING and len(deployment.boot_tries) > 1 and not deployment.boot_count:
            cause += f". Ways tried: {network_boot.told(deployment.boot_tries)}"
        log.warning("overdue", deployment=id_, state=state)
        moved = deployments.advance(
            session, parts, deployment, Event.TIMED_OUT, by="service", cause=cause
        )
        session.add(deployment)
        return moved


def explanation(
    session: Session, deployment: Deployment, now: datetime,
    history: Sequence[HistoryEntry] | None = None,
) -> Explanation:  # fmt: skip
    """`history`, if it is at hand."""
    if history is None:
        history = store.history(session, deployment.id)
    return explain(
        State(deployment.state), [(line.at, line.event) for line in history],
        deployment.state_since, now, details={line.event: line.detail for line in history},
        watched=netboot.watches(session, now),
    )  # fmt: skip


def usual_seconds(session: Session, profile_name: str) -> dict[str, float]:
    """Median seconds that this profile's latest successful deployments spent in each state."""
    ids = store.finished_like(session, profile_name, _USUAL_FROM)
    spans: dict[str, list[float]] = {}
    last: dict[str, tuple[str, datetime]] = {}
    for id_, state, at in store.arrivals(session, ids):
        if id_ in last:
            before, since = last[id_]
            spans.setdefault(before, []).append((at - since).total_seconds())
        last[id_] = (state, at)
    return {state: median(values) for state, values in spans.items()}
