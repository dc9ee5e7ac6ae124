"""What a platform says about waiting (RFC 9110, Retry-After)."""

from __future__ import annotations

from datetime import timedelta

from deployer.drivers.calls import retry_after
from deployer.drivers.chat.base import Busy
from deployer.drivers.http import Reply

# Where nothing is said, and what is believed at most: a day would be a platform's mistake.
_USUAL, _MOST = timedelta(seconds=5), timedelta(hours=1)


def busy(message: str, reply: Reply) -> Busy:
    """The error for this reply, with the pause that it asks for."""
    wait = retry_after(reply.headers)
    return Busy(message, _USUAL if wait is None else min(wait, _MOST))
