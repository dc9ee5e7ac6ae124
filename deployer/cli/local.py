"""For commands on the server's own machine: the service's parts, without going through the API."""

from __future__ import annotations

import fcntl
import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deployer.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from deployer.services.parts import Parts
    from deployer.settings import Settings


def load_settings() -> Settings:
    """Read once; from here on, logs go to stderr in the format that was asked for."""
    from deployer import settings
    from deployer.observe import configure_logging

    loaded = settings.load()
    configure_logging(loaded.log_format)
    return loaded


def build(*, create: bool = False) -> Parts:
    """ConfigurationError or Unavailable, in words, when the service could not start here."""
    from sqlalchemy.exc import OperationalError

    from deployer.app import build_parts
    from deployer.cli.output import note

    settings = load_settings()
    try:
        with _alone(settings.data_dir):
            return build_parts(settings, create=create, say=note)
    except OperationalError as error:
        raise Unavailable(
            f"the database does not answer: {str(error.orig).strip().splitlines()[0]}",
            field="DEPLOYER_DATABASE_URL", remedy="is it running, and may this machine reach it?",
        ) from None  # fmt: skip
    except OSError as error:
        raise ConfigurationError(
            f"{settings.data_dir} cannot be used: {error}", field="DEPLOYER_DATA_DIR",
            value=str(settings.data_dir),
            remedy="run this as the account of the service, or set DEPLOYER_DATA_DIR",
        ) from None  # fmt: skip


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time makes key and database: `serve` and `token create` often start
    together, and at a first start each would find the other's half."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / ".start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def parts(*, create: bool = False) -> Iterator[Parts]:
    built = build(create=create)
    try:
        yield built
    finally:
        built.database.dispose()


def actor() -> str:
    """Who the audit trail names for what is done here, without a token."""
    try:
        return f"console ({getpass.getuser()})"
    except (KeyError, OSError):
        return "console"
