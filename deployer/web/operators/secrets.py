"""Secrets that profiles name: set, listed by name, deleted; never returned."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import SecretStr

from deployer.core.text import Name
from deployer.services import people, secrets
from deployer.store import secrets as secret_store
from deployer.web import views
from deployer.web.dependencies import AddressDep, Admin, PartsDep, ReadingDep, Viewer, WritingDep
from deployer.web.operators.shared import API, Body, Cursor, Json, Limit, Named, page, position_of

router = APIRouter(prefix=API)


class SecretRequest(Body):
    name: Name
    value: SecretStr


@router.get("/secrets")
def list_secrets(_: Viewer, session: ReadingDep, limit: Limit = 100, cursor: Cursor = "") -> Json:
    """Names and dates; what they are, nobody is told."""
    rows = secret_store.page(session, after=position_of(cursor), limit=limit + 1)
    return page([(row.name, views.secret(row)) for row in rows], limit)


@router.post("/secrets", status_code=201)
def set_secret(
    body: SecretRequest, who: Admin, parts: PartsDep, session: WritingDep, address: AddressDep
) -> Json:
    """Keep a secret; one of the same name is replaced, for installations from now on."""
    now = parts.clock()
    row = secrets.save(session, parts, body.name, body.value.get_secret_value(), who.name, now)
    people.audit(session, now, who.name, "secret.set", body.name, address)
    return views.secret(row)


@router.delete("/secrets/{name}", status_code=204)
def delete_secret(
    name: Named, who: Admin, parts: PartsDep, session: WritingDep, address: AddressDep
) -> None:
    """409 while a profile, a host or a workflow names it."""
    secrets.delete(session, parts, name)
    people.audit(session, parts.clock(), who.name, "secret.delete", name, address)
