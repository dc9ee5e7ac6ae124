"""A machine that plays its part: asks what to boot, fetches its plan, phones home."""

from __future__ import annotations

import re
from typing import Any

import httpx
from fastapi.testclient import TestClient
from starlette.types import ASGIApp

DISK = {"name": "vda", "path": "/dev/vda", "size": 8 * 2**30, "serial": "DISK-1", "type": "ssd"}


class FakeMachine:
    """One NIC at one address. What it learned stays with it, as with a real machine."""

    def __init__(
        self, app: ASGIApp, mac: str = "52:54:00:12:34:56", address: str = "10.0.0.7"
    ) -> None:
        self.mac, self.address = mac, address
        self.http = TestClient(app, client=(address, 40000), raise_server_exceptions=False)
        self.plan_url: str | None = None
        self.plan: dict[str, Any] = {}

    def asks(self, loader: str = "ipxe", **facts: str) -> str:
        """The boot script; remembers the plan's address when there is one."""
        params = {"mac": self.mac.replace(":", "-"), "platform": "pcbios", **facts}
        answer = self.http.get(f"/boot/{loader}", params=params)
        assert answer.status_code == 200
        found = re.search(r"deployer\.plan=([^\s']+)", answer.text)
        self.plan_url = self.path(found[1]) if found else self.plan_url
        return answer.text

    @staticmethod
    def path(url: str) -> str:
        return re.sub(r"^https?://[^/]+", "", url)

    def is_offered_an_installer(self, **facts: str) -> bool:
        script = self.asks(**facts)
        return "kernel" in script and "/d/" in script

    def fetches_plan(self) -> httpx.Response:
        assert self.plan_url is not None, "this machine was given no installer"
        answer = self.http.get(self.plan_url)
        if answer.status_code == 200:
            self.plan = answer.json()
        return answer

    def url(self, name: str) -> str:
        return self.path(self.plan["urls"][name])

    def phones_home(self, event: str, body: Any = None) -> httpx.Response:
        return self.http.post(f"{self.url('phone_home')}/{event}", json=body or {})

    def reports_disks(self, *disks: dict[str, Any]) -> httpx.Response:
        return self.http.post(self.url("disks"), json={"disks": list(disks or (DISK,))})

    def progresses(self, stage: str, percent: float, message: str = "") -> httpx.Response:
        body = {"stage": stage, "percent": percent, "message": message}
        return self.http.post(self.url("progress"), json=body)

    def sends_log(self, content: bytes, name: str = "agent.log") -> httpx.Response:
        return self.http.post(f"{self.url('logs')}/{name}", content=content)

    def boots_installer(self) -> None:
        assert self.is_offered_an_installer()
        assert self.fetches_plan().status_code == 200

    def installs(self) -> None:
        """From the boot script to the moment before its first boot."""
        self.boots_installer()
        assert self.phones_home("installer_started").status_code == 200
        assert self.reports_disks().json()["action"] == "proceed"
        assert self.progresses("writing", 50).status_code == 200
        assert self.phones_home("installer_finished").status_code == 200
