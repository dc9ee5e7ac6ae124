"""Who is given an installer, and who is not. THREATS T001-T006, T030, T115, T120."""

from __future__ import annotations

import random
import re
import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from deployer.app import create_machine_app
from deployer.web.loaders import MachineSide
from tests.support.machine import FakeMachine
from tests.support.server import RunningServer, read_all
from tests.support.service import MAC, Service, ok

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
STRANGER = "52:54:00:99:99:99"


@pytest.fixture
def served(service: Service) -> Iterator[RunningServer]:
    with RunningServer(create_machine_app(service.parts)) as server:
        yield server


def asks_for_script(server: RunningServer, source: str, header: str = "") -> str:
    head = f"GET /boot/ipxe?mac={MAC} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n"
    with server.connection(source) as connection:
        connection.sendall(head.encode())
        return read_all(connection, 10).decode()


# --- no deployment ----------------------------------------------------------------------------


def test_t001_an_idle_host_is_answered_like_a_stranger(service: Service) -> None:
    service.knows()
    http = service.machine().http
    for loader in ("ipxe", "grub"):
        for platform in ("pcbios", "efi"):
            idle = http.get(f"/boot/{loader}?mac={MAC}&platform={platform}")
            stranger = http.get(f"/boot/{loader}?mac={STRANGER}&platform={platform}")
            assert idle.status_code == stranger.status_code == 200
            assert (idle.content, idle.headers) == (stranger.content, stranger.headers)
            assert b"kernel" not in idle.content and b"/d/" not in idle.content


@on_sqlite
def test_t001_a_queued_an_installing_and_a_finished_host_are_answered_like_a_stranger(
    service: Service,
) -> None:
    service.knows()
    machine, stranger = service.machine(), service.machine(STRANGER).asks()
    service.queues()
    assert machine.asks() == stranger
    service.work()
    machine.boots_installer()
    assert machine.asks() == stranger
    machine.phones_home("installer_finished")
    machine.phones_home("first_boot")
    assert machine.asks() == stranger


# --- walking through the MACs -----------------------------------------------------------------


def stranger(number: int) -> str:
    return f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"


