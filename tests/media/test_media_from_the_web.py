"""Media by URL: fetched whole, checked, or nothing."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployer.errors import DeployerError
from deployer.media.build import fetch
from tests.support.vendors import (
    ALPINE,
    ESXI,
    FLATCAR,
    KERNEL,
    OPENBSD,
    TALOS_FOLDER,
    UBUNTU,
    anaconda,
    iso,
    said,
    take,
    tar,
    tree,
)

ISO = "ubuntu-24.04.3-live-server-amd64.iso"


class Mirror:
    """A web server of a folder. `broken`: path: what is done in place of an answer."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, list[str]()
        self.broken: dict[str, str] = {}
        handler = partial(_Handler, self)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, mirror: Mirror, *arguments: Any) -> None:
        self.mirror = mirror
        super().__init__(*arguments, directory=str(mirror.folder))

    def do_GET(self) -> None:
        self.mirror.asked.append(self.path)
        what = self.mirror.broken.get(self.path)
        if what is None:
            super().do_GET()
        elif "://" in what:
            self.send_response(302)
            self.send_header("Location", what)
            self.end_headers()
        elif what.isdigit():
            self.send_error(int(what))
        else:  # says more than it sends
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"only this")
            if what == "hangs":
                threading.Event().wait(5)

    def list_directory(self, path: Any) -> None:
        self.send_error(404)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    (tmp_path / "web").mkdir()
    made = Mirror(tmp_path / "web")
    yield made
    made.close()


def nothing_is_left(folder: Path) -> bool:
    return list((folder / "data").glob("images/*")) == []


@pytest.mark.slow
def test_an_iso_is_fetched_and_compared_with_the_list_beside_it(
    tmp_path: Path, mirror: Mirror
) -> None:
    medium = iso(mirror.folder / ISO, UBUNTU)
    digest = hashlib.sha256(medium.read_bytes()).hexdigest()
    (mirror.folder / "SHA256SUMS").write_text(f"{digest} *{ISO}\n")
    image = take(tmp_path, f"{mirror.url}/{ISO}")
    assert image.manifest["verified"] == "SHA256SUMS beside it"
    assert image.manifest["made_of"] == ISO
    assert (image.folder / "ubuntu.iso").read_bytes() == medium.read_bytes()
    assert f"fetching {mirror.url}/{ISO}, " in said(tmp_path)
    (mirror.folder / "SHA256SUMS").write_text(f"{'0' * 64} *{ISO}\n")
    with pytest.raises(DeployerError, match="has another SHA256 than SHA256SUMS says"):
        take(tmp_path, f"{mirror.url}/{ISO}")


@pytest.mark.slow
def test_an_archive_is_fetched_too(tmp_path: Path, mirror: Mirror) -> None:
    tar(mirror.folder / "alpine-netboot-3.23.0-aarch64.tar.gz", ALPINE)
    image = take(tmp_path, f"{mirror.url}/alpine-netboot-3.23.0-aarch64.tar.gz")
    assert image.manifest["name"] == "alpine-3.23-arm64"


@pytest.mark.slow
@pytest.mark.parametrize("end", ["", "/", "/pxeboot"])
def test_of_a_folder_only_what_is_needed_is_fetched(
    tmp_path: Path, mirror: Mirror, end: str
) -> None:
    tree(mirror.folder / "7.8/amd64", OPENBSD)
    image = take(tmp_path, f"{mirror.url}/7.8/amd64{end}")
    assert image.manifest["name"] == "openbsd-7.8-x86_64"
    assert image.manifest["verified"] == "1 of 3 files: SHA256 beside it"
    assert (image.folder / "bootx64.efi").read_bytes() == KERNEL
    assert "/7.8/amd64/base78.tgz" not in mirror.asked


@pytest.mark.slow
def test_a_place_tells_what_a_folder_does_not(tmp_path: Path, mirror: Mirror) -> None:
    tree(mirror.folder / "amd64-usr/4230.2.3", FLATCAR)
    tree(mirror.folder / "download/v1.13.2", TALOS_FOLDER)
    tree(mirror.folder / "v3.22/releases/aarch64/netboot-3.22.1",
         {name.removeprefix("boot/"): content for name, content in ALPINE.items()})  # fmt: skip
    build = "prod/streams/testing/builds/44.20260512.2.0/aarch64"
    named = f"{build}/fedora-coreos-44.20260512.2.0-live"
    tree(mirror.folder, {
        f"{named}-kernel.aarch64": KERNEL, f"{named}-initramfs.aarch64.img": b"initrd",
        f"{named}-rootfs.aarch64.img": b"root",
    })  # fmt: skip
    for place, name in {
        "amd64-usr/4230.2.3": "flatcar-stable-x86_64",
        "download/v1.13.2/vmlinuz-arm64": "talos-1.13-arm64",
        "v3.22/releases/aarch64/netboot-3.22.1/": "alpine-3.22-arm64",
        build: "fedora-coreos-testing-arm64",
    }.items():
        image = take(tmp_path, f"{mirror.url}/{place}")
        assert image.manifest["name"] == name
        assert "nothing vouches for" in said(tmp_path)


