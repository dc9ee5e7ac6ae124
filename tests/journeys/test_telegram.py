"""A host is reinstalled out of a group in Telegram, which calls us, or which we ask."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deployer.drivers.chat import telegram_listen
from deployer.drivers.chat.base import Request, Response
from deployer.services.chat.hear import Ears
from deployer.services.chat.listeners import Listeners
from deployer.services.people import Role
from tests.support.chat.telegram import BOT, EVE, GROUP, PRIVATE, SECRET, TOKEN, Telegram
from tests.support.service import Service, ok

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("backend", ["sqlite"], indirect=True),
]


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYER_CHAT_NETWORKS", "127.0.0.0/8")


@pytest.fixture
def telegram() -> Iterator[Telegram]:
    with Telegram() as telegram:
        yield telegram


def receiver(service: Service, telegram: Telegram, **more: Any) -> None:
    for name, value in {"bot": TOKEN, "hook": SECRET}.items():
        ok(service.api.post("/api/v1/secrets", json={"name": name, "value": value}))
    settings = {"token": {"secret": "bot"}, "username": BOT["username"], "api": telegram.url}
    document = {"name": "ops", "type": "telegram", "settings": settings | more}
    ok(service.api.post("/api/v1/receivers", json=document))


def code(service: Service) -> str:
    return str(ok(service.client(Role.OPERATOR).post("/api/v1/chat/links"))["code"])


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_host_is_reinstalled_out_of_telegram(service: Service, telegram: Telegram) -> None:
    service.knows()
    receiver(service, telegram, secret_token={"secret": "hook"})

    def brings(request: Request) -> None:
        client = service.client(None)
        got = client.post("/chat/telegram", content=request.body, headers=dict(request.headers))
        kind = got.headers.get("content-type", "application/json")
        telegram.takes(Response(got.content, kind, got.status_code))

    brings(telegram.types(f"link {code(service)}"))
    assert telegram.latest(PRIVATE)["text"].startswith("✅ Linked")
    asks = telegram.types("/reinstall web01 as debian-12-image", GROUP)
    brings(asks)
    asked = telegram.latest(GROUP)
    assert asked["text"].startswith("❓ web01 becomes debian-12-image?")
    # It comes again, as Telegram does when it is not sure; nothing happens.
    count = len(telegram.messages[GROUP])
    brings(asks)
    assert len(telegram.messages[GROUP]) == count

    brings(telegram.presses_button(asked, 0, EVE))
    assert len(telegram.messages[GROUP]) == count + 1, "whom nobody knows is told how to link"
    assert asked["text"].startswith("❓")
    brings(telegram.presses_button(asked, 0))
    assert "queued" in asked["text"] and telegram.presses == []

    service.turns(2)
    told = telegram.latest(GROUP)
    assert "reply_to_message" not in told
    service.work()
    machine = service.machine()
    machine.boots_installer()
    for event in ("installer_started", "installer_finished", "first_boot"):
        machine.phones_home(event)
    service.work()
    service.turns(5)
    assert "ready" in told["text"] and telegram.latest(GROUP)["reply_to_message"] is told


def test_a_bot_that_nobody_can_call_asks(
    service: Service, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram_listen, "_POLL_SECONDS", 0.2)
    service.knows()
    receiver(service, telegram)
    listeners = Listeners(service.parts, Ears(service.parts))
    try:
        listeners.mind()
        telegram.types(f"link {code(service)}")
        until(lambda: telegram.latest(PRIVATE)["text"].startswith("✅ Linked"))
        telegram.types("reinstall web01 as debian-12-image")
        until(lambda: telegram.latest(PRIVATE)["text"].startswith("❓"))
        asked = telegram.latest(PRIVATE)
        telegram.presses_button(asked, 0)
        until(lambda: "queued" in asked["text"] and not telegram.presses)
    finally:
        listeners.stop()
    assert service.state(ok(service.api.get("/api/v1/deployments"))["items"][0]["id"]) == "queued"
