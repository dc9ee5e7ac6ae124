"""The machine side behind the real HTTP server, on a loopback port, for raw bytes."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from deployer import serve
from tests.support.postgres import free_port


class RunningServer:
    """Context manager; configured as `deployer serve` does it, in a thread of this process."""

    def __init__(self, app: ASGIApp, protocol: type[asyncio.Protocol] | None = None) -> None:
        self.port = free_port()
        self._server: Any = serve._server(app, f"127.0.0.1:{self.port}", "MACHINE_LISTEN")
        self._server.config.lifespan = "off"  # we have none, and it complains when it is cut short
        if protocol is not None:
            self._server.config.http = protocol
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.run(self._server.serve([self._server.listener]))

    def __enter__(self) -> RunningServer:
        self._thread.start()
        end = time.monotonic() + 10
        while not self._server.started and time.monotonic() < end:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    @property
    def protocol(self) -> type[asyncio.Protocol]:
        """What parses our requests."""
        parser: type[asyncio.Protocol] = self._server.config.http_protocol_class
        return parser

    @contextmanager
    def connection(self, source: str = "127.0.0.1") -> Iterator[socket.socket]:
        """`source`: any address of 127.0.0.0/8, to be another machine."""
        address = ("127.0.0.1", self.port)
        with socket.create_connection(address, 10, source_address=(source, 0)) as connection:
            yield connection

    def says(self, request: bytes, source: str = "127.0.0.1") -> bytes:
        """Everything that comes back until the server closes, or says nothing more for a while."""
        with self.connection(source) as connection:
            connection.sendall(request)
            return read_all(connection)


def read_all(connection: socket.socket, patience: float = 0.5) -> bytes:
    """What arrives until the other side closes, or is silent for `patience` seconds.

    For the first of it we wait longer: this machine may be busy.
    """
    connection.settimeout(max(patience, 3))
    answer = bytearray()
    try:
        while chunk := connection.recv(65536):
            answer += chunk
            connection.settimeout(patience)
    except (TimeoutError, ConnectionError):
        pass
    return bytes(answer)


def statuses(answer: bytes) -> list[int]:
    """The status of every response in `answer`."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def resident_bytes() -> int:
    """Memory that this process uses now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
