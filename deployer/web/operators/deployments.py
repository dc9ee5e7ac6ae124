"""Deployments: order one, follow it, end it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import Field

from deployer.boot import grub, ipxe
from deployer.core.ids import kind_of
from deployer.core.lifecycle import State
from deployer.core.text import Line, printable
from deployer.errors import Finding, Invalid, NotFound
from deployer.services import deadlines, deployments, orders, rendering
from deployer.services.deployments import Request
from deployer.store import deployments as deployment_store
from deployer.store.tables import ApiToken
from deployer.web import views
from deployer.web.dependencies import AddressDep, Operator, PartsDep, ReadingDep, Viewer, WritingDep
from deployer.web.operators.shared import (
    API,
    Body,
    Cursor,
    Json,
    Limit,
    Named,
    Search,
    page,
    position_of,
)

router = APIRouter(prefix=API)


class DeploymentRequest(Body):
    """Which host becomes which profile."""

    host: Annotated[Line, Field(min_length=1, max_length=253)]
    profile: Annotated[Line, Field(min_length=1, max_length=100)]
    vars: dict[str, Any] = Field(default_factory=dict)


@router.get("/deployments")
def list_deployments(
    _: Viewer, session: ReadingDep, host: Search = None, state: State | None = None,
    limit: Limit = 100, cursor: Cursor = "",
) -> Json:  # fmt: skip
    """Deployments, newest first."""
    rows = deployment_store.page(
        session, host=host, state=state, before=position_of(cursor) or None, limit=limit + 1
    )
    return page([(row.id, views.deployment(row)) for row in rows], limit)


@router.post("/deployments", status_code=201, response_model=None)
def create_deployment(
    body: DeploymentRequest, who: Operator, parts: PartsDep, address: AddressDep,
    dry_run: bool = False,
    idempotency_key: Annotated[str | None, Header(max_length=255, min_length=1)] = None,
) -> Json | JSONResponse:  # fmt: skip
    """Queue a deployment; with `dry_run=true`, show what the machine would get instead."""
    request = Request(body.host, body.profile, body.vars, by=who.name)
    if dry_run:
        return _dry_run(parts, request)
    return orders.create(
        parts, _orderer(who, address), request, idempotency_key, body.model_dump()
    )  # fmt: skip


def _dry_run(parts: PartsDep, request: Request) -> JSONResponse:
    with parts.database.reading() as session:
        checked = deployments.check(session, parts, request)
        live = deployment_store.unfinished_of(session, checked.host.id)
    boot, files = rendering.dry_run(parts, checked.snapshot, request.vars)
    findings = []
    if checked.host.protected:
        findings.append(Finding(f"{request.host} is protected", "lift it first", field="host"))
    if live is not None:
        findings.append(
            Finding(f"{request.host} has an unfinished deployment, {live.id}", "wait or cancel it")
        )
    return JSONResponse(
        {
            "boot": {"ipxe": ipxe.script(boot), "grub": grub.script(boot)},
            "answers": files,
            "findings": [finding.as_dict() for finding in findings],
        }
    )


def _orderer(who: ApiToken, address: str) -> orders.Orderer:
    return orders.Orderer(who.name, who.id, address)


def _own_id(id_: str) -> str:
    if kind_of(id_) not in (None, "dep"):
        raise Invalid(
            f"{id_} is the id of another kind of thing", field="id", value=id_,
            remedy="ids of deployments begin with dep_",
        )  # fmt: skip
    return id_


@router.get("/deployments/{id_}")
def get_deployment(id_: Named, _: Viewer, session: ReadingDep) -> Json:
    deployment = deployments.find(session, _own_id(id_))
    logs = deployment_store.log_sizes(session, id_)
    return {**views.deployment(deployment), "logs": sorted(logs)}


@router.get("/deployments/{id_}/events")
def deployment_events(id_: Named, _: Viewer, session: ReadingDep) -> Json:
    """The history, oldest first."""
    deployments.find(session, _own_id(id_))
    lines = deployment_store.history(session, id_)
    return {"items": [views.event(line) for line in lines], "next": None}


@router.get("/deployments/{id_}/explain")
def explain_deployment(id_: Named, _: Viewer, parts: PartsDep, session: ReadingDep) -> Json:
    """Last seen, expected next, and what is likely wrong, most likely first."""
    deployment = deployments.find(session, _own_id(id_))
    why = deadlines.explanation(session, deployment, parts.clock())
    return {
        "state": why.state, "cause": deployment.cause, "last_seen": why.last_seen,
        "expected": why.expected, "likely": list(why.causes),
    }  # fmt: skip


@router.get("/deployments/{id_}/logs/{name}", response_class=PlainTextResponse)
def deployment_log(id_: Named, name: Named, _: Viewer, session: ReadingDep) -> PlainTextResponse:
    """A log that the installer sent, as plain text with its control characters made visible."""
    log = deployment_store.log(session, _own_id(id_), name)
    if log is None:
        raise NotFound(
            f"{id_} has no log {name!r}", field="name", value=name,
            remedy="GET the deployment; `logs` lists the names",
        )  # fmt: skip
    text = printable(log.content.decode("utf-8", "replace"), limit=4 * len(log.content))
    return PlainTextResponse(text, headers={"X-Content-Type-Options": "nosniff"})


@router.post("/deployments/{id_}/cancel")
def cancel_deployment(
    id_: Named, who: Operator, parts: PartsDep, session: WritingDep, address: AddressDep
) -> Json:
    """Once this is answered, no script, answer file or token of it works any more."""
    deployment = orders.cancel(session, parts, _orderer(who, address), _own_id(id_))
    return views.deployment(deployment)


@router.post("/deployments/{id_}/approve")
def approve_deployment(
    id_: Named, who: Operator, parts: PartsDep, session: WritingDep, address: AddressDep
) -> Json:
    """It goes on with the next step of its workflow."""
    deployment = orders.approve(session, parts, _orderer(who, address), _own_id(id_))
    return views.deployment(deployment)


@router.post("/deployments/{id_}/retry")
def retry_deployment(
    id_: Named, who: Operator, parts: PartsDep, address: AddressDep,
    idempotency_key: Annotated[str | None, Header(max_length=255, min_length=1)] = None,
) -> Json:  # fmt: skip
    """A new deployment of the same host and profile; `retry_of` names the old one."""
    return orders.retry(parts, _orderer(who, address), _own_id(id_), idempotency_key)
