"""Hosts: what we may power and install."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from deployer.core.inventory import HostSpec
from deployer.errors import Invalid
from deployer.services import inventory, people
from deployer.services.people import Role
from deployer.store import deployments as deployment_store
from deployer.store import hosts
from deployer.web import views
from deployer.web.dependencies import AddressDep, Operator, PartsDep, ReadingDep, Viewer, WritingDep
from deployer.web.operators.shared import API, Cursor, Json, Limit, Named, Search, page, position_of

router = APIRouter(prefix=API)


@router.get("/hosts")
def list_hosts(
    _: Viewer, session: ReadingDep, label: Search = None, q: Search = None,
    limit: Limit = 100, cursor: Cursor = "",
) -> Json:  # fmt: skip
    """Hosts by name. `label=env=staging` filters by a label, `q` by part of a name or MAC."""
    key, equals, value = (label or "").partition("=")
    if label and not equals:
        raise Invalid(
            "label must be KEY=VALUE", field="label", value=label, remedy="write label=env=staging"
        )
    rows = hosts.page(
        session, label=(key, value) if label else None, q=q, after=position_of(cursor),
        limit=limit + 1,
    )  # fmt: skip
    return page([(host.name, views.host(host, state)) for host, state in rows], limit)


@router.post("/hosts", status_code=201)
def create_host(
    spec: HostSpec, who: Operator, parts: PartsDep, session: WritingDep, address: AddressDep
) -> Json:
    host = inventory.save_host(session, parts, None, spec)
    people.audit(session, parts.clock(), who.name, "host.create", spec.name, address)
    return views.host(host, None)


@router.get("/hosts/{name}")
def get_host(name: Named, _: Viewer, session: ReadingDep) -> Json:
    host = inventory.find_host(session, name)
    live = deployment_store.unfinished_of(session, host.id)
    known = hosts.facts(session, host.id)
    return {**views.host(host, live.state if live else None), **views.host_facts(known)}


@router.patch("/hosts/{name}")
def change_host(
    name: Named, changes: Annotated[Json, Body()], who: Operator, parts: PartsDep,
    session: WritingDep, address: AddressDep,
) -> Json:  # fmt: skip
    """Change the fields given. Lifting protection is an admin's act, alone in its request."""
    was_protected = inventory.find_host(session, name).protected
    host = inventory.patch_host(session, parts, name, changes)
    if was_protected and not host.protected:
        people.require(who, Role.ADMIN)  # or all of it is rolled back
    people.audit(
        session, parts.clock(), who.name, "host.change", name, address, fields=sorted(changes)
    )
    live = deployment_store.unfinished_of(session, host.id)
    return views.host(host, live.state if live else None)


@router.delete("/hosts/{name}", status_code=204)
def delete_host(
    name: Named, who: Operator, parts: PartsDep, session: WritingDep, address: AddressDep
) -> None:
    inventory.delete_host(session, name)
    people.audit(session, parts.clock(), who.name, "host.delete", name, address)
