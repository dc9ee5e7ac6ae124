"""`deployer token`: who may use the API; straight to the database, on the server's own machine."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Tokens for the API: create, list, revoke.")


class RoleName(StrEnum):
    """The roles of `services.people`, which is too heavy to be imported for a --help."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Whose token it is, such as alice or ci.")],
    role: Annotated[
        RoleName,
        typer.Option(help="viewer reads, operator deploys, admin also lifts protection."),
    ] = RoleName.OPERATOR,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it is valid.")] = 365,
) -> None:
    """Print a new token, and nothing else, on stdout.

    export DEPLOYER_TOKEN=$(deployer token create --name me --role admin)
    """
    from datetime import timedelta

    from deployer.cli import local
    from deployer.cli.output import note
    from deployer.core.text import check_name
    from deployer.errors import Invalid
    from deployer.services import people

    try:
        check_name(name)
    except ValueError as error:
        raise Invalid(f"--name {error}", field="--name", value=name) from None
    with local.parts() as parts, parts.database.writing() as session:
        now = parts.clock()
        row, secret = people.create_token(
            session, name, people.Role(role), timedelta(days=days), now
        )
        people.audit(session, now, local.actor(), "token.create", name, None, role=role)
    note(f"{row.role} token {name}, valid until {row.expires_at:%Y-%m-%d}; it is shown only now")
    typer.echo(secret)


@app.command("list")
def list_tokens(
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Names, roles and dates; the secrets are kept nowhere."""
    from deployer.cli import local, output
    from deployer.store import people

    with local.parts() as parts, parts.database.reading() as session:
        rows = [
            row.model_dump(mode="json", exclude={"hash"})
            for row in people.tokens(session, after="", limit=100_000)
        ]
    if json:
        output.show_list(rows)
        return
    if not rows:
        output.say("there are no tokens yet")
        return
    made = output.table("name", "role", "created", "expires", "last used")
    for row in rows:
        days = [(row[key] or "never")[:10] for key in ("created_at", "expires_at", "last_used_at")]
        made.add_row(output.safe(row["name"]), row["role"], *days)
    output.show(made)


@app.command()
def revoke(name: str) -> None:
    """From now on, nobody gets in with this token."""
    from deployer.cli import local
    from deployer.cli.output import say
    from deployer.services import people

    with local.parts() as parts, parts.database.writing() as session:
        people.revoke_token(session, name)
        people.audit(session, parts.clock(), local.actor(), "token.revoke", name, None)
    say(f"the token {name} is revoked")
