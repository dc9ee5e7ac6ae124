"""The REST API for people and their scripts, under /api/v1. Every route needs a token."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Query
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from deployer.boot import grub, ipxe
from deployer.core.ids import kind_of
from deployer.core.inventory import HostSpec
from deployer.core.lifecycle import State
from deployer.core.profiles import ProfileSpec
from deployer.core.text import Line, Name, check_line, printable
from deployer.errors import Finding, Forbidden, Invalid, NotFound
from deployer.services import deadlines, deployments, inventory, people
from deployer.services.deployments import Request
from deployer.services.people import Role
from deployer.store import deployments as deployment_store
from deployer.store import hosts, images, profiles
from deployer.store import people as people_store
from deployer.web import views
from deployer.web.dependencies import (
    AddressDep,
    Admin,
    Operator,
    PartsDep,
    ReadingDep,
    Viewer,
    WritingDep,
)

router = APIRouter(prefix="/api/v1")

Limit = Annotated[int, Query(ge=1, le=1000)]
Cursor = Annotated[str, Query(max_length=400)]
Search = Annotated[Line | None, Query(max_length=200)]
# A name or id in a path. PostgreSQL cannot even be asked for one that holds a NUL.
Named = Annotated[Line, Path(max_length=253)]
Json = dict[str, Any]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DeploymentRequest(_Body):
    """Which host becomes which profile."""

    host: Annotated[Line, Field(min_length=1, max_length=253)]
    profile: Annotated[Line, Field(min_length=1, max_length=100)]
    vars: dict[str, Any] = Field(default_factory=dict)


class TokenRequest(_Body):
    name: Name
    role: Role
    days: int = Field(default=365, ge=1, le=3650)


class CheckRequest(_Body):
    """`host`: check for this host; without one, for an example host."""

    host: Line | None = None
    vars: dict[str, Any] = Field(default_factory=dict)


# --- lists ------------------------------------------------------------------------------------


def _cursor(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def _position(cursor: str) -> str:
    try:
        return check_line(
            base64.b64decode(
                cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True
            ).decode()
        )
    except ValueError:
        raise Invalid(
            "this cursor is none of ours", field="cursor", value=cursor,
            remedy="take `next` of the page before, or leave it out",
        ) from None  # fmt: skip


def _page(rows: list[tuple[str, Json]], limit: int) -> Json:
    """`rows`: (position, item), one more than `limit` when there is a next page."""
    shown = rows[:limit]
    more = len(rows) > limit
    return {"items": [i for _, i in shown], "next": _cursor(shown[-1][0]) if more else None}


# --- hosts ------------------------------------------------------------------------------------


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
        session, label=(key, value) if label else None, q=q, after=_position(cursor),
        limit=limit + 1,
    )  # fmt: skip
    return _page([(host.name, views.host(host, state)) for host, state in rows], limit)


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
    return views.host(host, live.state if live else None)


@router.patch("/hosts/{name}")
def change_host(
    name: Named, changes: Annotated[dict[str, Any], Body()], who: Operator, parts: PartsDep,
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


# --- profiles ---------------------------------------------------------------------------------


@router.get("/profiles")
def list_profiles(
    _: Viewer, session: ReadingDep, q: Search = None, limit: Limit = 100, cursor: Cursor = ""
) -> Json:
    rows = profiles.page(session, q=q, after=_position(cursor), limit=limit + 1)
    return _page([(row.name, views.profile(row)) for row in rows], limit)


@router.post("/profiles", status_code=201)
def create_profile(
    spec: ProfileSpec, who: Operator, parts: PartsDep, session: WritingDep, address: AddressDep
) -> Json:
    profile = inventory.save_profile(session, parts, None, spec)
    people.audit(session, parts.clock(), who.name, "profile.create", spec.name, address)
    return views.profile(profile)


@router.get("/profiles/{name}")
def get_profile(name: Named, _: Viewer, session: ReadingDep) -> Json:
    return views.profile(inventory.find_profile(session, name))


@router.put("/profiles/{name}")
def replace_profile(
    name: Named, spec: ProfileSpec, who: Operator, parts: PartsDep, session: WritingDep,
    address: AddressDep,
) -> Json:  # fmt: skip
    """Deployments that are under way keep what they were accepted with."""
    if spec.name != name:
        raise Invalid(
            f"the body names the profile {spec.name!r}, the URL {name!r}", field="name",
            value=spec.name, remedy="use the same name; a profile cannot be renamed",
        )  # fmt: skip
    profile = inventory.save_profile(session, parts, inventory.find_profile(session, name), spec)
    people.audit(session, parts.clock(), who.name, "profile.change", name, address)
    return views.profile(profile)


@router.delete("/profiles/{name}", status_code=204)
def delete_profile(
    name: Named, who: Operator, parts: PartsDep, session: WritingDep, address: AddressDep
) -> None:
    inventory.delete_profile(session, name)
    people.audit(session, parts.clock(), who.name, "profile.delete", name, address)


@router.get("/profiles/{name}/usual")
def usual_times(name: Named, _: Viewer, session: ReadingDep) -> Json:
    """Median seconds in each state over the latest successful deployments of this profile."""
    return {"seconds": deadlines.usual_seconds(session, name)}


@router.post("/profiles/{name}/check")
def check_profile(
    name: Named, body: CheckRequest, _: Viewer, parts: PartsDep, session: ReadingDep
) -> Json:
    """Render and validate without storing or touching anything; findings instead of an error."""
    profile = ProfileSpec.model_validate(inventory.find_profile(session, name).spec)
    host = HostSpec(name="example", macs=["02:00:00:00:00:01"])
    if body.host is not None:
        host = HostSpec.model_validate(inventory.find_host(session, body.host).spec)
    try:
        snapshot = deployments.snapshot_of(session, parts, host, profile)
        findings = deployments.findings_of(parts, snapshot, body.vars)
    except Invalid as error:
        findings = error.findings or [
            Finding(error.message, error.remedy or "", field=error.field, value=error.value)
        ]
    return {"findings": [finding.as_dict() for finding in findings]}


# --- images -----------------------------------------------------------------------------------


@router.get("/images")
def list_images(_: Viewer, session: ReadingDep, limit: Limit = 100, cursor: Cursor = "") -> Json:
    rows = images.page(session, after=_position(cursor), limit=limit + 1)
    return _page([(row.name, views.image(row)) for row in rows], limit)


@router.get("/images/{name}")
def get_image(name: Named, _: Viewer, session: ReadingDep) -> Json:
    return views.image(inventory.find_image(session, name))


# --- deployments ------------------------------------------------------------------------------


@router.get("/deployments")
def list_deployments(
    _: Viewer, session: ReadingDep, host: Search = None, state: State | None = None,
    limit: Limit = 100, cursor: Cursor = "",
) -> Json:  # fmt: skip
    """Deployments, newest first."""
    rows = deployment_store.page(
        session, host=host, state=state, before=_position(cursor) or None, limit=limit + 1
    )
    return _page([(row.id, views.deployment(row)) for row in rows], limit)


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
    return _create(parts, request, who.id, address, idempotency_key, body.model_dump())


def _create(
    parts: PartsDep, request: Request, token_id: str, address: str, key: str | None, body: Json
) -> Json:
    """Render and check before the write lock is taken: others' machines must not wait for that."""
    if key is None or not _was_answered(parts, token_id, key):
        with parts.database.reading() as session:
            checked = deployments.check(session, parts, request)
    with parts.database.writing() as session:

        def act() -> Json:
            deployment = deployments.create(session, parts, checked, request)
            people.audit(
                session, parts.clock(), request.by, "deployment.create", deployment.id, address,
                host=request.host, profile=request.profile,
            )  # fmt: skip
            return views.deployment(deployment)

        return people.once(session, token_id, key, body, parts.clock(), act)


