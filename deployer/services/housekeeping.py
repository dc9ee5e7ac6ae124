"""What must not grow for ever is cut back, the oldest first. THREATS T050."""

from __future__ import annotations

from datetime import timedelta

from deployer.observe import log
from deployer.services import deliveries
from deployer.services.parts import Parts
from deployer.store import chats
from deployer.store import deployments as store

# Deleted in one transaction: they may be a megabyte each, and others want to write.
_BATCH = 20
# As long as a chat's platform may take to send something again.
_HEARD_KEPT = timedelta(days=7)


def tidy(parts: Parts) -> None:
    """Every minute or so, by any worker."""
    deliveries.tidy(parts)
    _forget_chats(parts)
    _forget_logs(parts)


def _forget_chats(parts: Parts) -> None:
    now = parts.clock()
    before = now - _HEARD_KEPT
    with parts.database.reading() as session:
        if not chats.any_outdated(session, before, now):
            return
    with parts.database.writing() as session:
        chats.forget(session, before, now)


def _forget_logs(parts: Parts) -> None:
    """Those that are beyond what all may take together."""
    with parts.database.reading() as session:
        beyond = store.logs_beyond(session, parts.settings.logs_total)
    for first in range(0, len(beyond), _BATCH):
        with parts.database.writing() as session:
            store.forget_logs(session, beyond[first : first + _BATCH])
    if beyond:
        log.info("logs_forgotten", logs=len(beyond), total=parts.settings.logs_total)
