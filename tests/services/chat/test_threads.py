"""One message per deployment, edited in place; and a platform that is down holds up nobody."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from deployer.app import load_workflows
from deployer.core.chat import Tone
from deployer.drivers.chat.base import Busy
from deployer.errors import DriverError, DriverRefused
from deployer.settings import Settings
from tests.support.chat.spoken import Chat
from tests.support.service import Service, ok

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def asks_for(chat: Chat, host: str = "web01") -> None:
    chat.links()
    asked = chat.says(f"reinstall {host} as debian-12-image")
    chat.says(asked["buttons"][0]["says"])


@pytest.mark.slow
def test_where_it_was_asked_for_one_message_tells_how_it_goes_on(
    chat: Chat, service: Service
) -> None:
    service.knows()
    asks_for(chat)
    chat.turns()
    ((id_, message, thread),) = chat.shown
    assert (message.title, thread) == ("web01 → debian-12-image: accepted", None)
    service.work()
    machine = service.machine()
    machine.boots_installer()
    machine.phones_home("installer_started")
    machine.reports_disks()
    machine.progresses("writing", 50, "writing the image")
    chat.turns(3)
    ((same, message, _),) = chat.shown
    assert same == id_ and message.title == "web01 → debian-12-image: installing"
    assert message.bar.percent == 45 and ("stage", "writing the image") in message.facts
    assert [b.label for b in message.buttons] == ["Why?", "Cancel"]
    edits = chat.driver.calls.count(("edit", id_))
    chat.turns(4)
    assert chat.driver.calls.count(("edit", id_)) <= edits + 2, "16 s alone change it once or twice"
    machine.phones_home("installer_finished")
    machine.phones_home("first_boot")
    service.work()
    chat.turns(5)
    first, second = chat.shown
    assert first[1].title == second[1].title == "web01 → debian-12-image: ready"
    assert second[2] == id_, "said once more in its thread, because an edit makes no sound"
    calls = len(chat.driver.calls)
    chat.turns(5)
    assert len(chat.driver.calls) == calls, "it is over"


def test_a_failure_says_why_and_what_to_do(chat: Chat, service: Service) -> None:
    service.knows()
    asks_for(chat)
    service.work()
    service.clock.forward(hours=5)
    service.expire()
    chat.turns(3)
    message = chat.shown[0][1]
    assert message.tone is Tone.BAD and "no sign of life in booting" in message.lines[0]
    assert [b.says for b in message.buttons] == ["why web01", "retry web01"]
    assert message.types == ("deployer explain web01",)


@pytest.mark.slow
def test_channels_of_receivers_are_told_of_the_hosts_that_they_want(
    chat: Chat, service: Service
) -> None:
    chat.receiver("live", channel="C1", when={"labels": {"env": "live"}})
    chat.receiver("all", channel="C2", when={"events": ["failed"]})
    service.knows({"labels": {"env": "live"}})
    service.knows_host(name="web02", macs=["52:54:00:00:00:02"], labels={"env": "test"})
    service.deploys()
    other = service.deploys(host="web02")
    chat.turns(4)
    assert [m.title for _, m, _ in chat.shown] == [
        "web01 → debian-12-image: starting from the network"
    ]
    assert len(chat.driver.shown["C2"]) == 2
    ok(service.api.post(f"/api/v1/deployments/{other}/cancel"))
    chat.turns(6)
    assert len(chat.driver.shown["C2"]) == 2, "no sound: only failures are wanted there"


@pytest.mark.slow
def test_a_platform_that_is_down_is_asked_again_later(chat: Chat, service: Service) -> None:
    service.knows()
    asks_for(chat)
    chat.driver.failing.extend([DriverError("it is down")] * 3)
    for _ in range(12):
        chat.turns()
    assert [m.title for _, m, _ in chat.shown] == ["web01 → debian-12-image: accepted"]
    assert service.work() == ["power.boot_once", "power.cycle"], "nothing waited for it"


@pytest.mark.slow
def test_f050_the_pause_that_a_platform_wants_is_kept(chat: Chat, service: Service) -> None:
    service.knows()
    asks_for(chat)
    chat.driver.failing.append(Busy("slower", timedelta(seconds=60)))
    chat.turns(10)
    assert chat.shown == []
    chat.turns(10)
    assert len(chat.shown) == 1


def test_what_a_platform_refuses_is_not_sent_for_ever(chat: Chat, service: Service) -> None:
    service.knows()
    asks_for(chat)
    chat.driver.failing.append(DriverRefused("no such channel"))
    chat.turns(10)
    assert chat.shown == [] and chat.driver.calls == []


@pytest.mark.slow
def test_a_channel_that_is_mended_goes_on(chat: Chat, service: Service) -> None:
    service.knows()
    asks_for(chat)
    receiver = ok(service.api.get("/api/v1/receivers/ops"))
    wanted = {key: receiver[key] for key in ("name", "type", "when", "enabled")}
    broken = {**wanted, "settings": {"key": {"secret": "not-there"}}}
    ok(service.api.put("/api/v1/receivers/ops", json=broken))
    chat.turns(5)
    assert chat.shown == []
    ok(service.api.put("/api/v1/receivers/ops", json={
        **wanted, "settings": {"key": {"secret": "chat-key"}},
    }))  # fmt: skip
    chat.turns(40)
    assert len(chat.shown) == 1


APPROVED = """\
name: careful
label: Asks first
"on":
  queued: [{do: approve, with: {by_another: true}}, {do: power.boot_once}]
"""


def test_an_approval_that_is_wanted_makes_a_sound_and_takes_a_press(
    chat: Chat, service: Service, tmp_path: Path
) -> None:
    (tmp_path / "careful.yaml").write_text(APPROVED)
    service.parts.workflows.update(load_workflows(Settings(workflows=tmp_path)))
    service.knows(workflow="careful")
    asks_for(chat)
    chat.turns(4)
    message = chat.shown[0][1]
    assert message.title == "web01 → debian-12-image: waits for approval"
    assert message.buttons[0].says == "approve web01" and len(chat.shown) == 2
    assert "wants another person's approval" in chat.says("approve web01")["title"]
    chat.links("U2")
    assert chat.says("approve web01", "U2")["title"] == "web01 → debian-12-image: goes on"
    chat.turns()
    assert chat.shown[0][1].title == "web01 → debian-12-image: accepted"
