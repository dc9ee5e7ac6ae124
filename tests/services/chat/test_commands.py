"""What people say in a chat, and what they are told."""

from __future__ import annotations

from typing import Any

import pytest

from deployer.services.people import Role
from tests.support.chat.spoken import Chat
from tests.support.service import Service, ok

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def pressed(message: dict[str, Any], label: str) -> str:
    return next(str(b["says"]) for b in message["buttons"] if b["label"].startswith(label))


def test_reinstall_is_asked_back_and_then_done(chat: Chat, service: Service) -> None:
    service.knows({"labels": {"env": "staging"}})
    chat.links()
    asked = chat.says("reinstall web01 as debian-12-image")
    assert asked["title"] == "web01 becomes debian-12-image?" and asked["tone"] == "asking"
    assert dict(asked["facts"]) == {
        "host": "web01", "now": "not installed by me", "last seen": "never",
        "disk": "seen when it asks which one",
    }  # fmt: skip
    assert "Everything on the chosen disk will be lost." in asked["lines"]
    assert ok(service.api.get("/api/v1/deployments"))["items"] == [], "nothing was done yet"
    done = chat.says(pressed(asked, "Yes"))
    assert done["title"] == "web01 → debian-12-image: queued"
    (row,) = ok(service.api.get("/api/v1/deployments"))["items"]
    assert row["requested_by"].startswith("operator-")
    audit = ok(service.api.get("/api/v1/audit"))["items"]
    (line,) = [each for each in audit if each["action"] == "deployment.create"]
    assert line["address"] == "signed T1 U1"


def test_no_leaves_it_as_it_is(chat: Chat, service: Service) -> None:
    service.knows()
    chat.links()
    asked = chat.says("reinstall web01 as debian-12-image")
    assert chat.says(pressed(asked, "No"))["title"] == "Nothing was done."
    assert "unknown" in chat.says(pressed(asked, "Yes"))["title"]
    assert ok(service.api.get("/api/v1/deployments"))["items"] == []


@pytest.mark.slow
def test_what_is_known_of_the_host_is_shown_before_it_is_lost(chat: Chat, service: Service) -> None:
    service.knows()
    chat.links()
    id_ = service.deploys()
    machine = service.machine()
    machine.installs()
    machine.phones_home("first_boot")
    service.work()
    assert service.state(id_) == "ready"
    service.clock.forward(days=3)
    facts = dict(chat.says("reinstall web01 as debian-12-image")["facts"])
    assert facts["now"] == "debian-12-image, since 3 days ago"
    assert facts["last seen"] == "3 days ago" and "serial DISK-1" in facts["disk"]


@pytest.mark.slow
def test_typos_are_answered_with_what_there_is(chat: Chat, service: Service) -> None:
    service.knows()
    chat.links()
    assert chat.says("reinstal web01 as x")["types"] == ["reinstall HOST... as PROFILE"]
    said = chat.says("reinstall wbe01 as debian-12-image")
    assert said["lines"] == ["did you mean web01?"] and said["tone"] == "bad"
    said = chat.says("reinstall web01 as debian-12-imgae")
    assert said["lines"] == ["did you mean debian-12-image?"]
    assert chat.says("why web02")["lines"] == ["did you mean web01?"]
    assert chat.says("why web01")["title"] == "web01 was never deployed"


@pytest.mark.slow
def test_status_why_hosts_and_profiles(chat: Chat, service: Service) -> None:
    service.knows({"labels": {"env": "staging"}})
    service.knows_host(name="web02", macs=["52:54:00:00:00:02"], protected=True)
    chat.links(role=Role.VIEWER)
    assert chat.says("status")["title"] == "Nothing was deployed yet."
    service.deploys()
    said = chat.says("status")
    assert said["title"] == "1 under way" and said["facts"] == [
        ["web01", "debian-12-image: booting, 2 %"]
    ]
    said = chat.says("status web01")
    assert said["title"] == "web01 → debian-12-image: starting from the network"
    assert said["bar"] == {"percent": 2} and dict(said["facts"])["stage"]
    said = chat.says("why web01")
    assert said["lines"][0].startswith("1. the machine was not switched on")
    assert chat.says("hosts env=staging")["facts"] == [["web01", "debian-12-image: booting"]]
    assert chat.says("hosts")["facts"][1] == ["web02", "never deployed, protected"]
    assert chat.says("hosts env=live")["title"] == "0 hosts"
    assert chat.says("profiles")["facts"] == [["debian-12-image", "image debian-12"]]


