"""Queries for profiles."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, col, select

from deployer.core.ids import new_id
from deployer.core.profiles import ProfileSpec
from deployer.store.tables import Deployment, Profile


def by_name(session: Session, name: str) -> Profile | None:
    return session.exec(select(Profile).where(Profile.name == name)).first()


def save(session: Session, profile: Profile | None, spec: ProfileSpec, now: datetime) -> Profile:
    if profile is None:
        profile = Profile(id=new_id("prof", now), name=spec.name, created_at=now, updated_at=now)
    profile.spec = spec.model_dump(mode="json", exclude_none=True)
    profile.updated_at = now
    session.add(profile)
    session.flush()
    return profile


def page(session: Session, *, q: str | None, after: str, limit: int) -> list[Profile]:
    query = select(Profile).where(Profile.name > after)
    if q:
        query = query.where(col(Profile.name).icontains(q, autoescape=True))
    return list(session.exec(query.order_by(col(Profile.name)).limit(limit)).all())


def has_unfinished_deployments(session: Session, name: str) -> bool:
    query = select(Deployment.id).where(
        Deployment.profile_name == name, col(Deployment.ended_at).is_(None)
    )
    return session.exec(query.limit(1)).first() is not None
