"""Many machines at once, and slow ones among them. FAULTS F060, F065.

`make bench` plays F060 in full, 5,000 hosts, and measures it; here the same code plays 1,000.
"""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from benchmarks import storm
from deployer.services.parts import Parts
from tests.support.live import LiveService

HOSTS, JOBS = 1_000, 100


@pytest.fixture
def live(parts: Parts) -> Iterator[LiveService]:
    with LiveService(parts.settings) as live:
        yield live


def port_of(live: LiveService) -> int:
    return int(live.settings.machine_listen.rpartition(":")[2])


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
def test_f060_after_a_power_cut_every_host_gets_the_right_script(live: LiveService) -> None:
    macs = [f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}" for number in range(HOSTS)]
    live.start()
    armed = macs[:JOBS]
    # Strangers boot as idle hosts do; only some of the others are worth the time to create them.
    known = [{"name": f"h{n:04}", "macs": [mac]} for n, mac in enumerate(macs[: JOBS + 50])]
    live.knows(*known)
    ids = [live.queues(f"h{number:04}") for number in range(JOBS)]
    for id_ in ids:
        live.waits_for(id_, "booting")
    outcome = storm.run(port_of(live), armed, macs[JOBS:], seconds=5)
    assert outcome.hosts == HOSTS
    assert dict(outcome.statuses) == {200: HOSTS}
    assert outcome.wrong == 0
    assert {live.state(id_) for id_ in ids[:5]} == {"booting"}


# --- slow clients -----------------------------------------------------------------------------

STUCK = 2_000
BEGINNINGS = [
    b"",
    b"GET /boot/ipxe?mac=",
    b"GET /boot.ipxe HTTP/1.1\r\nHost: x\r\nX-Never: ",
    b"POST /d/x/progress HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx",
]


@contextmanager
def stuck(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Connections that begin to say something and never end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 1000)), hard))
    connections = []
    try:
        for number in range(count):
            source = (f"127.2.{number >> 8}.{number & 255}", 0)
            connection = socket.create_connection(("127.0.0.1", port), 10, source_address=source)
            connections.append(connection)
            connection.sendall(BEGINNINGS[number % len(BEGINNINGS)])
        yield connections
    finally:
        for connection in connections:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def few_descriptors() -> None:
    """As systemd and a shell start a process, unless told otherwise."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_f065_two_thousand_stuck_connections_do_not_stop_the_others(live: LiveService) -> None:
    live.start(few_descriptors)
    live.knows()
    id_ = live.queues()
    live.waits_for(id_, "booting")
    with stuck(port_of(live), STUCK):
        machine = live.machine()
        began = time.monotonic()
        machine.boots_installer()
        assert machine.phones_home("installer_started").status_code == 200
        assert machine.http.get("/images/live-x86_64/vmlinuz").status_code == 200
        assert time.monotonic() - began < 5
        assert live.state(id_) == "installing"
        assert live.is_ready()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_f065_the_stuck_ones_are_hung_up_on(live: LiveService) -> None:
    live.start(impatient)
    with stuck(port_of(live), 40) as connections:
        for connection in connections:
            connection.settimeout(15)
            try:
                while connection.recv(65536):
                    pass
            except ConnectionError:
                pass  # reset is as good an end
        pid = live.process.pid
        end = time.monotonic() + 10
        while open_sockets(pid) > 10 and time.monotonic() < end:
            httpx.get(f"{live.url}/readyz")
            time.sleep(0.1)
        assert open_sockets(pid) <= 10, "listeners and our own; none of theirs"


def impatient() -> None:
    from deployer.web import http, protocol

    protocol._HEAD_SECONDS = 1
    http._BODY_SECONDS = 1


def open_sockets(pid: int) -> int:
    links = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    return sum(str(link).startswith("socket:") for link in links)
