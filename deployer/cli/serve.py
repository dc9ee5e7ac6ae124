"""`deployer serve` and `deployer worker`: the service itself."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from deployer.errors import DeployerError, Unavailable


def serve(
    worker: Annotated[
        bool,
        typer.Option(
            "--worker/--no-worker",
            help="Whether to do a worker's part too; without, `deployer worker` runs elsewhere.",
        ),
    ] = True,
) -> None:
    """Run the service: API, machine side, worker and deadlines in one process.

    Settings come from the environment or .env; see docs/configuration.md.
    """
    from deployer.cli import local

    try:
        parts = local.build()
        from deployer import serve as service

        service.serve(parts, with_worker=worker)
    except DeployerError as error:
        _refuse(error)


def worker() -> None:
    """Run the worker alone, beside other processes on one PostgreSQL."""
    from deployer.cli import local

    try:
        parts = local.build()
        from deployer import serve as service

        service.work(parts)
    except DeployerError as error:
        _refuse(error)


def _refuse(error: DeployerError) -> None:
    """Exit code 2 tells systemd not to try again; a database that is just starting is no reason."""
    from deployer.cli.output import show_error

    show_error(error)
    sys.exit(1 if isinstance(error, Unavailable) else 2)
