"""Chats, seen from the API: a code to link oneself, who is linked, and a chat to try."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request

from deployer.core.chat_commands import LONGEST
from deployer.drivers.chat.base import Person
from deployer.errors import NotFound
from deployer.services import people
from deployer.services.chat import codes, terminal
from deployer.store import chats
from deployer.web import views
from deployer.web.dependencies import (
    AddressDep,
    Admin,
    PartsDep,
    ReadingDep,
    Viewer,
    WritingDep,
)
from deployer.web.operators.shared import API, Body, Json

router = APIRouter(prefix=API + "/chat")


class Saying(Body):
    """One line, as in any chat."""

    text: Annotated[str, Field(max_length=LONGEST * 20)]


@router.post("/links", status_code=201)
def create_link(who: Viewer, parts: PartsDep, session: WritingDep, address: AddressDep) -> Json:
    """A code that links a chat's user to this token: say `link CODE` to the bot. Shown once."""
    code = codes.issue(session, parts, "link", who.id, {})
    people.audit(session, parts.clock(), who.name, "chat.code", who.name, address)
    return {"code": code, "expires_at": views.moment(parts.clock() + codes.LIFETIME["link"])}


@router.get("/people")
def list_people(_: Admin, session: ReadingDep) -> Json:
    """Who is linked, and to whose token."""
    items = [
        {
            "platform": person.platform, "tenant": person.tenant, "user": person.user,
            "shown": person.shown, "token": token.name, "role": token.role,
            "linked_at": views.moment(person.linked_at),
            "expires_at": views.moment(token.expires_at),
        }
        for person, token in chats.people(session)
    ]  # fmt: skip
    return {"items": items, "next": None}


@router.delete("/people", status_code=204)
def delete_person(
    who: Admin, parts: PartsDep, session: WritingDep, address: AddressDep,
    platform: Annotated[str, Query(max_length=100)],
    user: Annotated[str, Query(max_length=300)],
    tenant: Annotated[str, Query(max_length=300)] = "",
) -> None:  # fmt: skip
    """Whoever this is may do nothing any more from that chat; the token stays."""
    person = chats.person(session, platform, tenant, user)
    if person is None:
        raise NotFound(
            f"nobody is linked as {user} on {platform}", field="user", value=user,
            remedy="`deployer chat people` lists them",
        )  # fmt: skip
    session.delete(person)
    target = Person(tenant, user).at(platform)
    people.audit(session, parts.clock(), who.name, "chat.unlink", target, address)


@router.post("/say")
def say(body: Saying, who: Viewer, request: Request) -> Json:
    """A chat without a platform: the same language, confirmation and threads."""
    message = terminal.say(request.app.state.chats.ears, who, body.text)
    return {"message": asdict(message)}


@router.get("/threads")
def threads(who: Viewer, parts: PartsDep, session: ReadingDep) -> Json:
    """What was asked for by `say`, each as its message would be shown now."""
    found = terminal.threads(session, parts, who)
    items = [
        {"deployment": views.deployment(row), "message": asdict(message)} for row, message in found
    ]
    return {"items": items, "next": None}
