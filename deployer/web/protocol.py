"""uvicorn's fast HTTP parser, with the limits for a request's head that it does not have.

Bodies are limited in `web.http`; that comes too late for a head, which is read before any of
our code is called. THREATS T044, T079, F065.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from deployer.web.replies import replying

# Far more than any firmware or installer sends, and far too little to fill our memory.
_HEAD_BYTES = 32 * 1024
_HEAD_SECONDS = 20
_UNUSUAL = {b"content-length", b"transfer-encoding", b"expect", b"upgrade"}


class _Replied:
    """To uvicorn a request that is done with."""

    response_complete, disconnected, message_event = True, False, asyncio.Event()


_REPLIED: Any = _Replied()


class AtOnce:
    """An application that may have the reply to a GET before it is called: half the cost.

    `at_once(scope)`, for `paths` alone, gives headers, blank line and body of a reply with status
    200, or None; it runs on the event loop. The application must reply the same without it.
    """

    def __init__(
        self, app: ASGIApp, paths: Iterable[str], at_once: Callable[[Scope], bytes | None]
    ) -> None:
        self.app, self.at_once = app, at_once
        self.paths = {path.encode() for path in paths}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose head is too large or too slow, in trailers and chunks too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unused_bytes = 0  # received since the parser last had something whole for us
        self._in_head = True
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unused_bytes += len(data)
        super().data_received(data)
        if self._unused_bytes > _HEAD_BYTES:
            self._refuse("The head of this request is too large.")
        elif self._in_head and self._patience is None:
            self._wait_for_head()  # nearly every head comes whole, and needs no timer

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            raise ValueError("HTTP/0.9 has no framing")  # becomes a 400
        self._in_head, self._unused_bytes = False, 0
        self._stop_waiting()
        if not self._replied_at_once():
            super().on_headers_complete()
        # A trailer comes after the head was judged; uvicorn would still add it to the headers.
        if not self.parser.should_upgrade():
            self.headers = []

    def on_body(self, body: bytes) -> None:
        self._unused_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unused_bytes = 0
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, replying(app, cycle))

    def _replied_at_once(self) -> bool:
        """What is rare goes the usual way, and so does what waits for a reply before its own."""
        app: Any = self.app
        path, _, query = self.url.partition(b"?")
        if (
            not isinstance(app, AtOnce)
            or path not in app.paths
            or self.parser.get_method() != b"GET"
            or self.parser.get_http_version() != "1.1"
            or not self.parser.should_keep_alive()
            or not _UNUSUAL.isdisjoint(dict(self.headers))
            or not (self.cycle is None or self.cycle.response_complete)
            or self.flow.write_paused
        ):
            return False
        scope: Any = self.scope
        scope["path"], scope["query_string"] = path.decode("ascii"), query
        try:
            reply = app.at_once(scope)
        except Exception:  # the usual way meets it again, and has words for it
            return False
        if reply is None:
            return False
        server = [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        self.transport.write(b"".join((b"HTTP/1.1 200 OK\r\n", *server, reply)))
        self.cycle = _REPLIED
        self.on_response_complete()
        return True

    def _wait_for_head(self) -> None:
        self._patience = self.loop.call_later(
            _HEAD_SECONDS, self._refuse, "The head of this request took too long."
        )

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _refuse(self, why: str) -> None:
        self._stop_waiting()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.send_400_response(why)
        else:
            self.transport.close()  # an answer to the request before is under way
