"""`deployer hosts`: which machines we know."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from deployer.cli import output
from deployer.cli.connection import connect
from deployer.cli.options import AsJson, HostName

app = typer.Typer(invoke_without_command=True)


@app.callback()
def list_hosts(
    ctx: typer.Context,
    label: Annotated[
        str | None, typer.Option(metavar="KEY=VALUE", help="Only hosts with this label.")
    ] = None,
    query: Annotated[
        str | None, typer.Option("-q", "--query", help="Only hosts with this in name or MAC.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Hosts: list, show, protect, unprotect, delete. Files describe them: `deployer apply`."""
    if ctx.invoked_subcommand is not None:
        return
    with connect(ctx) as api:
        found = list(api.items("/hosts", {"label": label, "q": query}))
    if json:
        output.show_list(found)
    elif found:
        output.show(_table(found))
    else:
        output.say("no host is like this" if label or query else "there are no hosts yet")


def _table(hosts: list[dict[str, Any]]) -> Any:
    made = output.table("name", "state", "macs", "labels", narrow="labels")
    for host in hosts:
        macs = host["macs"]
        more = f" +{len(macs) - 1}" if len(macs) > 1 else ""
        labels = [f"{key}={value}" for key, value in host["labels"].items()]
        marks = (["protected"] if host["protected"] else []) + labels
        made.add_row(
            output.safe(host["name"]), output.state(host["state"]), macs[0] + more,
            output.one_line(" ".join(marks)),
        )  # fmt: skip
    return made


@app.command()
def show(ctx: typer.Context, name: HostName, json: AsJson = False) -> None:
    """Everything about one host, as YAML or JSON; passwords are masked."""
    from deployer.cli.client import segment

    with connect(ctx) as api:
        found = api.get(f"/hosts/{segment(name)}")
    if json:
        output.show_json(found)
    else:
        output.show_yaml(found, "host")


@app.command()
def protect(ctx: typer.Context, name: HostName) -> None:
    """From now on, every way to reinstall this host is refused."""
    _set_protected(ctx, name, True)
    output.say(Text.assemble(output.safe(name), " is protected; nothing reinstalls it"))


@app.command()
def unprotect(ctx: typer.Context, name: HostName) -> None:
    """Allow this host to be reinstalled. Needs an admin's token."""
    _set_protected(ctx, name, False)
    output.say(Text.assemble(output.safe(name), " is no longer protected; it may be reinstalled"))


def _set_protected(ctx: typer.Context, name: str, value: bool) -> None:
    from deployer.cli.client import segment

    with connect(ctx) as api:
        api.send("PATCH", f"/hosts/{segment(name)}", {"protected": value})


@app.command()
def delete(ctx: typer.Context, name: HostName) -> None:
    """Forget this host; the machine itself is not touched."""
    from deployer.cli.client import segment

    with connect(ctx) as api:
        api.send("DELETE", f"/hosts/{segment(name)}")
    output.say(Text.assemble(output.safe(name), " is deleted"))
