"""An ntfy server, as far as publishing JSON goes: it takes and refuses what server.go of 2.x does.

Error bodies and their codes are those of its errors.go.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_TOPIC = re.compile(r"[-_A-Za-z0-9]{1,64}")
_MESSAGE_BYTES = 4096
_KNOWN = {"topic", "message", "title", "tags", "priority", "click", "actions", "markdown"}


class Refused(Exception):
    def __init__(self, code: int, error: str) -> None:
        super().__init__(error)
        self.code, self.error = code, error


class Ntfy:
    """`messages` are those that were published. `busy`: so many are refused, as by its limit."""

    def __init__(self, token: str | None = None) -> None:
        self.token, self.busy = token, 0
        self.messages: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def publish(self, path: str, authorization: str | None, body: bytes) -> dict[str, Any]:
        if path != "/":
            raise Refused(40401, "page not found")
        if self.token is not None and authorization != f"Bearer {self.token}":
            known = authorization is not None
            raise Refused(40101, "unauthorized") if known else Refused(40301, "forbidden")
        if self.busy:
            self.busy -= 1
            raise Refused(42901, "limit reached: too many requests")
        if len(body) > 2 * _MESSAGE_BYTES:
            raise Refused(41303, "JSON body too large")
        try:
            given = json.loads(body.decode())
        except ValueError:
            raise Refused(40024, "invalid request: request body must be valid JSON") from None
        assert set(given) <= _KNOWN, "a field that it does not know"
        if not _TOPIC.fullmatch(given.get("topic", "")):
            raise Refused(40009, "invalid request: topic invalid")
        if given.get("priority", 3) not in range(1, 6):
            raise Refused(40007, "invalid priority parameter")
        assert len(given["message"].encode()) <= _MESSAGE_BYTES, "it would become an attachment"
        self.messages.append(given)
        return {"id": f"m{len(self.messages)}", "event": "message", **given}

    def _handler(ntfy: Ntfy) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = 200
                try:
                    said = ntfy.publish(self.path, self.headers.get("Authorization"), body)
                except Refused as error:
                    status = error.code // 100
                    said = {"code": error.code, "http": status, "error": error.error}
                answer = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        return Handler

    def __enter__(self) -> Ntfy:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
