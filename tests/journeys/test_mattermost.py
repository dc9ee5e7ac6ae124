"""A host is reinstalled out of Mattermost, where no time is signed: everything is confirmed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from deployer.drivers.chat.base import Request
from deployer.services.people import Role
from tests.support.chat import mattermost
from tests.support.chat.mattermost import CHANNEL, Mattermost
from tests.support.service import Service, ok

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYER_CHAT_NETWORKS", "127.0.0.0/8")


@pytest.fixture
def team(service: Service) -> Iterator[Mattermost]:
    with Mattermost() as team:
        for name, value in {"bot": mattermost.BOT_TOKEN, "command": mattermost.TOKEN}.items():
            ok(service.api.post("/api/v1/secrets", json={"name": name, "value": value}))
        receiver = {"name": "ops", "type": "mattermost", "settings": team.settings}
        ok(service.api.post("/api/v1/receivers", json=receiver))
        yield team


def brings(service: Service, request: Request) -> httpx.Response:
    return service.client(None).post(
        "/chat/mattermost", content=request.body, headers=dict(request.headers)
    )


def says(service: Service, team: Mattermost, text: str) -> dict[str, Any]:
    """What the person is shown for a command, which whoever brings it is not."""
    before = len(team.private)
    assert brings(service, team.command(text)).content == b"{}"
    end = time.monotonic() + 5
    while len(team.private) == before and time.monotonic() < end:
        time.sleep(0.01)
    return team.private[before]


def presses(service: Service, team: Mattermost, post: dict[str, Any], number: int) -> str:
    """What the person is shown."""
    said = ok(brings(service, team.press(post, number)))
    return str(said["ephemeral_text"])


@pytest.mark.slow
def test_a_host_is_reinstalled_out_of_mattermost(service: Service, team: Mattermost) -> None:
    service.knows()
    code = ok(service.client(Role.OPERATOR).post("/api/v1/chat/links"))["code"]
    assert "Linked" in says(service, team, f"link {code}")["message"]

    asked = says(service, team, "reinstall web01 as debian-12-image")
    assert "queued" in presses(service, team, asked, 0)
    service.turns(2)
    ((id_, post),) = team.posts.items()
    assert post["channel_id"] == CHANNEL

    # A button of everybody's message asks back as well, with what to type.
    cancel = [told.startswith("cancel") for told in mattermost.says(post)].index(True)
    text = presses(service, team, post, cancel)
    assert "`/deployer confirm " in text and service.state(dep(service)) == "queued"

    service.work()
    machine = service.machine()
    machine.boots_installer()
    machine.phones_home("installer_started")
    machine.phones_home("installer_finished")
    machine.phones_home("first_boot")
    service.work()
    service.turns(5)
    first, second = team.posts.values()
    assert "ready" in first["message"] and second["root_id"] == id_


def dep(service: Service) -> str:
    (found,) = ok(service.api.get("/api/v1/deployments"))["items"]
    return str(found["id"])


def test_t091_t092_what_was_heard_is_not_heard_again(service: Service, team: Mattermost) -> None:
    request = team.command("status")
    assert brings(service, request).status_code == 200
    assert brings(service, request).status_code == 409
    forged = Request({"authorization": "Token x"}, request.body)
    assert brings(service, forged).status_code == 401
