"""Queries for API tokens, idempotent replies and the audit trail."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, text
from sqlmodel import Session, col, select

from deployer.store.tables import ApiToken, AuditEntry, Fact, IdempotentReply


def token_by_hash(session: Session, hash_: str) -> ApiToken | None:
    return session.exec(select(ApiToken).where(ApiToken.hash == hash_)).first()


def token_by_id(session: Session, id_: str) -> ApiToken | None:
    return session.get(ApiToken, id_)


def token_by_name(session: Session, name: str) -> ApiToken | None:
    return session.exec(select(ApiToken).where(ApiToken.name == name)).first()


def tokens(session: Session, *, after: str, limit: int) -> list[ApiToken]:
    query = select(ApiToken).where(ApiToken.name > after).order_by(col(ApiToken.name))
    return list(session.exec(query.limit(limit)).all())


def reply(session: Session, token_id: str, key: str) -> IdempotentReply | None:
    return session.get(IdempotentReply, (token_id, key))


def forget_replies(session: Session, before: datetime) -> None:
    session.execute(delete(IdempotentReply).where(col(IdempotentReply.created_at) < before))


def audit_page(session: Session, *, before: int | None, limit: int) -> list[AuditEntry]:
    query = select(AuditEntry)
    if before is not None:
        query = query.where(col(AuditEntry.id) < before)
    return list(session.exec(query.order_by(col(AuditEntry.id).desc()).limit(limit)).all())


def fact(session: Session, name: str) -> str | None:
    row = session.get(Fact, name)
    return row.value if row else None


def lock_fact(session: Session, name: str) -> None:
    """Until the end of this transaction nobody else locks the same; SQLite writes in turns."""
    if session.get_bind().dialect.name == "postgresql":
        query = text("SELECT pg_advisory_xact_lock(hashtext(:name))")
        session.execute(query, {"name": name})


def save_fact(session: Session, name: str, value: str) -> None:
    session.merge(Fact(name=name, value=value))


def facts_of(session: Session, prefix: str) -> dict[str, str]:
    """Every fact whose name begins so."""
    query = select(Fact).where(col(Fact.name).startswith(prefix, autoescape=True))
    return {row.name: row.value for row in session.exec(query.order_by(col(Fact.name)))}


def forget_fact(session: Session, name: str) -> None:
    session.execute(delete(Fact).where(col(Fact.name) == name))