@pytest.mark.slow
def test_of_a_tree_the_installer_is_fetched_and_its_packages_stay(
    tmp_path: Path, mirror: Mirror
) -> None:
    tree(mirror.folder / "os", anaconda("Fedora", "44"))
    image = take(tmp_path, f"{mirror.url}/os")
    assert {file["path"] for file in image.manifest["files"]} == {
        ".treeinfo", "images/pxeboot/vmlinuz", "images/pxeboot/initrd.img", "images/install.img",
    }  # fmt: skip
    assert image.manifest["verified"] == "1 of 4 files: .treeinfo beside it"
    assert said(tmp_path).count("profiles name a mirror") == 1


@pytest.mark.slow
def test_what_must_be_listed_cannot_come_from_a_web_server(tmp_path: Path, mirror: Mirror) -> None:
    tree(mirror.folder / "esxi", ESXI)
    with pytest.raises(DeployerError, match=r"all files of .* are needed, and a web server"):
        take(tmp_path, f"{mirror.url}/esxi/")


# --- what goes wrong --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("404", "404"), ("503", "503"), ("ends", "without sending complete message body"),
        ("hangs", "timed out"), ("http://127.0.0.1:1/", "refused"), ("ftp://h/", "protocol"),
    ],
)  # fmt: skip
def test_a_fetch_that_fails_leaves_nothing(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, fault: str, words: str
) -> None:
    monkeypatch.setattr(fetch, "_SECONDS", httpx.Timeout(0.5))
    iso(mirror.folder / ISO, UBUNTU)
    mirror.broken[f"/{ISO}"] = fault
    with pytest.raises(DeployerError, match=words) as refused:
        take(tmp_path, f"{mirror.url}/{ISO}")
    assert ISO in refused.value.message
    assert nothing_is_left(tmp_path)


@pytest.mark.slow
def test_a_redirect_is_followed(tmp_path: Path, mirror: Mirror) -> None:
    iso(mirror.folder / "elsewhere.iso", UBUNTU)
    mirror.broken[f"/{ISO}"] = f"{mirror.url}/elsewhere.iso"
    assert take(tmp_path, f"{mirror.url}/{ISO}").manifest["made_of"] == ISO


@pytest.mark.slow
def test_more_than_any_medium_has_is_not_fetched_to_its_end(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    iso(mirror.folder / ISO, UBUNTU)
    monkeypatch.setattr(fetch, "LARGEST", 1000)
    with pytest.raises(DeployerError, match=r"is larger than 1\.0 kB, or comes too slowly"):
        take(tmp_path, f"{mirror.url}/{ISO}")
    assert nothing_is_left(tmp_path)


@pytest.mark.slow
def test_a_file_of_a_folder_that_fails_fails_it_all(tmp_path: Path, mirror: Mirror) -> None:
    tree(mirror.folder / "7.8/amd64", OPENBSD)
    mirror.broken["/7.8/amd64/bsd.rd"] = "ends"
    with pytest.raises(DeployerError, match=r"bsd\.rd"):
        take(tmp_path, f"{mirror.url}/7.8/amd64/")
    assert nothing_is_left(tmp_path)


@pytest.mark.slow
def test_what_may_be_secret_in_a_url_is_not_shown(tmp_path: Path, mirror: Mirror) -> None:
    iso(mirror.folder / ISO, UBUNTU)
    host = mirror.url.removeprefix("http://")
    secret = f"http://me:secret-1@{host}/{ISO}?token=secret-2/x"
    image = take(tmp_path, secret)
    assert f"fetching {mirror.url}/{ISO}, " in said(tmp_path)
    mirror.broken[f"/{ISO}?token=secret-2/x"] = "503"
    with pytest.raises(DeployerError) as refused:
        take(tmp_path, secret)
    assert refused.value.message == f"{mirror.url}/{ISO}: 503 Service Unavailable"
    assert "secret" not in f"{image.manifest}{said(tmp_path)}"


@pytest.mark.parametrize("url", ["ftp://h/x.iso", "file:///etc/passwd", "http:///x.iso"])
def test_other_urls_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(DeployerError, match="cannot be fetched") as refused:
        take(tmp_path, url)
    assert refused.value.remedy == "give a URL of http or https"
