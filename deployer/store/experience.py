"""Queries for what was seen to work on which kind of machine."""

from __future__ import annotations

import json
from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session, select

from deployer.store.database import Database
from deployer.store.tables import Experience

_ALL = "SELECT json_group_array(json_array(product, way, worked, failed)) FROM experience"


class Count(NamedTuple):
    product: str
    way: str
    worked: int
    failed: int


def of(session: Session, purpose: str, product: str | None = None) -> list[Count]:
    """Of one kind of machine, or of all."""
    columns = (Experience.product, Experience.way, Experience.worked, Experience.failed)
    query = select(*columns).where(Experience.purpose == purpose)
    if product is not None:
        query = query.where(Experience.product == product)
    return [Count(*row) for row in session.exec(query)]


def glance(database: Database, purpose: str) -> list[Count]:
    """Of all; empty where it takes longer than the event loop may wait."""
    row = database.glance(f"{_ALL} WHERE purpose = ?", (purpose,))
    return [Count(*each) for each in json.loads(row[0])] if row else []


def add(
    session: Session, purpose: str, product: str, way: str, *, worked: bool, now: datetime
) -> None:
    """Count once more. Two that count at the same moment may lose one; nobody is billed by it."""
    row = session.get(Experience, (purpose, product, way))
    if row is None:
        row = Experience(purpose=purpose, product=product, way=way, last_at=now)
    row.worked, row.failed, row.last_at = row.worked + worked, row.failed + (not worked), now
    session.add(row)
    session.flush()
