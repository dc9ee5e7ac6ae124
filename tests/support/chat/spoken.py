"""A chat of the service, and people who speak in it."""

from __future__ import annotations

import json
from typing import Any

import httpx

from deployer.services.people import Role
from tests.support.chat.signed import SignedChat, sign
from tests.support.service import Service, ok

KEY = "a key of the chat platform"


class Chat:
    """One channel of a platform; `says` is what a person types there, as the platform brings it."""

    def __init__(self, service: Service, driver: type[SignedChat]) -> None:
        self.service, self.driver = service, driver
        self.http = service.client(None)
        self._count = 0

    def receiver(self, name: str = "ops", **settings: Any) -> None:
        when = settings.pop("when", {})
        ok(self.service.api.post("/api/v1/receivers", json={
            "name": name, "type": "signed", "when": when,
            "settings": {"key": {"secret": "chat-key"}, **settings},
        }))  # fmt: skip

    def brings(self, body: bytes, signature: str | None = None) -> httpx.Response:
        headers = {"X-Sign": sign(KEY, body) if signature is None else signature}
        return self.http.post("/chat/signed", content=body, headers=headers)

    def body(self, text: str, user: str = "U1", tenant: str = "T1", **more: Any) -> bytes:
        self._count += 1
        return json.dumps({
            "text": text, "user": user, "tenant": tenant, "channel": "C1",
            "once": f"once-{self._count}", "at": self.service.clock().isoformat(), **more,
        }).encode()  # fmt: skip

    def says(self, text: str, user: str = "U1", **more: Any) -> dict[str, Any]:
        """The message that is answered."""
        return ok(self.brings(self.body(text, user, **more)))

    def links(self, user: str = "U1", role: Role = Role.OPERATOR, tenant: str = "T1") -> None:
        self.service.clock.forward(seconds=0.01)  # or the names of two tokens would be the same
        client = self.service.client(role)
        code = ok(client.post("/api/v1/chat/links"))["code"]
        assert self.says(f"link {code}", user, tenant=tenant)["title"] == "Linked"

    def turns(self, count: int = 1) -> None:
        self.service.turns(count)

    @property
    def shown(self) -> list[tuple[str, Any, str | None]]:
        """(id, message, in whose thread) of what stands in the channel."""
        return self.driver.shown.get("C1", [])
