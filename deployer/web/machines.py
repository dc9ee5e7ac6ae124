"""What firmware, boot loaders, installers and new systems call.

No login: a MAC may narrow, a token in the path grants. Whatever is in doubt boots the local disk.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Header, Path, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from pydantic import ValidationError

from deployer.boot import grub, ipxe
from deployer.boot.decide import BootRequest
from deployer.core.bootspec import BootDecision, LocalBoot
from deployer.core.hosts import canonical_mac, canonical_uuid
from deployer.core.lifecycle import MachineEvent
from deployer.core.progress import Progress, translated
from deployer.core.text import is_plain_line
from deployer.errors import Invalid, NotFound
from deployer.netboot import menus
from deployer.services import boot, inventory, machines
from deployer.web.dependencies import AddressDep, PartsDep, ReadingDep, WritingDep
from deployer.web.http import NO_STORE, parse_json

router = APIRouter()
# Beyond this a value cannot come from any firmware, and would only blow up a script.
_FACT_LIMIT = 256
_BODY_LIMIT = 64 * 1024


def body_limit(path: str) -> int:
    """Bytes that a request to `path` may carry."""
    return machines.LOG_LIMIT if re.match(r"/d/[^/]+/logs/", path) else _BODY_LIMIT


def _plain(text: str) -> PlainTextResponse:
    return PlainTextResponse(text, headers=NO_STORE)


# --- what do I boot? --------------------------------------------------------------------------


def _fact(text: str | None) -> str | None:
    """A fact that a machine tells, or None when nobody could have meant it."""
    text = (text or "").strip()
    return text if text and len(text) <= _FACT_LIMIT and is_plain_line(text) else None


def _uuid(text: str | None) -> str | None:
    try:
        return canonical_uuid(text)
    except ValueError:
        return None


def _decision(
    parts: PartsDep,
    address: AddressDep,
    mac: str = "",
    uuid: str | None = None,
    serial: str | None = None,
    platform: str | None = None,
    arch: str | None = None,
) -> BootDecision:
    """Tolerant on purpose: a machine with an odd fact must still boot, its own disk."""
    firmware: Literal["bios", "uefi"] = "uefi" if platform == "efi" else "bios"
    try:
        request = BootRequest(canonical_mac(mac), address, _uuid(uuid), _fact(serial))
    except ValueError:
        return LocalBoot("auto", firmware, "no_mac")
    kind: Literal["x86_64", "arm64"] = "arm64" if arch == "arm64" else "x86_64"
    return boot.answer(parts, boot.Asking(request, firmware, kind))


DecisionDep = Annotated[BootDecision, Depends(_decision)]


@router.api_route("/boot.ipxe", methods=["GET", "HEAD"])
def boot_entry(parts: PartsDep, user_agent: Annotated[str, Header()] = "") -> PlainTextResponse:
    """The constant script that DHCP names: it collects the machine's facts and asks again."""
    if mistaken := parts.catalogue.instead_of_entry(user_agent):
        return _plain(mistaken)
    return _plain(ipxe.entry(parts.settings.effective_machine_url))


@router.api_route("/grub/grub.cfg", methods=["GET", "HEAD"])
def grub_entry(parts: PartsDep) -> PlainTextResponse:
    """The same for GRUB that came by UEFI HTTP boot; by TFTP it finds this file beside itself."""
    local = grub.script(LocalBoot("auto", "uefi", "no answer"))
    return _plain(menus.grub(parts.settings.effective_machine_url, local))


@router.get("/boot/ipxe")
def boot_ipxe(decision: DecisionDep) -> PlainTextResponse:
    """The boot decision as an iPXE script. Asking moves no deployment."""
    return _plain(ipxe.script(decision))


@router.get("/boot/grub")
def boot_grub(decision: DecisionDep) -> PlainTextResponse:
    """The boot decision as a grub.cfg. Asking moves no deployment."""
    return _plain(grub.script(decision))


# --- what am I to do, and how far am I? -------------------------------------------------------


@router.get("/d/{token}/answers/{path:path}")
def answer_file(
    token: str, path: str, parts: PartsDep, session: WritingDep, address: AddressDep
) -> PlainTextResponse:
    """An answer file. The first fetch spends the boot script."""
    return _plain(machines.answer_file(session, parts, token, path, address))


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


@router.api_route("/d/{token}/phone-home/{event}", methods=["GET", "POST"])
def phone_home(
    token: str,
    event: MachineEvent,
    body: BodyDep,
    parts: PartsDep,
    session: WritingDep,
    address: AddressDep,
) -> PlainTextResponse:
    """A machine says how far it got. Saying it twice is fine."""
    machines.phone_home(session, parts, token, event, body, address)
    return _plain("ok\n")


@router.post("/d/{token}/progress")
def progress(
    token: str, body: BodyDep, parts: PartsDep, session: WritingDep, address: AddressDep
) -> PlainTextResponse:
    """The installer tells its stage and percentage."""
    try:
        message = Progress.model_validate(translated(body))
    except ValidationError as error:
        raise inventory.as_invalid(error) from None
    machines.progress(session, parts, token, message, address)
    return _plain("ok\n")


@router.post("/d/{token}/disks")
def disks(
    token: str, body: BodyDep, parts: PartsDep, session: WritingDep, address: AddressDep
) -> JSONResponse:
    """The machine lists its disks; the answer says which one may be written, or to stop."""
    reported = machines.parse_disks(body)
    answer = machines.choose_disk(session, parts, token, reported, address)
    return JSONResponse(answer, headers=NO_STORE)


@router.post("/d/{token}/logs/{name}")
def upload_log(
    token: str,
    name: Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")],
    content: Annotated[bytes, Depends(_raw)],
    parts: PartsDep,
    session: WritingDep,
) -> PlainTextResponse:
    """An installer's log. Its name is a label, never a path."""
    machines.save_log(session, parts, token, name, content)
    return _plain("ok\n")


# --- boot media -------------------------------------------------------------------------------


@router.api_route("/images/{image}/{path:path}", methods=["GET", "HEAD"])
def image_file(
    image: str,
    path: str,
    request: Request,
    parts: PartsDep,
    session: ReadingDep,
) -> Response:
    """A file that the image's manifest lists, and no other; ranges and If-None-Match work."""
    if not is_plain_line(image + path):
        raise NotFound("there is nothing here")
    manifest = inventory.find_image(session, image).manifest
    entry = next((file for file in manifest["files"] if file["path"] == path), None)
    folder = (parts.settings.images_dir / image).resolve()
    file = (folder / path).resolve()
    if entry is None or not file.is_relative_to(folder) or not file.is_file():
        raise NotFound("there is nothing here")
    etag = f'"{entry["sha256"]}"'
    known = request.headers.get("if-none-match", "")
    if etag in known or known.strip() == "*":
        return Response(status_code=304, headers={"ETag": etag})
    return FileResponse(
        file, media_type="application/octet-stream",
        headers={"ETag": etag, "X-Content-Type-Options": "nosniff"},
    )  # fmt: skip
