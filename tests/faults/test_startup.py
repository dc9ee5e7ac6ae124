"""F036, F037: a database that is not as it should be, and a migration that fails midway."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlmodel import SQLModel

from deployer import resources
from deployer.app import build_parts
from deployer.errors import ConfigurationError, Unavailable
from deployer.services.parts import Parts
from deployer.settings import Settings
from deployer.store import migrations
from deployer.store.database import Database
from tests.support import faults
from tests.support.images import register_images
from tests.support.live import LiveService, until
from tests.support.service import ok

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

# The newest migration that there is.
NEWEST = max(file.name[:4] for file in resources.folder("alembic").glob("versions/[0-9]*.py"))
STEP = """
import os
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "9999", "{newest}", None, None

def upgrade():
    op.add_column("hosts", sa.Column("colour", sa.String(), nullable=True))
    op.execute("UPDATE hosts SET colour = 'grey'")
    {then}
"""


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes this code a later one, whose migration 9999 ends with the given line."""
    own = resources.folder("alembic")

    def make(then: str = "") -> Path:
        folder = tmp_path / "later"
        shutil.copytree(own, folder / "alembic", dirs_exist_ok=True)
        step = STEP.format(newest=NEWEST, then=then)
        (folder / "alembic/versions/9999_colour.py").write_text(step)
        monkeypatch.setattr(resources, "folder", lambda name: folder / name)
        return folder

    return make


@pytest.fixture
def used(parts: Parts) -> Parts:
    """A service that has run: its database holds something."""
    register_images(parts)
    return parts


def _refusal(settings: Settings) -> str:
    """The one line with which it refuses to start."""
    with pytest.raises(ConfigurationError) as refused:
        build_parts(settings)
    assert refused.value.remedy and "\n" not in refused.value.message
    return refused.value.message


def _images(settings: Settings) -> int:
    with closing_database(settings) as database, database.reading() as session:
        return int(session.execute(text("SELECT count(*) FROM images")).scalar_one())


def closing_database(settings: Settings) -> closing[Database]:
    database = Database(settings.effective_database_url)
    database.close = database.dispose  # type: ignore[attr-defined]
    return closing(database)  # type: ignore[type-var]


def _columns(settings: Settings) -> set[str]:
    with closing_database(settings) as database:
        return {column["name"] for column in inspect(database.engine).get_columns("hosts")}


# --- F036 -------------------------------------------------------------------------------------


@on_sqlite
def test_f036_a_missing_file_is_refused_and_not_made_anew(used: Parts) -> None:
    file = used.settings.sqlite_file
    used.database.dispose()
    file.unlink()
    assert "is missing, although this service has run before" in _refusal(used.settings)
    assert not file.exists()


@on_sqlite
def test_f036_an_empty_file_is_refused(used: Parts) -> None:
    used.database.dispose()
    for file in used.settings.data_dir.glob("deployer.db*"):
        file.unlink()
    used.settings.sqlite_file.touch()
    assert "is an empty file" in _refusal(used.settings)
    assert used.settings.sqlite_file.stat().st_size == 0


@on_sqlite
@pytest.mark.parametrize("offset", [0, 4096, 8200], ids=["header", "schema", "a_table"])
def test_f036_a_corrupt_file_is_refused_and_left_alone(used: Parts, offset: int) -> None:
    used.database.dispose()
    file = used.settings.sqlite_file
    with file.open("r+b") as damaged:
        damaged.seek(offset)
        damaged.write(b"\xde\xad" * 400)
    before = file.read_bytes()
    assert "is damaged or no SQLite database" in _refusal(used.settings)
    assert file.read_bytes() == before


def test_f036_an_empty_database_is_refused_unless_a_new_one_is_asked_for(
    settings: Settings,
) -> None:
    if not settings.database_url:
        for file in settings.data_dir.glob("deployer.db*"):
            file.unlink()
        with closing_database(settings) as database, database.engine.begin() as connection:
            connection.execute(text("PRAGMA user_version = 1"))  # a file, but nothing in it
    assert "is empty, although this service has run before" in _refusal(settings)
    build_parts(settings, create=True).database.dispose()
    build_parts(settings).database.dispose()


def test_f036_a_database_of_a_newer_version_is_refused(used: Parts) -> None:
    with used.database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert "is at revision 9999, which is newer than this version" in _refusal(used.settings)


