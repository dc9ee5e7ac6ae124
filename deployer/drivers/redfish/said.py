"""What a BMC says, made safe: JSON, links, and the words of its errors (T074)."""

from __future__ import annotations

import json
import re
from typing import Any

from deployer.core.text import printable
from deployer.drivers import http
from deployer.errors import DriverRefused

Resource = dict[str, Any]

_LINK = re.compile(r"/redfish/[A-Za-z0-9._~!$&'()*+,;=:@%/|{}-]{0,500}", re.ASCII)


def parsed(body: bytes) -> Any:
    """The JSON value; None when it is none, or too deep."""
    try:
        return _clean(json.loads(body))
    except (ValueError, RecursionError):
        return None


def messages(reply: http.Reply) -> list[tuple[str, str]]:
    """(name, words) of a Redfish error; nothing of an answer that is none."""
    try:
        error = parsed(reply.body)["error"]
        details = error.get("@Message.ExtendedInfo") or [error]
        return [
            (str(each.get("MessageId") or each.get("code")),
             str(each.get("Message") or each.get("message") or each.get("MessageId") or ""))
            for each in details
        ]  # fmt: skip
    except (LookupError, TypeError, AttributeError):
        return []


def _clean(value: Any) -> Any:
    """What a BMC says ends up in histories and on terminals: escapes are made visible."""
    if isinstance(value, str):
        return value if value.isprintable() else printable(value)
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {_clean(name): _clean(each) for name, each in value.items()}
    return value


def is_link(text: Any) -> bool:
    return (
        isinstance(text, str)
        and _LINK.fullmatch(text) is not None
        and "//" not in text
        and ".." not in text
    )


def checked(text: Any) -> str:
    """A path that a BMC gave; DriverRefused when it leads away from its Redfish."""
    path = text.partition("#")[0] if isinstance(text, str) else text
    if not is_link(path):
        shown = printable(str(text), 200)
        raise DriverRefused(
            f"the BMC gives a link that leads away from its Redfish: {shown!r}",
            remedy="is this the BMC? If so, update its firmware",
        )
    return str(path)


def link(resource: Resource, name: str) -> str | None:
    """The path behind `name`, if there is one."""
    value = resource.get(name)
    target = value.get("@odata.id") if isinstance(value, dict) else None
    return None if target is None else checked(target)
