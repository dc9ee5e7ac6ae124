"""Queries for images."""

from __future__ import annotations

import json
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
    """The SHA-256 of a file that the image's manifest lists, or none, in a row; None where that
    takes longer than the event loop may wait."""
    row: tuple[str | None] | None = database.glance(_CHECKSUM, (image, path))
    return row


_MANIFEST = "SELECT (SELECT manifest FROM images WHERE name = ?)"


def glance_at_checksums(database: Database, image: str) -> dict[str, str] | None:
    """What `checksums` says; None where that takes longer than the event loop may wait."""
    row = database.glance(_MANIFEST, (image,))
    return None if row is None else _by_path(json.loads(row[0])) if row[0] else {}


def checksums(session: Session, image: str) -> dict[str, str]:
    """{path: SHA-256} of the files that the image's manifest lists; none of an unknown image."""
    found = by_name(session, image)
    return _by_path(found.manifest) if found else {}


def _by_path(manifest: dict[str, Any]) -> dict[str, str]:
    return {file["path"]: file["sha256"] for file in manifest["files"]}


def page(session: Session, *, after: str, limit: int) -> list[Image]:
    query = select(Image).where(Image.name > after).order_by(col(Image.name)).limit(limit)
    return list(session.exec(query).all())