def test_f036_somebody_elses_database_is_refused(settings: Settings) -> None:
    if not settings.database_url:
        settings.sqlite_file.unlink()
    with closing_database(settings) as database, database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE cars (id INTEGER)"))
    assert "holds tables that are not ours (cars" in _refusal(settings)


def test_f036_a_database_of_an_older_version_is_migrated_with_its_data(
    used: Parts, next_version: Callable[[str], Path]
) -> None:
    images = _images(used.settings)
    next_version("")
    build_parts(used.settings).database.dispose()
    assert "colour" in _columns(used.settings)
    assert _images(used.settings) == images
    if used.database.is_sqlite:
        [backup] = (used.settings.data_dir / "backups").glob("*.db")
        copy = used.settings.model_copy(update={"database_url": f"sqlite:///{backup}"})
        assert _images(copy) == images and "colour" not in _columns(copy)


@on_postgresql
def test_f036_a_database_server_that_is_away_or_lacks_the_database_is_named(
    settings: Settings,
) -> None:
    missing = settings.model_copy(update={"database_url": settings.database_url + "_missing"})
    with pytest.raises(Unavailable, match="does not exist"):
        build_parts(missing)


@pytest.mark.slow
@on_sqlite
def test_f036_the_command_refuses_in_one_line_and_db_create_begins_anew(used: Parts) -> None:
    used.database.dispose()
    used.settings.sqlite_file.unlink()
    assert (refused := _deployer(used.settings, "serve")).returncode == 2
    assert "is missing, although this service has run before" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert _deployer(used.settings, "db", "create").returncode == 0
    assert _images(used.settings) == 0


def _deployer(settings: Settings, *command: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DEPLOYER_DATA_DIR": str(settings.data_dir), "COLUMNS": "400"}
    return subprocess.run(
        [sys.executable, "-m", "deployer", *command], env=env, cwd=settings.data_dir,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


# --- F037 -------------------------------------------------------------------------------------


def test_f037_a_migration_that_fails_midway_changes_nothing_and_the_old_version_starts(
    used: Parts, next_version: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    columns, images = _columns(used.settings), _images(used.settings)
    with monkeypatch.context() as patched:
        patched.setattr(resources, "folder", resources.folder)  # undone when the block ends
        next_version("raise RuntimeError('no colours left')")
        message = _refusal(used.settings)
    assert f"the migration from {NEWEST} to 9999 failed: no colours left" in message
    assert (_columns(used.settings), _images(used.settings)) == (columns, images)
    build_parts(used.settings).database.dispose()
    if used.database.is_sqlite:
        assert len(list((used.settings.data_dir / "backups").glob("*.db"))) == 1


def test_f037_a_process_that_dies_in_a_migration_leaves_the_database_as_it_was(
    live: LiveService, next_version: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    live.start().knows()
    live.kill()
    columns = _columns(live.settings)
    folder = next_version("os._exit(77)")
    monkeypatch.undo()
    live.launch(faults.other_migrations(folder))
    assert live.wait() == faults.EXIT_CODE
    assert _columns(live.settings) == columns
    live.start()  # the old version
    assert [host["name"] for host in ok(live.api.get("/api/v1/hosts"))["items"]] == ["web01"]
    live.kill()
    next_version("pass")
    monkeypatch.undo()
    live.start(faults.other_migrations(folder))  # and the new one, at the second attempt
    assert "colour" in _columns(live.settings)


def test_f037_the_migrated_schema_is_the_one_that_the_code_describes(parts: Parts) -> None:
    with parts.database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, SQLModel.metadata) == []


@on_sqlite
def test_f037_two_backups_within_a_second_do_not_overwrite_each_other(
    used: Parts, tmp_path: Path
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    first = migrations._back_up(used.database, tmp_path, "0001", now)
    first_bytes = first.read_bytes()
    with used.database.writing() as session:
        session.execute(text("DELETE FROM images"))
    second = migrations._back_up(used.database, tmp_path, "0001", now)
    assert second != first and first.read_bytes() == first_bytes
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.slow
@on_postgresql
def test_f037_of_two_replicas_that_start_at_once_one_migrates(
    settings: Settings, next_version: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with LiveService(settings) as first, LiveService(settings) as second:
        folder = next_version("")
        monkeypatch.undo()
        for replica in (first, second):
            replica.launch(faults.other_migrations(folder))
        until(first.is_ready, 20)
        until(second.is_ready, 20)
        assert "colour" in _columns(settings)
