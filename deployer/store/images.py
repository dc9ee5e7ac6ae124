"""Queries for images."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from deployer.core.ids import new_id
from deployer.store.database import Database
from deployer.store.tables import Image


def by_name(session: Session, name: str) -> Image | None:
    return session.exec(select(Image).where(Image.name == name)).first()


def save(session: Session, manifest: dict[str, Any], now: datetime) -> Image:
    image = by_name(session, manifest["name"])
    if image is None:
        image = Image(id=new_id("img", now), name=manifest["name"], created_at=now)
    image.manifest = manifest
    session.add(image)
    session.flush()
    return image


# Always one row, so that no row means that it could not be had.
_CHECKSUM = """
SELECT (
    SELECT json_extract(file.value, '$.sha256')
    FROM images, json_each(images.manifest, '$.files') AS file
    WHERE images.name = ? AND json_extract(file.value, '$.path') = ?
)
"""


def glance_at_checksum(database: Database, image: str, path: str) -> tuple[str | None] | None:
    """What `checksum` says; None where that takes longer than the event loop may wait."""
    row: tuple[str | None] | None = database.glance(_CHECKSUM, (image, path))
    return row


def checksum(session: Session, image: str, path: str) -> str | None:
    """The SHA-256 of a file that the image's manifest lists."""
    found = by_name(session, image)
    files = found.manifest["files"] if found else []
    return next((file["sha256"] for file in files if file["path"] == path), None)


def page(session: Session, *, after: str, limit: int) -> list[Image]:
    query = select(Image).where(Image.name > after).order_by(col(Image.name)).limit(limit)
    return list(session.exec(query).all())
