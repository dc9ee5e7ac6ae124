"""What chats leave behind is kept as long as it is needed, and no longer."""

from __future__ import annotations

import pytest
from sqlmodel import select

from deployer.services import housekeeping
from deployer.store.tables import ChatHeard, OneTimeCode
from tests.support.chat.spoken import Chat
from tests.support.service import Service, ok

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def kept(service: Service) -> tuple[int, ...]:
    """How many requests are remembered, and codes."""
    housekeeping.tidy(service.parts)
    with service.parts.database.reading() as session:
        tables = (ChatHeard, OneTimeCode)
        return tuple(len(session.exec(select(table)).all()) for table in tables)


def test_requests_for_a_week_and_codes_for_minutes(chat: Chat, service: Service) -> None:
    chat.says("help")
    ok(service.api.post("/api/v1/chat/links"))
    assert kept(service) == (1, 1)
    service.clock.forward(minutes=11)
    assert kept(service) == (1, 0)
    service.clock.forward(days=6, hours=23)
    assert kept(service) == (1, 0)
    service.clock.forward(hours=1)
    assert kept(service) == (0, 0)