@pytest.mark.slow
def test_cancel_and_retry_are_asked_back_too(chat: Chat, service: Service) -> None:
    service.knows()
    chat.links()
    id_ = service.deploys()
    asked = chat.says("cancel web01")
    assert asked["lines"][0] == "Its disk was not touched."
    assert service.state(id_) == "booting"
    assert chat.says(pressed(asked, "Yes"))["title"] == "web01 → debian-12-image: cancelled"
    assert service.state(id_) == "cancelled"
    assert "no deployment under way" in chat.says("cancel web01")["title"]
    asked = chat.says("retry web01")
    done = chat.says(pressed(asked, "Yes"))
    assert done["title"] == "web01 → debian-12-image: queued again"
    (new, old) = ok(service.api.get("/api/v1/deployments"))["items"]
    assert (new["retry_of"], old["id"]) == (id_, id_)


@pytest.mark.slow
def test_several_hosts_and_one_that_is_refused_meanwhile(chat: Chat, service: Service) -> None:
    service.knows()
    service.knows_host(name="web02", macs=["52:54:00:00:00:02"])
    chat.links()
    asked = chat.says("reinstall web01, web02 as debian-12-image")
    assert [name for name, _ in asked["facts"]] == ["web01", "web02"]
    done = chat.says(pressed(asked, "Yes"))
    assert done["title"] == "2 of 2 queued: debian-12-image"
    said = chat.says("reinstall web01 web02 as debian-12-image")
    assert "web01 has an unfinished deployment" in said["title"]


def test_a_viewer_may_look_and_not_act(chat: Chat, service: Service) -> None:
    service.knows()
    chat.links(role=Role.VIEWER)
    said = chat.says("reinstall web01 as debian-12-image")
    assert "has the role viewer; this needs operator" in said["title"]


def test_what_the_api_refuses_is_refused_before_anybody_is_asked(
    chat: Chat, service: Service
) -> None:
    service.knows({"protected": True})
    chat.links()
    said = chat.says("reinstall web01 as debian-12-image")
    assert said["title"] == "web01 is protected" and said["buttons"] == []
    assert "hosts unprotect web01" in said["lines"][0]


def test_linking_and_unlinking(chat: Chat, service: Service) -> None:
    service.knows()
    assert "I do not know you yet" in chat.says("status")["lines"][1]
    assert "unknown" in chat.says("link abcdefghijkl")["title"]
    chat.links(role=Role.ADMIN)
    (person,) = ok(service.api.get("/api/v1/chat/people"))["items"]
    assert (person["platform"], person["tenant"], person["user"], person["role"]) == (
        "signed", "T1", "U1", "admin",
    )  # fmt: skip
    assert "You act as admin-" in chat.says("help")["lines"][1]
    assert "I do not know you any more" in chat.says("unlink")["title"]
    assert "I do not know you yet" in chat.says("status")["lines"][1]
    chat.links()
    gone = {"platform": "signed", "tenant": "T1", "user": "U1"}
    assert service.api.delete("/api/v1/chat/people", params=gone).status_code == 204
    assert service.api.delete("/api/v1/chat/people", params=gone).status_code == 404
    assert "I do not know you yet" in chat.says("status")["lines"][1]


def test_who_was_linked_goes_with_the_token(chat: Chat, service: Service) -> None:
    service.knows()
    chat.links()
    name = ok(service.api.get("/api/v1/chat/people"))["items"][0]["token"]
    ok(service.api.delete(f"/api/v1/tokens/{name}"))
    assert "I do not know you yet" in chat.says("status")["lines"][1]


def test_a_token_that_is_too_old_speaks_no_more(chat: Chat, service: Service) -> None:
    chat.links()
    service.clock.forward(days=10)
    assert "I do not know you yet" in chat.says("status")["lines"][1]
