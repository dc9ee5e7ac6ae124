"""The command line against a real server: the operator app behind uvicorn on a loopback port."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from deployer.app import build_parts, create_operator_app
from deployer.cli import main, watch
from deployer.core.lifecycle import Event
from deployer.services import deployments, people
from deployer.services.chat.hear import Ears
from deployer.services.parts import Parts
from deployer.services.people import Role
from deployer.settings import Settings
from deployer.store import deployments as deployment_store
from deployer.web.chat import Chats
from tests.support.images import register_images


class Server:
    """Listens until it is stopped, and can be started again on the same port."""

    def __init__(self, parts: Parts) -> None:
        self.app = create_operator_app(parts)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Does nothing when it listens already."""
        if self._thread is not None:
            return
        config = uvicorn.Config(
            self.app, host="127.0.0.1", port=self.port, log_config=None,
            access_log=False, lifespan="off",
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)

    @property
    def parts(self) -> Parts:
        parts: Parts = self.app.state.parts
        return parts

    def uses(self, parts: Parts) -> None:
        """From now on it serves this data; one server is enough for all tests."""
        self.app.state.parts, self.app.state.chats = parts, Chats(Ears(parts))

    def stop(self) -> None:
        if self._thread is not None:
            self._server.should_exit = True
            self._thread.join(10)
            self._thread = None

    def token(self, role: Role) -> str:
        now = self.parts.clock()
        with self.parts.database.writing() as session:
            return people.create_token(session, f"{role}-1", role, timedelta(days=1), now)[1]

    def advances(self, id_: str, event: Event, **more: Any) -> None:
        """What a machine or the worker would have said."""
        with self.parts.database.writing() as session:
            row = deployment_store.get(session, id_, lock=True)
            assert row is not None
            deployments.advance(session, self.parts, row, event, by="machine 10.0.0.7", **more)
            session.add(row)

    def becomes_ready(self, id_: str) -> None:
        for event in (Event.START, Event.ANSWERS_FETCHED, Event.INSTALLER_FINISHED):
            self.advances(id_, event)
        self.advances(id_, Event.FIRST_BOOT)

    def reports(self, id_: str, **progress: Any) -> None:
        with self.parts.database.writing() as session:
            row = deployment_store.get(session, id_, lock=True)
            assert row is not None
            row.progress = progress
            session.add(row)

    def latest(self, host: str) -> str:
        with self.parts.database.reading() as session:
            row = deployment_store.latest_of(session, host)
        assert row is not None
        return row.id


@dataclass
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def folder(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs; its data folder is `data` in it."""
    shutil.copytree(sqlite_template, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    for name in ("SERVER", "TOKEN", "DATABASE_URL", "LISTEN", "MACHINE_LISTEN"):
        monkeypatch.delenv(f"DEPLOYER_{name}", raising=False)
    monkeypatch.setenv("DEPLOYER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "80")
    # It would send the log of every later test to this test's captured stderr.
    monkeypatch.setattr("deployer.observe.configure_logging", lambda _format: None)
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `deployer` in this process."""

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Outcome(int(exit_.value.code or 0), said.out, said.err)

    return call


@pytest.fixture(scope="session")
def listening(sqlite_template: Path) -> Iterator[Server]:
    server = Server(build_parts(Settings(data_dir=sqlite_template)))
    yield server
    server.stop()


@pytest.fixture
def server(folder: Path, listening: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with images and nothing else; an admin's token is in the environment."""
    parts = build_parts(Settings(data_dir=folder / "data", machine_url="http://10.0.0.5:8081"))
    register_images(parts)
    listening.uses(parts)
    listening.start()
    monkeypatch.setenv("DEPLOYER_SERVER", listening.url)
    monkeypatch.setenv("DEPLOYER_TOKEN", listening.token(Role.ADMIN))
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.02)
    yield listening
    parts.database.dispose()


PROFILE = """\
kind: profile
name: debian-12
os: image
release: debian-12
verify: false
"""
HOSTS = """\
kind: host
name: web01
macs: ["52:54:00:12:34:56"]
labels: {rack: a1, env: staging}
vars: {role: web}
---
kind: host
name: web02
macs: ["52:54:00:12:34:57"]
power: {driver: fake, name: web02}
"""


@pytest.fixture
def fleet(folder: Path) -> Path:
    """A folder with one profile and two hosts in YAML."""
    (folder / "fleet").mkdir()
    (folder / "fleet" / "profile.yaml").write_text(PROFILE)
    (folder / "fleet" / "hosts.yaml").write_text(HOSTS)
    return folder / "fleet"


@pytest.fixture
def known(server: Server, fleet: Path, run: Run) -> Server:
    """A server that knows this fleet."""
    assert run("apply", "-f", fleet).code == 0
    return server
