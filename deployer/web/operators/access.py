"""Who may ask, and who did what: tokens and the audit trail."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter
from pydantic import Field

from deployer.core.text import Name
from deployer.errors import Forbidden
from deployer.services import people
from deployer.services.people import Role
from deployer.store import people as people_store
from deployer.web import views
from deployer.web.dependencies import AddressDep, Admin, PartsDep, ReadingDep, WritingDep
from deployer.web.operators.shared import API, Body, Cursor, Json, Limit, Named, page, position_of

router = APIRouter(prefix=API)


class TokenRequest(Body):
    name: Name
    role: Role
    days: int = Field(default=365, ge=1, le=3650)


@router.get("/tokens")
def list_tokens(_: Admin, session: ReadingDep, limit: Limit = 100, cursor: Cursor = "") -> Json:
    rows = people_store.tokens(session, after=position_of(cursor), limit=limit + 1)
    return page([(row.name, views.token(row)) for row in rows], limit)


@router.post("/tokens", status_code=201)
def create_token(
    body: TokenRequest, who: Admin, parts: PartsDep, session: WritingDep, address: AddressDep
) -> Json:
    """The secret is in this answer and nowhere else."""
    now = parts.clock()
    row, secret = people.create_token(session, body.name, body.role, timedelta(days=body.days), now)
    people.audit(session, now, who.name, "token.create", body.name, address, role=body.role)
    return {**views.token(row), "token": secret}


@router.delete("/tokens/{name}", status_code=204)
def revoke_token(
    name: Named, who: Admin, parts: PartsDep, session: WritingDep, address: AddressDep
) -> None:
    if name == who.name:
        raise Forbidden(
            "a token cannot revoke itself", field="name", value=name,
            remedy="use another admin's token, or `deployer token revoke` on the server",
        )  # fmt: skip
    people.revoke_token(session, name)
    people.audit(session, parts.clock(), who.name, "token.revoke", name, address)


@router.get("/audit")
def list_audit(_: Admin, session: ReadingDep, limit: Limit = 100, cursor: Cursor = "") -> Json:
    """Who did what, newest first."""
    position = position_of(cursor)
    digits = position.isascii() and position.isdigit()
    before = min(int(position), 2**63 - 1) if digits else None  # no row has a larger number
    rows = people_store.audit_page(session, before=before, limit=limit + 1)
    return page([(str(row.id), views.audit(row)) for row in rows], limit)
