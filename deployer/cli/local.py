"""For commands on the server's own machine: the service's parts, without going through the API."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deployer.errors import ConfigurationError

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
    from deployer.app import build_parts
    from deployer.cli.output import note

    settings = load_settings()
    try:
        return build_parts(settings, create=create, say=note)
    except OSError as error:
        raise ConfigurationError(
            f"{settings.data_dir} cannot be used: {error}", field="DEPLOYER_DATA_DIR",
            value=str(settings.data_dir),
            remedy="run this as the account of the service, or set DEPLOYER_DATA_DIR",
        ) from None  # fmt: skip


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
