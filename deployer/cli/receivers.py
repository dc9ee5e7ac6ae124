"""`deployer receivers` and `notifications`: who is told of deployments, and what became of it."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import typer
from rich.text import Text

from deployer.cli import output
from deployer.cli.connection import complete_receiver, connect
from deployer.cli.options import AsJson

app = typer.Typer(invoke_without_command=True)
notifications = typer.Typer(invoke_without_command=True)
ReceiverName = Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_receiver)]


@app.callback()
def list_receivers(ctx: typer.Context, json: AsJson = False) -> None:
    """Who is told of deployments: list, show, test, delete. Described by files: `apply`."""
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
def test(ctx: typer.Context, name: ReceiverName, json: AsJson = False) -> None:
    """Send it an example now, and show what it answers. Exit code 1 if it did not take it."""
    from deployer.cli.client import segment

    with connect(ctx) as api:
        answer = api.send("POST", f"/receivers/{segment(name)}/test")
    if json:
        output.show_json(answer)
    else:
        output.say(_outcome(answer["outcome"]) + output.safe(f"  {answer['said']}"))
    raise typer.Exit(0 if answer["outcome"] == "sent" else 1)


@app.command()
def delete(ctx: typer.Context, name: ReceiverName) -> None:
    """From now on it is told nothing."""
    from deployer.cli.client import segment

    with connect(ctx) as api:
        api.send("DELETE", f"/receivers/{segment(name)}")
    output.say(Text.assemble(output.safe(name), " is deleted"))


# --- what they were told ----------------------------------------------------------------------

_COLOURS = {"sent": "green", "refused": "red", "expired": "red"}


def _outcome(name: str | None) -> Text:
    return output.safe(name or "waiting", _COLOURS.get(name or "", "cyan"))


@notifications.callback()
def list_notifications(
    ctx: typer.Context,
    receiver: Annotated[
        str | None,
        typer.Option(help="Only for this one.", autocompletion=complete_receiver),
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only what was refused, or given up after a day.")
    ] = False,
    most: Annotated[int, typer.Option("-n", "--most", help="So many.", min=1)] = 50,
    json: AsJson = False,
) -> None:
    """What receivers were told, newest first: list, replay. Kept for 30 days."""
    if ctx.invoked_subcommand is not None:
        return
    asked = {"receiver": receiver, "outcome": "failed" if failed else None}
    with connect(ctx) as api:
        found = list(islice(api.items("/deliveries", asked), most))
    if json:
        output.show_list(found)
    elif found:
        output.show(_told(found))
    else:
        output.say("no receiver was told anything" + (" in vain" if failed else ""))


def _told(deliveries: list[dict[str, Any]]) -> Any:
    made = output.table("id", "at", "receiver", "what", "outcome", "said", narrow="said")
    for row in deliveries:
        made.add_row(
            output.safe(row["id"]), output.clock_time(row["created_at"]),
            output.safe(row["receiver"]), output.safe(row["title"]), _outcome(row["outcome"]),
            output.one_line(row["said"] or ""),
        )  # fmt: skip
    return made


@notifications.command()
def replay(
    ctx: typer.Context, id_: Annotated[str, typer.Argument(metavar="ID")], json: AsJson = False
) -> None:
    """Tell it once more; the receiver can tell that it is the same."""
    from deployer.cli.client import segment

    with connect(ctx) as api:
        made = api.send("POST", f"/deliveries/{segment(id_)}/replay")
    if json:
        output.show_json(made)
    else:
        output.say(output.safe(f"{made['receiver']} is told again, as {made['id']}"))
