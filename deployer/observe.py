"""Logs and metrics: one line per request and per transition, and what Prometheus reads."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import threading
from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import Any, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

log: structlog.stdlib.BoundLogger = structlog.get_logger("deployer")

registry = CollectorRegistry()
metrics = SimpleNamespace(
    boots=Counter(
        "deployer_boots_total", "Boot decisions by what was served and why",
        ["served", "reason"], registry=registry,
    ),
    callbacks=Counter(
        "deployer_callbacks_total", "Calls from machines", ["kind"], registry=registry
    ),
    transitions=Counter(
        "deployer_transitions_total", "Arrivals in a state", ["state"], registry=registry
    ),
    deployments=Gauge(
        "deployer_deployments", "Deployments by state", ["state"], registry=registry
    ),
    stage_seconds=Histogram(
        "deployer_stage_seconds", "Time spent in a state", ["state"], registry=registry,
        buckets=(1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400),
    ),
    requests=Histogram(
        "deployer_request_seconds", "Time to answer, by side and status",
        ["side", "status"], registry=registry,
    ),
    effects=Counter(
        "deployer_effects_total", "Effects by name and outcome", ["name", "outcome"],
        registry=registry,
    ),
    deliveries=Counter(
        "deployer_deliveries_total", "Tries to tell a receiver, by its type and how they ended",
        ["type", "outcome"], registry=registry,
    ),
    workers=Gauge("deployer_workers", "Workers that give signs of life", registry=registry),
    background_failures=Counter(
        "deployer_background_failures_total", "Crashes of background tasks, restarted each time",
        ["task"], registry=registry,
    ),
    # A process of its own, so it is known by its heartbeat; a restart of it begins at zero.
    netboot_up=Gauge(
        "deployer_netboot_up", "1 while a netboot gives signs of life", ["netboot"],
        registry=registry,
    ),
    netboot_restarts=Gauge(
        "deployer_netboot_restarts", "How often its dnsmasq ended and was started again",
        ["netboot"], registry=registry,
    ),
    netboot_events=Gauge(
        "deployer_netboot_events", "What DHCP and TFTP saw, by kind", ["netboot", "kind"],
        registry=registry,
    ),
)  # fmt: skip

# Finding a measurement by its labels costs more than the measurement.
measurement = cache(metrics.requests.labels)
boot_count = cache(metrics.boots.labels)

# Where a token belongs, and what looks like one elsewhere: a client may get its URL wrong.
_TOKEN_IN_PATH = re.compile(r"(?<=/d/)[^/]+|[0-9a-z]{58}")


def masked_path(path: str) -> str:
    """A request path as it may be logged: a token in it opens doors, so it is left out."""
    return _TOKEN_IN_PATH.sub("***", path)


_quoted = json.encoder.encode_basestring_ascii


def log_request(**facts: str | int | float) -> None:
    """The line of one request: as `log.info`, at a quarter of the cost, for there is one each."""
    if not _json_to:
        log.info("request", **facts)
        return
    members = [
        f'"{name}": {_quoted(fact) if type(fact) is str else fact}' for name, fact in facts.items()
    ]
    now = datetime.now(UTC).isoformat()[:-6]
    _write(
        f'{{{", ".join(members)}, "event": "request", "level": "info", "timestamp": "{now}Z"}}\n'
    )


class _Waiting(threading.local):
    """Lines of this thread's event loop: each thread has one at most."""

    def __init__(self) -> None:
        self.lines: list[str] = []


_waiting = _Waiting()


def _write(line: str) -> None:
    """Under load, what came up in one turn of the event loop goes out in one write."""
    lines = _waiting.lines
    if not lines:
        try:
            asyncio.get_running_loop().call_soon(_flush)
        except RuntimeError:
            _json_to[0].write(line)
            return
    lines.append(line)


def _flush() -> None:
    lines = "".join(_waiting.lines)
    _waiting.lines.clear()
    _json_to[0].write(lines)


_json_to: list[TextIO] = []  # where lines go as JSON, if they do


def configure_logging(format_: str) -> None:
    """Lines on stderr; JSON escapes line breaks, so a hostile text cannot forge a line."""
    _json_to[:] = [sys.stderr] if format_ == "json" else []
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=True)
        if format_ == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # One write per line: those of two threads do not mix.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
