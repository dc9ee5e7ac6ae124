"""What uvicorn's way of replying lacks: small replies in one packet, files sent by the kernel.

Files: ASGI's `http.response.pathsend`, which Starlette's FileResponse uses where a server has it,
but for ranges. https://asgi.readthedocs.io/en/latest/extensions.html#path-send
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

# Between two pieces others have their turn, and what was just read is still in the processor's
# cache when the client reads it; a client that takes longer for one is gone, or so slow that no
# machine could boot from it.
_PIECE_BYTES = 512 * 1024
_PIECE_SECONDS = 300


def _as_grub_reads_it(head: bytes) -> bytes:
    """GRUB 2.06 compares `Content-Length: ` by the letter (grub-core/net/http.c).

    In uvicorn's small letters it finds no length, and waits for the end of the connection; then it
    loads no kernel.
    """
    return head.replace(b"\r\ncontent-length: ", b"\r\nContent-Length: ", 1)


class _Joining:
    """A transport that keeps the head of a reply back, until the first of its body is there."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport, self.head, self.keeps = transport, b"", False
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if self.keeps:
            self.head, self.keeps = _as_grub_reads_it(data), False
            return
        self.transport.write(self.head + data)
        self.head = b""

    def flush(self) -> None:
        if self.head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self.transport.close()


def replying(app: ASGIApp, cycle: RequestResponseCycle) -> Any:
    """`app`, for one request."""
    transport = cycle.transport
    joining: Any = _Joining(transport)
    cycle.transport = joining

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_joined(message: Message) -> None:
            kind = message["type"]
            joining.keeps = kind == "http.response.start"
            if kind != "http.response.pathsend":
                await send(message)
            else:
                joining.flush()
                if await _sent(cycle, transport, message["path"]):
                    await send({"type": "http.response.body"})
            if kind != "http.response.start":
                joining.flush()  # a reply to HEAD has no body to go with

        scope.setdefault("extensions", {})["http.response.pathsend"] = {}
        await app(scope, receive, send_joined)

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


async def _sent(cycle: RequestResponseCycle, transport: asyncio.Transport, path: str) -> bool:
    """False when the client went away. A file that is shorter than was announced ends the
    connection: uvicorn counts what is missing.

    Not `loop.sendfile`, which stops and starts the reading of requests around each piece.
    """
    while transport.get_write_buffer_size():  # the head, when the client does not read
        await asyncio.sleep(0.05)
        if cycle.disconnected:
            return False
    # The event loop watches no descriptor that belongs to a transport, so it is given another one.
    connection = os.dup(transport.get_extra_info("socket").fileno())
    try:
        with Path(path).open("rb") as file, _full_segments(transport):
            size = min(os.fstat(file.fileno()).st_size, cycle.expected_content_length)
            cycle.expected_content_length -= await _copied(cycle, connection, file.fileno(), size)
    except (OSError, TimeoutError):
        transport.abort()
        cycle.disconnected = True  # or uvicorn complains that the reply is not complete
    finally:
        os.close(connection)
    return not cycle.disconnected


async def _copied(cycle: RequestResponseCycle, connection: int, file: int, size: int) -> int:
    """Bytes that the kernel took over, all of `size` unless file or client ended before."""
    loop, done = asyncio.get_running_loop(), 0
    async with asyncio.timeout(_PIECE_SECONDS) as patience:
        while done < size and not cycle.disconnected:
            try:
                sent = os.sendfile(connection, file, done, min(_PIECE_BYTES, size - done))
            except BlockingIOError:
                await _writable(loop, connection)
                continue
            if not sent:
                break
            done += sent
            patience.reschedule(loop.time() + _PIECE_SECONDS)
            await asyncio.sleep(0)
    return done


async def _writable(loop: asyncio.AbstractEventLoop, connection: int) -> None:
    ready = asyncio.Event()
    loop.add_writer(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(connection)
