"""Images: what can be installed from here."""

from __future__ import annotations

from fastapi import APIRouter

from deployer.services import inventory
from deployer.store import images
from deployer.web import views
from deployer.web.dependencies import ReadingDep, Viewer
from deployer.web.operators.shared import API, Cursor, Json, Limit, Named, page, position_of

router = APIRouter(prefix=API)


@router.get("/images")
def list_images(_: Viewer, session: ReadingDep, limit: Limit = 100, cursor: Cursor = "") -> Json:
    rows = images.page(session, after=position_of(cursor), limit=limit + 1)
    return page([(row.name, views.image(row)) for row in rows], limit)


@router.get("/images/{name}")
def get_image(name: Named, _: Viewer, session: ReadingDep) -> Json:
    return views.image(inventory.find_image(session, name))
