"""A host is reinstalled out of Discord: asked for, confirmed, followed, done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deployer.drivers.chat.base import Request, Response
from deployer.services.people import Role
from tests.support.chat.discord import BOT, CHANNEL, PUBLIC, Discord
from tests.support.service import Service, ok

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYER_CHAT_NETWORKS", "127.0.0.0/8")


@pytest.fixture
def discord(service: Service) -> Iterator[Discord]:
    with Discord() as discord:
        settings = {"public_key": PUBLIC, "token": {"secret": "bot"}, "api": discord.url}
        ok(service.api.post("/api/v1/secrets", json={"name": "bot", "value": BOT}))
        receiver = {"name": "ops", "type": "discord", "settings": settings}
        ok(service.api.post("/api/v1/receivers", json=receiver))
        yield discord


class People:
    def __init__(self, service: Service, discord: Discord) -> None:
        self.service, self.discord = service, discord

    def says(self, text: str) -> dict[str, Any]:
        """The message that answers it, which nobody else sees."""
        shown = self._brings(self.discord.slash(text, self.service.clock()))
        assert shown["flags"] == 64
        return shown

    def presses(self, message: dict[str, Any], number: int) -> dict[str, Any]:
        return self._brings(self.discord.press(message, number, self.service.clock()))

    def _brings(self, request: Request) -> dict[str, Any]:
        client = self.service.client(None)
        got = client.post("/chat/discord", content=request.body, headers=dict(request.headers))
        shown = self.discord.takes(
            Response(got.content, got.headers["content-type"], got.status_code)
        )
        assert shown is not None
        return shown


def title(message: dict[str, Any]) -> str:
    return str(message["embeds"][0]["title"])


@pytest.mark.slow
def test_a_host_is_reinstalled_out_of_discord(service: Service, discord: Discord) -> None:
    service.knows()
    people = People(service, discord)
    code = ok(service.client(Role.OPERATOR).post("/api/v1/chat/links"))["code"]
    assert title(people.says(f"link {code}")) == "✅ Linked"

    asked = people.says("reinstall web01 as debian-12-image")
    assert title(asked) == "❓ web01 becomes debian-12-image?"
    assert people.presses(asked, 0) is asked and asked["components"] == []
    assert "queued" in title(asked)

    service.turns(2)
    ((told, shown),) = discord.messages[CHANNEL].items()
    # Its button asks, and leaves it as it is.
    question = people.presses(shown, 1)
    assert question is not shown and title(question).startswith("❓ Cancel")
    service.work()
    machine = service.machine()
    machine.boots_installer()
    for event in ("installer_started", "installer_finished", "first_boot"):
        machine.phones_home(event)
    service.work()
    service.turns(5)
    assert list(discord.messages[CHANNEL]) == [told] and "ready" in title(shown)
    assert any("ready" in title(each) for each in discord.messages[told].values())
