"""What every request passes through: size limits, one log line, errors as problem+json."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import math
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployer.core.ids import new_id
from deployer.errors import (
    DeployerError,
    Invalid,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unavailable,
)
from deployer.observe import log, log_request, masked_path, measurement
from deployer.services.inventory import shown_value
from deployer.services.parts import utc_now

_BODY_SECONDS = 30
NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def plain(text: str | bytes) -> PlainTextResponse:
    """For machines: as text, never kept by anything on the way."""
    return PlainTextResponse(text, headers=NO_STORE)


# --- errors -----------------------------------------------------------------------------------


def problem(
    status: int, title: str, detail: str, headers: dict[str, str] | None = None, **extra: Any
) -> JSONResponse:
    """An RFC 9457 document; members without a value are left out."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    body |= {name: value for name, value in extra.items() if value is not None}
    return JSONResponse(
        json.loads(json.dumps(body, default=str)), status, {**NO_STORE, **(headers or {})},
        media_type="application/problem+json",
    )  # fmt: skip


def as_problem(error: DeployerError) -> JSONResponse:
    extra: dict[str, Any] = {"field": error.field, "remedy": error.remedy, **error.extra}
    if error.field is not None:
        extra["value"] = error.value
    if isinstance(error, Invalid):
        extra["findings"] = [finding.as_dict() for finding in error.findings]
    headers = {}
    if isinstance(error, Unavailable | TooManyRequests):
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(error.status, error.title, error.message, headers, **extra)


def _invalid_request(request: Request, error: Exception) -> Response:
    """Pydantic's list as findings, the first of them in full."""
    assert isinstance(error, RequestValidationError)
    findings = [_finding(e) for e in error.errors()]
    first = findings[0]
    return problem(
        422, Invalid.title, f"{first['field']}: {first['message']}", findings=findings, **{
            key: first[key] for key in ("field", "value", "remedy")
        },
    )  # fmt: skip


def _finding(error: Any) -> dict[str, Any]:
    where = [str(part) for part in error["loc"] if part not in ("body", "query", "path", "header")]
    remedies = {
        "extra_forbidden": "remove this field; it is unknown here, or not yours to set",
        "missing": "give this field a value",
        "json_invalid": "send valid JSON",
    }
    message = error["msg"].removeprefix("Value error, ")
    field = ".".join(where) or "body"
    return {
        "field": field,
        "message": message,
        "value": shown_value(field, error.get("input")),
        "remedy": remedies.get(error["type"], f"correct this field: {message}"),
    }


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        # The same words as for a wrong token or name, so that a route tells nothing either.
        return as_problem(NotFound("there is nothing here"))
    return problem(error.status_code, "This request cannot be answered", str(error.detail))


def _own_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DeployerError)
    return as_problem(error)


def unexpected(request: Request, error: Exception) -> Response:
    """A fault of ours: logged in full under an id, told without details."""
    id_ = new_id("err", utc_now())
    log.error("unexpected", id=id_, path=masked_path(request.url.path), exc_info=error)
    return problem(
        500, "This is a fault in Deployer", f"something unexpected happened; see {id_} in the log"
    )


def install_error_handlers(app: Starlette) -> None:
    app.add_exception_handler(DeployerError, _own_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, unexpected)


# --- bodies -----------------------------------------------------------------------------------


