"""What do I boot, and from which files? Asked by every machine at every start.

Without a framework: its way through routes, dependencies and validation takes several times as
long as the answer. No login: a MAC may narrow, never grant.
Whatever is in doubt boots the local disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import ClassVar, NamedTuple
from urllib.parse import quote, unquote_plus

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from deployer.boot import grub, ipxe
from deployer.boot.decide import BootRequest
from deployer.core.bootspec import BootDecision, LocalBoot
from deployer.core.hosts import canonical_mac, canonical_uuid
from deployer.core.inventory import Firmware
from deployer.core.text import is_plain_line
from deployer.errors import DeployerError, NotFound, Unavailable
from deployer.netboot import menus
from deployer.observe import log_request, measurement
from deployer.services import boot, boot_media, local_boot, media
from deployer.services.limit import Judged, RateLimit
from deployer.services.parts import Parts
from deployer.web.http import (
    as_problem,
    client_address,
    for_log,
    is_proxy_of_ours,
    plain,
    problem,
    unexpected,
)

# Beyond this a value cannot come from any firmware, and would only blow up a script.
_FACT_LIMIT = 256
_TOO_MANY = "rate_limited"


def _fact(text: str) -> str | None:
    """A fact that a machine tells, or None when nobody could have meant it."""
    text = text.strip()
    return text if text and len(text) <= _FACT_LIMIT and is_plain_line(text) else None


def _uuid(text: str) -> str | None:
    try:
        return canonical_uuid(text)
    except ValueError:
        return None


def _shown(scope: Scope) -> dict[str, str]:
    """What the machine tells of itself, by name, still encoded: of most, nobody reads more."""
    query: bytes = scope["query_string"]
    fields = [field.partition("=") for field in query.decode("latin-1").split("&")]
    return {name: value for name, _, value in fields}


class _Asked(NamedTuple):
    """A boot request as far as it is judged on the event loop; `answer`: no more is needed."""

    shown: dict[str, str]
    address: str
    mac: str
    firmware: Firmware
    arch: boot.Arch
    limited: Judged
    answer: boot.Answer | None


def _asking(asked: _Asked) -> boot.Asking:
    uuid, serial = (unquote_plus(asked.shown.get(name, "")) for name in ("uuid", "serial"))
    request = BootRequest(asked.mac, asked.address, _uuid(uuid), _fact(serial))
    product = _product(asked.shown, asked.firmware)
    return boot.Asking(request, asked.firmware, asked.arch, product)


def _product(shown: dict[str, str], firmware: Firmware) -> str:
    maker, product = (
        _fact(unquote_plus(shown.get(name, ""))) or "" for name in ("manufacturer", "product")
    )
    return local_boot.product_of(maker, product, firmware)


@lru_cache(maxsize=1024)
def _rendered(script: Callable[[BootDecision], str], decision: BootDecision) -> bytes:
    """A reply as bytes: most machines get one of a handful."""
    reply = plain(script(decision))
    # GRUB wants `Content-Length` in these letters; see web/replies.py.
    head = b"".join(b"%b: %b\r\n" % (name.title(), value) for name, value in reply.raw_headers)
    return head + b"\r\n" + bytes(reply.body)


class Loaders:
    """An ASGI application by hand; `paths` says which requests are for it."""

    paths = ("/boot", "/grub/", "/images/")
    scripts: ClassVar = {"/boot/ipxe": ipxe.script, "/boot/grub": grub.script}

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.limit = RateLimit(parts.settings.boot_requests_per_minute)
        self.glances, self.library = boot.Glances(parts), media.Library(parts)
        self.handlers = {
            "/boot/ipxe": self._ipxe, "/boot/grub": self._grub, "/boot.ipxe": self._entry,
            "/grub/grub.cfg": self._grub_entry, boot_media.ISO_PATH: self._boot_iso,
        }  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        try:
            response = await self._answer(request)
        except DeployerError as error:
            response = as_problem(error)
        except Exception as error:
            response = unexpected(request, error)
        await response(scope, receive, send)

    def at_once(self, scope: Scope) -> bytes | None:
        """The reply to nearly every boot request, as `web.protocol` takes it; else None."""
        script = self.scripts.get(scope["path"])
        if script is None:
            return None
        began = time.perf_counter()
        asked = scope["deployer.asked"] = self._asked(scope)
        if (answer := asked.answer) is None:
            return None
        reply = _rendered(script, answer.decision)
        seconds = time.perf_counter() - began
        measurement("machines", 200).observe(seconds)
        log_request(
            side="machines", method="GET", path=scope["path"], status=200,
            ms=round(seconds * 1000, 1), client=asked.address, mac=asked.mac,
            served=answer.served, reason=answer.reason,
        )  # fmt: skip
        return reply

    def _asked(self, scope: Scope) -> _Asked:
        """Tolerant on purpose: a machine with an odd fact must still boot, its own disk."""
        shown = _shown(scope)
        firmware: Firmware = "uefi" if shown.get("platform") == "efi" else "bios"
        arch: boot.Arch = "arm64" if shown.get("arch") == "arm64" else "x86_64"
        address = client_address(scope, self.parts.settings.trusted_proxies)
        limited, mac, answer = self.limit.judge(address), "", None
        if limited is Judged.FINE:
            try:
                mac = canonical_mac(unquote_plus(shown.get("mac", "")))
            except ValueError:
                mac = ""
            product = _product(shown, firmware) if mac and self.glances.proven.ways else ""
            answer = self.glances(mac, firmware, arch, product) if mac else None
        return _Asked(shown, address, mac, firmware, arch, limited, answer)

    async def _answer(self, request: Request) -> Response:
        path: str = request.scope["path"]
        handler = self.handlers.get(path)
        if handler is None and not path.startswith("/images/"):
            raise NotFound("there is nothing here")
        if request.method not in ("GET", "HEAD"):
            return problem(405, "This request cannot be answered", "Method Not Allowed",
                           {"Allow": "GET, HEAD"})  # fmt: skip
        return await (handler or self._media)(request)

    async def _entry(self, request: Request) -> Response:
        """The constant script that DHCP names: it collects the machine's facts and asks again."""
        agent = request.headers.get("user-agent", "")
        mistaken = self.parts.catalogue.instead_of_entry(agent)
        return plain(mistaken or ipxe.entry(self.parts.settings.effective_machine_url))

    async def _grub_entry(self, request: Request) -> Response:
        """The same for GRUB that came by HTTP boot; by TFTP it finds this file beside itself."""
        return plain(menus.grub(self.parts.settings.effective_machine_url, grub.unanswered()))

    async def _ipxe(self, request: Request) -> Response:
        """The boot decision as an iPXE script. Asking moves no deployment."""
        decision = await self._decision(request)
        reply = plain(ipxe.script(decision))
        if isinstance(decision, LocalBoot) and decision.reason == _TOO_MANY:
            # Our entry script asks again; GRUB would be left at a prompt.
            reply.status_code, reply.headers["Retry-After"] = 429, "3"
        return reply

    async def _grub(self, request: Request) -> Response:
        """The boot decision as a grub.cfg. Asking moves no deployment."""
        return plain(grub.script(await self._decision(request)))

    async def _decision(self, request: Request) -> BootDecision:
        asked: _Asked = request.scope.get("deployer.asked") or self._asked(request.scope)
        if asked.limited is not Judged.FINE:
            if asked.limited is Judged.FIRST_TOO_MANY:
                with suppress(Unavailable):  # the line is lost, the limit holds
                    await run_in_threadpool(boot.too_many_requests, self.parts, asked.address)
            for_log(request, served="local", reason=_TOO_MANY)
            return LocalBoot("auto", asked.firmware, _TOO_MANY)
        if not asked.mac:
            return LocalBoot("auto", asked.firmware, "no_mac")
        answer = asked.answer
        if answer is None:
            answer = await run_in_threadpool(boot.answer, self.parts, _asking(asked))
        for_log(request, mac=asked.mac, served=answer.served, reason=answer.reason)
        return answer.decision

    async def _media(self, request: Request) -> Response:
        """A file that the image's manifest lists, and no other; ranges and If-None-Match work."""
        settings = self.parts.settings
        image, _, path = request.scope["path"].removeprefix("/images/").partition("/")
        if not is_plain_line(image + path):
            raise NotFound("there is nothing here")
        found = self.library.at_a_glance(image, path)
        if found is None:
            found = await run_in_threadpool(self.library.find, image, path)
        at = None
        if settings.accel_redirect and is_proxy_of_ours(request, settings.trusted_proxies):
            at = settings.accel_redirect + quote(f"/{image}/{path}")
        return _sent(request, found, at)

    async def _boot_iso(self, request: Request) -> Response:
        """For a BMC's virtual drive, the same for every machine; BMCs read it in ranges."""
        found = await run_in_threadpool(boot_media.iso, self.parts, self.library)
        return _sent(request, found)


def _sent(request: Request, found: media.MediaFile, redirect: str | None = None) -> Response:
    """The file; `redirect`: where a proxy of ours finds it, and sends it itself."""
    headers = {"ETag": f'"{found.sha256}"'}
    known = request.headers.get("if-none-match", "")
    if headers["ETag"] in known or known.strip() == "*":
        return Response(status_code=304, headers=headers)
    headers["X-Content-Type-Options"] = "nosniff"
    kind = "application/octet-stream"
    if redirect:
        headers["X-Accel-Redirect"] = redirect
        return Response(headers=headers, media_type=kind)
    return FileResponse(found.file, stat_result=found.stat, headers=headers, media_type=kind)


class MachineSide:
    """Both applications that machines call, behind one door."""

    def __init__(self, loaders: ASGIApp, others: ASGIApp) -> None:
        self.loaders, self.others = loaders, others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for_loaders = scope.get("path", "").startswith(Loaders.paths)
        await (self.loaders if for_loaders else self.others)(scope, receive, send)
