"""A host is reinstalled out of Slack: asked for, confirmed, followed, done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from deployer.services.people import Role
from tests.support.chat import slack
from tests.support.chat.slack import CHANNEL
from tests.support.service import Service, ok

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYER_CHAT_NETWORKS", "127.0.0.0/8")


@pytest.fixture
def workspace(service: Service) -> Iterator[slack.Slack]:
    with slack.Slack() as workspace:
        for name, value in {"bot": slack.BOT_TOKEN, "signing": slack.SECRET}.items():
            ok(service.api.post("/api/v1/secrets", json={"name": name, "value": value}))
        receiver = {"name": "ops", "type": "slack", "settings": workspace.settings}
        ok(service.api.post("/api/v1/receivers", json=receiver))
        yield workspace


def brings(service: Service, said: dict[str, Any]) -> httpx.Response:
    request = slack.signed(said, service.clock())
    return service.client(None).post("/chat/slack", content=request.body, headers=request.headers)


def answered(workspace: slack.Slack, count: int) -> dict[str, Any]:
    """What came to a response_url as the one of this number."""
    end = time.monotonic() + 5
    while len(workspace.answers) < count and time.monotonic() < end:
        time.sleep(0.01)
    return workspace.answers[count - 1]


@pytest.mark.slow
def test_a_host_is_reinstalled_out_of_slack(service: Service, workspace: slack.Slack) -> None:
    service.knows()
    code = ok(service.client(Role.OPERATOR).post("/api/v1/chat/links"))["code"]
    assert "Linked" in ok(brings(service, workspace.command(f"link {code}")))["text"]

    asked = ok(brings(service, workspace.command("reinstall web01 as debian-12-image")))
    yes = slack.buttons(asked)[0]
    press = workspace.press(yes)
    assert brings(service, press).content == b""
    assert answered(workspace, 1)["replace_original"]

    service.turns(2)
    ((channel, ts),) = workspace.messages
    assert channel == CHANNEL
    service.work()
    machine = service.machine()
    machine.boots_installer()
    machine.phones_home("installer_started")
    machine.phones_home("installer_finished")
    machine.phones_home("first_boot")
    service.work()
    service.turns(5)
    first, second = workspace.messages.values()
    assert "ready" in slack.shown(first)[0] and second["thread_ts"] == ts
    # What is over has no button that ends it.
    assert not any(says.startswith("cancel") for says in slack.buttons(first))


def test_t091_a_press_that_comes_twice_is_pressed_once(
    service: Service, workspace: slack.Slack
) -> None:
    request = slack.signed(workspace.press("status"), service.clock())
    client = service.client(None)
    for status in (200, 409):
        answer = client.post("/chat/slack", content=request.body, headers=request.headers)
        assert answer.status_code == status
    answered(workspace, 1)
    assert len(workspace.answers) == 1


def test_t090_slack_with_another_secret_is_nobody(service: Service, workspace: slack.Slack) -> None:
    request = slack.signed(workspace.command("help"), service.clock(), "another secret")
    answer = service.client(None).post(
        "/chat/slack", content=request.body, headers=dict(request.headers)
    )
    assert answer.status_code == 401 and json.loads(answer.content)["status"] == 401
