"""What the routes of the API share: parameters, request bodies, pages of lists."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict

from deployer.core.text import Line, check_line
from deployer.errors import Invalid

API = "/api/v1"

Limit = Annotated[int, Query(ge=1, le=1000)]
Cursor = Annotated[str, Query(max_length=400)]
Search = Annotated[Line | None, Query(max_length=200)]
# A name or id in a path. PostgreSQL cannot even be asked for one that holds a NUL.
Named = Annotated[Line, Path(max_length=253)]
Json = dict[str, Any]


class Body(BaseModel):
    """A request body; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


def refuse_renaming(kind: str, in_body: str, in_url: str) -> None:
    """Invalid when a body that replaces a thing calls it something else."""
    if in_body != in_url:
        raise Invalid(
            f"the body names the {kind} {in_body!r}, the URL {in_url!r}", field="name",
            value=in_body, remedy=f"use the same name; a {kind} cannot be renamed",
        )  # fmt: skip


def cursor_of(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def position_of(cursor: str) -> str:
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


def page(rows: list[tuple[str, Json]], limit: int) -> Json:
    """`rows`: (position, item), one more than `limit` when there is a next page."""
    shown = rows[:limit]
    more = len(rows) > limit
    return {"items": [i for _, i in shown], "next": cursor_of(shown[-1][0]) if more else None}
