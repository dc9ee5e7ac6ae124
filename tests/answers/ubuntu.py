"""What the tests of Ubuntu's autoinstall share."""

from __future__ import annotations

from typing import Any

from deployer.errors import Finding
from tests import golden
from tests.support.service import MAC

Json = dict[str, Any]
FAMILY = golden.found("ubuntu")
HOST: Json = {"name": "web01", "macs": [MAC]}


def rendered(profile: Json, host: Json = HOST, **kw: Any) -> tuple[Json, list[Finding]]:
    snapshot = golden.snapshot(FAMILY, host, {"name": "web", **profile})
    return golden.rendered(FAMILY, snapshot, **kw)
