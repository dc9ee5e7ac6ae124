"""Runs the service: both listeners and the worker in one process, until told to stop."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
import threading
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from deployer.app import create_machine_app, create_operator_app
from deployer.engine import Worker
from deployer.errors import ConfigurationError
from deployer.observe import log
from deployer.services.parts import Parts
from deployer.web.protocol import BoundedProtocol

# After SIGTERM: whoever is connected may still say what it wants, requests in hand may finish,
# and so may effects; together under the ten seconds that an operator waits.
_LAST_WORDS_SECONDS = 0.5
_GRACE_SECONDS = 6
_EFFECTS_SECONDS = 2


class _Server(uvicorn.Server):
    """Leaves signals to us: there are two servers in this process, and they stop together."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self.listener = listener

    def capture_signals(self) -> Any:
        return nullcontext()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drop nobody: uvicorn alone would reset who is in the kernel's queue, and hang up on
        who has connected and not yet sent its request."""
        late = _queued(sockets or [])
        for server in self.servers:
            server.close()
        kind: Any = self.config.http_protocol_class
        protocol = partial(
            kind, config=self.config, server_state=self.server_state,
            app_state=self.lifespan.state,
        )  # fmt: skip
        for connection in late:
            await asyncio.get_running_loop().connect_accepted_socket(protocol, connection)
        if not self.force_exit:
            await asyncio.sleep(_LAST_WORDS_SECONDS)
        await super().shutdown(sockets)


def _queued(listeners: list[socket.socket]) -> list[socket.socket]:
    """Connections that the kernel has accepted and we have not."""
    found = []
    for listener in listeners:
        with suppress(BlockingIOError):
            while True:
                connection, _ = listener.accept()
                connection.setblocking(False)
                found.append(connection)
    return found


def _server(app: ASGIApp, listen: str, setting: str) -> _Server:
    host, _, port = listen.rpartition(":")
    config = uvicorn.Config(
        app,
        host=host.strip("[]"),
        port=int(port),
        log_config=None,
        access_log=False,
        # uvicorn would believe X-Forwarded-For from loopback; we decide ourselves (THREATS T006).
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=15,
        http=BoundedProtocol,
    )
    try:
        listener = config.bind_socket()
    except SystemExit:
        raise ConfigurationError(
            f"DEPLOYER_{setting}={listen}: the address cannot be used; another process has it, or"
            " it is not this machine's", field=f"DEPLOYER_{setting}", value=listen,
            remedy="choose another address or port, or stop the other process",
        ) from None  # fmt: skip
    # uvicorn's own listener lacks it: head and body are two writes, and on a connection that is
    # kept the second would wait for the client's delayed acknowledgement, 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _Server(config, listener)


def _allow_connections() -> None:
    """As many as the system lets us have: a process begins with 1024, and slow clients use them
    up (THREATS F065)."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def serve(parts: Parts, *, with_worker: bool = True) -> None:
    """Blocks until SIGTERM or SIGINT, then finishes what is in hand."""
    _allow_connections()
    worker = Worker(parts) if with_worker else None
    settings = parts.settings
    servers = [
        _server(create_operator_app(parts, worker), settings.listen, "LISTEN"),
        _server(create_machine_app(parts), settings.machine_listen, "MACHINE_LISTEN"),
    ]
    if worker:
        worker.start()
    log.info(
        "serving", people=settings.listen, machines=settings.machine_listen,
        machine_url=settings.effective_machine_url,
    )  # fmt: skip
    try:
        asyncio.run(_run(servers, worker))
    finally:
        if worker:
            worker.stop(_EFFECTS_SECONDS)
        parts.database.dispose()
    _leave(worker)


def _leave(worker: Worker | None) -> None:
    log.info("stopped")
    if worker and worker.in_hand:
        # Threads that still wait for a BMC would keep this process; their effects are handed back.
        sys.stdout.flush()
        os._exit(0)


async def _run(servers: list[_Server], worker: Worker | None) -> None:
    def stop() -> None:
        if worker:
            worker.take_no_more()
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await asyncio.gather(*(server.serve([server.listener]) for server in servers))


def work(parts: Parts) -> None:
    """The worker alone, for sites with several processes on PostgreSQL; until told to stop."""
    worker = Worker(parts)
    worker.start()
    log.info("working", worker=parts.settings.worker_name)
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: asked.set())
    asked.wait()
    worker.stop()
    parts.database.dispose()
    _leave(worker)
