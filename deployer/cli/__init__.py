"""The command `deployer`: a thin client of the API, and the service's own switches."""

from __future__ import annotations

import sys

from deployer.errors import DeployerError


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 refused or failed, 2 wrong usage, 3 connection lost."""
    from deployer.cli.output import show_error
    from deployer.cli.root import app

    try:
        app(args=arguments, prog_name="deployer")
    except DeployerError as error:
        sys.exit(show_error(error))
