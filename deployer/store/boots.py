"""What a boot request needs to know, in one query: asked more often than anything else, by far."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from deployer.store.database import Database

# Always one row. Each join is by a key or a unique index, so the number of hosts does not matter.
# For a stranger some host is read all the same, and dropped: else the time it takes would tell who
# is known (THREATS T002).
_GLANCE = """
SELECT
    host_macs.host_id,
    json_extract(hosts.spec, '$.local_boot'),
    deployments.state
FROM (SELECT 1)
LEFT JOIN host_macs ON host_macs.mac = ?
LEFT JOIN hosts ON hosts.id = coalesce(host_macs.host_id, (SELECT min(id) FROM hosts))
LEFT JOIN deployments ON deployments.host_id = hosts.id AND deployments.ended_at IS NULL
"""


class Glance(NamedTuple):
    """`local_boot` as it is stored; `state` is None without an unfinished deployment."""

    known: bool
    local_boot: Any
    state: str | None


def glance(database: Database, mac: str) -> Glance | None:
    """As of the last commit; None where this takes longer than the event loop may wait."""
    row = database.glance(_GLANCE, (mac,))
    if row is None:
        return None
    host, method, state = row
    if host is None:
        method, state = "auto", None
    # SQLite gives a string as it is, and an object as JSON.
    local_boot = json.loads(method) if method and method[0] == "{" else method or "auto"
    return Glance(host is not None, local_boot, state)
