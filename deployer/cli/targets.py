"""From what a person types, a host or an id, to the deployment that is meant."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from deployer.core.ids import kind_of
from deployer.errors import NotFound

if TYPE_CHECKING:
    from deployer.cli.client import Client

_SHORT = re.compile(r"[0-9a-hjkmnp-tv-z]{8}", re.ASCII)
# A short id is what a person just read in a table, so it is a recent one.
_RECENT = 1000


def find(api: Client, target: str) -> dict[str, Any] | None:
    """The deployment; None when `target` is a host that never had one."""
    from deployer.cli.client import segment

    if kind_of(target):
        return api.get(f"/deployments/{target}")
    page = api.get("/deployments", {"host": target, "limit": 1})
    if page["items"]:
        return dict(page["items"][0])
    if api.find(f"/hosts/{segment(target)}") is not None:
        return None
    return _by_short_id(api, target)


def _by_short_id(api: Client, text: str) -> dict[str, Any]:
    if _SHORT.fullmatch(text):
        for deployment in islice(api.items("/deployments"), _RECENT):
            if deployment["short_id"] == text:
                return deployment
    raise NotFound(
        f"there is no host and no deployment {text!r}", field="HOST|ID", value=text,
        remedy="`deployer hosts` lists the hosts, `deployer status` the deployments",
    )  # fmt: skip


def need(api: Client, target: str) -> dict[str, Any]:
    """The deployment; NotFound when there is none."""
    found = find(api, target)
    if found is None:
        raise NotFound(
            f"{target} has had no deployment yet", field="HOST|ID", value=target,
            remedy=f"make one: `deployer deploy {target} --profile PROFILE`",
        )  # fmt: skip
    return found
