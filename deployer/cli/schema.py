"""`deployer schema`: what an editor needs to complete and correct the files that people write."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from deployer.cli import output


class Kind(StrEnum):
    FLEET = "fleet"
    WORKFLOW = "workflow"
    FAMILY = "family"


def schema(
    kind: Annotated[
        Kind,
        typer.Argument(help="fleet: what `apply` takes; workflow; family: a family.yaml."),
    ],
) -> None:
    """Print the JSON Schema of a kind of file."""
    from deployer.core.schemas import SCHEMAS

    output.show_json(SCHEMAS[kind]())
