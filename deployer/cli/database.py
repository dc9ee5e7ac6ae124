"""`deployer db`: create, migrate and check the database, on the server's own machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployer.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlmodel import Session

    from deployer.store.database import Database

app = typer.Typer(no_args_is_help=True, help="The database: create, migrate, check.")

Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]


@app.command()
def create() -> None:
    """Begin with an empty database, although this service has run before.

    An existing database is never emptied: restore a backup over it, or move it away first.
    """
    _prepare(create=True)


@app.command()
def migrate() -> None:
    """Bring the database to this version's revision; SQLite is backed up first."""
    _prepare(create=False)


def _prepare(*, create: bool) -> None:
    from deployer.cli import local
    from deployer.cli.output import say
    from deployer.store import migrations

    with local.parts(create=create) as parts:
        where = parts.database.url.render_as_string(hide_password=True)
        say(f"{where} is at revision {migrations.head()}")


@app.command()
def check(json: Json = False) -> None:
    """Say what the database is and whether it is whole; changes nothing. Exit code 1 if not."""
    from sqlalchemy.exc import DBAPIError

    from deployer.cli import local, output
    from deployer.store.database import Database

    settings = local.load_settings()
    database = Database(settings.effective_database_url)
    _refuse_missing(database)
    try:
        found = _examine(database)
    except DBAPIError as error:
        found = {"integrity": str(error.orig), "remedy": "restore it from a backup"}
    finally:
        database.dispose()
    found = {"database": database.url.render_as_string(hide_password=True), **found}
    if json:
        output.show_json(found)
    else:
        output.show(output.facts(found.items()))
    raise typer.Exit(0 if found["integrity"] == "ok" and not found["remedy"] else 1)


def _refuse_missing(database: Database) -> None:
    """Opening a SQLite file that is not there would make one."""
    if database.is_sqlite and not Path(database.url.database or "").is_file():
        raise ConfigurationError(
            f"there is no database {database.url.database}", field="DEPLOYER_DATABASE_URL",
            value=database.url.database,
            remedy="set DEPLOYER_DATA_DIR or DEPLOYER_DATABASE_URL as the service has it, or run"
            " `deployer db create`",
        )  # fmt: skip


def _examine(database: Database) -> dict[str, str]:
    from sqlalchemy import text

    from deployer.store import migrations

    version = "SELECT sqlite_version()" if database.is_sqlite else "SHOW server_version"
    with database.reading() as session:
        number = session.execute(text(version)).scalar_one()
        damage = _damage(session) if database.is_sqlite else ""
        revision, head = _revision(session), migrations.head()
    behind = f"this version needs {head}: run `deployer db migrate`"
    return {
        "engine": f"{'SQLite' if database.is_sqlite else 'PostgreSQL'} {number}",
        "revision": revision,
        "integrity": damage or "ok",
        "remedy": "" if revision == head else behind,
    }


def _revision(session: Session) -> str:
    from sqlalchemy import inspect, text

    if not inspect(session.connection()).has_table("alembic_version"):
        return "none"
    return str(session.execute(text("SELECT version_num FROM alembic_version")).scalar())


def _damage(session: Session) -> str:
    """What SQLite finds wrong in its own file; PostgreSQL looks after itself."""
    from sqlalchemy import text

    pages = [str(row[0]) for row in session.execute(text("PRAGMA integrity_check(5)"))]
    links = session.execute(text("PRAGMA foreign_key_check")).fetchmany(5)
    problems = [line for line in pages if line != "ok"]
    return "; ".join(problems + [f"{row[0]} refers to a missing {row[2]}" for row in links])
