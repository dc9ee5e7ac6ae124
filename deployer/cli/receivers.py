"""`deployer receivers`: who is told of deployments."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from deployer.cli import output
from deployer.cli.connection import complete_receiver, connect
from deployer.cli.options import AsJson

app = typer.Typer(invoke_without_command=True)
ReceiverName = Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_receiver)]


@app.callback()
def list_receivers(ctx: typer.Context, json: AsJson = False) -> None:
    """Who is told of deployments: list, show, delete. Files describe them: `deployer apply`."""
    if ctx.invoked_subcommand is not None:
        return
    with connect(ctx) as api:
        found = list(api.items("/receivers"))
    if json:
        output.show_list(found)
    elif found:
        output.show(_table(found))
    else:
        output.say("there are no receivers yet")


def _table(receivers: list[dict[str, Any]]) -> Any:
    made = output.table("name", "type", "of", "told of", narrow="of")
    for receiver in receivers:
        when = receiver["when"]
        labels = " ".join(f"{key}={value}" for key, value in when["labels"].items())
        events = "nothing, it is off" if not receiver["enabled"] else " ".join(when["events"])
        made.add_row(
            output.safe(receiver["name"]), output.safe(receiver["type"]),
            output.one_line(labels or "all hosts"), output.safe(events),
        )  # fmt: skip
    return made


@app.command()
def show(ctx: typer.Context, name: ReceiverName, json: AsJson = False) -> None:
    """Everything about one receiver, as YAML or JSON; secrets are named or masked."""
    from deployer.cli.client import segment

    with connect(ctx) as api:
        found = api.get(f"/receivers/{segment(name)}")
    if json:
        output.show_json(found)
    else:
        output.show_yaml(found, "receiver")


@app.command()
def delete(ctx: typer.Context, name: ReceiverName) -> None:
    """From now on it is told nothing."""
    from deployer.cli.client import segment

    with connect(ctx) as api:
        api.send("DELETE", f"/receivers/{segment(name)}")
    output.say(Text.assemble(output.safe(name), " is deleted"))
