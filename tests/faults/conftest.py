"""The service as processes that may die, and its engine in this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from deployer.engine import Worker
from deployer.services.parts import Parts
from deployer.settings import Settings
from tests.support.clock import RealTime
from tests.support.live import LiveService
from tests.support.service import Service


@pytest.fixture
def live(settings: Settings) -> Iterator[LiveService]:
    """Not started yet; a test may start and kill it as often as it likes."""
    with LiveService(settings) as live:
        yield live


@pytest.fixture
def real_parts(parts: Parts) -> Parts:
    """On real time: the engine counts in it."""
    return replace(parts, clock=RealTime())


@pytest.fixture
def real(real_parts: Parts) -> Service:
    """People's and machines' side on real time, beside a worker or many threads."""
    return Service(real_parts, RealTime())


@pytest.fixture
def worker(real_parts: Parts) -> Iterator[Worker]:
    """The engine, at work in this process."""
    worker = Worker(real_parts)
    worker.start()
    yield worker
    worker.stop()
