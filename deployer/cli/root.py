"""All commands, put together; their modules import nothing heavy until they run."""

from __future__ import annotations

from typing import Annotated

import typer

from deployer import __version__
from deployer.cli import (
    apply,
    chat,
    database,
    deploy,
    deployments,
    hosts,
    images,
    netboot,
    profiles,
    receivers,
    schema,
    secrets,
    serve,
    tokens,
)
from deployer.cli.connection import SERVER, TOKEN, Connection

app = typer.Typer(
    no_args_is_help=True,
    # Rich tracebacks print local variables, and those may be secrets.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_DAY, _FLEET, _HERE = "A day's work", "What there is", "On the server's own machine"


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"deployer {__version__}")
        raise typer.Exit


@app.callback()
def start(
    ctx: typer.Context,
    server: Annotated[
        str | None,
        typer.Option(envvar=SERVER, help="Where the API is; http://127.0.0.1:8080 if not set."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar=TOKEN, help="The token to show.", show_envvar=True),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit.")
    ] = False,
) -> None:
    """Reinstalls bare machines without hands, and says where one is stuck.

    DEPLOYER_SERVER and DEPLOYER_TOKEN may also stand in a file .env in this folder.
    """
    ctx.obj = Connection(server, token)


app.command(rich_help_panel=_DAY)(deploy.deploy)
app.command(rich_help_panel=_DAY)(deployments.status)
app.command(rich_help_panel=_DAY)(deployments.explain)
app.command(rich_help_panel=_DAY)(deploy.retry)
app.command(rich_help_panel=_DAY)(deployments.approve)
app.command(rich_help_panel=_DAY)(deployments.cancel)
app.command(rich_help_panel=_FLEET)(apply.apply)
app.command(rich_help_panel=_FLEET)(profiles.check)
app.command(rich_help_panel=_FLEET)(schema.schema)
app.add_typer(hosts.app, name="hosts", rich_help_panel=_FLEET)
app.add_typer(profiles.app, name="profiles", rich_help_panel=_FLEET)
app.add_typer(images.app, name="image", rich_help_panel=_FLEET)
app.add_typer(receivers.app, name="receivers", rich_help_panel=_FLEET)
app.add_typer(receivers.notifications, name="notifications", rich_help_panel=_FLEET)
app.add_typer(secrets.app, name="secret", rich_help_panel=_FLEET)
app.add_typer(chat.app, name="chat", rich_help_panel=_FLEET)
app.command(rich_help_panel=_HERE)(serve.serve)
app.command(rich_help_panel=_HERE)(serve.worker)
app.command(rich_help_panel=_HERE)(netboot.netboot)
app.command("dhcp-config", rich_help_panel=_HERE)(netboot.dhcp_config)
app.add_typer(tokens.app, name="token", rich_help_panel=_HERE)
app.add_typer(database.app, name="db", rich_help_panel=_HERE)
