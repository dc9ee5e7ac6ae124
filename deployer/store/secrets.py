"""Queries for secrets: their ciphertext; only `services.secrets` can read it."""

from __future__ import annotations

from sqlmodel import Session, col, select

from deployer.store.tables import Secret


def get(session: Session, name: str) -> Secret | None:
    return session.get(Secret, name)


def page(session: Session, *, after: str, limit: int) -> list[Secret]:
    query = select(Secret).where(Secret.name > after).order_by(col(Secret.name)).limit(limit)
    return list(session.exec(query).all())
