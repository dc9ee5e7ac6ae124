"""Who may ask: bearer tokens with a role; what was asked before; what was done by whom."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from deployer.core.ids import new_id
from deployer.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from deployer.store import people
from deployer.store.tables import ApiToken, AuditEntry, IdempotentReply

TOKEN_PREFIX = "dpl_"
_REPLIES_KEPT = timedelta(days=7)
# Written at most this often: a token used in every request must not cost a write in each.
_LAST_USED_GRAIN = timedelta(minutes=5)


class Role(StrEnum):
    """Each may do what those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


_RANK = {role: rank for rank, role in enumerate(Role)}


def _hash(secret: str) -> str:
    # Fast on purpose: the secret has 256 random bits, there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()


def create_token(
    session: Session, name: str, role: Role, lifetime: timedelta, now: datetime
) -> tuple[ApiToken, str]:
    """(row, secret); the secret is shown this once and kept nowhere."""
    if name == "service":
        raise Invalid(
            "'service' is what histories call Deployer itself", field="name", value=name,
            remedy="choose another name",
        )  # fmt: skip
    if people.token_by_name(session, name) is not None:
        raise Conflict(
            f"there is a token {name!r} already", field="name", value=name,
            remedy=f"choose another name, or revoke it: `deployer token revoke {name}`",
        )  # fmt: skip
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = ApiToken(
        id=new_id("tok", now), name=name, role=role, hash=_hash(secret), created_at=now,
        expires_at=now + lifetime,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row, secret


def revoke_token(session: Session, name: str) -> ApiToken:
    row = people.token_by_name(session, name)
    if row is None:
        raise NotFound(
            f"there is no token {name!r}", field="name", value=name,
            remedy="`deployer token list` lists the names",
        )  # fmt: skip
    session.delete(row)
    session.flush()
    return row


def authenticate(session: Session, header: str | None, now: datetime) -> ApiToken:
    """The token of an `Authorization: Bearer` header; every fault is the same Unauthorized."""
    scheme, _, secret = (header or "").partition(" ")
    row = None
    if scheme.lower() == "bearer" and secret.startswith(TOKEN_PREFIX):
        row = people.token_by_hash(session, _hash(secret.strip()))
    if row is None or row.expires_at <= now:
        raise Unauthorized(
            "this needs a valid bearer token",
            remedy="create one on the server with `deployer token create --name NAME --role ROLE`"
            " and send it as `Authorization: Bearer ...` (the CLI reads DEPLOYER_TOKEN)",
        )
    return row


def needs_last_used(row: ApiToken, now: datetime) -> bool:
    return row.last_used_at is None or now - row.last_used_at > _LAST_USED_GRAIN


def used(session: Session, row: ApiToken, now: datetime) -> None:
    """Remember when; a token that was revoked a moment ago stays revoked."""
    session.execute(update(ApiToken).where(col(ApiToken.id) == row.id).values(last_used_at=now))


def require(row: ApiToken, role: Role) -> None:
    if _RANK[Role(row.role)] < _RANK[role]:
        raise Forbidden(
            f"the token {row.name} has the role {row.role}; this needs {role}",
            remedy=f"ask an admin for a token with the role {role}",
        )


def audit(
    session: Session, now: datetime, actor: str, action: str, target: str, address: str | None,
    **detail: Any,
) -> None:  # fmt: skip
    session.add(
        AuditEntry(
            at=now, actor=actor, action=action, target=target, address=address, detail=detail
        )
    )


def once(
    session: Session,
    token_id: str,
    key: str | None,
    request: Any,
    now: datetime,
    act: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """Do `act`, or with a key that was used before, give its stored answer.

    Invalid when the key comes with another request. The key is taken before the act, so of two
    requests at once the second waits for the first; key, act and answer are one commit.
    """
    if key is None:
        return act()
    canonical = json.dumps(request, sort_keys=True).encode()
    fingerprint = hashlib.sha256(canonical).hexdigest()
    people.forget_replies(session, now - _REPLIES_KEPT)
    row = IdempotentReply(
        token_id=token_id, key=key, fingerprint=fingerprint, body={}, created_at=now
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return _stored_reply(session, token_id, key, fingerprint)
    row.body = act()
    session.add(row)
    session.flush()
    return row.body


def _stored_reply(session: Session, token_id: str, key: str, fingerprint: str) -> dict[str, Any]:
    stored = people.reply(session, token_id, key)
    if stored is None or stored.fingerprint != fingerprint:
        raise Invalid(
            "this Idempotency-Key was used for another request", field="Idempotency-Key",
            value=key, remedy="use a new key for a new request",
        )  # fmt: skip
    return stored.body
