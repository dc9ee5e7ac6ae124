"""Codes that say yes once: to who somebody is, and to what would be lost. THREATS T095."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import update
from sqlmodel import Session, col

from deployer.errors import NotFound
from deployer.services.parts import Parts
from deployer.store.tables import OneTimeCode

Purpose = Literal["link", "confirm"]
LIFETIME: dict[str, timedelta] = {
    "link": timedelta(minutes=10), "confirm": timedelta(minutes=5),
}  # fmt: skip
# No letters that look like others: it is typed by hand where a platform has no buttons.
_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 12  # 58 bits, for minutes, behind a rate limit


def issue(
    session: Session, parts: Parts, purpose: Purpose, token_id: str, data: dict[str, Any]
) -> str:
    """The code, as it is shown this once."""
    code = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    now = parts.clock()
    session.add(
        OneTimeCode(
            hash=_hash(code), purpose=purpose, token_id=token_id, data=data, created_at=now,
            expires_at=now + LIFETIME[purpose],
        )
    )  # fmt: skip
    session.flush()
    return code


def look(session: Session, parts: Parts, purpose: Purpose, code: str) -> OneTimeCode:
    """What it stands for; NotFound, in the same words, when it never was, was used, or is old."""
    row = session.get(OneTimeCode, _hash(code))
    if (
        row is None or row.purpose != purpose or row.used_at is not None
        or row.expires_at <= parts.clock()
    ):  # fmt: skip
        raise _unknown(purpose)
    return row


def use(session: Session, parts: Parts, row: OneTimeCode) -> None:
    """Of two who use it at once, the second gets NotFound."""
    query = update(OneTimeCode).where(
        col(OneTimeCode.hash) == row.hash, col(OneTimeCode.used_at).is_(None)
    )
    done: Any = session.execute(query.values(used_at=parts.clock()))
    if done.rowcount != 1:
        raise _unknown(row.purpose)


def _unknown(purpose: str) -> NotFound:
    remedy = (
        "run `deployer chat link` for a new one" if purpose == "link" else "ask for the act again"
    )
    minutes = int(LIFETIME[purpose].total_seconds() // 60)
    return NotFound(
        f"this code is unknown, was used, or is older than {minutes} minutes", remedy=remedy
    )


def _hash(code: str) -> str:
    return hashlib.sha256(code.replace("-", "").lower().encode()).hexdigest()
