"""Files over real connections: by our own process, and by an nginx in front of it."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks import nginx
from benchmarks.peers import Running, running
from deployer.app import create_machine_app
from deployer.store import images
from deployer.web import replies
from tests.support.server import RunningServer, read_all
from tests.support.service import Service

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
# Larger than all buffers on the way, so that a slow reader really keeps it waiting.
CONTENT = os.urandom(1024 * 1024) * 40
URL = "/images/big/root"
ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'


@pytest.fixture
def big(service: Service) -> Path:
    """An image with one large file."""
    file = service.parts.settings.images_dir / "big" / "root"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    entry = {"path": "root", "size": len(CONTENT), "sha256": ETAG.strip('"')}
    with service.parts.database.writing() as session:
        manifest = {"name": "big", "kind": "raw", "files": [entry]}
        images.save(session, manifest, service.parts.clock())
    return file


@pytest.fixture
def server(service: Service, big: Path) -> Iterator[RunningServer]:
    with RunningServer(create_machine_app(service.parts)) as server:
        yield server


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=20) as client:
        yield client


@pytest.mark.slow
def test_a_file_is_sent_by_the_kernel_and_the_connection_is_kept(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    real = replies._sent

    async def watched(*args: object) -> bool:
        sent.append(args[-1])
        return await real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(replies, "_sent", watched)
    monkeypatch.setattr(replies, "_PIECE_BYTES", 3_000_001)
    for _ in range(2):
        answer = client.get(URL)
        assert (answer.status_code, answer.content == CONTENT) == (200, True)
        assert answer.headers["content-length"] == str(len(CONTENT))
        assert answer.headers["etag"] == ETAG
    assert len(sent) == 2


@pytest.mark.slow
def test_head_parts_and_what_is_known_are_answered_as_ever(client: httpx.Client) -> None:
    head = client.head(URL)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(CONTENT))
    part = client.get(URL, headers={"Range": "bytes=1000000-1999999"})
    assert (part.status_code, part.content) == (206, CONTENT[1_000_000:2_000_000])
    known = client.get(URL, headers={"If-None-Match": ETAG})
    assert (known.status_code, known.content) == (304, b"")
    assert client.get(URL).content == CONTENT


@pytest.mark.slow
def test_two_requests_in_one_packet_get_both_files_in_order(server: RunningServer) -> None:
    request = f"GET {URL} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    last = f"GET {URL} HTTP/1.0\r\n\r\n".encode()
    with server.connection() as connection:
        connection.sendall(request + last)
        answer = read_all(connection, 5)
    assert answer.count(CONTENT) == 2


@pytest.mark.slow
def test_who_reads_slowly_or_leaves_does_not_stop_the_others(
    server: RunningServer, client: httpx.Client
) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    try:
        for connection in slow:
            connection.sendall(f"GET {URL} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            connection.recv(1000)
        for connection in slow[:10]:
            connection.close()
        began = time.monotonic()
        assert client.get(URL).content == CONTENT
        assert client.get("/boot.ipxe").status_code == 200
        assert time.monotonic() - began < 10
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.slow
def test_who_takes_too_long_for_a_piece_is_dropped(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "_PIECE_SECONDS", 0.3)
    with server.connection() as connection:
        connection.sendall(f"GET {URL} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(1.5)
        assert len(read_all(connection, 2)) < len(CONTENT)


@pytest.mark.slow
def test_a_file_that_became_shorter_ends_the_connection(
    server: RunningServer, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = replies._sent

    async def cut_meanwhile(*args: object) -> bool:
        os.truncate(big, 1000)
        return await real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(replies, "_sent", cut_meanwhile)
    with server.connection() as connection:
        connection.sendall(f"GET {URL} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = read_all(connection, 5)
        assert connection.recv(1) == b"", "closed, so that the client knows"
    assert answer.partition(b"\r\n\r\n")[2] == CONTENT[:1000]


def test_a_small_reply_is_one_packet(server: RunningServer) -> None:
    with server.connection() as connection:
        connection.sendall(b"GET /boot.ipxe HTTP/1.1\r\nHost: x\r\n\r\n")
        first = connection.recv(65536)
    head, _, body = first.partition(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if b"content-length" in line)
    assert len(body) == int(length.split(b":")[1])


# --- nginx in front ---------------------------------------------------------------------------


@pytest.fixture
def behind(service: Service, big: Path, tmp_path: Path) -> Iterator[Running]:
    """The site that we ship, before our own server."""
    service.parts.settings.accel_redirect = "/protected/images"
    service.parts.settings.trusted_proxies = "127.0.0.1"
    with RunningServer(create_machine_app(service.parts)) as server:
        images_dir = service.parts.settings.images_dir
        peer = nginx.in_front(tmp_path / "nginx", server.port, images_dir, {})
        with running(peer, tmp_path / "work") as front:
            yield front


@pytest.mark.slow
def test_nginx_sends_what_we_name_whole_and_in_parts(behind: Running, service: Service) -> None:
    with httpx.Client(base_url=behind.base, timeout=20) as client:
        whole = client.get(URL)
        assert (whole.status_code, whole.content == CONTENT) == (200, True)
        assert "x-accel-redirect" not in whole.headers
        part = client.get(URL, headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, CONTENT[10:20])
        head = client.head(URL)
        assert head.headers["content-length"] == str(len(CONTENT)) and not head.content
        known = client.get(URL, headers={"If-None-Match": whole.headers["etag"]})
        assert known.status_code == 304
        assert client.get("/boot.ipxe").text.startswith("#!ipxe")


@pytest.mark.slow
def test_nginx_gives_nothing_that_we_did_not_name(behind: Running, big: Path) -> None:
    (big.parent / "secret").write_text("not listed")
    with httpx.Client(base_url=behind.base) as client:
        for path in ("/protected/images/big/root", "/protected/images/big/secret",
                     "/images/big/secret", "/images/../keys/server.key"):  # fmt: skip
            assert client.get(path).status_code == 404, path


@pytest.mark.slow
def test_behind_nginx_the_machines_own_address_counts(behind: Running, service: Service) -> None:
    service.knows()
    id_ = service.deploys()
    lie = {"X-Forwarded-For": "10.0.0.66"}
    with httpx.Client(
        base_url=behind.base, transport=httpx.HTTPTransport(local_address="127.0.0.5")
    ) as client:
        assert "/d/" in client.get("/boot/ipxe?mac=52:54:00:12:34:56", headers=lie).text
    assert service.row(id_).boot_address == "127.0.0.5"


@pytest.mark.slow
def test_who_comes_past_the_proxy_is_sent_the_file_by_us(service: Service, big: Path) -> None:
    service.parts.settings.accel_redirect = "/protected/images"
    service.parts.settings.trusted_proxies = "10.9.0.1"
    answer = service.machine().http.get(URL)
    assert "x-accel-redirect" not in answer.headers and answer.content == CONTENT
