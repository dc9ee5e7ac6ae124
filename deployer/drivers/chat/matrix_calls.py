"""One call of a homeserver's client-server API, and what its errors mean to us."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from deployer.core.text import MASK, printable
from deployer.drivers import reach, tls
from deployer.drivers.chat.base import Busy
from deployer.drivers.chat.busy import busy
from deployer.drivers.http import Client, Limits, Reply
from deployer.errors import DriverError, DriverRefused

USUAL_SECONDS = 15.0
_LONGEST = timedelta(hours=1)
# Statuses that pass; everything else below 500 is an answer for good.
_PASSING = {408, 425, 429}


class Homeserver:
    """`token` is the access token of our account there."""

    def __init__(self, origin: str, token: str, verify: tls.Verify, networks: str) -> None:
        self.origin, self._token, self._verify = origin, token, verify
        self._networks = networks

    def ask(
        self, method: str, path: str, body: Any = None, *, query: Mapping[str, str] | None = None,
        seconds: float | None = None, most: int = 256 * 1024,
    ) -> dict[str, Any]:  # fmt: skip
        """Its answer. DriverRefused when it will say the same again, Busy when it says how long."""
        asked = f"/_matrix/client/v3{path}{'?' + urlencode(query) if query else ''}"
        headers = {"Authorization": f"Bearer {self._token}"}
        seconds = seconds or USUAL_SECONDS
        limits = Limits(seconds, seconds, most, requests=1)
        raw = b"" if method == "GET" else json.dumps(body or {}, ensure_ascii=False).encode()
        with Client(self.origin, self._verify, self._networks, limits, reach.RECEIVERS) as client:
            reply = client.request(method, asked, headers=headers, body=raw)
        said = _parsed(reply.body)
        if reply.status != 200:
            raise self._refusal(reply, said or {}, f"{method} {path}")
        if said is None:
            raise DriverError(f"{self.origin} answers {path} as no homeserver does")
        return said

    def _refusal(self, reply: Reply, said: dict[str, Any], what: str) -> DriverError:
        code, why = said.get("errcode"), said.get("error")
        words = f"{code or ''} {why or ''}".strip().replace(self._token, MASK)
        message = f"{self.origin}: {what}: {reply.status} {printable(words, 300)}".rstrip()
        if reply.status == 429:
            return _busy(message, reply, said)
        if code in ("M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_DEACTIVATED"):
            return DriverRefused(
                message, field="settings.token",
                remedy="log in again as the bot, and store the new access token",
            )  # fmt: skip
        if code == "M_FORBIDDEN":
            return DriverRefused(
                message, field="settings.rooms",
                remedy="invite the bot to the room, and let it write there",
            )  # fmt: skip
        if reply.status in _PASSING or reply.status >= 500:
            return DriverError(message)
        return DriverRefused(message)


def part(name: str) -> str:
    """A room's, an event's or a user's id as one part of a path."""
    return quote(name, safe="")


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _busy(message: str, reply: Reply, said: dict[str, Any]) -> Busy:
    """`retry_after_ms` is older than the header, which came with version 1.10."""
    wait = said.get("retry_after_ms")
    if "retry-after" in reply.headers or not isinstance(wait, int) or isinstance(wait, bool):
        return busy(message, reply)
    return Busy(message, min(timedelta(milliseconds=max(0, min(wait, 10**9))), _LONGEST))
