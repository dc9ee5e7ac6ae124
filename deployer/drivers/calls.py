"""One HTTP request to an address that an operator wrote: where it may go, and how it went.

Whom we call is decided on the address that is then connected (THREATS T073), redirects are not
followed, and nothing of an answer but its status and Retry-After is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from deployer.drivers import http, tls
from deployer.drivers.chat.base import Busy
from deployer.errors import DriverError, DriverRefused

_LIMITS = http.Limits(request_seconds=15, total_seconds=30, body_bytes=256 * 1024, requests=1)
# They pass: a service that starts again, or has too much to do.
_LATER = {408, 425, 429, *range(500, 600)}


@dataclass(frozen=True)
class Call:
    """What is sent, and which statuses are fine, any 2xx unless said. `secret`: who knows the URL
    may post there, so its path is not shown."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    expect: tuple[int, ...] = ()
    secret: bool = False

    @property
    def told(self) -> str:
        """What may be shown of it: never its query."""
        parts = urlsplit(self.url)
        return f"{self.method} {parts.scheme}://{parts.netloc}{self.path_shown}"

    @property
    def path_shown(self) -> str:
        return "/…" if self.secret else urlsplit(self.url).path or "/"


def send(call: Call, networks: str, setting: str, verify: tls.Verify = True) -> int:
    """The status of an answer that was expected; DriverError when trying again may help, Busy where
    the answer says when."""
    answer = _asked(call, networks, setting, verify)
    status = answer.status
    if status in call.expect or (not call.expect and 200 <= status < 300):
        return status
    problem = f"{call.told} was answered with {status}"
    if status not in _LATER:
        raise DriverRefused(problem)
    wait = retry_after(answer.headers)
    raise DriverError(problem) if wait is None else Busy(problem, wait)


def _asked(call: Call, networks: str, setting: str, verify: tls.Verify) -> http.Reply:
    url = _checked(call)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    origin = f"{url.scheme}://{url.netloc}"
    try:
        with http.Client(origin, verify, networks, _LIMITS, setting) as client:
            return client.request(call.method, target, headers=call.headers, body=call.body)
    except DriverError as error:
        shown = error.message.replace(target, call.path_shown)
        raise type(error)(shown, remedy=error.remedy) from None


def _checked(call: Call) -> Any:
    """The parts of its URL; DriverRefused for what two readers could read in two ways."""
    url = call.url
    try:
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        plain = False
    if not plain or not url.isascii() or set(url) & set(' \\"<>^`{|}') or "@" in parts.netloc:
        shown = "the secret" if call.secret else repr(url)
        raise DriverRefused(f"{shown} is no URL that we call: https://HOST/PATH, without a user")
    return parts


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """How long the other side wants us to wait (RFC 9110, 10.2.3; Discord's has fractions); None
    when it does not say."""
    said = headers.get("retry-after", "").strip()
    try:
        seconds = float(said)
        return timedelta(seconds=max(0, min(seconds, 10**6))) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(said)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(timedelta(0), at - datetime.now(UTC))
