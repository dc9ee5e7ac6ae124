"""Bad framing, endless bodies and lies about the host, sent as raw bytes. THREATS T044, T079."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from deployer.app import create_machine_app
from deployer.web import http, protocol
from tests.support.machine import FakeMachine
from tests.support.server import RunningServer, read_all, resident_bytes, statuses
from tests.support.service import MAC, Service

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
MB = 2**20
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def server(service: Service) -> Iterator[RunningServer]:
    with RunningServer(create_machine_app(service.parts)) as server:
        yield server


@pytest.fixture
def bounded(service: Service) -> Iterator[RunningServer]:
    with RunningServer(create_machine_app(service.parts), protocol.BoundedProtocol) as server:
        yield server


@pytest.fixture
def machine(service: Service) -> FakeMachine:
    """A machine that is being installed, and may report."""
    service.knows()
    service.deploys()
    machine = service.machine()
    machine.boots_installer()
    return machine


def head(path: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def sent_until_refused(connection: socket.socket, piece: bytes, at_most: int) -> int:
    """Bytes that the server took before it hung up."""
    sent = 0
    try:
        while sent < at_most:
            connection.sendall(piece)
            sent += len(piece)
    except OSError:
        pass
    return sent


# --- bodies -----------------------------------------------------------------------------------


def test_t044_a_body_that_says_it_is_too_large_is_refused_before_it_comes(
    server: RunningServer, machine: FakeMachine
) -> None:
    answer = server.says(head(machine.url("progress"), f"Content-Length: {100 * MB}"))
    assert statuses(answer) == [413]
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("limit", [64 * 1024, MB], ids=["callback", "log"])
def test_t044_an_endless_chunked_body_is_cut_off_and_memory_stays_flat(
    server: RunningServer, machine: FakeMachine, limit: int
) -> None:
    path = f"{machine.url('logs')}/a.log" if limit == MB else machine.url("progress")
    before = resident_bytes()
    with server.connection() as connection:
        connection.sendall(head(path, "Transfer-Encoding: chunked"))
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        sent = sent_until_refused(connection, chunk, 100 * MB)
    assert sent < limit + 10 * MB, "what socket buffers and one read hold"
    assert resident_bytes() - before < 30 * MB


def test_t044_of_a_refused_body_nothing_is_kept(
    service: Service, server: RunningServer, machine: FakeMachine
) -> None:
    with server.connection() as connection:
        connection.sendall(head(machine.url("progress"), "Transfer-Encoding: chunked"))
        connection.sendall(b"11000\r\n" + b"x" * 0x11000 + b"\r\n0\r\n\r\n")
        assert statuses(read_all(connection)) == [413]
    assert machine.sends_log(b"x" * (MB + 1)).status_code == 413
    assert machine.sends_log(b"x" * MB).status_code == 200


@pytest.mark.slow
def test_t044_a_body_that_drips_in_is_not_waited_for(
    server: RunningServer, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_BODY_SECONDS", 0.6)
    began = time.monotonic()
    with server.connection() as connection:
        connection.sendall(head(machine.url("progress"), "Content-Length: 1000"))
        connection.settimeout(0.1)
        answer = b""
        while not answer and time.monotonic() < began + 8:
            try:
                connection.sendall(b"x")
                answer = connection.recv(65536)
            except TimeoutError:
                continue
    assert statuses(answer) == [422]
    assert time.monotonic() - began < 6


def test_t044_a_slow_sender_does_not_stop_the_others(
    server: RunningServer, machine: FakeMachine
) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
    try:
        for connection in slow:
            connection.sendall(head(machine.url("progress"), "Content-Length: 10") + b"x")
        began = time.monotonic()
        answer = server.says(f"GET /boot/ipxe?mac={MAC} HTTP/1.0\r\n\r\n".encode())
        assert statuses(answer) == [200]
        assert time.monotonic() - began < 5
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.slow
def test_t044_a_compressed_body_is_refused_unread(machine: FakeMachine) -> None:
    bomb, plain = gzip.compress(b"0" * 50 * MB), b'{"stage": "x"}'
    log = f"{machine.url('logs')}/agent.log"
    for encoding in ("gzip", "deflate", "br", "identity, gzip", "GZIP"):
        headers = {**JSON, "Content-Encoding": encoding}
        for url, body in ((log, bomb), (machine.url("progress"), bomb), (log, plain),
                          (machine.url("progress"), plain)):  # fmt: skip
            answer = machine.http.post(url, content=body, headers=headers)
            assert answer.status_code == 422, encoding
            assert "compressed bodies are not accepted" in answer.text


STAGE = b'"stage": "x", "percent": 1'
REFUSED = {
    "nested": b"[" * 30_000 + b"]" * 30_000,
    "nested objects": b'{"a":' * 9_000 + b"1" + b"}" * 9_000,
    "NaN": b'{"stage": "x", "percent": NaN}',
    "Infinity": b'{"stage": "x", "percent": -Infinity}',
    "overflow": b'{"stage": "x", "percent": 1e999}',
    "key twice": b'{"stage": "x", "stage": "y"}',
    "inner key twice": b"{" + STAGE + b', "facts": {"a": 1, "a": 2}}',
    "Latin-1": '{"stage": "x", "message": "ü"}'.encode("latin-1"),
    "UTF-16": '{"stage": "x"}'.encode("utf-16"),
    "UTF-32": '{"stage": "x"}'.encode("utf-32-le"),
    "byte order mark": b"\xef\xbb\xbf{" + STAGE + b"}",
    "half a pair": b"{" + STAGE + b', "message": "\\ud800"}',
    "long number": b'{"stage": "x", "percent": ' + b"9" * 5000 + b"}",
    "cut off": b'{"stage": "x"',
    "two documents": b'{"stage": "x"}{"stage": "y"}',
    "comment": b'{"stage": "x"} // y',
    "nothing but blanks": b"   ",
}


@pytest.mark.slow
def test_t044_a_body_with_two_meanings_is_refused(service: Service, machine: FakeMachine) -> None:
    for what, body in REFUSED.items():
        answer = machine.http.post(machine.url("progress"), content=body, headers=JSON)
        assert answer.status_code == 422, what
    for body in (b'{"stage": "x", "percent": 1}', json.dumps({"stage": "ü😀"[:0] + "y"}).encode()):
        assert machine.http.post(machine.url("progress"), content=body).status_code == 200


def test_t044_the_same_holds_for_people_and_for_every_kind_of_json(service: Service) -> None:
    host = '{"name": "web01", "macs": ["52:54:00:12:34:56"], "vars": {"a": %s}}'
    for value in ("NaN", "1e999", '"\\ud800"', '{"b": 1, "b": 2}', "-Infinity", "[" * 20_000):
        for kinds in (["application/json"], ["application/problem+json"],
                      ["Application/JSON; charset=utf-8"], ["application/json", "text/plain"],
                      ["text/plain", "application/json"]):  # fmt: skip
            headers = [("Content-Type", kind) for kind in kinds]
            body = (host % value).encode()
            answer = service.api.post("/api/v1/hosts", content=body, headers=headers)
            assert answer.status_code == 422, (value[:20], kinds)
    assert service.api.get("/api/v1/hosts").json()["items"] == []


def test_t044_thousands_of_fields_are_dropped_not_stored(
    service: Service, machine: FakeMachine
) -> None:
    for fields in ({f"{n:x}": 1 for n in range(5_000)}, {f"{n:x}": [n] for n in range(3_000)}):
        facts = {"facts": fields}
        assert machine.phones_home("installer_started", facts).status_code == 200
        assert machine.phones_home("installer_started", fields).status_code == 200
    form = "&".join(f"{n:x}=1" for n in range(9_000))
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    url = f"{machine.url('phone_home')}/installer_started"
    assert machine.http.post(url, content=form, headers=kind).status_code == 200
    (row,) = service.api.get("/api/v1/deployments").json()["items"]
    assert len(service.row(row["id"]).reported["facts"]) <= 64


def test_t044_people_have_a_limit_too(service: Service) -> None:
    answer = service.api.post("/api/v1/hosts", content=b" " * (MB + 1), headers=JSON)
    assert answer.status_code == 413
    assert service.client(None).post("/api/v1/hosts", content=b" " * (MB + 1)).status_code == 413


# --- framing ----------------------------------------------------------------------------------

CHUNKED = "Transfer-Encoding: chunked"
HIDDEN = b"GET /boot.ipxe HTTP/1.1\r\nHost: x\r\n\r\n"
BAD_FRAMING = {
    "both lengths": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, turned": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 38\r\n\r\n",
    "list of lengths": b"Content-Length: 0, 38\r\n\r\n",
    "negative length": b"Content-Length: -1\r\n\r\n",
    "signed length": b"Content-Length: +0\r\n\r\n",
    "hexadecimal length": b"Content-Length: 0x0\r\n\r\n",
    "huge length": b"Content-Length: 99999999999999999999999\r\n\r\n",
    "length of no number": b"Content-Length: a\r\n\r\n",
    "not only chunked": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "other coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "blank before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "bad chunk size": b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "negative chunk size": b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "huge chunk size": b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello",
    "chunk without its end": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n",
    "NUL in a header": b"X: a\0b\r\n\r\n",
    "CR in a header": b"X: a\rb\r\n\r\n",
    "header without a name": b": x\r\n\r\n",
    "folded header": b"X: a\r\nTransfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n",
}


def test_t079_bad_framing_ends_the_connection_and_hides_no_second_request(
    server: RunningServer,
) -> None:
    start = b"POST /d/x/disks HTTP/1.1\r\nHost: x\r\n"
    for what, framing in BAD_FRAMING.items():
        answer = server.says(start + framing + HIDDEN)
        assert statuses(answer)[-1] == 400, (what, answer)
        assert b"#!ipxe" not in answer, what


NO_HTTP = [
    b"GET /boot.ipxe\r\n", b"GET /boot.ipxe\r\n\r\n", b"GET /boot.ipxe HTTP/9.9\r\n\r\n",
    b"GET /boot.ipxe HTTP/1.1 x\r\n\r\n", b"G\0T /boot.ipxe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET /boot\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"SSH-2.0-x\r\n", b"PRI * HTTP/2.0\r\n\r\n",
]  # fmt: skip


@pytest.mark.slow
def test_t079_what_is_no_http_is_not_answered_as_if_it_were(bounded: RunningServer) -> None:
    for line in NO_HTTP:
        assert b"#!ipxe" not in bounded.says(line), line


def test_t079_two_requests_in_a_row_get_their_own_answers(server: RunningServer) -> None:
    body = head("/d/x/disks", "Content-Length: 12") + b'{"disks":[]}'
    answer = server.says(body + HIDDEN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert statuses(answer) == [404, 200]


@pytest.mark.slow
def test_t079_urls_come_from_the_settings_whatever_host_is_named(
    server: RunningServer, service: Service
) -> None:
    service.knows()
    service.deploys()
    lies = "Host: evil\r\nX-Forwarded-Host: evil\r\nForwarded: host=evil;proto=https\r\n"
    for path in ("/boot.ipxe", f"/boot/ipxe?mac={MAC}", f"/boot/grub?mac={MAC}", "/nothing"):
        answer = server.says(f"GET {path} HTTP/1.1\r\n{lies}Connection: close\r\n\r\n".encode())
        assert b"evil" not in answer
    absolute = f"GET http://evil/boot/ipxe?mac={MAC} HTTP/1.1\r\n{lies}Connection: close\r\n\r\n"
    answer = server.says(absolute.encode())
    assert b"evil" not in answer and b"http://10.0.0.5:8081/" in answer


def test_t079_no_redirect_leads_to_the_host_that_was_named(service: Service) -> None:
    lies = {"Host": "evil", "X-Forwarded-Host": "evil"}
    paths = ["/boot/ipxe/", "/boot.ipxe/", "/images/x", "/d/x/progress/"]
    for path in paths:
        answer = service.machine().http.get(path, headers=lies, follow_redirects=False)
        assert (answer.status_code, answer.headers.get("location")) == (404, None), path
    for path in ("/api/v1/hosts/", "/healthz/", "/metrics/"):
        answer = service.api.get(path, headers=lies, follow_redirects=False)
        assert answer.headers.get("location") is None, path


# --- heads ------------------------------------------------------------------------------------


def test_t079_the_service_runs_with_the_bounded_parser(server: RunningServer) -> None:
    assert server.protocol is protocol.BoundedProtocol


@pytest.mark.parametrize(
    "piece",
    [b"X: " + b"a" * 1000 + b"\r\n", b"a" * 1000, b"a: b\r\n" * 200],
    ids=["many headers", "one long header", "many short headers"],
)
@pytest.mark.parametrize(
    "start",
    [b"GET /", b"GET / HTTP/1.1\r\nX: ", head("/d/x/progress", CHUNKED) + b"2\r\n{}\r\n0\r\n"],
    ids=["path", "headers", "trailers"],
)
def test_t079_an_endless_head_is_cut_off(
    bounded: RunningServer, start: bytes, piece: bytes
) -> None:
    before = resident_bytes()
    with bounded.connection() as connection:
        connection.sendall(start)
        sent = sent_until_refused(connection, piece * 50, 60 * MB)
    assert sent < 10 * MB, "what socket buffers and one read hold"
    assert resident_bytes() - before < 20 * MB


@pytest.mark.slow
def test_t079_a_head_that_drips_in_is_not_waited_for(
    bounded: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "_HEAD_SECONDS", 0.3)
    with bounded.connection() as connection:
        connection.sendall(b"GET /boot.ipxe HTTP/1.1\r\n")
        assert statuses(read_all(connection, 5)) == [400]
    with bounded.connection() as idle:
        assert statuses(read_all(idle, 5)) == [400]


def test_t079_within_the_limits_everything_is_as_before(bounded: RunningServer) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{bounded.port}") as client:
        for _ in range(3):
            answer = client.get("/boot.ipxe", headers={"X": "a" * 8000})
            assert answer.text.startswith("#!ipxe")
        assert client.post("/d/x/logs/a.log", content=b"x" * 900_000).status_code == 404


def test_t079_a_trailer_is_no_header(bounded: RunningServer) -> None:
    body = b'c\r\n{"disks":[]}\r\n0\r\nContent-Encoding: gzip\r\n\r\n'
    request = head("/d/x/disks", CHUNKED, "Connection: close") + body
    assert statuses(bounded.says(request)) == [404]
