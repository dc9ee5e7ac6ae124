"""Runs the service: both listeners and the worker in one process, until told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from contextlib import nullcontext
from typing import Any

import uvicorn
from fastapi import FastAPI

from deployer.app import create_machine_app, create_operator_app
from deployer.engine import Worker
from deployer.errors import ConfigurationError
from deployer.observe import log
from deployer.services.parts import Parts

# Requests in hand get this long to finish after SIGTERM.
_GRACE_SECONDS = 8


class _Server(uvicorn.Server):
    """Leaves signals to us: there are two servers in this process, and they stop together."""

    def capture_signals(self) -> Any:
        return nullcontext()


def _server(app: FastAPI, listen: str, setting: str) -> _Server:
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
        h11_max_incomplete_event_size=32 * 1024,
    )
    server = _Server(config)
    try:
        server.sockets = [config.bind_socket()]  # type: ignore[attr-defined]
    except SystemExit:
        raise ConfigurationError(
            f"DEPLOYER_{setting}={listen}: the address cannot be used; another process has it, or"
            " it is not this machine's", field=f"DEPLOYER_{setting}", value=listen,
            remedy="choose another address or port, or stop the other process",
        ) from None  # fmt: skip
    return server


def serve(parts: Parts, *, with_worker: bool = True) -> None:
    """Blocks until SIGTERM or SIGINT, then finishes what is in hand."""
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
        asyncio.run(_run(servers))
    finally:
        if worker:
            worker.stop()
        parts.database.dispose()
    _leave(worker)


def _leave(worker: Worker | None) -> None:
    log.info("stopped")
    if worker and worker.in_hand:
        # Threads that still wait for a BMC would keep this process; their effects are handed back.
        sys.stdout.flush()
        os._exit(0)


async def _run(servers: list[_Server]) -> None:
    def stop() -> None:
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await asyncio.gather(
        *(server.serve(sockets=server.sockets) for server in servers)  # type: ignore[attr-defined]
    )


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
