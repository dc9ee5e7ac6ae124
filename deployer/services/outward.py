"""Tells other services: an HTTP request of the operator's own, or a signed webhook."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from deployer.answers.context import Snapshot
from deployer.answers.render import plain_environment, render_string
from deployer.core.effects import HttpRequest, Notify, Webhook
from deployer.core.profiles import SecretRef
from deployer.core.text import is_plain_line, printable
from deployer.drivers import calls, standard_webhooks
from deployer.drivers.calls import Call
from deployer.errors import DriverRefused, Invalid
from deployer.services import secrets, shown
from deployer.services.parts import Parts
from deployer.store.tables import Deployment

_TEXT_KEPT = 10_000  # characters
_SETTING = "DEPLOYER_WEBHOOK_NETWORKS"


def request(parts: Parts, deployment: Deployment, args: dict[str, Any], id_: str) -> Call:
    """The operator's own; `id_` is the same however often it is sent. DriverRefused when it cannot
    be rendered."""
    wanted = HttpRequest.model_validate(args)
    sees = _context(deployment)
    url = _rendered(wanted.url, sees, "url")
    hidden = {h: v.secret for h, v in wanted.headers.items() if isinstance(v, SecretRef)}
    if hidden and not url.startswith("https://"):
        raise DriverRefused(f"headers.{next(iter(hidden))} is a secret, and {url} is in the clear")
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
    body = standard_webhooks.body(deployment.state, now, shown.deployment(deployment))
    secret = _secrets(parts, {"secret": wanted.secret})[wanted.secret]
    key = standard_webhooks.signing_key(wanted.secret, secret)
    headers = standard_webhooks.headers(key, id_, now, body)
    return Call("POST", _rendered(wanted.url, _context(deployment), "url"), headers, body)


def notice(deployment: Deployment, args: dict[str, Any]) -> tuple[str, str]:
    """(name of the receiver, what it is told); DriverRefused when that cannot be rendered."""
    wanted = Notify.model_validate(args)
    text = printable(_template(wanted.text, _context(deployment), "text").strip(), _TEXT_KEPT)
    if not text:
        raise DriverRefused("text comes out empty")
    return wanted.receiver, text


def send(parts: Parts, call: Call) -> int:
    """The status of an answer that was expected; DriverError when trying again may help."""
    return calls.send(call, parts.settings.webhook_networks, _SETTING)


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
        raise DriverRefused(f"{field} comes out as {done!r}, and must be one line of ASCII")
    return done


def _template(text: str, sees: dict[str, Any], field: str) -> str:
    try:
        return render_string(plain_environment(), text, sees, "the workflow", field)
    except Invalid as error:
        raise DriverRefused(error.message) from None


def _secrets(parts: Parts, fields: dict[str, str]) -> dict[str, str]:
    with parts.database.reading() as session:
        try:
            return secrets.values_of(session, parts, fields, "the workflow")
        except Invalid as error:
            raise DriverRefused(error.message) from None


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
