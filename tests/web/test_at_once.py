"""Most boot scripts are written before the application is called: nobody can tell from outside."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest

from deployer.app import create_machine_app
from deployer.web.protocol import AtOnce
from tests.support.server import RunningServer, read_all
from tests.support.service import MAC, Service

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

_STRANGER = "mac=52-54-00-99-99-99&arch=x86_64&platform=efi"


@pytest.fixture
def taken(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each request that came by: whether it was replied to at once."""
    seen: list[bool] = []
    app = create_machine_app(service.parts)
    assert isinstance(app, AtOnce)
    own = app.at_once

    def at_once(scope: object) -> bytes | None:
        reply = own(scope)  # type: ignore[arg-type]
        seen.append(reply is not None)
        return reply

    monkeypatch.setattr(app, "at_once", at_once)
    service.machines = app
    return seen


@pytest.fixture
def server(service: Service, taken: list[bool]) -> Iterator[RunningServer]:
    with RunningServer(service.machines) as server:
        yield server


def ask(server: RunningServer, *heads: str) -> bytes:
    """On one connection, all in one packet; the last closes it."""
    with server.connection() as connection:
        connection.sendall("".join(f"{head}\r\nHost: x\r\n\r\n" for head in heads).encode())
        return read_all(connection, patience=20)


def get(query: str, path: str = "/boot/ipxe") -> str:
    return f"GET {path}?{query} HTTP/1.1"


_LAST = f"{get(_STRANGER)}\r\nConnection: close"


def comparable(reply: bytes) -> bytes:
    """Without the date and how the connection goes on; header names in any case."""
    head, _, body = reply.partition(b"\r\n\r\n")
    lines = [
        line for line in head.lower().split(b"\r\n") if not line.startswith((b"date", b"conn"))
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize("path", ["/boot/ipxe", "/boot/grub"])
def test_the_reply_is_the_same_both_ways(
    server: RunningServer, taken: list[bool], service: Service, path: str
) -> None:
    service.knows()
    for query in (_STRANGER, f"mac={MAC}&platform=pcbios", f"mac={MAC}&arch=arm64&platform=efi"):
        replies = ask(server, get(query, path), f"{get(query, path)}\r\nConnection: close")
        first, second = re.split(rb"(?=HTTP/1\.1 200)", replies)[1:]
        assert comparable(first) == comparable(second)
        assert b"Content-Length: " in first
    assert taken == [True] * 3, "who closes the connection is answered by the application"


def test_what_needs_more_than_a_glance_goes_the_usual_way(
    server: RunningServer, taken: list[bool], service: Service
) -> None:
    service.knows()
    service.deploys()
    reply = ask(server, get(f"mac={MAC}"), get("mac=nonsense"), _LAST)
    assert taken == [False], "what came behind waits for its turn in the usual way"
    scripts = reply.split(b"#!ipxe")[1:]
    assert [b"/d/" in script for script in scripts] == [True, False, False]


@pytest.mark.slow
def test_many_requests_in_one_packet_are_answered_in_order(
    server: RunningServer, taken: list[bool], service: Service
) -> None:
    """More than calls within calls could be."""
    service.knows()
    queries = [_STRANGER, f"mac={MAC}&platform=pcbios"] * 600
    reply = ask(server, *map(get, queries), _LAST)
    assert reply.count(b"HTTP/1.1 200 OK") == 1201
    assert taken == [True] * 1200


@pytest.mark.parametrize(
    "head",
    [
        f"HEAD /boot/ipxe?{_STRANGER} HTTP/1.1",
        f"POST /boot/ipxe?{_STRANGER} HTTP/1.1",
        f"GET /boot/ipxe?{_STRANGER} HTTP/1.0",
        f"{get(_STRANGER)}\r\nContent-Length: 0",
        f"{get(_STRANGER)}\r\nExpect: 100-continue",
        f"GET /boot/%69pxe?{_STRANGER} HTTP/1.1",
    ],
)
def test_what_is_rare_goes_the_usual_way(
    server: RunningServer, taken: list[bool], head: str
) -> None:
    assert ask(server, f"{head}\r\nConnection: close").startswith(b"HTTP/1.1 ")
    assert taken == []


def test_a_fault_on_the_way_is_met_by_the_application(
    server: RunningServer, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(scope: object) -> bytes:
        raise RuntimeError

    monkeypatch.setattr(service.machines, "at_once", broken)
    assert ask(server, get(_STRANGER), _LAST).count(b"HTTP/1.1 200 OK") == 2


def test_both_ways_write_the_same_line(
    server: RunningServer, taken: list[bool], capfd: pytest.CaptureFixture[str]
) -> None:
    ask(server, get(_STRANGER), _LAST)
    lines: list[dict[str, object]] = []
    end = time.monotonic() + 10
    while len(lines) < 2 and time.monotonic() < end:  # the second is written after its reply
        written = capfd.readouterr().err.splitlines()
        lines += [json.loads(line) for line in written if "/boot/" in line]
    first, second = ({**line, "ms": 0, "timestamp": ""} for line in lines)
    assert first == second
    assert list(first) == list(second)
    assert first["mac"] == "52:54:00:99:99:99" and first["served"] == "local"
