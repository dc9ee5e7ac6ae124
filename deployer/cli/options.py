"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from deployer.cli.connection import complete_host, complete_profile
from deployer.errors import Invalid

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
HostName = Annotated[str, typer.Argument(autocompletion=complete_host)]
ProfileName = Annotated[str, typer.Argument(autocompletion=complete_profile)]
Target = Annotated[
    str,
    typer.Argument(
        metavar="HOST|ID",
        help="A host, meaning its latest deployment; or an id, in full or its last 8 characters.",
        autocompletion=complete_host,
    ),
]
Vars = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="KEY=VALUE", help="A variable for the templates; repeatable."),
]


def parse_vars(given: list[str] | None) -> dict[str, str]:
    """Values stay text: a version 1.10 must not become the number 1.1."""
    found: dict[str, str] = {}
    for pair in given or []:
        key, equals, value = pair.partition("=")
        if not key or not equals or key in found:
            problem = "is given twice" if key in found else "is no KEY=VALUE"
            raise Invalid(
                f"--var {pair}: {problem}", field="--var", value=pair,
                remedy="write --var role=web, each key once",
            )  # fmt: skip
        found[key] = value
    return found
