"""Signatures as https://www.standardwebhooks.com has them: what was sent, by whom, and when."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from datetime import datetime
from typing import Any

from deployer.errors import DriverRefused

_KEY_BYTES = range(24, 65)


def headers(key: bytes, id_: str, now: datetime, body: bytes) -> dict[str, str]:
    """`id_` is the same however often this is sent; `now` is when it is sent this time."""
    at = str(int(now.timestamp()))
    return {
        "webhook-id": id_, "webhook-timestamp": at,
        "webhook-signature": signature(key, id_, at, body),
    }  # fmt: skip


def signature(key: bytes, id_: str, at: str, body: bytes) -> str:
    """Version 1 of the standard; `at` is in seconds since 1970."""
    signed = hmac.new(key, b".".join([id_.encode(), at.encode(), body]), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def body(event: str, at: datetime, data: Any) -> bytes:
    """What programs are sent of something that happened to a deployment."""
    moment = at.isoformat().replace("+00:00", "Z")
    told = {"type": f"deployment.{event}", "timestamp": moment, "data": data}
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False)
    # Half a character cannot be encoded, but escaped it is JSON.
    return text.encode(errors="backslashreplace")


def signing_key(name: str, secret: str) -> bytes:
    """DriverRefused when the secret of this name is none."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if len(key) not in _KEY_BYTES:
        raise DriverRefused(f"the secret {name} is not whsec_ and 24 to 64 bytes in base64")
    return key
