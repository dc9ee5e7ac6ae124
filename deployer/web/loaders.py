"""What do I boot, and from which files? Asked by every machine at every start.

An application of its own, of plain routes: the framework's way through dependencies and
validation takes several times as long as the answer. No login: a MAC may narrow, never grant.
Whatever is in doubt boots the local disk.
"""

from __future__ import annotations

from urllib.parse import quote, unquote_plus

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from deployer.boot import grub, ipxe
from deployer.boot.decide import BootRequest
from deployer.core.bootspec import BootDecision, LocalBoot
from deployer.core.hosts import canonical_mac, canonical_uuid
from deployer.core.inventory import Firmware
from deployer.core.text import is_plain_line
from deployer.errors import NotFound
from deployer.netboot import menus
from deployer.services import boot, media
from deployer.services.parts import Parts
from deployer.web.http import client_address, for_log, is_proxy_of_ours, plain

# Beyond this a value cannot come from any firmware, and would only blow up a script.
_FACT_LIMIT = 256


def _fact(text: str) -> str | None:
    """A fact that a machine tells, or None when nobody could have meant it."""
    text = text.strip()
    return text if text and len(text) <= _FACT_LIMIT and is_plain_line(text) else None


def _uuid(text: str) -> str | None:
    try:
        return canonical_uuid(text)
    except ValueError:
        return None


def _shown(request: Request) -> dict[str, str]:
    """What the machine tells of itself, by name, still encoded: of most, nobody reads more."""
    query: bytes = request.scope["query_string"]
    fields = [field.partition("=") for field in query.decode("latin-1").split("&")]
    return {name: value for name, _, value in fields}


async def _decision(request: Request) -> BootDecision:
    """Tolerant on purpose: a machine with an odd fact must still boot, its own disk."""
    parts: Parts = request.app.state.parts
    shown = _shown(request)
    firmware: Firmware = "uefi" if shown.get("platform") == "efi" else "bios"
    arch: boot.Arch = "arm64" if shown.get("arch") == "arm64" else "x86_64"
    try:
        mac = canonical_mac(unquote_plus(shown.get("mac", "")))
    except ValueError:
        return LocalBoot("auto", firmware, "no_mac")
    answer = boot.at_a_glance(parts, mac, firmware, arch)
    if answer is None:
        address = client_address(request, parts.settings.trusted_proxies)
        uuid, serial = (unquote_plus(shown.get(name, "")) for name in ("uuid", "serial"))
        asking = boot.Asking(
            BootRequest(mac, address, _uuid(uuid), _fact(serial)), firmware, arch
        )  # fmt: skip
        answer = await run_in_threadpool(boot.answer, parts, asking)
    for_log(request, mac=mac, served=answer.served, reason=answer.reason)
    return answer.decision


async def _entry(request: Request) -> Response:
    """The constant script that DHCP names: it collects the machine's facts and asks again."""
    parts: Parts = request.app.state.parts
    mistaken = parts.catalogue.instead_of_entry(request.headers.get("user-agent", ""))
    return plain(mistaken or ipxe.entry(parts.settings.effective_machine_url))


async def _grub_entry(request: Request) -> Response:
    """The same for GRUB that came by UEFI HTTP boot; by TFTP it finds this file beside itself."""
    local = grub.script(LocalBoot("auto", "uefi", "no answer"))
    return plain(menus.grub(request.app.state.parts.settings.effective_machine_url, local))


async def _ipxe(request: Request) -> Response:
    """The boot decision as an iPXE script. Asking moves no deployment."""
    return plain(ipxe.script(await _decision(request)))


async def _grub(request: Request) -> Response:
    """The boot decision as a grub.cfg. Asking moves no deployment."""
    return plain(grub.script(await _decision(request)))


async def _media(request: Request) -> Response:
    """A file that the image's manifest lists, and no other; ranges and If-None-Match work."""
    parts: Parts = request.app.state.parts
    image, path = request.path_params["image"], request.path_params["path"]
    if not is_plain_line(image + path):
        raise NotFound("there is nothing here")
    found = media.at_a_glance(parts, image, path)
    if found is None:
        found = await run_in_threadpool(media.find, parts, image, path)
    headers = {"ETag": f'"{found.sha256}"'}
    known = request.headers.get("if-none-match", "")
    if headers["ETag"] in known or known.strip() == "*":
        return Response(status_code=304, headers=headers)
    headers["X-Content-Type-Options"] = "nosniff"
    kind, settings = "application/octet-stream", parts.settings
    if settings.accel_redirect and is_proxy_of_ours(request, settings.trusted_proxies):
        headers["X-Accel-Redirect"] = settings.accel_redirect + quote(f"/{image}/{path}")
        return Response(headers=headers, media_type=kind)
    return FileResponse(found.file, stat_result=found.stat, headers=headers, media_type=kind)


def application() -> Starlette:
    app = Starlette(routes=[
        Route("/boot/ipxe", _ipxe, methods=["GET"]),
        Route("/boot/grub", _grub, methods=["GET"]),
        Route("/boot.ipxe", _entry, methods=["GET"]),
        Route("/grub/grub.cfg", _grub_entry, methods=["GET"]),
        Route("/images/{image}/{path:path}", _media, methods=["GET"]),
    ])  # fmt: skip
    app.router.redirect_slashes = False
    return app


class MachineSide:
    """Both applications that machines call, behind one door."""

    def __init__(self, loaders: Starlette, others: ASGIApp) -> None:
        self.loaders, self.others = loaders, others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for_loaders = scope.get("path", "").startswith(("/boot", "/grub/", "/images/"))
        app = self.loaders if for_loaders else self.others
        await app(scope, receive, send)
