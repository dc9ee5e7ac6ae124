"""How stored things look to API clients."""

from __future__ import annotations

from typing import Any

from deployer.core.inventory import HostSpec
from deployer.core.profiles import ProfileSpec
from deployer.core.text import MASK, may_be_secret
from deployer.services import shown
from deployer.store.tables import (
    ApiToken,
    AuditEntry,
    Delivery,
    HistoryEntry,
    Host,
    HostFacts,
    Image,
    Profile,
    Receiver,
    Secret,
)

moment = shown.moment
deployment = shown.deployment


def host(row: Host, state: str | None) -> dict[str, Any]:
    spec = HostSpec.model_validate(row.spec).model_dump(mode="json")
    spec["power"] = {"driver": spec["power"]["driver"], **_masked(spec["power"])}
    return {
        "id": row.id, **spec, "state": state,
        "created_at": moment(row.created_at), "updated_at": moment(row.updated_at),
    }  # fmt: skip


def host_facts(row: HostFacts | None) -> dict[str, Any]:
    """What its machine showed of itself, and when it did last; empty where nothing is known."""
    if row is None:
        return {"facts": {}, "facts_at": None}
    return {"facts": row.facts, "facts_at": moment(row.updated_at)}


def _masked(settings: dict[str, Any]) -> dict[str, Any]:
    """Driver settings, at any depth, without what could open a BMC or a chat; names of secrets are
    fine."""
    shown: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict) and list(value) == ["secret"]:
            shown[name] = value
        elif value is not None and may_be_secret(name):
            shown[name] = MASK
        else:
            shown[name] = _masked(value) if isinstance(value, dict) else value
    return shown


def profile(row: Profile) -> dict[str, Any]:
    spec = ProfileSpec.model_validate(row.spec)
    shown = spec.model_dump(mode="json")
    for account in (*shown["users"], shown["root"]):
        if account["password_hash"]:
            account["password_hash"] = MASK
    return {
        "id": row.id, **shown,
        "created_at": moment(row.created_at), "updated_at": moment(row.updated_at),
    }  # fmt: skip


def image(row: Image) -> dict[str, Any]:
    manifest = {k: v for k, v in row.manifest.items() if k != "packages"}
    return {"id": row.id, **manifest, "created_at": moment(row.created_at)}


def event(row: HistoryEntry) -> dict[str, Any]:
    return {
        "at": moment(row.at), "event": row.event, "from": row.from_state, "to": row.to_state,
        "by": row.by, "detail": row.detail,
    }  # fmt: skip


def token(row: ApiToken) -> dict[str, Any]:
    return {
        "id": row.id, "name": row.name, "role": row.role, "created_at": moment(row.created_at),
        "expires_at": moment(row.expires_at), "last_used_at": moment(row.last_used_at),
    }  # fmt: skip


def receiver(row: Receiver) -> dict[str, Any]:
    return {
        **row.spec, "settings": _masked(row.spec["settings"]),
        "created_at": moment(row.created_at), "updated_at": moment(row.updated_at),
    }  # fmt: skip


def delivery(row: Delivery) -> dict[str, Any]:
    """`next_at` is None when it has ended."""
    return {
        "id": row.id, "notice_id": row.notice_id, "receiver": row.receiver, "event": row.event,
        "deployment": row.deployment_id, "host": row.data["host"], "title": row.message["title"],
        "created_at": moment(row.created_at), "attempts": row.attempts,
        "next_at": None if row.ended_at else moment(row.not_before),
        "ended_at": moment(row.ended_at), "outcome": row.outcome, "said": row.said,
    }  # fmt: skip


def secret(row: Secret) -> dict[str, Any]:
    """Without what it is: nobody is told."""
    return {"name": row.name, "updated_at": moment(row.updated_at), "updated_by": row.updated_by}


def audit(row: AuditEntry) -> dict[str, Any]:
    return {
        "at": moment(row.at), "actor": row.actor, "action": row.action, "target": row.target,
        "address": row.address, "detail": row.detail,
    }  # fmt: skip