def parse_json(raw: bytes) -> Any:
    """JSON with one meaning: UTF-8, finite numbers, no key twice, not nested beyond reason."""

    def refuse_constant(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    def finite(digits: str) -> float:
        if math.isinf(number := float(digits)):
            raise ValueError(f"{digits} is too large a number")
        return number

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key is written twice")
        return found

    try:
        parsed = json.loads(
            raw.decode("utf-8"), parse_constant=refuse_constant, parse_float=finite,
            object_pairs_hook=unique,
        )  # fmt: skip
        if b"\\u" in raw:
            # Half a surrogate pair is no character: it could be stored, and never be shown again.
            json.dumps(parsed, ensure_ascii=False).encode("utf-8")
        return parsed
    except (ValueError, RecursionError) as error:
        raise Invalid(
            f"the body is not acceptable JSON: {str(error)[:200]}", field="body",
            remedy="send JSON in UTF-8, every key once, without NaN, not nested too deeply",
        ) from None  # fmt: skip


class Bodies:
    """Reads a body up to a limit, in bounded time, before anything else sees the request.

    The framework has no limit of its own. Compressed bodies are refused: a small one may unpack
    to any size. THREATS T044.
    """

    def __init__(self, app: ASGIApp, limit: Callable[[str], int]) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])  # ASGI: their names are in lower case
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            await self.app(scope, receive, send)
            return
        try:
            body = await self._read(scope, headers, receive)
        except DeployerError as error:
            # The rest of the body is not read, so the connection is of no more use.
            response = as_problem(error)
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        await self.app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        limit = self.limit(scope["path"])
        declared = headers.get(b"content-length", b"0")
        if b"content-encoding" in headers:
            raise Invalid("compressed bodies are not accepted", field="Content-Encoding",
                          remedy="send the body as it is")  # fmt: skip
        if declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await _read_all(receive, limit)
        except TimeoutError:
            raise Invalid(f"the body did not arrive within {_BODY_SECONDS} s", field="body",
                          remedy="send it faster") from None  # fmt: skip
        # Any of them, of any kind of JSON: the framework may look at another one than we.
        kinds = [value.lower() for name, value in scope["headers"] if name == b"content-type"]
        if body and any(b"json" in kind for kind in kinds):
            parse_json(body)
        return body


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the body is larger than {limit} bytes", field="body", remedy=f"send at most {limit} bytes"
    )


async def _read_all(receive: Receive, limit: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Invalid("the client went away", field="body", remedy="send it again")
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


# --- one line per request ---------------------------------------------------------------------


def for_log(request: Request, **facts: str) -> None:
    """Add what the handler found out to the line of this request."""
    request.scope["deployer.facts"] = facts


class RequestLog:
    """One log line and one measurement per request. Tokens in paths and queries stay out of it.

    `trusted`: the proxies whose word on who is calling is taken.
    """

    def __init__(self, app: ASGIApp, side: str, trusted: str) -> None:
        self.app, self.side, self.trusted = app, side, trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note_status)
        finally:
            seconds = time.perf_counter() - began
            measurement(self.side, status).observe(seconds)
            log_request(
                side=self.side, method=scope["method"],
                path=masked_path(scope["path"]), status=status,
                ms=round(seconds * 1000, 1), client=client_address(scope, self.trusted),
                **scope.get("deployer.facts", {}),
            )  # fmt: skip


# --- who is calling ---------------------------------------------------------------------------


def client_address(scope: Scope, trusted: str) -> str:
    """The peer's address; behind a trusted proxy, the right-most address that is no proxy of ours.

    A header from anybody else is ignored: it would let a client choose its address (THREATS T006).
    """
    peer: str = (scope.get("client") or ("unknown",))[0]
    if not (networks := _networks(trusted)) or not _in(peer, networks):
        return peer
    forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
    for hop in reversed([h.strip() for h in forwarded if h.strip()]):
        if not _in(hop, networks):
            return hop if _is_address(hop) else peer
    return peer


def is_proxy_of_ours(request: Request, trusted: str) -> bool:
    """Whether the peer itself is a trusted proxy."""
    return request.client is not None and _in(request.client.host, _networks(trusted))


@cache
def _networks(trusted: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    names = [name.strip() for name in trusted.split(",") if name.strip()]
    return [ipaddress.ip_network(name, strict=False) for name in names]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _in(address: str, networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return _is_address(address) and any(ipaddress.ip_address(address) in net for net in networks)
