"""The only place where the parts are put together."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

from deployer import __version__, resources
from deployer.answers.families import Catalogue, load_model
from deployer.core.workflows import Workflow
from deployer.errors import ConfigurationError
from deployer.services import keys
from deployer.services.chat.hear import Ears
from deployer.services.parts import Parts, utc_now
from deployer.settings import Settings
from deployer.store import migrations, people
from deployer.store.database import Database
from deployer.web import chat, health, loaders, machines, operators
from deployer.web.dependencies import authenticated
from deployer.web.http import Bodies, RequestLog, install_error_handlers
from deployer.web.protocol import AtOnce

if TYPE_CHECKING:
    from deployer.engine import Worker

_OPERATOR_BODY_LIMIT = 1024 * 1024
_KEY_FACT = "server_key"


def build_parts(
    settings: Settings,
    *,
    create: bool = False,
    clock: Callable[[], datetime] = utc_now,
    say: Callable[[str], None] = lambda _line: None,
) -> Parts:
    """Everything that services work with; ConfigurationError when the service must not start.

    At the first start, when there is no key yet, key and database are made. Later a missing
    database is an error, unless `create` says that a new one is wanted.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _one_at_a_time(settings.data_dir):
        return _build_parts(settings, create, clock, say)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """`serve` and `token create` often start together, and at a first start each would find the
    other's key without its database, or the other way round."""
    with (folder / ".start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build_parts(
    settings: Settings,
    create: bool,
    clock: Callable[[], datetime],
    say: Callable[[str], None],
) -> Parts:
    first_start = not settings.key_file.exists()
    database = Database(settings.effective_database_url)
    migrations.prepare(
        database, may_create=create or first_start, backups=settings.data_dir / "backups",
        now=clock(), say=say,
    )  # fmt: skip
    if first_start:
        _refuse_new_key_for_old_database(settings, database)
        keys.create_server_key(settings.key_file)
    key = keys.read_server_key(settings.key_file)
    _check_key_belongs(settings, database, key)
    ssh_file, ssh_public = keys.ssh_key(settings.keys_dir, key)
    return Parts(
        settings=settings, database=database, key=key, catalogue=load_catalogue(settings),
        workflows=load_workflows(settings), ssh_key_file=ssh_file, ssh_public_key=ssh_public,
        clock=clock,
    )  # fmt: skip


def _refuse_new_key_for_old_database(settings: Settings, database: Database) -> None:
    with database.reading() as session:
        known = people.fact(session, _KEY_FACT)
    if known is not None:
        raise ConfigurationError(
            f"the server's key {settings.key_file} is missing, but the database knows one",
            field="DEPLOYER_SERVER_KEY_FILE", value=str(settings.key_file),
            remedy="restore the key from a backup, or copy it from another replica",
        )  # fmt: skip


def _check_key_belongs(settings: Settings, database: Database, key: bytes) -> None:
    """Two replicas with different keys would give out tokens that the other does not know."""
    with database.writing() as session:
        known = people.fact(session, _KEY_FACT)
        if known is None:
            people.save_fact(session, _KEY_FACT, keys.fingerprint(key))
        elif known != keys.fingerprint(key):
            raise ConfigurationError(
                f"the server's key {settings.key_file} is not the one that this database was used"
                " with", field="DEPLOYER_SERVER_KEY_FILE", value=str(settings.key_file),
                remedy="use the key of the other replicas, or restore it from a backup",
            )  # fmt: skip


def load_catalogue(settings: Settings) -> Catalogue:
    own = [settings.answerfiles] if settings.answerfiles else []
    return Catalogue([*own, resources.folder("answerfiles")])


def load_workflows(settings: Settings) -> dict[str, Workflow]:
    """By name; the operator's own win. ConfigurationError when a step names no effect of ours."""
    own = [settings.workflows] if settings.workflows else []
    found: dict[str, Workflow] = {}
    for folder in [resources.folder("workflows"), *own]:
        for file in sorted(folder.glob("*.yaml")):
            workflow = load_model(Workflow, file)
            found[workflow.name] = workflow
    return found


def create_operator_app(parts: Parts, worker: Worker | None = None) -> FastAPI:
    """People's side: REST API, health and metrics."""
    # Its page at /docs loads nothing from elsewhere: many of these networks have no way out.
    app = FastAPIOffline(
        title="Deployer", version=__version__, redoc_url=None, redirect_slashes=False,
        static_url="/docs/assets", dependencies=[Depends(authenticated)],
    )  # fmt: skip
    app.state.parts, app.state.worker = parts, worker
    install_error_handlers(app)
    app.include_router(operators.router)
    app.include_router(health.router)
    app.include_router(chat.router)
    app.state.chats = chat.Chats(Ears(parts))
    app.add_middleware(Bodies, limit=_operator_body_limit)
    app.add_middleware(RequestLog, side="operators", trusted=parts.settings.trusted_proxies)
    return app


def _operator_body_limit(path: str) -> int:
    return chat.BODY_LIMIT if path.startswith("/chat/") else _OPERATOR_BODY_LIMIT


def create_machine_app(parts: Parts) -> ASGIApp:
    """Machine side: a listener of its own, to be bound to the provisioning network alone."""
    installers = FastAPI(title="Deployer, machine side", openapi_url=None, redirect_slashes=False)
    installers.include_router(machines.router)
    install_error_handlers(installers)
    own = loaders.Loaders(parts)
    installers.state.parts, installers.state.limit = parts, own.limit
    both = Bodies(loaders.MachineSide(own, installers), machines.body_limit)
    logged = RequestLog(both, "machines", parts.settings.trusted_proxies)
    return AtOnce(logged, own.scripts, own.at_once)
