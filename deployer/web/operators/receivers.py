"""Receivers: who is told of deployments, and what became of it."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter

from deployer.core.receivers import ReceiverSpec
from deployer.services import deliveries, people, receivers
from deployer.store import deliveries as delivery_store
from deployer.store import receivers as receiver_store
from deployer.web import views
from deployer.web.dependencies import AddressDep, Admin, Operator, PartsDep, ReadingDep, WritingDep
from deployer.web.operators.shared import (
    API,
    Cursor,
    Json,
    Limit,
    Named,
    Search,
    page,
    position_of,
    refuse_renaming,
)

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
    refuse_renaming("receiver", spec.name, name)
    row = receivers.save(session, parts, receivers.find(session, name), spec)
    people.audit(session, parts.clock(), who.name, "receiver.change", name, address, type=spec.type)
    return views.receiver(row)


@router.delete("/receivers/{name}", status_code=204)
def delete_receiver(
    name: Named, who: Admin, parts: PartsDep, session: WritingDep, address: AddressDep
) -> None:
    receivers.delete(session, parts, name)
    people.audit(session, parts.clock(), who.name, "receiver.delete", name, address)


@router.post("/receivers/{name}/test")
def test_receiver(name: Named, who: Operator, parts: PartsDep, address: AddressDep) -> Json:
    """Send an example now; `outcome` is sent, again (it may work later) or refused."""
    tried = deliveries.test(parts, name, who.name)
    with parts.database.writing() as session:
        people.audit(
            session, parts.clock(), who.name, "receiver.test", name, address,
            outcome=tried["outcome"],
        )  # fmt: skip
    return tried


@router.get("/deliveries")
def list_deliveries(
    _: Operator, session: ReadingDep, receiver: Search = None,
    outcome: Literal["waiting", "sent", "refused", "expired", "failed"] | None = None,
    limit: Limit = 100, cursor: Cursor = "",
) -> Json:  # fmt: skip
    """What receivers were told, newest first; `failed` is refused or expired."""
    rows = delivery_store.page(
        session, receiver=receiver, outcome=outcome, before=position_of(cursor) or None,
        limit=limit + 1,
    )  # fmt: skip
    return page([(row.id, views.delivery(row)) for row in rows], limit)


@router.post("/deliveries/{id_}/replay", status_code=201)
def replay_delivery(
    id_: Named, who: Operator, parts: PartsDep, session: WritingDep, address: AddressDep
) -> Json:
    """The same once more, with the same `notice_id`."""
    row = deliveries.replay(session, parts, id_)
    people.audit(
        session, parts.clock(), who.name, "delivery.replay", id_, address, receiver=row.receiver
    )
    return views.delivery(row)
