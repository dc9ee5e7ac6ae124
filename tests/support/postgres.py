"""A real PostgreSQL on a loopback port, from the machine's own binaries, gone when we are done."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

_NUMBERS = itertools.count(1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def binaries() -> Path:
    """The newest installed version's folder."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3])
    )
    assert versions, "no PostgreSQL server is installed; run `make setup`"
    return versions[-1].parent


class PostgresServer:
    """Context manager; `new_database()` gives the URL of an empty database."""

    def __init__(self) -> None:
        # Not below pytest's folders: those are closed to the account that PostgreSQL runs as.
        self.folder, self.port = Path(tempfile.mkdtemp(prefix="deployer-postgres-")), free_port()
        self.data = self.folder / "data"
        self.process: subprocess.Popen[bytes] | None = None
        # PostgreSQL refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else None

    def __enter__(self) -> PostgresServer:
        if self.user:
            owner = pwd.getpwnam(self.user)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        self._run("initdb", "-D", str(self.data), "-U", "deployer", "--auth=trust", "--no-sync")
        self.start()
        return self

    def _run(self, program: str, *args: str) -> None:
        subprocess.run(
            [str(binaries() / program), *args], user=self.user, check=True, capture_output=True,
            cwd=self.folder, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = {
            "listen_addresses": "127.0.0.1", "port": self.port, "fsync": "off",
            "unix_socket_directories": "", "max_connections": 200,
        }  # fmt: skip
        args = [f"-c{name}={value}" for name, value in options.items()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(binaries() / "postgres"), "-D", str(self.data), *args], user=self.user,
                stdout=log, stderr=log, cwd=self.folder,
            )  # fmt: skip
        for _ in range(200):
            try:
                psycopg.connect(self.dsn("postgres"), connect_timeout=1).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise AssertionError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()}")

    def stop(self, how: str = "fast") -> None:
        """`immediate` is what a crash looks like to its clients."""
        self._run("pg_ctl", "stop", "-D", str(self.data), "-m", how, "-w")
        if self.process:
            self.process.wait(30)

    def __exit__(self, *_: object) -> None:
        if self.process and self.process.poll() is None:
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def dsn(self, database: str) -> str:
        return f"postgresql://deployer@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        name = f"test_{next(_NUMBERS)}"
        self.execute("postgres", f"CREATE DATABASE {name}")
        return self.dsn(name)

    def execute(self, database: str, statement: str) -> None:
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            connection.execute(statement.encode())
