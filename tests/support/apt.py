"""A small signed package repository on loopback, as a company might keep one."""

from __future__ import annotations

import hashlib
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.gpg import Keyring


class Repository:
    """Context manager; one package, `name`, which brings the file /usr/share/NAME/hello."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._keys = Keyring()
        self.served = folder / "served"
        self.served.mkdir(parents=True)
        self._pack()
        self._sign(self._index())
        handler = partial(_Quiet, directory=str(self.served))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self._server.server_address[1]

    def __enter__(self) -> Repository:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._keys.close()

    @property
    def public_key(self) -> str:
        return self._keys.gpg("--armor", "--export")

    def _pack(self) -> None:
        tree = self.folder / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(
            f"Package: {self.name}\nVersion: 1.0\nArchitecture: all\n"
            "Maintainer: Somebody <somebody@example.org>\nDescription: says hello\n"
        )
        shared = tree / "usr/share" / self.name
        shared.mkdir(parents=True)
        (shared / "hello").write_text("hello from a package\n")
        command = ["dpkg-deb", "--root-owner-group", "--build", str(tree)]
        subprocess.run([*command, str(self._package)], check=True, capture_output=True)

    @property
    def _package(self) -> Path:
        return self.served / f"{self.name}_1.0_all.deb"

    def _index(self) -> str:
        """The text of Release for a flat repository."""
        control = subprocess.run(
            ["dpkg-deb", "--field", str(self._package)], check=True, capture_output=True, text=True
        ).stdout
        packages = (
            f"{control}Filename: ./{self._package.name}\nSize: {self._package.stat().st_size}\n"
            f"SHA256: {hashlib.sha256(self._package.read_bytes()).hexdigest()}\n"
        )
        (self.served / "Packages").write_text(packages)
        digest = hashlib.sha256(packages.encode()).hexdigest()
        return f"Origin: test\nSHA256:\n {digest} {len(packages.encode())} Packages\n"

    def _sign(self, release: str) -> None:
        text = self.folder / "Release"
        text.write_text(release)
        self._keys.make_key("Test <test@example.org>")
        self._keys.gpg("--clearsign", "--output", str(self.served / "InRelease"), str(text))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """pytest's output is for what matters."""
