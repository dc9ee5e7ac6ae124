"""The database: SQLite (WAL, every commit on the disk before it is acknowledged) or PostgreSQL.

Two ways in: `reading()` and `writing()`. On SQLite a writing transaction takes the write lock
when it begins (BEGIN IMMEDIATE), so it can never fail half-way because another one was first.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError, TimeoutError
from sqlmodel import Session

from deployer.errors import ConfigurationError, Unavailable

# Long enough for any of our own transactions, short enough for a PXE client's patience.
BUSY_SECONDS = 5
# For one statement: whoever asked has long given up, and it is in the others' way.
STATEMENT_SECONDS = 30
# Pages that are kept for glances; SQLite itself would keep 2 MB, and 100,000 hosts have 100 MB.
_GLANCE_CACHE_KB = 64 * 1024


class Database:
    """One database, shared by all threads of this process."""

    def __init__(self, url: str, *, pool_size: int = 20) -> None:
        self.url = normalised(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._read = self._engine("BEGIN", pool_size)
        self._write = self._engine("BEGIN IMMEDIATE", pool_size) if self.is_sqlite else self._read
        self._after_commit: list[Callable[[], None]] = []
        self._local = threading.local()
        self._turn = threading.Lock()

    def _engine(self, begin: str, pool_size: int) -> Engine:
        if not self.is_sqlite:
            return create_engine(
                self.url,
                hide_parameters=True,  # they may hold password hashes, and errors are logged
                pool_pre_ping=True,
                pool_size=pool_size,
                pool_timeout=BUSY_SECONDS,
                connect_args={
                    "connect_timeout": max(1, int(BUSY_SECONDS)),
                    # As on SQLite, nobody waits for ever for somebody else's lock; and a server
                    # that is gone without a word is noticed.
                    "options": f"-c lock_timeout={int(BUSY_SECONDS * 1000)}"
                    f" -c statement_timeout={int(STATEMENT_SECONDS * 1000)}",
                    "tcp_user_timeout": int(BUSY_SECONDS * 2000),
                },
            )
        engine = create_engine(
            self.url,
            hide_parameters=True,  # they may hold password hashes, and errors are logged
            pool_size=pool_size,
            max_overflow=pool_size * 2,
            pool_timeout=BUSY_SECONDS,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        )
        _make_durable(engine, begin)
        return engine

    @property
    def engine(self) -> Engine:
        """For tools that look at the schema."""
        return self._write

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """One transaction for whoever changes the schema, however long a statement takes;
        committed when the block ends well."""
        with _as_unavailable(), self._write.begin() as connection:
            if not self.is_sqlite:
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one consistent state; what it changes is thrown away."""
        with _as_unavailable(), Session(self._read, expire_on_commit=False) as session:
            yield session

    def glance(self, statement: str, values: tuple[Any, ...]) -> Any:
        """The first row as SQLite stores it, in microseconds; None when it cannot be had so fast.

        For the event loop, which nothing may hold up: a reader of SQLite in WAL mode waits for no
        writer, and where it would have to all the same, it gives up at once. PostgreSQL is a
        network away, so there is never a row.
        """
        if not self.is_sqlite:
            return None
        try:
            return self._glancing().execute(statement, values).fetchone()
        except sqlite3.Error:
            return None

    def _glancing(self) -> sqlite3.Connection:
        """A connection of this thread's own: each statement is a transaction that only reads."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(str(self.url.database), timeout=0, isolation_level=None)
            connection.execute("PRAGMA query_only = ON")
            connection.execute(f"PRAGMA cache_size = -{_GLANCE_CACHE_KB}")
            self._local.connection = connection
        return connection

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose work is committed, as a whole, when the block ends without an error."""
        with (
            _as_unavailable(),
            self._our_turn(),
            Session(self._write, expire_on_commit=False) as session,
        ):
            session.connection()  # take SQLite's write lock now, not at the first write
            yield session
            session.commit()
        for call in self._after_commit:
            call()

    @contextmanager
    def _our_turn(self) -> Iterator[None]:
        """SQLite has one writer at a time, and lets the others look again after ever longer naps.
        Those of this process wait for each other here instead, and are woken."""
        if not self.is_sqlite:
            yield
        elif self._turn.acquire(timeout=BUSY_SECONDS):
            try:
                yield
            finally:
                self._turn.release()
        else:
            raise Unavailable(
                "the database does not answer: other transactions of this process take too long",
                remedy="try again in a few seconds; if it stays so, look at /readyz",
            )

    def after_commit(self, call: Callable[[], None]) -> None:
        """Have `call` run after each commit: the worker is told that there may be work."""
        self._after_commit.append(call)

    def ping(self) -> None:
        """Raise Unavailable when the database does not answer."""
        with self.reading() as session:
            session.execute(text("SELECT 1"))

    def dispose(self) -> None:
        self._read.dispose()
        self._write.dispose()


def normalised(url: str) -> URL:
    """`url` with our driver filled in; ConfigurationError when it names another database."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except Exception:
        backend = ""
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise ConfigurationError(
        "DEPLOYER_DATABASE_URL is not a database that we can use",
        field="DEPLOYER_DATABASE_URL",
        remedy="set sqlite:////path/deployer.db or postgresql://user:password@host/name",
    )


def _make_durable(engine: Engine, begin: str) -> None:
    """WAL for readers beside a writer; synchronous=FULL so that a commit survives power loss."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the begin event below decides, not the sqlite3 module
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)


@contextmanager
def _as_unavailable() -> Iterator[None]:
    """A database that is locked, full, restarting or gone is a 503, not a crash."""
    try:
        yield
    except (OperationalError, TimeoutError) as error:
        raise Unavailable(
            f"the database does not answer: {_first_line(error)}",
            remedy="try again in a few seconds; if it stays so, look at /readyz",
        ) from error
    except DBAPIError as error:
        # psycopg reports a read-only or terminated session with classes of its own.
        if error.connection_invalidated or "read-only" in str(error.orig):
            raise Unavailable(
                f"the database does not accept this now: {_first_line(error)}",
                remedy="try again in a few seconds",
            ) from error
        raise


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]
