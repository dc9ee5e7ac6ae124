"""Debian's mirror as machines in QEMU see it: on our loopback, passed on from the one apt uses.

What was fetched once is kept, so that a second machine does not fetch it again.
"""

from __future__ import annotations

import lzma
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from deployer.media.build.workshop import SUITES, mirror_or_host_mirror

_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._+~%/-]+", re.ASCII)


class Mirror:
    """Context manager. `serves`: the paths that it has, everything else is a 404; `cuts`: those of
    which it sends half, and hangs up."""

    def __init__(
        self, cache: Path, serves: Callable[[str], bool] = lambda path: True,
        cuts: Callable[[str], bool] = lambda path: False,
    ) -> None:  # fmt: skip
        self.cache, self.serves, self.cuts = cache, serves, cuts
        self.upstream = mirror_or_host_mirror(None)
        self.http = httpx.Client(follow_redirects=True, timeout=60)
        self.asked: list[str] = []
        self.refused: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """As a machine in QEMU's user network sees it."""
        return f"http://10.0.2.2:{self._server.server_port}/debian"

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._server.shutdown()
        self._server.server_close()
        self.http.close()

    def get(self, path: str) -> bytes | None:
        """A file below the mirror's root; None when there is none."""
        if not _PLAIN_PATH.fullmatch(path) or ".." in path or not self.serves(path):
            return None
        kept = self.cache / path.lstrip("/").replace("/", "_")
        if not kept.exists():
            answer = self.http.get(f"{self.upstream}{path}")
            if answer.status_code != 200:
                return None
            kept.parent.mkdir(parents=True, exist_ok=True)
            partial = kept.with_suffix(f".{threading.get_ident()}")
            partial.write_bytes(answer.content)
            partial.rename(kept)
        return kept.read_bytes()

    def lacking(self, release: str) -> list[str]:
        """Parts of the installer that the index names and the mirror does not have."""
        index = f"/dists/{SUITES[release]}/main/debian-installer/binary-amd64/Packages.xz"
        packed = self.get(index)
        if packed is None:
            return [index]
        names = re.findall(r"^Filename: (\S+)$", lzma.decompress(packed).decode(), re.MULTILINE)
        with ThreadPoolExecutor(16) as pool:
            there = pool.map(self._has, names)
            return [name for name, has in zip(names, there, strict=True) if not has]

    def _has(self, name: str) -> bool:
        return self.http.head(f"{self.upstream}/{name}").status_code == 200

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(body=True)

            def do_HEAD(self) -> None:
                self._answer(body=False)

            def _answer(self, body: bool) -> None:
                path = self.path.removeprefix("/debian")
                content = mirror.get(path)
                (mirror.asked if content is not None else mirror.refused).append(path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if body and mirror.cuts(path):
                    self.wfile.write(content[: len(content) // 2])
                    self.close_connection = True
                elif body:
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Quiet: what matters is in `asked` and `refused`."""

        return Handler
