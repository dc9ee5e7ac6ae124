"""What installers and new systems call; `web.loaders` is what runs before them.

No login: a token in the path grants, and a wrong one is told nothing. Each handler is its own
transaction, committed before it returns: as a dependency, it would begin and end in other threads,
and keep every other writer waiting in between.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from deployer.core.lifecycle import MachineEvent
from deployer.core.progress import Progress, system_of, translated
from deployer.errors import Invalid, TooManyRequests, Unavailable
from deployer.services import boot, inventory, machines
from deployer.services.limit import Judged, RateLimit
from deployer.web.dependencies import AddressDep, PartsDep
from deployer.web.http import NO_STORE, parse_json, plain

router = APIRouter()
_BODY_LIMIT = 64 * 1024


def body_limit(path: str) -> int:
    """Bytes that a request to `path` may carry."""
    return machines.LOG_LIMIT if re.match(r"/d/[^/]+/logs/", path) else _BODY_LIMIT


# --- what am I to do, and how far am I? -------------------------------------------------------


async def _body(request: Request) -> dict[str, Any]:
    """JSON, a form (cloud-init's phone_home), or nothing; anything else counts as nothing.

    A call must not be lost because a body that nobody needs is malformed.
    """
    raw = await request.body()
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return _form(raw)
    if not raw or kind not in ("application/json", ""):
        return {}
    try:
        parsed = parse_json(raw)
    except Invalid:
        if kind:
            raise
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _form(raw: bytes) -> dict[str, Any]:
    """cloud-init's phone_home sends `pub_key_*`; they are the host's SSH keys."""
    try:
        fields = dict(parse_qsl(raw.decode("utf-8"), max_num_fields=100))
    except (ValueError, UnicodeDecodeError):
        return {}
    keys = [value.strip() for name, value in fields.items() if name.startswith("pub_key_")]
    return {**fields, "ssh_host_keys": keys} if keys else dict(fields)


async def _raw(request: Request) -> bytes:
    return await request.body()


BodyDep = Annotated[dict[str, Any], Depends(_body)]


@router.api_route("/d/{token}/answers/{path:path}", methods=["GET", "POST"])
def answer_file(
    token: str, path: str, body: BodyDep, parts: PartsDep, address: AddressDep
) -> PlainTextResponse:
    """An answer file. The first fetch spends the boot script. By POST, the machine shows itself."""
    return _file(machines.answer_file(parts, token, path, address, system_of(body)), path)


# Who has no token could try MACs: these routes count together with boot requests. THREATS T002.
async def _limited(request: Request, parts: PartsDep, address: AddressDep) -> str:
    """The address, unless it has asked too often."""
    limit: RateLimit = request.app.state.limit
    judged = limit.judge(address)
    if judged is Judged.FIRST_TOO_MANY:
        with suppress(Unavailable):  # the line is lost, the limit holds
            await run_in_threadpool(boot.too_many_requests, parts, address)
    if judged is not Judged.FINE:
        raise TooManyRequests("too many requests from this address", remedy="wait a moment")
    return address


LimitedDep = Annotated[str, Depends(_limited)]


@router.post("/proxmox/answer")
def answer_by_macs(body: BodyDep, parts: PartsDep, address: LimitedDep) -> PlainTextResponse:
    """For Proxmox's installer, whose medium is the same for all hosts, and can name no token."""
    path = "answer.toml"
    return _file(machines.answer_by_mac(parts, path, system_of(body), address), path)


@router.get("/{mac}-install.conf")
def answer_by_mac(mac: str, parts: PartsDep, address: LimitedDep) -> PlainTextResponse:
    """For OpenBSD's autoinstall(8): its kernel takes no arguments, so it can name no token. It asks
    the next-server of DHCP, on port 80."""
    path = "install.conf"
    return _file(machines.answer_by_mac(parts, path, {"macs": [mac]}, address), path)


def _file(content: bytes, path: str) -> PlainTextResponse:
    reply = plain(content)
    if path.endswith(".toml"):
        reply.headers["Content-Type"] = "application/toml"
    return reply


@router.api_route("/d/{token}/phone-home/{event}", methods=["GET", "POST"])
def phone_home(
    token: str,
    event: MachineEvent,
    body: BodyDep,
    parts: PartsDep,
    address: AddressDep,
) -> PlainTextResponse:
    """A machine says how far it got. Saying it twice is fine."""
    with parts.database.writing() as session:
        machines.phone_home(session, parts, token, event, body, address)
    return plain("ok\n")


@router.post("/d/{token}/progress")
def progress(token: str, body: BodyDep, parts: PartsDep, address: AddressDep) -> PlainTextResponse:
    """The installer tells its stage and percentage."""
    try:
        message = Progress.model_validate(translated(body))
    except ValidationError as error:
        raise inventory.as_invalid(error) from None
    with parts.database.writing() as session:
        machines.progress(session, parts, token, message, address)
    return plain("ok\n")


@router.post("/d/{token}/disks")
def disks(token: str, body: BodyDep, parts: PartsDep, address: AddressDep) -> JSONResponse:
    """The machine lists its disks; the answer says which one may be written, or to stop."""
    reported = machines.parse_disks(body)
    with parts.database.writing() as session:
        answer = machines.choose_disk(session, parts, token, reported, address)
    return JSONResponse(answer, headers=NO_STORE)


@router.post("/d/{token}/logs/{name}")
def upload_log(
    token: str,
    name: Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")],
    content: Annotated[bytes, Depends(_raw)],
    parts: PartsDep,
) -> PlainTextResponse:
    """An installer's log. Its name is a label, never a path."""
    with parts.database.writing() as session:
        machines.save_log(session, parts, token, name, content)
    return plain("ok\n")
