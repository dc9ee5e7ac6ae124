"""The secrets in a deployment's URLs: derived, not stored; one per purpose.

A token is the deployment's id and an HMAC-SHA256 over id and purpose under the server's key,
cut to 160 bits. A script asked for twice is the same script, and the database holds nothing
to steal. THREATS, ground rule 3.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from enum import StrEnum

_TOKEN = re.compile(r"([0-9a-hjkmnp-tv-z]{26})([a-z2-7]{32})", re.ASCII)


class Purpose(StrEnum):
    ANSWERS = "answers"
    PHONE_HOME = "phone-home"
    LOGS = "logs"


def derive(key: bytes, deployment_id: str, purpose: Purpose) -> str:
    """The token of one deployment for one purpose: 58 lower-case letters and digits."""
    message = f"{deployment_id}\n{purpose}".encode()
    digest = hmac.new(key, message, hashlib.sha256).digest()[:20]
    return deployment_id.removeprefix("dep_") + base64.b32encode(digest).decode().lower()


def deployment_of(key: bytes, token: str, purpose: Purpose) -> str | None:
    """The deployment that `token` opens for `purpose`; None for anything else."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    deployment_id = f"dep_{match.group(1)}"
    # The pattern admits ASCII only, and compare_digest on bytes takes constant time.
    expected = derive(key, deployment_id, purpose).encode()
    return deployment_id if hmac.compare_digest(token.encode(), expected) else None
