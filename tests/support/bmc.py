"""A Redfish server on a loopback port that misbehaves in the ways that BMCs do."""

from __future__ import annotations

import base64
import json
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from tests.support.certificates import SelfSigned
from tests.support.mockups import Resources

USER, PASSWORD = "operator", "s3cret-of-the-bmc"
TOKEN = "token-of-the-session"
# `hang`: no answer; `drop`: the connection ends; `do_and_...`: the same after the deed;
# `endless`: a body without end; `drip`: a header that never ends; `ignore`: fine, and nothing done.
Manner = Literal["hang", "drop", "do_and_drop", "do_and_hang", "endless", "drip", "ignore"]


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    body: Any
    headers: dict[str, str]


Rule = Callable[[Asked, "FaultyBmc"], Answer | None]


def refusal(status: int, message: str) -> Answer:
    """As DSP0266 wants errors."""
    info = [{"MessageId": "Base.1.8.GeneralError", "Message": message}]
    return Answer(status, {"error": {"code": "Base.1.8.GeneralError", "message": "See below",
                                     "@Message.ExtendedInfo": info}})  # fmt: skip


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class FaultyBmc:
    """Context manager. `fault(...)` makes some requests go wrong; `rules` are a vendor's own."""

    def __init__(
        self, resources: Resources, *, rules: tuple[Rule, ...] = (), certificate: SelfSigned | None
        = None, sessions: bool = True,
    ) -> None:  # fmt: skip
        self.resources, self.rules, self.sessions = resources, rules, sessions
        self.asked: list[Asked] = []
        self.resets: list[str] = []
        self.open_sessions = 0
        self.closing = threading.Event()
        self._faults: list[list[Any]] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate_file, certificate.key_file)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.port = self._server.server_port
        self.url = f"{scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> FaultyBmc:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "driver": "redfish", "url": self.url, "username": USER, "password": {"secret": "bmc"},
            "verify": False,
        }  # fmt: skip

    def fault(self, method: str, path: str, what: Manner | Answer, times: int = 1) -> None:
        """The next `times` requests whose path the expression `path` fits."""
        self._faults.append([method, re.compile(path), what, times])

    def fault_of(self, asked: Asked) -> Manner | Answer | None:
        for entry in self._faults:
            method, path, what, times = entry
            if method == asked.method and path.search(asked.path) and times > 0:
                entry[3] -= 1
                found: Manner | Answer = what
                return found
        return None

    def told(self, method: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == method]

    @property
    def system(self) -> dict[str, Any]:
        return next(r for p, r in self.resources.items() if re.search(r"/Systems/[^/]+$", p))

    # --- what a BMC does ----------------------------------------------------------------------

    def answer(self, asked: Asked) -> Answer:
        path = asked.path.rstrip("/")
        if path == "/redfish/v1" and asked.method == "GET":
            return Answer(200, self.resources[path])
        if path.endswith("/Sessions") and asked.method == "POST":
            return self._log_in(asked)
        if not self._is_let_in(asked):
            return refusal(401, "who are you?")
        for rule in self.rules:
            if (own := rule(asked, self)) is not None:
                return own
        if asked.method == "DELETE":
            self.open_sessions -= 1
            return Answer(204)
        if asked.method == "POST":
            return self._act(path, asked.body or {})
        if path not in self.resources:
            return refusal(404, f"no {path}")
        return self._patch(asked, path) if asked.method == "PATCH" else self._get(path)

    def _is_let_in(self, asked: Asked) -> bool:
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return (
            asked.headers.get("x-auth-token") == TOKEN
            or asked.headers.get("authorization") == f"Basic {basic}"
        )

    def _log_in(self, asked: Asked) -> Answer:
        if not self.sessions:
            return refusal(404, "no sessions here")
        if asked.body != {"UserName": USER, "Password": PASSWORD}:
            return refusal(401, "wrong user name or password")
        self.open_sessions += 1
        location = f"{self.url}/redfish/v1/SessionService/Sessions/7"
        return Answer(201, {"Id": "7"}, {"X-Auth-Token": TOKEN, "Location": location})

    def _get(self, path: str) -> Answer:
        resource = self.resources[path]
        etag = resource.get("@odata.etag")
        return Answer(200, resource, {"ETag": etag} if etag else {})

    def _patch(self, asked: Asked, path: str) -> Answer:
        resource = self.resources[path]
        etag, condition = resource.get("@odata.etag"), asked.headers.get("if-match")
        if etag and condition not in (etag, "*", None):
            return refusal(412, "it was changed in between")
        for name, value in asked.body.items():
            if isinstance(value, dict):
                resource[name] = {**resource.get(name, {}), **value}
            else:
                resource[name] = value
        return Answer(204)

    def _act(self, path: str, body: dict[str, Any]) -> Answer:
        holder, _, action = path.partition("/Actions/")
        resource = self.resources[holder]
        if action == "ComputerSystem.Reset":
            self.resets.append(body["ResetType"])
            resource["PowerState"] = "Off" if body["ResetType"] == "ForceOff" else "On"
            if "LastResetTime" in resource:
                resource["LastResetTime"] = f"2026-01-01T00:00:{len(self.resets):02}+00:00"
        if action == "VirtualMedia.InsertMedia":
            resource |= {"Image": body["Image"], "Inserted": True}
        if action == "VirtualMedia.EjectMedia":
            resource |= {"Image": None, "Inserted": False}
        return Answer(204)


def _handler(bmc: FaultyBmc) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, body, headers)
            bmc.asked.append(asked)
            fault = bmc.fault_of(asked)
            try:
                self._answer_as(fault, asked)
            except OSError:
                self.close_connection = True  # they have heard enough

        def _answer_as(self, fault: Manner | Answer | None, asked: Asked) -> None:
            if fault in ("do_and_drop", "do_and_hang"):
                bmc.answer(asked)
            if fault in ("hang", "do_and_hang"):
                bmc.closing.wait()
            if fault in ("hang", "drop", "do_and_hang", "do_and_drop"):
                self.close_connection = True
            elif fault == "drip":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not bmc.closing.wait(0.05):
                    self.wfile.write(b"x")
            elif fault == "endless":
                self.wfile.write(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"a": "')
                while not bmc.closing.is_set():
                    self.wfile.write(b"x" * 65536)
            elif fault == "ignore":
                self._send(Answer(204))
            else:
                self._send(fault if isinstance(fault, Answer) else bmc.answer(asked))

        def _send(self, answer: Answer) -> None:
            raw = isinstance(answer.body, bytes)
            body = answer.body if raw else json.dumps(answer.body).encode()
            if answer.body is None:
                body = b""
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve

        def log_message(self, *_: Any) -> None: ...

    return Handler