@pytest.mark.slow
@on_sqlite
def test_t002_ten_thousand_strangers_and_a_hundred_idle_hosts_are_answered_alike(
    service: Service,
) -> None:
    """Bodies, headers, and the time it takes: a known MAC takes no longer than chance does."""
    service.parts.settings.boot_requests_per_minute = 0
    known = [f"52:54:00:00:01:{number:02x}" for number in range(100)]
    for number, mac in enumerate(known):
        ok(service.api.post("/api/v1/hosts", json={"name": f"h{number}", "macs": [mac]}))
    asked = [stranger(number) for number in range(10_000)] + known
    random.Random(2).shuffle(asked)
    answers, seconds = set(), {True: list[float](), False: list[float]()}
    with RunningServer(create_machine_app(service.parts)) as server, server.connection() as line:
        for mac in asked:
            began = time.perf_counter()
            line.sendall(f"GET /boot/ipxe?mac={mac} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = line.recv(65536)
            seconds[mac in known].append(time.perf_counter() - began)
            answers.add(re.sub(rb"date: [^\r]*", b"", answer))
    (only,) = answers
    assert only.startswith(b"HTTP/1.1 200") and only.endswith(b"exit 1\n")
    quartiles = statistics.quantiles(seconds[False])
    noise = quartiles[2] - quartiles[0]
    assert abs(statistics.median(seconds[True]) - statistics.median(seconds[False])) < noise


def with_standing_clock(service: Service) -> None:
    """Nothing is granted again, however long the test takes."""
    app: Any = create_machine_app(service.parts)
    service.machines = app
    while not isinstance(app, MachineSide):
        app = app.app
    app.loaders.limit.clock = lambda: 0.0


@pytest.mark.slow
@on_sqlite
def test_t002_beyond_the_limit_nobody_gets_an_installer_and_one_line_says_so(
    service: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    service.parts.settings.boot_requests_per_minute = 60
    with_standing_clock(service)
    service.knows()
    service.deploys()
    walker = service.machine(address="10.0.0.66")
    early = [walker.http.get(f"/boot/ipxe?mac={stranger(n)}") for n in range(60)]
    assert {answer.status_code for answer in early} == {200}
    capfd.readouterr()
    for loader, status in (("ipxe", 429), ("grub", 200)) * 50:
        late = walker.http.get(f"/boot/{loader}?mac={MAC}")
        assert late.status_code == status
        assert "kernel" not in late.text and "/d/" not in late.text
    assert capfd.readouterr().err.count('"event": "alert"') == 1
    audit = ok(service.api.get("/api/v1/audit"))["items"]
    lines = [line for line in audit if line["action"] == "boot.too_many_requests"]
    assert [line["target"] for line in lines] == ["10.0.0.66"]


@on_sqlite
def test_t002_who_shows_macs_in_place_of_a_token_is_limited_like_who_asks_for_a_script(
    service: Service,
) -> None:
    service.parts.settings.boot_requests_per_minute = 20
    with_standing_clock(service)
    walker = service.machine(address="10.0.0.66")
    for number in range(10):
        assert walker.http.get(f"/{stranger(number)}-install.conf").status_code == 404
        assert walker.http.post("/proxmox/answer", json={}).status_code == 404
    late = [
        walker.http.get(f"/{MAC}-install.conf"), walker.http.post("/proxmox/answer", json={}),
        walker.http.get(f"/boot/ipxe?mac={MAC}"),
    ]  # fmt: skip
    assert [answer.status_code for answer in late] == [429, 429, 429]
    assert [answer.headers["retry-after"] for answer in late] == ["3", "3", "3"]
    assert service.machine().http.get(f"/{MAC}-install.conf").status_code == 404
    audit = ok(service.api.get("/api/v1/audit"))["items"]
    lines = [line for line in audit if line["action"] == "boot.too_many_requests"]
    assert [line["target"] for line in lines] == ["10.0.0.66"]


@on_sqlite
def test_t002_the_limit_of_one_address_is_nobody_elses(service: Service) -> None:
    service.parts.settings.boot_requests_per_minute = 5
    service.machines = create_machine_app(service.parts)
    service.knows()
    service.deploys()
    walker, machine = service.machine(address="10.0.0.66"), service.machine()
    late = [walker.http.get(f"/boot/ipxe?mac={stranger(n)}") for n in range(20)][-1]
    assert (late.status_code, late.headers["retry-after"]) == (429, "3")
    assert machine.is_offered_an_installer()


# --- one client, one window -------------------------------------------------------------------


@pytest.mark.slow
@on_sqlite
def test_t003_a_second_client_gets_the_local_disk(service: Service, served: RunningServer) -> None:
    service.knows()
    id_ = service.deploys()
    assert "/d/" in asks_for_script(served, "127.0.0.2")
    second = asks_for_script(served, "127.0.0.3")
    assert "kernel" not in second and "/d/" not in second
    assert service.state(id_) == "booting"
    assert service.events(id_).count("second_claimant") == 1
    assert "/d/" in asks_for_script(served, "127.0.0.2"), "the first one is not harmed"


@pytest.mark.slow
def test_t003_a_second_client_raises_one_alert_however_often_it_asks(service: Service) -> None:
    service.knows()
    id_ = service.deploys()
    service.machine(address="10.0.0.7").asks()
    thief = service.machine(address="10.0.0.66")
    for _ in range(5):
        assert not thief.is_offered_an_installer()
    (alert,) = [line for line in service.history(id_) if line["event"] == "second_claimant"]
    assert alert["by"] == "machine 10.0.0.66"
    assert alert["detail"]["mac"] == MAC


@on_sqlite
def test_t004_after_the_window_the_same_client_gets_the_local_disk(service: Service) -> None:
    service.knows()
    service.deploys()
    machine = service.machine()
    assert machine.is_offered_an_installer()
    service.clock.forward(seconds=service.parts.settings.boot_window - 60)
    assert machine.is_offered_an_installer()
    service.clock.forward(seconds=61)
    script = machine.asks()
    assert "kernel" not in script and "/d/" not in script


@pytest.mark.slow
@on_sqlite
def test_t005_the_same_client_gets_the_same_bytes_up_to_the_limit(service: Service) -> None:
    service.knows()
    id_ = service.deploys()
    machine, limit = service.machine(), service.parts.settings.boot_script_limit
    scripts = [machine.asks() for _ in range(limit)]
    assert set(scripts) == {scripts[0]}
    assert "kernel" in scripts[0]
    assert service.row(id_).boot_count == limit
    assert not machine.is_offered_an_installer()


# --- a claimed address ------------------------------------------------------------------------

CLAIMS = [
    "X-Forwarded-For: {}",
    "X-Forwarded-For: {}, 127.0.0.9, 127.0.0.1",
    "X-Real-IP: {}",
    "Forwarded: for={}",
    "X-Client-IP: {}",
    "True-Client-IP: {}",
    "X-Forwarded-Host: {}",
]


@pytest.mark.slow
@on_sqlite
def test_t006_a_header_does_not_change_who_is_asking(
    service: Service, served: RunningServer
) -> None:
    service.knows()
    id_ = service.deploys()
    assert "/d/" in asks_for_script(served, "127.0.0.2")
    for claim in CLAIMS:
        # From 127.0.0.1, whose headers the usual ASGI server believes.
        thief = asks_for_script(served, "127.0.0.1", claim.format("127.0.0.2") + "\r\n")
        assert thief.startswith("HTTP/1.1 200"), claim
        assert "kernel" not in thief and "/d/" not in thief, claim
    assert service.row(id_).boot_address == "127.0.0.2"


@on_sqlite
def test_t006_a_proxy_line_before_the_request_is_no_request(
    service: Service, served: RunningServer
) -> None:
    service.knows()
    service.deploys()
    line = b"PROXY TCP4 127.0.0.2 127.0.0.1 1000 8081\r\n"
    request = f"GET /boot/ipxe?mac={MAC} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    answer = served.says(line + request)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"kernel" not in answer


@on_sqlite
@pytest.mark.parametrize(
    ("peer", "header", "address"),
    [
        ("10.9.0.1", "10.0.0.7", "10.0.0.7"),
        ("10.9.0.1", "1.1.1.1, 2.2.2.2, 10.0.0.7", "10.0.0.7"),
        ("10.9.0.1", "1.1.1.1, 10.0.0.7, 10.9.0.2", "10.0.0.7"),
        ("10.9.0.1", "10.0.0.7, not an address", "10.9.0.1"),
        ("10.9.0.1", "", "10.9.0.1"),
        ("10.9.0.1", "10.9.0.2", "10.9.0.1"),
        ("10.8.0.1", "10.0.0.7", "10.8.0.1"),
    ],
)
def test_t006_behind_our_proxy_the_last_address_that_is_not_ours_counts(
    service: Service, peer: str, header: str, address: str
) -> None:
    service.parts.settings.trusted_proxies = "10.9.0.0/24, "
    service.knows()
    id_ = service.deploys()
    http = TestClient(service.machines, client=(peer, 4000))
    http.get("/boot/ipxe", params={"mac": MAC}, headers={"X-Forwarded-For": header})
    assert service.row(id_).boot_address == address


PROXY = "127.0.0.9"
BEFORE_PROXIES = [
    "X-Forwarded-For: {}",
    "X-Forwarded-For: 1.1.1.1, 127.0.0.3, {}",
    "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 127.0.0.3, {}",
]


@pytest.mark.slow
@on_sqlite
@pytest.mark.parametrize("header", BEFORE_PROXIES, ids=["one", "three", "in two lines"])
def test_t006_the_proxys_word_counts_on_real_connections_and_no_one_elses(
    service: Service, served: RunningServer, header: str
) -> None:
    service.parts.settings.trusted_proxies = PROXY
    service.knows()
    id_ = service.deploys()
    told = header.format("127.0.0.2") + "\r\n"
    assert "/d/" in asks_for_script(served, PROXY, told)
    assert service.row(id_).boot_address == "127.0.0.2"
    for thief in ("127.0.0.1", "127.0.0.4"):
        assert "/d/" not in asks_for_script(served, thief, told), "not our proxy"
    assert "/d/" not in asks_for_script(served, PROXY, header.format("127.0.0.4") + "\r\n")
    assert "/d/" in asks_for_script(served, "127.0.0.2"), "the same machine, past the proxy"


@pytest.mark.slow
@on_sqlite
@pytest.mark.parametrize(
    "header", [claim for claim in CLAIMS if not claim.startswith("X-Forwarded-For")]
)
@pytest.mark.parametrize("addresses", ["127.0.0.2", "127.0.0.2, 127.0.0.3, 127.0.0.4"])
def test_t006_from_the_proxy_too_no_other_header_names_the_client(
    service: Service, served: RunningServer, header: str, addresses: str
) -> None:
    service.parts.settings.trusted_proxies = PROXY
    service.knows()
    id_ = service.deploys()
    assert "/d/" in asks_for_script(served, PROXY, header.format(addresses) + "\r\n")
    assert service.row(id_).boot_address == PROXY


# --- a loan, not a state ----------------------------------------------------------------------


@pytest.mark.slow
@on_sqlite
@pytest.mark.parametrize(
    ("power", "minutes"),
    [({"driver": "manual"}, 4 * 60), ({"driver": "fake", "name": "t115"}, 30)],
    ids=["a person presses the button", "we press the button"],
)
def test_t115_a_deployment_that_nobody_picked_up_gives_no_installer(
    service: Service, power: dict[str, str], minutes: int
) -> None:
    service.knows(host={"power": power})
    id_ = service.deploys()
    service.clock.forward(minutes=minutes, seconds=1)
    assert not service.machine().is_offered_an_installer(), "even before anybody noticed"
    assert service.expire() == 1
    assert service.state(id_) == "failed"
    assert not service.machine().is_offered_an_installer()


@on_sqlite
def test_t115_just_before_its_time_is_over_it_is_still_given(service: Service) -> None:
    service.knows(host={"power": {"driver": "fake", "name": "t115"}})
    service.deploys()
    service.clock.forward(minutes=29)
    assert service.machine().is_offered_an_installer()


# --- the wrong chassis ------------------------------------------------------------------------

UUID = "4c4c4544-0044-4810-8058-c4c04f4b3232"


def knows_identity(service: Service) -> tuple[str, FakeMachine]:
    service.knows(host={"uuid": UUID, "serial": "SN-1"})
    return service.deploys(), service.machine()


OTHER_CHASSIS: list[dict[str, str]] = [
    {},
    {"uuid": "", "serial": "SN-1"},
    {"uuid": "11111111-2222-4333-8444-555555555555", "serial": "SN-1"},
    {"uuid": "00000000-0000-0000-0000-000000000000", "serial": "SN-1"},
    {"uuid": UUID + "0", "serial": "SN-1"},
    {"uuid": UUID},
    {"uuid": UUID, "serial": "SN-2"},
    {"uuid": UUID, "serial": "None"},
    {"uuid": UUID, "serial": "SN-1\nSN-1"},
]


@on_sqlite
def test_t120_a_known_mac_in_another_chassis_boots_its_disk_and_raises_an_alert(
    service: Service,
) -> None:
    id_, machine = knows_identity(service)
    for facts in OTHER_CHASSIS:
        assert not machine.is_offered_an_installer(**facts), facts
    assert service.state(id_) == "booting"
    alerts = [line for line in service.history(id_) if line["event"].startswith("other_")]
    assert [line["event"] for line in alerts] == ["other_uuid", "other_serial"]
    assert {line["by"] for line in alerts} == {"machine 10.0.0.7"}


@on_sqlite
def test_t120_the_right_chassis_is_given_its_installer(service: Service) -> None:
    _, machine = knows_identity(service)
    assert machine.is_offered_an_installer(uuid=UUID.upper(), serial="sn-1")


@on_sqlite
def test_t120_the_plan_lets_the_agent_check_the_chassis_again(service: Service) -> None:
    _, machine = knows_identity(service)
    machine.asks(uuid=UUID, serial="SN-1")
    machine.fetches_plan()
    assert machine.plan["expect"] == {
        "macs": [MAC], "uuid": UUID, "serial": "SN-1", "arch": "x86_64",
    }  # fmt: skip


# --- one MAC, one host ------------------------------------------------------------------------


def test_t030_a_mac_belongs_to_one_host_whatever_its_spelling(service: Service) -> None:
    service.knows(host={"macs": ["52:54:00:12:34:56", "52:54:00:aa:bb:cc"]})
    for mac in ("52:54:00:AA:BB:CC", "52-54-00-aa-bb-cc", "5254.00aa.bbcc", "525400AABBCC"):
        answer = service.api.post("/api/v1/hosts", json={"name": "thief", "macs": [STRANGER, mac]})
        assert answer.status_code == 409
        assert answer.json()["detail"] == "macs: 52:54:00:aa:bb:cc belongs to the host web01"
    twice = {"name": "twice", "macs": [STRANGER, STRANGER.replace(":", "-")]}
    assert service.api.post("/api/v1/hosts", json=twice).status_code == 422


def test_t030_a_host_cannot_take_the_mac_of_another_by_a_change(service: Service) -> None:
    service.knows()
    ok(service.api.post("/api/v1/hosts", json={"name": "thief", "macs": [STRANGER]}))
    answer = service.api.patch("/api/v1/hosts/thief", json={"macs": [STRANGER, MAC.upper()]})
    assert answer.status_code == 409
    assert ok(service.api.get("/api/v1/hosts/thief"))["macs"] == [STRANGER]


def test_t030_the_database_itself_refuses_a_second_host_with_a_mac(service: Service) -> None:
    service.knows()
    ok(service.api.post("/api/v1/hosts", json={"name": "thief", "macs": [STRANGER]}))
    thief = ok(service.api.get("/api/v1/hosts/thief"))["id"]
    insert = text("INSERT INTO host_macs (mac, host_id) VALUES (:mac, :host)")
    with pytest.raises(IntegrityError), service.parts.database.writing() as session:
        session.execute(insert, {"mac": MAC, "host": thief})
