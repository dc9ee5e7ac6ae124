"""Debian's installer from a mirror's own files, each checked up to the archive's signature."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deployer.media import library
from deployer.media.build import BuildError, debian_installer, fetch_debian_installer
from tests.support.gpg import Keyring

BUILD = "main/installer-armhf/20230607+deb12u15/images"
FILES = {"vmlinuz": b"kernel " * 100, "initrd.gz": gzip.compress(b"initrd")}


class Archive:
    """What a mirror has below dists/bookworm, signed by a key made for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dists = folder / "served/dists/bookworm"
        self.images = self.dists / BUILD
        netboot = self.images / "netboot/debian-installer/armhf"
        netboot.mkdir(parents=True)
        for name, content in FILES.items():
            (netboot / name).write_bytes(content)
        self.keys = folder / "keys.gpg"
        self._keyring = Keyring()
        self._keyring.make_key("Archive <archive@example.org>")
        self._keyring.gpg("--export", "--output", str(self.keys))
        self.publish()
        handler = partial(_Quiet, directory=str(folder / "served"))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def publish(self) -> None:
        """Checksums of the files as they are now, and the signed list of those."""
        sums = self.images / "SHA256SUMS"
        entries = sorted(path for path in self.images.rglob("*") if path.is_file() and path != sums)
        sums.write_text(
            "".join(f"{digest(path)}  ./{path.relative_to(self.images)}\n" for path in entries)
        )
        plain = self.folder / "Release"
        plain.write_text(
            "Suite: oldstable\nMD5Sum:\n 00000000000000000000000000000000 1 nothing\nSHA256:\n"
            f" {digest(sums)} {sums.stat().st_size:8} {BUILD}/SHA256SUMS\n"
        )
        signed = self.dists / "InRelease"
        signed.unlink(missing_ok=True)
        self._keyring.gpg("--clearsign", "--output", str(signed), str(plain))

    def __enter__(self) -> Archive:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._keyring.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    def no_package(*_: Any) -> str:
        raise BuildError("E: Unable to locate package", "")

    monkeypatch.setattr(debian_installer, "_from_package", no_package)
    with Archive(tmp_path / "archive") as archive:
        yield archive


def fetch(archive: Archive, dest: Path) -> None:
    fetch_debian_installer(
        dest, release="12", arch="armhf", mirror=archive.url, keys=archive.keys,
        log=lambda _: None,
    )  # fmt: skip


def test_the_mirrors_files_are_an_image_when_there_is_no_package(
    archive: Archive, tmp_path: Path
) -> None:
    fetch(archive, tmp_path / "image")
    manifest = library.read_manifest(tmp_path / "image")
    library.verify(tmp_path / "image", manifest)
    assert manifest["name"] == "debian-installer-12-armhf"
    assert manifest["source"] == "main/installer-armhf/20230607+deb12u15"
    assert (tmp_path / "image/linux").read_bytes() == FILES["vmlinuz"]
    assert (tmp_path / "image/initrd.gz").read_bytes() == FILES["initrd.gz"]


def test_a_file_that_is_not_what_was_signed_is_refused(archive: Archive, tmp_path: Path) -> None:
    initrd = archive.images / "netboot/debian-installer/armhf/initrd.gz"
    initrd.write_bytes(b"another one")
    with pytest.raises(BuildError, match=r"initrd\.gz has SHA-256 [0-9a-f]{64}, not"):
        fetch(archive, tmp_path / "image")
    assert not (tmp_path / "image").exists()


def test_a_list_of_checksums_that_is_not_what_was_signed_is_refused(
    archive: Archive, tmp_path: Path
) -> None:
    sums = archive.images / "SHA256SUMS"
    sums.write_text(sums.read_text() + "# more\n")
    with pytest.raises(BuildError, match="SHA256SUMS has SHA-256"):
        fetch(archive, tmp_path / "image")


@pytest.mark.slow
def test_a_signature_of_anybody_else_is_refused(archive: Archive, tmp_path: Path) -> None:
    with Archive(tmp_path / "other") as other:
        archive.keys.write_bytes(other.keys.read_bytes())
    with pytest.raises(BuildError, match=r"no key of .* has signed it"):
        fetch(archive, tmp_path / "image")


def test_a_mirror_without_the_files_is_named_with_what_it_lacks(
    archive: Archive, tmp_path: Path
) -> None:
    (archive.images / "netboot/debian-installer/armhf/vmlinuz").unlink()
    with pytest.raises(BuildError) as refusal:
        fetch(archive, tmp_path / "image")
    assert "Unable to locate package" in str(refusal.value)
    assert "404" in str(refusal.value)
    assert refusal.value.remedy == "name a complete mirror with --mirror"


def test_an_installer_that_never_was_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="there is no installer for Debian 13 on i386"):
        fetch_debian_installer(tmp_path / "image", release="13", arch="i386")
