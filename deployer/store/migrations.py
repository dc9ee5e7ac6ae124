"""Makes the database fit this version, or says in one line why it must not be touched."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime
from functools import cache
from itertools import chain, count
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from alembic import command
from deployer import resources
from deployer.errors import ConfigurationError
from deployer.store.database import Database

# Any number will do, as long as nothing else in this PostgreSQL database uses it.
_MIGRATION_LOCK = 7_305_112


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.folder("alembic")))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The newest revision that this version of the code knows."""
    return _newest_in(str(resources.folder("alembic")))


@cache
def _newest_in(folder: str) -> str:
    return ScriptDirectory(folder).get_current_head() or ""


def upgrade(connection: Connection, revision: str = "head") -> None:
    command.upgrade(_config(connection), revision)


def prepare(
    database: Database,
    *,
    may_create: bool,
    backups: Path,
    now: datetime,
    say: Callable[[str], None] = lambda _line: None,
) -> None:
    """Create or migrate the database as one transaction.

    ConfigurationError, and nothing changed, when it is missing or empty (unless `may_create`),
    corrupt, somebody else's, or newer than this code, and when a migration fails.
    """
    if database.is_sqlite:
        _check_sqlite_file(Path(database.url.database or ""), may_create)
    with database.migrating() as connection:
        if not database.is_sqlite:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        current = _revision(connection)
        if current is None and not may_create:
            raise _never_used(database)
        if current == head():
            return
        if current and database.is_sqlite:
            say(f"database backed up to {_back_up(database, backups, current, now)}")
        say(f"database: migrating from {current or 'empty'} to {head()}")
        try:
            upgrade(connection)
        except Exception as error:
            raise _not_migrated(current, error) from error


def _never_used(database: Database) -> ConfigurationError:
    where = database.url.render_as_string(hide_password=True)
    return ConfigurationError(
        f"the database {where} is empty, although this service has run before",
        field="DEPLOYER_DATABASE_URL",
        remedy="correct the URL or restore a backup; to begin with an empty one, run"
        " `deployer db create`",
    )


def _not_migrated(current: str | None, error: Exception) -> ConfigurationError:
    said = str(error).strip().splitlines()[0]
    return ConfigurationError(
        f"the migration from {current or 'empty'} to {head()} failed: {said}; the database is as it"
        " was before",
        field="DEPLOYER_DATABASE_URL",
        remedy="start the version of Deployer that ran until now, and report this",
    )


def _revision(connection: Connection) -> str | None:
    current = MigrationContext.configure(connection).get_current_revision()
    tables = [t for t in inspect(connection).get_table_names() if t != "alembic_version"]
    if current is None and tables:
        raise ConfigurationError(
            f"the database holds tables that are not ours ({', '.join(sorted(tables)[:3])}, ...)",
            field="DEPLOYER_DATABASE_URL",
            remedy="give Deployer a database of its own",
        )
    known = {s.revision for s in ScriptDirectory.from_config(_config()).walk_revisions()}
    if current is not None and current not in known:
        raise ConfigurationError(
            f"the database is at revision {current}, which is newer than this version of Deployer",
            field="DEPLOYER_DATABASE_URL",
            remedy="start the newer version, or restore the backup that it made before migrating",
        )
    return current


def _check_sqlite_file(path: Path, may_create: bool) -> None:
    if not path.exists():
        if may_create:
            path.parent.mkdir(parents=True, exist_ok=True)
            return
        raise ConfigurationError(
            f"the database {path} is missing, although this service has run before",
            field="DEPLOYER_DATABASE_URL",
            value=str(path),
            remedy="restore it from a backup; to begin with an empty one, run `deployer db create`",
        )
    if path.stat().st_size == 0:
        raise ConfigurationError(
            f"the database {path} is an empty file",
            field="DEPLOYER_DATABASE_URL",
            value=str(path),
            remedy="restore it from a backup, or remove the file and run `deployer db create`",
        )
    problem = _integrity_problem(path)
    if problem:
        raise ConfigurationError(
            f"the database {path} is damaged or no SQLite database: {problem}",
            field="DEPLOYER_DATABASE_URL",
            value=str(path),
            remedy="restore it from a backup",
        )


def _integrity_problem(path: Path) -> str | None:
    try:
        connection = sqlite3.connect(path, timeout=5)
        try:
            answer = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if answer == "ok" else " ".join(answer.split())


def _back_up(database: Database, folder: Path, revision: str, now: datetime) -> Path:
    """Copy the database as it is, before the first change; the copy is complete when named."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"deployer-{revision}-{now:%Y%m%dT%H%M%S}"
    names = chain([f"{name}.db"], (f"{name}-{number}.db" for number in count(2)))
    target = next(path for path in map(folder.joinpath, names) if not path.exists())
    partial = target.with_suffix(".partial")
    source = sqlite3.connect(f"file:{database.url.database}?mode=ro", uri=True)
    copy = sqlite3.connect(partial)
    try:
        source.backup(copy)
    finally:
        source.close()
        copy.close()
    partial.rename(target)
    return target
