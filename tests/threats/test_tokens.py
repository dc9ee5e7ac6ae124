"""A token opens one door of one deployment, while that lives. THREATS T007-T013, T015."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import httpx
import pytest

from deployer.core.ids import new_id
from deployer.core.tokens import Purpose
from tests.support.machine import FakeMachine
from tests.support.service import MAC, Service, ok

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

NOTHING = '"detail":"there is nothing here"'
# Each door, and the purpose of the only token that opens it.
DOORS: dict[str, tuple[Purpose, Callable[[FakeMachine, str], httpx.Response]]] = {
    "answer file": (Purpose.ANSWERS, lambda m, t: m.http.get(f"/d/{t}/answers/plan.json")),
    "phone-home": (
        Purpose.PHONE_HOME, lambda m, t: m.http.post(f"/d/{t}/phone-home/installer_started"),
    ),
    "progress": (
        Purpose.PHONE_HOME, lambda m, t: m.http.post(f"/d/{t}/progress", json={"stage": "x"}),
    ),
    "disks": (Purpose.PHONE_HOME, lambda m, t: m.http.post(f"/d/{t}/disks", json={"disks": []})),
    "logs": (Purpose.LOGS, lambda m, t: m.http.post(f"/d/{t}/logs/agent.log", content=b"x")),
}  # fmt: skip


def refused(answer: httpx.Response) -> bool:
    return answer.status_code == 404 and NOTHING in answer.text


def armed(service: Service, host: str = "web01", mac: str = MAC) -> str:
    """The id of a deployment that waits for its machine to fetch."""
    ok(service.api.post("/api/v1/hosts", json={"name": host, "macs": [mac]}))
    id_ = service.deploys(host=host)
    service.machine(mac).asks()
    return id_


@pytest.fixture
def id_(service: Service) -> str:
    service.knows()
    id_ = service.deploys()
    service.machine().asks()
    return id_


# --- without a token --------------------------------------------------------------------------


HEADERS = {
    "X-RHN-Provisioning-MAC-0": f"eth0 {MAC}", "X-System-Serial-Number": "SN-1",
    "User-Agent": "anaconda/13.21.117", "X-Anaconda-Architecture": "x86_64", "X-Host": "web01",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/d//answers/plan.json", "/d/answers/plan.json", "/plan.json"])
def test_t007_no_header_finds_a_deployment(service: Service, id_: str, path: str) -> None:
    for headers in (HEADERS, *({name: value} for name, value in HEADERS.items())):
        answer = service.machine().http.get(path, headers=headers, params={"mac": MAC})
        assert refused(answer), headers
    assert service.state(id_) == "booting"


WRONG_TOKENS = [
    "", "null", "None", "0", "-1", "[]", "{}", "undefined", "*", "%", "' OR 1=1 --", "a" * 58,
    "0" * 26 + "a" * 32, "x" * 60_000, "ü" * 58, "０" * 58, "\0", "\0" * 58, "a\0b", "%00",
    "..", "../..", "😀", "\u2028", "\n",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_t008_a_wrong_token_is_the_same_404_whatever_it_looks_like(
    service: Service, id_: str, door: str
) -> None:
    machine, (_, opens) = service.machine(), DOORS[door]
    constant = opens(machine, "wrong")
    assert refused(constant)
    for token in WRONG_TOKENS:
        answer = opens(machine, quote(token, safe="").replace(".", "%2e"))
        assert (answer.status_code, answer.content) == (404, constant.content), ascii(token[:20])
    assert service.state(id_) == "booting"


@pytest.mark.slow
def test_t008_a_real_token_is_taken_exactly_or_not_at_all(service: Service, id_: str) -> None:
    token = service.parts.tokens(id_)[Purpose.ANSWERS]
    spoiled = [
        token + "%0A", token + "%00", "%20" + token, token[:-1], token + "a", token.upper(),
        token[:26], token[26:], f"dep_{token}", token[:-1] + ("b" if token[-1] != "b" else "a"),
    ]  # fmt: skip
    for wrong in spoiled:
        assert refused(service.machine().http.get(f"/d/{wrong}/answers/plan.json")), wrong
    assert service.machine().http.get(f"/d/{token}/answers/plan.json").status_code == 200


@pytest.mark.slow
def test_t008_a_well_signed_token_of_a_deployment_that_is_not_stored_opens_nothing(
    service: Service, id_: str
) -> None:
    absent = service.parts.tokens(new_id("dep", service.clock()))
    for purpose, opens in DOORS.values():
        assert refused(opens(service.machine(), absent[purpose]))


# --- the wrong token --------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
def test_t009_a_token_opens_only_its_own_door(service: Service, id_: str, door: str) -> None:
    right, opens = DOORS[door]
    tokens = service.parts.tokens(id_)
    for purpose in set(Purpose) - {right}:
        assert refused(opens(service.machine(), tokens[purpose])), purpose
    assert service.state(id_) == "booting"
    assert opens(service.machine(), tokens[right]).status_code == 200


def test_t009_the_three_tokens_share_nothing_that_is_secret(service: Service, id_: str) -> None:
    tokens = service.parts.tokens(id_)
    secrets = {token[26:] for token in tokens.values()}
    assert len(secrets) == len(Purpose)
    assert all(len(secret) * 5 >= 128 for secret in secrets)


@pytest.mark.slow
def test_t010_a_token_names_its_deployment_whatever_else_the_caller_claims(
    service: Service,
) -> None:
    # URLs carry no host, so there is no other host's URL to use it on: only claims beside it.
    service.knows(host={"name": "other", "macs": ["52:54:00:00:00:02"]})
    a, b = armed(service, "a", "52:54:00:00:00:0a"), armed(service, "b", "52:54:00:00:00:0c")
    machine = service.machine()
    answer = machine.http.get(
        f"/d/{service.parts.tokens(a)[Purpose.ANSWERS]}/answers/plan.json",
        params={"mac": "52:54:00:00:00:0c", "host": "b"}, headers={"Host": "b"},
    )  # fmt: skip
    assert (answer.json()["host"], answer.json()["deployment"]) == ("a", a)
    assert (service.state(a), service.state(b)) == ("installing", "booting")


@pytest.mark.slow
def test_t010_halves_of_two_tokens_make_no_token(service: Service) -> None:
    service.knows(host={"name": "other", "macs": ["52:54:00:00:00:02"]})
    a, b = armed(service, "a", "52:54:00:00:00:0a"), armed(service, "b", "52:54:00:00:00:0c")
    for purpose, opens in DOORS.values():
        ours, theirs = service.parts.tokens(a)[purpose], service.parts.tokens(b)[purpose]
        assert refused(opens(service.machine(), ours[:26] + theirs[26:]))
        assert refused(opens(service.machine(), theirs[:26] + ours[26:]))


def test_t010_another_machine_that_holds_the_token_is_refused_and_reported(
    service: Service, id_: str
) -> None:
    token = service.parts.tokens(id_)[Purpose.ANSWERS]
    other = service.machine("52:54:00:00:00:0c", address="10.0.0.66")
    assert refused(other.http.get(f"/d/{token}/answers/plan.json"))
    assert service.events(id_).count("second_reader") == 1


# --- a dead token -----------------------------------------------------------------------------


def cancelled(service: Service, id_: str) -> None:
    ok(service.api.post(f"/api/v1/deployments/{id_}/cancel"))


def failed(service: Service, id_: str) -> None:
    machine = service.machine()
    machine.boots_installer()
    assert machine.phones_home("installer_failed").status_code == 200


def expired(service: Service, id_: str) -> None:
    service.clock.forward(hours=5)
    assert service.expire() == 1


def ready(service: Service, id_: str) -> None:
    machine = service.machine()
    machine.installs()
    machine.phones_home("first_boot")


ENDS: dict[str, Callable[[Service, str], None]] = {
    "cancelled": cancelled, "failed": failed, "expired": expired, "ready": ready,
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_t011_when_a_deployment_has_ended_its_tokens_open_nothing(
    service: Service, id_: str, end: str
) -> None:
    ENDS[end](service, id_)
    assert service.state(id_) in (end, "failed")
    service.clock.forward(minutes=11)  # past the grace in which a new system may repeat itself
    for purpose, opens in DOORS.values():
        assert refused(opens(service.machine(), service.parts.tokens(id_)[purpose])), purpose


@pytest.mark.parametrize("door", ["answer file", "disks", "logs"])
def test_t011_the_grace_after_the_end_is_for_phoning_home_alone(
    service: Service, id_: str, door: str
) -> None:
    ready(service, id_)
    purpose, opens = DOORS[door]
    assert refused(opens(service.machine(), service.parts.tokens(id_)[purpose]))
    home, calls = DOORS["phone-home"]
    assert calls(service.machine(), service.parts.tokens(id_)[home]).status_code == 200
    assert service.state(id_) == "ready"


def test_t011_a_token_is_not_alive_before_its_machine_is_told_to_boot(service: Service) -> None:
    service.knows()
    id_ = service.queues()
    for purpose, opens in DOORS.values():
        assert refused(opens(service.machine(), service.parts.tokens(id_)[purpose]))


@pytest.mark.slow
def test_t011_a_token_of_the_deployment_before_opens_nothing_of_the_next(
    service: Service, id_: str
) -> None:
    cancelled(service, id_)
    again = service.deploys()
    service.machine().asks()
    for purpose, opens in DOORS.values():
        assert refused(opens(service.machine(), service.parts.tokens(id_)[purpose]))
    assert service.state(again) == "booting"


# --- once, and for one client -----------------------------------------------------------------


@pytest.mark.parametrize("call", ["phone-home", "progress"])
def test_t012_the_answer_file_is_gone_when_the_installer_has_spoken(
    service: Service, id_: str, call: str
) -> None:
    machine = service.machine()
    machine.boots_installer()
    assert machine.fetches_plan().status_code == 200, "until then it may be fetched again"
    purpose, calls = DOORS[call]
    ok_answer = calls(machine, service.parts.tokens(id_)[purpose])
    assert ok_answer.status_code == 200
    assert refused(machine.fetches_plan())


def test_t013_only_the_address_that_fetched_the_script_may_read_the_answers(
    service: Service, id_: str
) -> None:
    token = service.parts.tokens(id_)[Purpose.ANSWERS]
    for _ in range(3):
        thief = service.machine(address="10.0.0.66").http.get(f"/d/{token}/answers/plan.json")
        assert refused(thief)
    assert service.state(id_) == "booting", "the thief did not spend the script"
    (alert,) = [line for line in service.history(id_) if line["event"] == "second_reader"]
    assert (alert["by"], alert["detail"]) == ("machine 10.0.0.66", {"expected": "10.0.0.7"})
    assert service.machine().http.get(f"/d/{token}/answers/plan.json").status_code == 200


def test_t013_behind_nat_the_rule_can_be_switched_off(service: Service, id_: str) -> None:
    service.parts.settings.strict_address = False
    token = service.parts.tokens(id_)[Purpose.ANSWERS]
    other = service.machine(address="10.0.0.66")
    assert other.http.get(f"/d/{token}/answers/plan.json").status_code == 200
    assert service.events(id_).count("second_reader") == 0


# --- nobody keeps a copy ----------------------------------------------------------------------


@pytest.mark.slow
def test_t015_no_script_answer_file_or_callback_may_be_cached(service: Service, id_: str) -> None:
    machine, tokens = service.machine(), service.parts.tokens(id_)
    answers = [
        machine.http.get("/boot.ipxe"), machine.http.get(f"/boot/ipxe?mac={MAC}"),
        machine.http.get(f"/boot/grub?mac={MAC}"), machine.http.get("/boot/ipxe"),
        machine.http.post("/boot/ipxe"), machine.http.get("/nothing"),
    ]  # fmt: skip
    answers += [opens(machine, tokens[purpose]) for purpose, opens in DOORS.values()]
    answers += [opens(machine, "wrong") for _, opens in DOORS.values()]
    answers.append(machine.http.post(f"/d/{tokens[Purpose.PHONE_HOME]}/phone-home/nonsense"))
    answers.append(machine.http.post("/d/x/progress", content=b"x" * 70_000))
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store", answer.url
        assert not {"etag", "last-modified", "expires"} & set(answer.headers), answer.url
