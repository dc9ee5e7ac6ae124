"""Queries for images."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from deployer.core.ids import new_id
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


def page(session: Session, *, after: str, limit: int) -> list[Image]:
    query = select(Image).where(Image.name > after).order_by(col(Image.name)).limit(limit)
    return list(session.exec(query).all())
