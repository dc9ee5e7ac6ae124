"""What handlers ask for by name; a test can give another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Annotated

from fastapi import Depends, Request
from sqlmodel import Session

from deployer.errors import Unauthorized, Unavailable
from deployer.services import people
from deployer.services.parts import Parts
from deployer.services.people import Role
from deployer.store.tables import ApiToken
from deployer.web.http import client_address

# Everything else on the people's side needs a token; THREATS T060's test walks the routes.
PUBLIC_PATHS = frozenset({"/", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"})
# What is brought there is signed by a chat's platform; whoever has no token is 401 there, too.
SIGNED_PATHS = frozenset({"/chat/{platform}"})


# Those without a database are coroutines: FastAPI would call each of them in a thread of its own.
async def parts_of(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


PartsDep = Annotated[Parts, Depends(parts_of)]


def _reading(parts: PartsDep) -> Iterator[Session]:
    with parts.database.reading() as session:
        yield session


def _writing(parts: PartsDep) -> Iterator[Session]:
    with parts.database.writing() as session:
        yield session


# Scope "function": the transaction ends before the reply is sent, so we never acknowledge
# something that was then lost.
ReadingDep = Annotated[Session, Depends(_reading, scope="function")]
WritingDep = Annotated[Session, Depends(_writing, scope="function")]


async def _address(request: Request, parts: PartsDep) -> str:
    return client_address(request.scope, parts.settings.trusted_proxies)


AddressDep = Annotated[str, Depends(_address)]


def authenticated(request: Request, parts: PartsDep) -> None:
    """For every route: a valid token, unless the path is public. Deny by default."""
    if request.scope["route"].path in PUBLIC_PATHS | SIGNED_PATHS:
        return
    now = parts.clock()
    with parts.database.reading() as session:
        token = people.authenticate(session, request.headers.get("authorization"), now)
    if people.needs_last_used(token, now):
        # For information only: who may read, may read while the database cannot be written.
        with suppress(Unavailable), parts.database.writing() as session:
            people.used(session, token, now)
    request.state.token = token


def _needs(role: Role) -> Callable[[Request], ApiToken]:
    def check(request: Request) -> ApiToken:
        token: ApiToken | None = getattr(request.state, "token", None)
        if token is None:
            raise Unauthorized("this needs a valid bearer token")
        people.require(token, role)
        return token

    return check


Viewer = Annotated[ApiToken, Depends(_needs(Role.VIEWER))]
Operator = Annotated[ApiToken, Depends(_needs(Role.OPERATOR))]
Admin = Annotated[ApiToken, Depends(_needs(Role.ADMIN))]
