"""Tells other services: an HTTP request of the operator's own, or a signed webhook.

Whom we call is decided on the address that is then connected (THREATS T073), redirects are not
followed, and nothing of an answer but its status is kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from deployer.answers.context import Snapshot
from deployer.answers.render import plain_environment, render_string
from deployer.core.effects import HttpRequest, Webhook
from deployer.core.profiles import SecretRef
from deployer.core.text import is_plain_line
from deployer.drivers import http
from deployer.errors import Invalid, PowerError, PowerRefused
from deployer.services import secrets, shown
from deployer.services.parts import Parts
from deployer.store.tables import Deployment

_LIMITS = http.Limits(request_seconds=15, total_seconds=30, body_bytes=256 * 1024, requests=1)
_SETTING = "DEPLOYER_WEBHOOK_NETWORKS"
# They pass: a service that starts again, or has too much to do.
_LATER = {408, 425, 429, *range(500, 600)}
_KEY_BYTES = range(24, 65)


@dataclass(frozen=True)
class Call:
    """What is sent; `told` is what the history shows of it, without what a URL may hide."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    expect: tuple[int, ...] = ()

    @property
    def told(self) -> str:
        parts = urlsplit(self.url)
        return f"{self.method} {parts.scheme}://{parts.netloc}{parts.path}"


def request(parts: Parts, deployment: Deployment, args: dict[str, Any], id_: str) -> Call:
    """The operator's own; `id_` is the same however often it is sent. PowerRefused when it cannot
    be rendered."""
    wanted = HttpRequest.model_validate(args)
    sees = _context(deployment)
    url = _rendered(wanted.url, sees, "url")
    hidden = {h: v.secret for h, v in wanted.headers.items() if isinstance(v, SecretRef)}
    if hidden and not url.startswith("https://"):
        raise PowerRefused(f"headers.{next(iter(hidden))} is a secret, and {url} is in the clear")
    values = _secrets(parts, hidden)
    headers = {
        name: values[value.secret]
        if isinstance(value, SecretRef)
        else _rendered(value, sees, f"headers.{name}")
        for name, value in wanted.headers.items()
    }
    body = b"" if wanted.json_ is None else _json(_filled(wanted.json_, sees))
    return Call(
        wanted.method, url, {"Idempotency-Key": id_, **headers}, body, tuple(wanted.expect)
    )  # fmt: skip


def webhook(
    parts: Parts, deployment: Deployment, args: dict[str, Any], id_: str, now: datetime
) -> Call:
    """As https://www.standardwebhooks.com has it: what was sent, by whom, and when, is signed."""
    wanted = Webhook.model_validate(args)
    body = _json({
        "type": f"deployment.{deployment.state}", "timestamp": shown.moment(now),
        "data": shown.deployment(deployment),
    })  # fmt: skip
    key = signing_key(wanted.secret, _secrets(parts, {"secret": wanted.secret})[wanted.secret])
    at = str(int(now.timestamp()))
    headers = {
        "webhook-id": id_, "webhook-timestamp": at,
        "webhook-signature": signature(key, id_, at, body),
    }  # fmt: skip
    return Call("POST", _rendered(wanted.url, _context(deployment), "url"), headers, body)


def signature(key: bytes, id_: str, at: str, body: bytes) -> str:
    """Version 1 of the standard; `at` is in seconds since 1970."""
    signed = hmac.new(key, b".".join([id_.encode(), at.encode(), body]), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def send(parts: Parts, call: Call) -> int:
    """The status of an answer that was expected; PowerError when trying again may help."""
    url = _checked(call.url)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    networks = parts.settings.webhook_networks
    origin = f"{url.scheme}://{url.netloc}"
    with http.Client(origin, True, networks, _LIMITS, _SETTING) as client:
        status = client.request(call.method, target, headers=call.headers, body=call.body).status
    if status in call.expect or (not call.expect and 200 <= status < 300):
        return status
    kind = PowerError if status in _LATER else PowerRefused
    raise kind(f"{call.told} was answered with {status}")


def _checked(url: str) -> Any:
    """Its parts; PowerRefused for what two readers could read in two ways."""
    try:
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        plain = False
    if not plain or not url.isascii() or set(url) & set(' \\"<>^`{|}') or "@" in parts.netloc:
        raise PowerRefused(f"{url!r} is no URL that we call: https://HOST/PATH, without a user")
    return parts


def _context(deployment: Deployment) -> dict[str, Any]:
    """What templates see: nothing of power drivers, and no hash of a password."""
    snapshot = Snapshot.from_json(deployment.snapshot)
    profile = snapshot.profile.model_dump(mode="json", exclude={"users", "root", "storage"})
    return {
        "host": snapshot.host.model_dump(mode="json", exclude={"power"}),
        "profile": profile,
        "deployment": shown.deployment(deployment),
    }


def _filled(value: Any, sees: dict[str, Any]) -> Any:
    """`value` with each text in it rendered."""
    if isinstance(value, dict):
        return {key: _filled(each, sees) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, sees) for each in value]
    return _template(value, sees, "json") if isinstance(value, str) else value


def _rendered(text: str, sees: dict[str, Any], field: str) -> str:
    done = _template(text, sees, field)
    if not is_plain_line(done) or not done.isascii():
        raise PowerRefused(f"{field} comes out as {done!r}, and must be one line of ASCII")
    return done


def _template(text: str, sees: dict[str, Any], field: str) -> str:
    try:
        return render_string(plain_environment(), text, sees, "the workflow", field)
    except Invalid as error:
        raise PowerRefused(error.message) from None


def _secrets(parts: Parts, fields: dict[str, str]) -> dict[str, str]:
    with parts.database.reading() as session:
        try:
            return secrets.values_of(session, parts, fields, "the workflow")
        except Invalid as error:
            raise PowerRefused(error.message) from None


def signing_key(name: str, secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if len(key) not in _KEY_BYTES:
        raise PowerRefused(f"the secret {name} is not whsec_ and 24 to 64 bytes in base64")
    return key


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
