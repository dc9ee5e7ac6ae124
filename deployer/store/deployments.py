"""Queries for deployments, their history and the logs their machines sent."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from deployer.store.tables import Deployment, HistoryEntry, MachineLog


def get(session: Session, id_: str, *, lock: bool = False) -> Deployment | None:
    """`lock` keeps other writers off this row until the end of the transaction.

    SQLite has no row locks and needs none: its writing transactions run one at a time.
    """
    query = select(Deployment).where(Deployment.id == id_)
    return session.exec(query.with_for_update() if lock else query).first()


def unfinished_of(session: Session, host_id: str, *, lock: bool = False) -> Deployment | None:
    query = select(Deployment).where(
        Deployment.host_id == host_id, col(Deployment.ended_at).is_(None)
    )
    return session.exec(query.with_for_update() if lock else query).first()


def latest_of(session: Session, host_name: str) -> Deployment | None:
    query = select(Deployment).where(Deployment.host_name == host_name)
    return session.exec(query.order_by(col(Deployment.id).desc()).limit(1)).first()


def ready_of(session: Session, host_id: str) -> Deployment | None:
    """The latest that brought the host to `ready`: what should be on it now."""
    query = select(Deployment).where(Deployment.host_id == host_id, Deployment.state == "ready")
    return session.exec(query.order_by(col(Deployment.id).desc()).limit(1)).first()


def page(
    session: Session, *, host: str | None, state: str | None, before: str | None, limit: int
) -> list[Deployment]:
    """Newest first; `before` is the id that the last page ended with."""
    query = select(Deployment)
    if host:
        query = query.where(Deployment.host_name == host)
    if state:
        query = query.where(Deployment.state == state)
    if before:
        query = query.where(Deployment.id < before)
    return list(session.exec(query.order_by(col(Deployment.id).desc()).limit(limit)).all())


def overdue(session: Session, now: datetime, limit: int) -> list[str]:
    query = select(Deployment.id).where(
        col(Deployment.ended_at).is_(None), col(Deployment.deadline) < now
    )
    return list(session.exec(query.order_by(col(Deployment.deadline)).limit(limit)).all())


def not_come(session: Session, now: datetime, limit: int) -> list[str]:
    """Those whose machine has not asked for its boot script within the time for it."""
    query = select(Deployment.id).where(col(Deployment.boot_awaited_until) < now)
    return list(session.exec(query.order_by(col(Deployment.boot_awaited_until)).limit(limit)))


def count_by_state(session: Session) -> dict[str, int]:
    query = select(Deployment.state, func.count()).group_by(Deployment.state)
    return dict(session.exec(query).all())


def history(session: Session, deployment_id: str) -> list[HistoryEntry]:
    query = select(HistoryEntry).where(HistoryEntry.deployment_id == deployment_id)
    return list(session.exec(query.order_by(col(HistoryEntry.id))).all())


def count_events(session: Session, deployment_id: str, event: str) -> int:
    query = select(func.count()).where(
        HistoryEntry.deployment_id == deployment_id, HistoryEntry.event == event
    )
    return session.exec(query).one()


def details_of(session: Session, deployment_id: str, event: str) -> list[dict[str, Any]]:
    """What each line of this event says beside its name."""
    query = select(HistoryEntry).where(
        HistoryEntry.deployment_id == deployment_id, HistoryEntry.event == event
    )
    return [line.detail for line in session.exec(query)]


def in_state(session: Session, state: str) -> list[str]:
    query = select(Deployment.id).where(
        Deployment.state == state, col(Deployment.ended_at).is_(None)
    )
    return list(session.exec(query.order_by(col(Deployment.id))))


def finished_like(session: Session, profile_name: str, limit: int) -> list[str]:
    """Ids of the latest deployments of this profile that ended ready."""
    query = select(Deployment.id).where(
        Deployment.profile_name == profile_name, Deployment.state == "ready"
    )
    return list(session.exec(query.order_by(col(Deployment.id).desc()).limit(limit)).all())


def arrivals(session: Session, ids: list[str]) -> list[tuple[str, str, datetime]]:
    """(deployment, state, when it arrived there) for every move of these deployments."""
    query = select(HistoryEntry.deployment_id, HistoryEntry.to_state, HistoryEntry.at).where(
        col(HistoryEntry.deployment_id).in_(ids), col(HistoryEntry.to_state).is_not(None)
    )
    return [(d, s or "", at) for d, s, at in session.exec(query.order_by(col(HistoryEntry.id)))]


def save_log(session: Session, log: MachineLog) -> None:
    session.execute(
        delete(MachineLog).where(
            col(MachineLog.deployment_id) == log.deployment_id, col(MachineLog.name) == log.name
        )
    )
    session.add(log)
    session.flush()


def log_sizes(session: Session, deployment_id: str) -> dict[str, int]:
    query = select(MachineLog.name, func.length(MachineLog.content)).where(
        MachineLog.deployment_id == deployment_id
    )
    return dict(session.exec(query).all())


class LogKey(NamedTuple):
    """A log as it was sent at this moment; one that is sent again has another key."""

    deployment_id: str
    name: str
    at: datetime


def logs_beyond(session: Session, total: int) -> list[LogKey]:
    """Those that would have to go if only `total` bytes were to stay, the first to go first."""
    latest = (
        col(Deployment.ended_at).is_not(None), col(MachineLog.at).desc(),
        col(MachineLog.deployment_id), col(MachineLog.name),
    )  # fmt: skip
    running = func.sum(func.length(MachineLog.content)).over(order_by=latest).label("running")
    keys = [getattr(MachineLog, name) for name in LogKey._fields]
    each = columns(*keys, running).join(Deployment).subquery()
    query = columns(each).where(each.c.running > total).order_by(each.c.running.desc())
    return [LogKey(*row[:-1]) for row in session.execute(query)]


def forget_logs(session: Session, keys: Iterable[LogKey]) -> None:
    for key in keys:
        session.execute(
            delete(MachineLog).where(
                *(col(getattr(MachineLog, name)) == value for name, value in key._asdict().items())
            )
        )


def log(session: Session, deployment_id: str, name: str) -> MachineLog | None:
    return session.get(MachineLog, (deployment_id, name))
