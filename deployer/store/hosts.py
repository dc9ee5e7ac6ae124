"""Queries for hosts, their MACs and labels."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, or_
from sqlmodel import Session, col, select

from deployer.core.ids import new_id
from deployer.core.inventory import HostSpec
from deployer.store.tables import Deployment, Host, HostFacts, HostLabel, HostMac


def by_id(session: Session, id_: str) -> Host | None:
    return session.get(Host, id_)


def by_name(session: Session, name: str) -> Host | None:
    return session.exec(select(Host).where(Host.name == name)).first()


def by_mac(session: Session, mac: str) -> Host | None:
    query = select(Host).join(HostMac, col(HostMac.host_id) == col(Host.id))
    return session.exec(query.where(HostMac.mac == mac)).first()


def stamp(session: Session) -> str:
    """Another one whenever a host was added, changed or removed."""
    query = select(func.count(col(Host.id)), func.max(col(Host.updated_at)))
    return "/".join(map(str, session.exec(query).one()))


def nics(session: Session) -> list[tuple[str, bool]]:
    """Every NIC that we know, and whether its host enforces Secure Boot."""
    query = select(HostMac.mac, Host.spec).join(Host, col(HostMac.host_id) == col(Host.id))
    return [(mac, bool(spec.get("secure_boot"))) for mac, spec in session.exec(query)]


def nics_by_deployment(session: Session, state: str) -> dict[str, str]:
    """NIC → its host's unfinished deployment, for those in this state."""
    query = (
        select(HostMac.mac, Deployment.id)
        .join(Deployment, col(Deployment.host_id) == col(HostMac.host_id))
        .where(Deployment.state == state, col(Deployment.ended_at).is_(None))
    )
    return dict(session.exec(query).all())


def facts(session: Session, host_id: str) -> HostFacts | None:
    return session.get(HostFacts, host_id)


def learn(session: Session, host_id: str, now: datetime, **learned: Any) -> None:
    """Keep what the machine showed; of each name the latest counts."""
    row = session.get(HostFacts, host_id) or HostFacts(host_id=host_id, updated_at=now)
    row.facts, row.updated_at = {**row.facts, **learned}, now
    session.add(row)
    session.flush()


def unlearn(session: Session, host_id: str, name: str) -> None:
    row = session.get(HostFacts, host_id)
    if row is not None and name in row.facts:
        row.facts = {key: value for key, value in row.facts.items() if key != name}
        session.add(row)
        session.flush()


def by_uuid(session: Session, uuid: str) -> Host | None:
    return session.exec(select(Host).where(Host.uuid == uuid)).first()


def macs_of_others(session: Session, macs: list[str], host_id: str | None) -> dict[str, str]:
    """Those of `macs` that other hosts have: MAC → host name."""
    query = select(HostMac.mac, Host.name).join(Host, col(HostMac.host_id) == col(Host.id))
    rows = session.exec(query.where(col(HostMac.mac).in_(macs), Host.id != (host_id or ""))).all()
    return dict(rows)


def save(session: Session, host: Host | None, spec: HostSpec, now: datetime) -> Host:
    """Write `spec`, and the columns and rows that are derived from it."""
    if host is None:
        host = Host(id=new_id("host", now), name=spec.name, created_at=now, updated_at=now)
    host.name, host.uuid, host.protected = spec.name, spec.uuid, spec.protected
    host.spec = spec.model_dump(mode="json", exclude_none=True)
    host.updated_at = now
    session.add(host)
    session.flush()
    session.execute(delete(HostMac).where(col(HostMac.host_id) == host.id))
    session.execute(delete(HostLabel).where(col(HostLabel.host_id) == host.id))
    session.add_all(HostMac(mac=mac, host_id=host.id) for mac in spec.macs)
    session.add_all(HostLabel(host_id=host.id, key=k, value=v) for k, v in spec.labels.items())
    session.flush()
    return host


def page(
    session: Session, *, label: tuple[str, str] | None, q: str | None, after: str, limit: int
) -> list[tuple[Host, str | None]]:
    """Hosts after name `after`, by name, each with the state of its unfinished deployment."""
    query = select(Host, Deployment.state).join(
        Deployment,
        (col(Deployment.host_id) == col(Host.id)) & col(Deployment.ended_at).is_(None),
        isouter=True,
    )
    if label:
        query = query.join(HostLabel, col(HostLabel.host_id) == col(Host.id)).where(
            HostLabel.key == label[0], HostLabel.value == label[1]
        )
    if q:
        macs = select(HostMac.host_id).where(col(HostMac.mac).contains(q.lower(), autoescape=True))
        query = query.where(
            or_(col(Host.name).icontains(q, autoescape=True), col(Host.id).in_(macs))
        )
    query = query.where(Host.name > after).order_by(col(Host.name)).limit(limit)
    return [(host, state) for host, state in session.exec(query).all()]
