"""Which server and which token, from options, the environment or .env; and names to complete."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from deployer.errors import ConfigurationError

if TYPE_CHECKING:
    from deployer.cli.client import Client

SERVER, TOKEN = "DEPLOYER_SERVER", "DEPLOYER_TOKEN"
DEFAULT_SERVER = "http://127.0.0.1:8080"
# A person who presses Tab does not wait longer.
_COMPLETION_SECONDS = 1.0
_COMPLETIONS = 200


@dataclass(frozen=True)
class Connection:
    """What was given on the command line or in the environment; the rest is in .env."""

    server: str | None = None
    token: str | None = None

    def client(self, timeout: float = 30.0) -> Client:
        """ConfigurationError names the variable that is wrong."""
        from deployer.cli.client import Client

        filed = {} if self.server and self.token else _dotenv()
        server = self.server or filed.get(SERVER) or DEFAULT_SERVER
        token = (self.token or filed.get(TOKEN) or "").strip()
        return Client(_checked_url(server), _checked_token(token), timeout)


def _dotenv() -> dict[str, str | None]:
    from dotenv import dotenv_values

    return dotenv_values(".env")


def _checked_url(server: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9._\[\]:-]+(/[A-Za-z0-9._~/-]*)?", server, re.ASCII):
        raise ConfigurationError(
            f"{SERVER}={server!r} is no address of a server", field=SERVER, value=server,
            remedy=f"write it like {DEFAULT_SERVER}",
        )  # fmt: skip
    return server.rstrip("/").removesuffix("/api/v1")


def _checked_token(token: str) -> str:
    """The value is not repeated: it may be a token with one wrong character."""
    if not re.fullmatch(r"[!-~]*", token, re.ASCII):
        raise ConfigurationError(
            f"{TOKEN} holds blanks or characters that no token has", field=TOKEN,
            remedy=f"set it again: export {TOKEN}=$(deployer token create --name NAME)",
        )  # fmt: skip
    return token


def connect(ctx: typer.Context) -> Client:
    connection: Connection = ctx.obj
    return connection.client()


# --- shell completion -------------------------------------------------------------------------


def _names(ctx: typer.Context, path: str, incomplete: str) -> list[str]:
    """Quiet when the server is not there: a shell prompt is no place for an error."""
    given = ctx.find_root().params
    try:
        connection = Connection(given.get("server"), given.get("token"))
        with connection.client(timeout=_COMPLETION_SECONDS) as api:
            page = api.get(path, {"limit": _COMPLETIONS, "q": incomplete or None})
        return [i["name"] for i in page["items"] if i["name"].startswith(incomplete)]
    except Exception:
        return []


def complete_host(ctx: typer.Context, incomplete: str) -> list[str]:
    return _names(ctx, "/hosts", incomplete)


def complete_profile(ctx: typer.Context, incomplete: str) -> list[str]:
    return _names(ctx, "/profiles", incomplete)


def complete_receiver(ctx: typer.Context, incomplete: str) -> list[str]:
    return _names(ctx, "/receivers", incomplete)


def complete_image(ctx: typer.Context, incomplete: str) -> list[str]:
    return _names(ctx, "/images", incomplete)
