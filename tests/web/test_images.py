"""Boot media over HTTP: whole or in parts, and nothing that the manifest does not list."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from deployer.app import build_parts
from deployer.services import media
from deployer.services.parts import Parts
from deployer.settings import Settings
from deployer.store import images
from tests.support.images import KERNEL
from tests.support.postgres import free_port
from tests.support.service import Service

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
URL = "/images/live-x86_64/vmlinuz"
ETAG = f'"{hashlib.sha256(KERNEL).hexdigest()}"'
SIZE = len(KERNEL)


@on_sqlite
def test_a_file_comes_whole_with_its_length_and_checksum(service: Service) -> None:
    answer = service.machine().http.get(URL)
    assert (answer.status_code, answer.content) == (200, KERNEL)
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == ETAG
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"


@on_sqlite
def test_asking_for_the_head_tells_the_same_without_the_file(service: Service) -> None:
    http = service.machine().http
    whole, head = http.get(URL), http.head(URL)
    assert head.content == b"" and head.status_code == 200
    assert dict(head.headers) == dict(whole.headers)


@on_sqlite
def test_parts_of_a_file_are_exactly_those_parts(service: Service) -> None:
    http = service.machine().http
    for asked, first, last in [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, SIZE - 1),
        ("bytes=-50", SIZE - 50, SIZE - 1),
        (f"bytes=10-{SIZE * 2}", 10, SIZE - 1),
    ]:
        answer = http.get(URL, headers={"Range": asked})
        assert answer.status_code == 206, asked
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
        assert answer.headers["content-length"] == str(last - first + 1)
        assert answer.content == KERNEL[first : last + 1]


@on_sqlite
def test_a_part_beyond_the_end_is_answered_with_the_size(service: Service) -> None:
    answer = service.machine().http.get(URL, headers={"Range": f"bytes={SIZE}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"].removeprefix("bytes ") == f"*/{SIZE}"


@on_sqlite
def test_a_part_of_an_older_file_is_not_mixed_with_a_newer_one(service: Service) -> None:
    http = service.machine().http
    same = http.get(URL, headers={"Range": "bytes=0-9", "If-Range": ETAG})
    older = http.get(URL, headers={"Range": "bytes=0-9", "If-Range": '"old"'})
    assert (same.status_code, older.status_code, older.content) == (206, 200, KERNEL)


@on_sqlite
def test_a_file_that_is_known_already_is_not_sent_again(service: Service) -> None:
    http = service.machine().http
    for known in (ETAG, f'"other", {ETAG}', f"W/{ETAG}", "*"):
        answer = http.get(URL, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b""), known
        assert answer.headers["etag"] == ETAG
    assert http.get(URL, headers={"If-None-Match": '"other"'}).status_code == 200


@on_sqlite
def test_what_the_manifest_does_not_list_is_not_there(service: Service, parts: Parts) -> None:
    folder = parts.settings.images_dir / "live-x86_64"
    (folder / "secret").write_text("not listed")
    (folder / "link").symlink_to("/etc/passwd")
    for path in [
        "/images/live-x86_64/secret",
        "/images/live-x86_64/link",
        "/images/live-x86_64/",
        "/images/live-x86_64/../live-x86_64/secret",
        "/images/live-x86_64/..%2f..%2fkeys%2fserver.key",
        "/images/live-x86_64/%2fetc%2fpasswd",
        "/images/live-x86_64/vmlinuz%00",
        "/images/live-x86_64/%00",
        "/images/live-x86_64/" + "x" * 5000,
        "/images/..%2fkeys/server.key",
        "/images/%2e%2e/keys/server.key",
        "/images/none/vmlinuz",
        "/images/",
    ]:
        assert service.machine().http.get(path).status_code == 404, path


@on_sqlite
def test_a_listed_file_that_leads_out_of_its_folder_is_not_there(
    service: Service, parts: Parts
) -> None:
    folder = parts.settings.images_dir / "live-x86_64"
    (folder / "vmlinuz").unlink()
    (folder / "vmlinuz").symlink_to("/etc/passwd")
    (folder / "initrd.img").unlink()
    for name in ("vmlinuz", "initrd.img"):
        assert service.machine().http.get(f"/images/live-x86_64/{name}").status_code == 404


# --- manifests are long, and asked for often ------------------------------------------------------


@on_sqlite
def test_a_manifest_is_read_once_for_the_many_files_that_an_installer_fetches(
    service: Service, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    glance = images.glance_at_checksums
    monkeypatch.setattr(
        images, "glance_at_checksums", lambda db, image: read.append(image) or glance(db, image)
    )
    http = service.machine().http
    for _ in range(5):
        assert http.get(URL).status_code == 200
        assert http.get("/images/live-x86_64/none").status_code == 404
        assert http.get("/images/stranger/vmlinuz").status_code == 404
    assert read == ["live-x86_64", *["stranger"] * 5], "what is not there is not remembered"


@on_sqlite
def test_an_image_that_is_replaced_is_served_anew_a_moment_later(
    service: Service, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    http = service.machine().http
    assert http.get(URL).headers["etag"] == ETAG
    with parts.database.writing() as session:
        row = images.by_name(session, "live-x86_64")
        assert row is not None
        files = [{**file, "sha256": "0" * 64} for file in row.manifest["files"]]
        images.save(session, {**row.manifest, "files": files}, parts.clock())
    later = time.monotonic() + media._SECONDS
    monkeypatch.setattr(media.time, "monotonic", lambda: later)
    assert http.get(URL).headers["etag"] == f'"{"0" * 64}"'


# --- memory -----------------------------------------------------------------------------------

SERVE = """
import sys, uvicorn
from deployer.app import build_parts, create_machine_app
from deployer.settings import Settings
parts = build_parts(Settings(data_dir=sys.argv[1], machine_url="http://127.0.0.1:1"))
uvicorn.run(create_machine_app(parts), host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
"""


def memory_mb(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
def test_the_size_of_a_file_does_not_show_in_memory(tmp_path: Path) -> None:
    size = 200 * 10**6
    parts = build_parts(Settings(data_dir=tmp_path, database_url=""))
    (tmp_path / "images" / "big").mkdir(parents=True)
    with (tmp_path / "images" / "big" / "root").open("wb") as file:
        file.truncate(size)
    entry = {"path": "root", "size": size, "sha256": "0" * 64}
    with parts.database.writing() as session:
        images.save(session, {"name": "big", "kind": "raw", "files": [entry]}, parts.clock())
    parts.database.dispose()
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path), str(port)], stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}/images/big/root"
        wait_for(url)
        before = memory_mb(server.pid)
        received, peak = 0, 0.0
        with httpx.stream("GET", url) as answer:
            for chunk in answer.iter_raw(1024 * 1024):
                received += len(chunk)
                peak = max(peak, memory_mb(server.pid))
        assert received == size
        assert peak - before < 20
    finally:
        server.terminate()
        server.wait(10)


def wait_for(url: str) -> None:
    for _ in range(200):
        try:
            httpx.get(url, headers={"Range": "bytes=0-0"})
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the server did not start")
