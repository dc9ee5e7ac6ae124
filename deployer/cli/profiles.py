"""`deployer profiles` and `deployer check`: what hosts can become, and whether it would work."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from deployer.cli import output
from deployer.cli.connection import complete_host, connect
from deployer.cli.options import AsJson, ProfileName, Vars, parse_vars

app = typer.Typer(invoke_without_command=True)


@app.callback()
def list_profiles(
    ctx: typer.Context,
    query: Annotated[
        str | None, typer.Option("-q", "--query", help="Only profiles with this in their name.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Profiles: list, show, delete. Files describe them: `deployer apply`."""
    if ctx.invoked_subcommand is not None:
        return
    with connect(ctx) as api:
        found = list(api.items("/profiles", {"q": query}))
    if json:
        output.show_list(found)
    elif found:
        output.show(_table(found))
    else:
        output.say("no profile is like this" if query else "there are no profiles yet")


def _table(profiles: list[dict[str, Any]]) -> Any:
    made = output.table("name", "os", "release", "arch", "layout", "packages")
    for profile in profiles:
        names = [output.safe(profile[key]) for key in ("name", "os", "release")]
        made.add_row(
            *names, profile["arch"], profile["storage"]["layout"], str(len(profile["packages"]))
        )
    return made


@app.command()
def show(ctx: typer.Context, name: ProfileName, json: AsJson = False) -> None:
    """Everything about one profile, as YAML or JSON; password hashes are masked."""
    from deployer.cli.client import segment

    with connect(ctx) as api:
        found = api.get(f"/profiles/{segment(name)}")
    if json:
        output.show_json(found)
    else:
        output.show_yaml(found, "profile")


@app.command()
def delete(ctx: typer.Context, name: ProfileName) -> None:
    """Forget this profile; hosts that became it stay as they are."""
    from deployer.cli.client import segment

    with connect(ctx) as api:
        api.send("DELETE", f"/profiles/{segment(name)}")
    output.say(Text.assemble(output.safe(name), " is deleted"))


def check(
    ctx: typer.Context,
    profile: ProfileName,
    host: Annotated[
        str | None,
        typer.Option(
            help="Check for this host; otherwise for an example.", autocompletion=complete_host
        ),
    ] = None,
    var: Vars = None,
    json: AsJson = False,
) -> None:
    """Render and validate every file without touching anything. Exit code 1 if it would fail."""
    from deployer.cli.client import segment
    from deployer.cli.failures import finding

    body = {"host": host, "vars": parse_vars(var)}
    with connect(ctx) as api:
        answer = api.send("POST", f"/profiles/{segment(profile)}/check", body)
    found = [finding(item) for item in answer["findings"]]
    if json:
        output.show_json(answer)
    elif found:
        output.show_findings(found)
    else:
        output.say(output.safe(f"{profile} for {host or 'an example host'}: nothing is wrong"))
    raise typer.Exit(1 if found else 0)
