"""Real parts for every test: both databases, the real applications, a clock that is a value."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import fastapi
import hypothesis
import pytest

from deployer.answers import families
from deployer.app import build_parts
from deployer.observe import configure_logging
from deployer.services.parts import CHAT_DRIVERS, Parts
from deployer.settings import Settings
from tests.support.chat import signed, spoken
from tests.support.chat.spoken import Chat
from tests.support.clock import Clock
from tests.support.images import register_images
from tests.support.postgres import PostgresServer
from tests.support.service import Service, ok

# `make check` is content with SQLite.
DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]


def pytest_configure() -> None:
    configure_logging("json")
    families.load_model = _once_per_file(families.load_model)
    include = _once_per_router(fastapi.FastAPI.include_router)
    pytest.MonkeyPatch().setattr(fastapi.FastAPI, "include_router", include)
    # Hypothesis without a stop-watch: a machine that is busy must not fail a test.
    hypothesis.settings.register_profile("patient", deadline=None)
    hypothesis.settings.load_profile("patient")


def pytest_collection_finish() -> None:
    """All modules and tests stay until the end: a tenth of the time was to look at them again."""
    gc.freeze()


def _once_per_file(load: Callable[..., Any]) -> Callable[..., Any]:
    """Families are values: thousands of tests may share those that they read from equal files."""

    @cache
    def loaded(model: type, file: Path, _stamp: tuple[int, int], **extra: str) -> Any:
        return load(model, file, **extra)

    def with_stamp(model: type, file: Path, **extra: str) -> Any:
        stat = file.stat()
        return loaded(model, file, (stat.st_mtime_ns, stat.st_size), **extra)

    return with_stamp


def _once_per_router(include: Callable[..., None]) -> Callable[..., None]:
    """FastAPI works out what a route depends on when an app first needs it, for milliseconds each;
    the apps of all tests have the same routes."""
    known: dict[tuple[str, int], Any] = {}  # which keep their routers

    def shared(app: fastapi.FastAPI, router: fastapi.APIRouter) -> None:
        include(app, router)
        routes = app.router.routes
        routes[-1] = known.setdefault((app.title, id(router)), routes[-1])

    return shared


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start and kill the service as a process take seconds each."""
    for item in items:
        if "live" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL from the machine's binaries; one per test process."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty data folder; copying it is faster than migrating for every test."""
    folder = tmp_path_factory.mktemp("template")
    parts = build_parts(Settings(data_dir=folder))
    parts.database.dispose()
    return folder


@pytest.fixture(params=DATABASES)
def backend(request: pytest.FixtureRequest) -> str:
    """Every test that uses the database runs on both; `@on_sqlite` says where one is enough."""
    return str(request.param)


@pytest.fixture
def settings(request: pytest.FixtureRequest, backend: str, tmp_path: Path) -> Settings:
    data = tmp_path / "data"
    shutil.copytree(request.getfixturevalue("sqlite_template"), data)
    url = ""
    if backend == "postgresql":
        (data / "deployer.db").unlink()
        url = request.getfixturevalue("postgres").new_database()
    return Settings(data_dir=data, database_url=url, machine_url="http://10.0.0.5:8081")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def parts(settings: Settings, clock: Clock) -> Iterator[Parts]:
    parts = build_parts(settings, create=True, clock=clock)
    register_images(parts)
    yield parts
    parts.database.dispose()


@pytest.fixture
def service(parts: Parts, clock: Clock) -> Iterator[Service]:
    """The whole service in this process, its engine replaced by `service.work()`."""
    with Service(parts, clock) as service:
        yield service


@pytest.fixture(autouse=True)
def patient_chats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that come late are a test of their own: this machine may have other work to do."""
    monkeypatch.setattr("deployer.web.chat._PATIENCE", 60)


@pytest.fixture
def chat(service: Service, monkeypatch: pytest.MonkeyPatch) -> Chat:
    """A chat of the service's, on a platform that every test has for itself."""
    driver = signed.fresh()
    monkeypatch.setitem(CHAT_DRIVERS, "signed", driver)
    ok(service.api.post("/api/v1/secrets", json={"name": "chat-key", "value": spoken.KEY}))
    chat = Chat(service, driver)
    chat.receiver()
    return chat
