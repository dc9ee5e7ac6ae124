"""Profiles, and what their installers say of them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from deployer.core.inventory import HostSpec
from deployer.core.profiles import ProfileSpec
from deployer.core.text import Line
from deployer.errors import Finding, Invalid
from deployer.services import deadlines, inventory, people, rendering
from deployer.store import profiles
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
    refuse_renaming,
)

router = APIRouter(prefix=API)


class CheckRequest(Body):
    """`host`: check for this host; without one, for an example host."""

    host: Line | None = None
    vars: dict[str, Any] = Field(default_factory=dict)


@router.get("/profiles")
def list_profiles(
    _: Viewer, session: ReadingDep, q: Search = None, limit: Limit = 100, cursor: Cursor = ""
) -> Json:
    rows = profiles.page(session, q=q, after=position_of(cursor), limit=limit + 1)
    return page([(row.name, views.profile(row)) for row in rows], limit)


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
    refuse_renaming("profile", spec.name, name)
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
        snapshot = rendering.snapshot_of(session, parts, host, profile)
        findings = rendering.findings_of(session, parts, snapshot, body.vars)
    except Invalid as error:
        findings = error.findings or [
            Finding(error.message, error.remedy or "", field=error.field, value=error.value)
        ]
    return {"findings": [finding.as_dict() for finding in findings]}
