"""Chats as an attacker uses them: THREATS T090 to T100. Each platform's own signature is tested
with its driver; here is what holds for all of them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from deployer.services.people import Role
from deployer.settings import Settings
from tests.support.chat.spoken import Chat
from tests.support.service import Service, ok

ON_SQLITE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
ASK = "reinstall web01 as debian-12-image"


def yes(asked: dict[str, Any]) -> str:
    return str(asked["buttons"][0]["says"])


def deployments(service: Service) -> int:
    return len(ok(service.api.get("/api/v1/deployments"))["items"])


@ON_SQLITE
def test_t090_what_is_not_signed_is_not_even_read(chat: Chat) -> None:
    body = chat.body("help")
    assert chat.brings(body).status_code == 200
    for signature in ("", "0" * 64):
        assert chat.brings(chat.body("help"), signature).status_code == 401
    assert chat.brings(b"no json at all", "0" * 64).status_code == 401
    assert chat.http.post("/chat/nothing", content=b"{}").status_code == 404
    assert chat.http.post("/chat/signed", content=b"x" * 70_000).status_code == 413


@ON_SQLITE
def test_t090_what_nobody_signs_is_the_same_to_whoever_asks(service: Service) -> None:
    nobody = service.client(None)
    assert nobody.post("/chat/slack", content=b"{}").status_code == 401, "no such receiver here"


def test_t091_t092_a_replay_does_nothing_also_after_a_restart(
    chat: Chat, service: Service, settings: Settings
) -> None:
    service.knows()
    chat.links()
    body = chat.body(ASK)
    asked = ok(chat.brings(body))
    press = chat.body(yes(asked))
    ok(chat.brings(press))
    assert deployments(service) == 1
    restarted = Service(service.parts, service.clock)
    with restarted:
        again = Chat(restarted, chat.driver)
        for replayed in (body, press):
            assert again.brings(replayed).status_code == 409
    assert deployments(service) == 1


@ON_SQLITE
@pytest.mark.parametrize("seconds", [-301, 301])
def test_t091_what_was_signed_too_long_ago_is_refused(chat: Chat, seconds: int) -> None:
    chat.links()
    at = chat.service.clock() + timedelta(seconds=seconds)
    assert chat.brings(chat.body("status", at=at.isoformat())).status_code == 401


@pytest.mark.slow
@ON_SQLITE
def test_t092_where_no_time_is_signed_nothing_is_done_at_once(chat: Chat, service: Service) -> None:
    receiver = {"name": "ops", "type": "signed",
                "settings": {"key": {"secret": "chat-key"}, "times": False}}  # fmt: skip
    ok(service.api.put("/api/v1/receivers/ops", json=receiver))
    service.knows()
    chat.links()
    asked = chat.says(ASK)
    assert asked["tone"] == "asking" and deployments(service) == 0
    id_ = service.queues()
    for act in ("cancel web01",):
        asked = chat.says(act)
        assert asked["tone"] == "asking" and service.state(id_) == "queued"
    chat.says(yes(asked))
    assert service.state(id_) == "cancelled"


@ON_SQLITE
def test_t093_a_name_means_nothing(chat: Chat, service: Service) -> None:
    service.knows()
    chat.links("U1")
    said = chat.says(ASK, "U2", shown="U1")
    assert said["buttons"] == [] and "I do not know you yet" in said["lines"][1]
    assert "web01" not in json.dumps(chat.says("hosts", "U2"))


@ON_SQLITE
def test_t094_the_same_user_of_another_workspace_is_somebody_else(
    chat: Chat, service: Service
) -> None:
    service.knows()
    chat.links("U1", tenant="T1")
    assert "I do not know you yet" in chat.says("status", tenant="T2")["lines"][1]
    assert "I do not know you yet" in chat.says("status", tenant="")["lines"][1]


class TestT095:
    """A confirmation is good for one person, once, for minutes, and for what was shown."""

    pytestmark = ON_SQLITE

    @pytest.fixture
    def asked(self, chat: Chat, service: Service) -> dict[str, Any]:
        service.knows()
        chat.links("U1")
        chat.links("U2")
        return chat.says(ASK)

    @pytest.mark.slow
    def test_another_person(self, chat: Chat, service: Service, asked: dict[str, Any]) -> None:
        said = chat.says(yes(asked), "U2")
        assert said["title"] == "Only who asked for it, or an admin, may answer."
        assert "Only who asked" in chat.says(asked["buttons"][1]["says"], "U2")["title"]
        assert deployments(service) == 0
        chat.says(yes(asked))
        assert deployments(service) == 1, "and it was not used up by that"

    def test_an_admin_may(self, chat: Chat, service: Service, asked: dict[str, Any]) -> None:
        chat.links("U3", Role.ADMIN)
        assert chat.says(yes(asked), "U3")["tone"] == "good" and deployments(service) == 1

    @pytest.mark.slow
    def test_twice(self, chat: Chat, service: Service, asked: dict[str, Any]) -> None:
        chat.says(yes(asked))
        ok(service.api.post(f"/api/v1/deployments/{self.id(service)}/cancel"))
        assert "was used" in chat.says(yes(asked))["title"] and deployments(service) == 1

    def test_late(self, chat: Chat, service: Service, asked: dict[str, Any]) -> None:
        service.clock.forward(seconds=301)
        assert "older than 5 minutes" in chat.says(yes(asked))["title"]
        assert deployments(service) == 0

    @pytest.mark.slow
    @pytest.mark.parametrize("change", ["host", "profile", "deployment", "gone", "protected"])
    def test_after_the_target_changed(
        self, chat: Chat, service: Service, asked: dict[str, Any], change: str
    ) -> None:
        act = {
            "host": lambda: service.api.patch("/api/v1/hosts/web01", json={"vars": {"a": 1}}),
            "profile": lambda: self.profile_changes(service),
            "deployment": lambda: service.api.post(
                f"/api/v1/deployments/{service.queues()}/cancel"
            ),
            "gone": lambda: service.api.delete("/api/v1/hosts/web01"),
            "protected": lambda: service.api.patch("/api/v1/hosts/web01", json={"protected": True}),
        }[change]
        ok(act())
        before = deployments(service)
        assert "is not what it was" in chat.says(yes(asked))["title"]
        assert deployments(service) == before

    def test_another_command_with_its_code(
        self, chat: Chat, service: Service, asked: dict[str, Any]
    ) -> None:
        code = yes(asked).split()[1]
        assert "is unknown" in chat.says(f"link {code}")["title"]
        linking = ok(service.client(Role.ADMIN).post("/api/v1/chat/links"))["code"]
        assert "is unknown" in chat.says(f"confirm {linking}")["title"]

    def test_four_eyes_for_many_hosts(self, chat: Chat, service: Service) -> None:
        service.parts.settings.chat_four_eyes_from = 2
        service.knows()
        service.knows_host(name="web02", macs=["52:54:00:00:00:02"])
        chat.links("U1", Role.ADMIN)
        chat.links("U2")
        chat.links("U3", Role.VIEWER)
        asked = chat.says("reinstall web01 web02 as debian-12-image")
        assert "somebody else has to confirm" in asked["lines"][1]
        assert "somebody else has to confirm" in chat.says(yes(asked))["title"]
        assert "needs operator" in chat.says(yes(asked), "U3")["title"]
        assert deployments(service) == 0
        chat.says(yes(asked), "U2")
        assert deployments(service) == 2

    def profile_changes(self, service: Service) -> Any:
        profile = ok(service.api.get("/api/v1/profiles/debian-12-image"))
        spec = {k: v for k, v in profile.items() if k not in ("id", "created_at", "updated_at")}
        return service.api.put(
            "/api/v1/profiles/debian-12-image", json={**spec, "locale": "de_DE.UTF-8"}
        )

    def id(self, service: Service) -> str:
        return str(ok(service.api.get("/api/v1/deployments"))["items"][0]["id"])


@ON_SQLITE
def test_t097_no_secret_of_a_host_or_profile_is_ever_said(chat: Chat, service: Service) -> None:
    marker = "MARKER-of-a-secret"
    ok(service.api.post("/api/v1/secrets", json={"name": "bmc", "value": marker}))
    service.knows({"power": {"driver": "ipmi", "address": "192.0.2.1", "username": "MARKER-user",
                             "password": {"secret": "bmc"}}})  # fmt: skip
    ok(service.api.patch("/api/v1/hosts/web01", json={"vars": {"db_password": marker}}))
    chat.links()
    id_ = service.queues(vars={"key": marker})
    said = [chat.says(text) for text in ("status", "status web01", "why web01", "hosts",
                                         "profiles", "cancel web01", "help")]  # fmt: skip
    service.clock.forward(hours=3)
    service.expire()
    assert service.state(id_) == "failed"
    said += [chat.says(text) for text in ("status web01", "why web01", "retry web01")]
    chat.turns(4)
    assert "MARKER" not in json.dumps(said) + str(chat.shown)


@pytest.mark.slow
@ON_SQLITE
def test_t100_a_flood_of_one_person_is_answered_shortly(chat: Chat) -> None:
    chat.links("U1")
    chat.links("U2")
    said = [chat.says("status")["title"] for _ in range(40)]
    assert said[20] == "Nothing was deployed yet." and said[-1] == "That is more than I can follow."
    assert chat.says("status", "U2")["title"] == "Nothing was deployed yet."


@pytest.mark.slow
@ON_SQLITE
def test_t100_a_flood_of_one_person_uses_up_nothing_of_the_others(chat: Chat) -> None:
    chat.links("U1")
    chat.links("U2")
    said = [chat.says("status")["title"] for _ in range(250)]
    assert said.count("That is more than I can follow.") > 200
    assert chat.says("status", "U2")["title"] == "Nothing was deployed yet."


@ON_SQLITE
def test_what_machines_say_is_shown_as_text_in_every_message(chat: Chat, service: Service) -> None:
    service.knows()
    chat.links()
    service.deploys()
    machine = service.machine()
    machine.boots_installer()
    machine.phones_home("installer_started")
    machine.progresses("writing", 10, "<!channel> \x1b[31m \u202e @everyone")
    stage = dict(chat.says("status web01")["facts"])["stage"]
    assert stage == "<!channel> \\x1b[31m \\u202e @everyone", "drivers escape what is left"
