"""Every route of an application or router, included ones too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def walk(routes: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """(method, path) of everything that answers. A mount is left out: what is mounted is files."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from walk(route.original_router.routes)
        else:
            yield from ((method, route.path) for method in getattr(route, "methods", None) or ())
