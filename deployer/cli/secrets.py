"""`deployer secret`: what descriptions name and nobody is shown, such as a disk's passphrase."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from deployer.cli import output
from deployer.cli.connection import connect
from deployer.cli.options import AsJson

app = typer.Typer(
    no_args_is_help=True, help="Secrets that profiles, hosts and receivers name: set, list, delete."
)


@app.command("set")
def set_secret(ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Asked for without showing it; or from standard input: `deployer secret set luks < file`."""
    if sys.stdin.isatty():
        value = typer.prompt(f"value of {name}", hide_input=True, confirmation_prompt=True)
    else:
        value = sys.stdin.read().removesuffix("\n")
    with connect(ctx) as api:
        api.send("POST", "/secrets", {"name": name, "value": value})
    output.say(output.safe(f"the secret {name} is set"))


@app.command("list")
def list_secrets(ctx: typer.Context, json: AsJson = False) -> None:
    """Names, and who set them when."""
    with connect(ctx) as api:
        found = list(api.items("/secrets"))
    if json:
        output.show_list(found)
    elif found:
        made = output.table("name", "set", "by")
        for row in found:
            made.add_row(output.safe(row["name"]), row["updated_at"][:10],
                         output.safe(row["updated_by"]))  # fmt: skip
        output.show(made)
    else:
        output.say("there are no secrets yet")


@app.command()
def delete(ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """From now on nothing can name it."""
    from deployer.cli.client import segment

    with connect(ctx) as api:
        api.send("DELETE", f"/secrets/{segment(name)}")
    output.say(output.safe(f"the secret {name} is deleted"))
