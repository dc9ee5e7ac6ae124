"""What a platform says about waiting (RFC 9110, Retry-After)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from deployer.drivers.chat.base import Busy
from deployer.drivers.http import Reply

# Where nothing is said, and what is believed at most: a day would be a platform's mistake.
_USUAL, _MOST = timedelta(seconds=5), timedelta(hours=1)


def busy(message: str, reply: Reply) -> Busy:
    """The error for this reply, with its Retry-After in seconds or as a date."""
    said = reply.headers.get("retry-after", "").strip()
    return Busy(message, max(timedelta(), min(_wait(said), _MOST)))


def _wait(said: str) -> timedelta:
    try:
        return timedelta(seconds=float(said))
    except (ValueError, OverflowError):
        pass
    try:
        return parsedate_to_datetime(said) - datetime.now(UTC)
    except (ValueError, TypeError):
        return _USUAL
