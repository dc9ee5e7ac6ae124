"""How a deployment looks to whoever asks for it, or is told of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from deployer.core.ids import short
from deployer.store.tables import Deployment


def moment(at: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return at.isoformat().replace("+00:00", "Z") if at else None


def deployment(row: Deployment) -> dict[str, Any]:
    return {
        "id": row.id,
        "short_id": short(row.id),
        "host": row.host_name,
        "profile": row.profile_name,
        "state": row.state,
        "state_since": moment(row.state_since),
        "requested_by": row.requested_by,
        "created_at": moment(row.created_at),
        "deadline": moment(row.deadline),
        "ended_at": moment(row.ended_at),
        "cause": row.cause,
        "verification": row.verification,
        "retry_of": row.retry_of,
        "vars": row.vars,
        "progress": row.progress or None,
        "disk": row.reported.get("disk"),
    }
