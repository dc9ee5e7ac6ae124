"""Files go from the disk to the socket within the kernel: ASGI's `http.response.pathsend`.

https://asgi.readthedocs.io/en/latest/extensions.html#path-send
uvicorn lacks it; Starlette's FileResponse uses it where a server has it, but for ranges.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

# Between two pieces others have their turn; a client that takes longer for one is gone, or so
# slow that no machine could boot from it.
_PIECE_BYTES = 16 * 1024 * 1024
_PIECE_SECONDS = 300


def with_pathsend(app: ASGIApp, cycle: RequestResponseCycle) -> Any:
    """`app`, for one request, on a server that can send files."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_file(message: Message) -> None:
            if message["type"] != "http.response.pathsend":
                await send(message)
            elif await _sent(cycle, message["path"]):
                await send({"type": "http.response.body"})

        scope.setdefault("extensions", {})["http.response.pathsend"] = {}
        await app(scope, receive, send_or_file)

    return call


@contextmanager
def _full_segments(transport: asyncio.Transport) -> Iterator[None]:
    """Segments go out full, as nginx's tcp_nopush does it: a third more throughput. Linux only."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    try:
        yield
    finally:
        if not transport.is_closing():
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


async def _sent(cycle: RequestResponseCycle, path: str) -> bool:
    """False when the client went away. A file that is shorter than was announced ends the
    connection: uvicorn counts what is missing."""
    loop = asyncio.get_running_loop()
    with Path(path).open("rb") as file, _full_segments(cycle.transport):
        size = min(os.fstat(file.fileno()).st_size, cycle.expected_content_length)
        for start in range(0, size, _PIECE_BYTES):
            if cycle.disconnected:
                return False
            try:
                async with asyncio.timeout(_PIECE_SECONDS):
                    cycle.expected_content_length -= await loop.sendfile(
                        cycle.transport, file, start, min(_PIECE_BYTES, size - start)
                    )
            except (OSError, TimeoutError, RuntimeError):
                cycle.transport.abort()
                return False
    return True
