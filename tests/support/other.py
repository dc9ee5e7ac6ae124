"""Somebody else's HTTP service, as a real server on loopback."""

from __future__ import annotations

import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from tests.support.certificates import SelfSigned


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Other:
    """Remembers what it was asked; its answers are `statuses`, then the last one. While `hangs` is
    set it answers nobody."""

    def __init__(self, certificate: SelfSigned | None = None) -> None:
        self.asked: list[Asked] = []
        self.statuses = [200]
        self.headers: dict[str, str] = {}
        self.hangs = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate_file, certificate.key_file)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"

    def _handler(other: Other) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                other.asked.append(Asked(self.command, self.path, headers, body))
                while other.hangs.is_set():
                    time.sleep(0.02)
                status = other.statuses.pop(0) if len(other.statuses) > 1 else other.statuses[0]
                self.send_response(status)
                for name, value in other.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "19")
                self.end_headers()
                self.wfile.write(b"a body nobody shows")

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        return Handler

    def __enter__(self) -> Other:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hangs.clear()
        self._server.shutdown()
        self._server.server_close()
