"""Receivers: who is told of deployments."""

from __future__ import annotations

from fastapi import APIRouter

from deployer.core.receivers import ReceiverSpec
from deployer.errors import Invalid
from deployer.services import people, receivers
from deployer.store import receivers as receiver_store
from deployer.web import views
from deployer.web.dependencies import AddressDep, Admin, Operator, PartsDep, ReadingDep, WritingDep
from deployer.web.operators.shared import API, Cursor, Json, Limit, Named, page, position_of

router = APIRouter(prefix=API)


@router.get("/receivers")
def list_receivers(
    _: Operator, session: ReadingDep, limit: Limit = 100, cursor: Cursor = ""
) -> Json:
    rows = receiver_store.page(session, after=position_of(cursor), limit=limit + 1)
    return page([(row.name, views.receiver(row)) for row in rows], limit)


@router.post("/receivers", status_code=201)
def create_receiver(
    spec: ReceiverSpec, who: Admin, parts: PartsDep, session: WritingDep, address: AddressDep
) -> Json:
    row = receivers.save(session, parts, None, spec)
    people.audit(
        session, parts.clock(), who.name, "receiver.create", spec.name, address, type=spec.type
    )
    return views.receiver(row)


@router.get("/receivers/{name}")
def get_receiver(name: Named, _: Operator, session: ReadingDep) -> Json:
    return views.receiver(receivers.find(session, name))


@router.put("/receivers/{name}")
def replace_receiver(
    name: Named, spec: ReceiverSpec, who: Admin, parts: PartsDep, session: WritingDep,
    address: AddressDep,
) -> Json:  # fmt: skip
    if spec.name != name:
        raise Invalid(
            f"the body names the receiver {spec.name!r}, the URL {name!r}", field="name",
            value=spec.name, remedy="use the same name; a receiver cannot be renamed",
        )  # fmt: skip
    row = receivers.save(session, parts, receivers.find(session, name), spec)
    people.audit(session, parts.clock(), who.name, "receiver.change", name, address, type=spec.type)
    return views.receiver(row)


@router.delete("/receivers/{name}", status_code=204)
def delete_receiver(
    name: Named, who: Admin, parts: PartsDep, session: WritingDep, address: AddressDep
) -> None:
    receivers.delete(session, name)
    people.audit(session, parts.clock(), who.name, "receiver.delete", name, address)