def _was_answered(parts: PartsDep, token_id: str, key: str) -> bool:
    with parts.database.reading() as session:
        return people_store.reply(session, token_id, key) is not None


def _dry_run(parts: PartsDep, request: Request) -> JSONResponse:
    with parts.database.reading() as session:
        checked = deployments.check(session, parts, request)
        live = deployment_store.unfinished_of(session, checked.host.id)
    boot, files = deployments.dry_run(parts, checked, request)
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
    deployment = deployments.cancel(session, parts, _own_id(id_), by=who.name)
    session.add(deployment)
    people.audit(session, parts.clock(), who.name, "deployment.cancel", id_, address)
    return views.deployment(deployment)


@router.post("/deployments/{id_}/retry")
def retry_deployment(
    id_: Named, who: Operator, parts: PartsDep, address: AddressDep,
    idempotency_key: Annotated[str | None, Header(max_length=255, min_length=1)] = None,
) -> Json:  # fmt: skip
    """A new deployment of the same host and profile; `retry_of` names the old one."""
    with parts.database.reading() as session:
        request = deployments.retry_request(session, _own_id(id_), by=who.name)
    return _create(parts, request, who.id, address, idempotency_key, {"retry_of": id_})


# --- tokens and audit -------------------------------------------------------------------------


@router.get("/tokens")
def list_tokens(_: Admin, session: ReadingDep, limit: Limit = 100, cursor: Cursor = "") -> Json:
    rows = people_store.tokens(session, after=_position(cursor), limit=limit + 1)
    return _page([(row.name, views.token(row)) for row in rows], limit)


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
    position = _position(cursor)
    digits = position.isascii() and position.isdigit()
    before = min(int(position), 2**63 - 1) if digits else None  # no row has a larger number
    rows = people_store.audit_page(session, before=before, limit=limit + 1)
    return _page([(str(row.id), views.audit(row)) for row in rows], limit)
