"""Teams: what its outgoing webhooks send, what they take for an answer, and a workflow's URL.

Numbers are Microsoft's: 28 KB a message, 4 requests a second, cards of version 1.2 without actions.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from deployer.core.profiles import SecretRef
from deployer.drivers.chat.base import Context, Request
from deployer.drivers.chat.teams import Teams, TeamsSettings
from tests.support.chat.platform import Answer, Asked, Platform

# From Microsoft's page of 2018-08-15 on outgoing webhooks: the key of "contoso", the example of an
# inbound message, byte by byte with its blanks at the ends of two lines, and its signature.
TOKEN = "vqF0En+Z0ucuRTM/01o2GuhMH3hKKk/N2bOmlM31zaA="
SIGNATURE = "HMAC 03TCao0i55H1eVKUusZOTZRjtvYTs+mO41mPL+R1e1U="
EXAMPLE_AT = datetime.fromisoformat("2017-02-01T21:10:07.437Z")
EXAMPLE = (
    r"""{
    "type": "message",
    "id": "1485983408511",
    "timestamp": "2017-02-01T21:10:07.437Z",
    "localTimestamp": "2017-02-01T14:10:07.437-07:00",
    "serviceUrl": "https://smba.trafficmanager.net/amer-client-ss.msg/",
    "channelId": "msteams",
    "from": {
        "id": "29:1XJKJMvc5GBtc2JwZq0oj8tHZmzrQgFmB39ATiQWA85gQtHieVkHilBZ9XHoq9j7Zaqt7CZ-"""
    r"""NJWi7me2kHTL3Bw",
        "name": "Tim Jones"
    },
    "conversation": {
        "id": "19:253b1f341670408fb6fe51050b6e5ceb@thread.skype;messageid=1485983194839"
    },
    "recipient": {
        "id": "null",
        "name": "null"
    },
    "textFormat": "plain",
    "text": "<at>MyCustomBot</at> Hello <at>Larry Brown</at>",
    "attachments": [{
        "contentType": "text/html",
        "content": "<div><span contenteditable=\"false\" itemscope=\"\" itemtype=\"http://"""
    r"""schema.skype.com/Mention\" itemid=\"0\">MyWebHook </span> Hello <span contenteditable="""
    r"""\"false\" itemscope=\"\" itemtype=\"http://schema.skype.com/Mention\" itemid=\"1\">"""
    r"""Larry Brown </span></div>"
    }],
    "entities": [
      {
        "type": "mention",
        "mentioned": {
            "id": "28:c9e8c047-2a74-40a2-b28a-b162d5f5327c",·
            "name": "MyWebHook"
        },
        "text": "<at>MyWebHook</at>"
      },
      {
        "type": "mention",
        "mentioned": {
            "id": "29:1jnFbZYs0qXMLH-O4S9-sDLNc3NVEIMWMnC-q0tVdEa-8BRosfojI35QdNoB-"""
    r"""yW8iutWLJzHUm_mqEZSSU8si0Q",
            "name": "Larry Brown"
        },
        "text": "<at>Larry Brown</at>"
      },
      {·
        "locale": "en-US",
        "country": "US",
        "platform": "Windows",
        "timezone": "America/Los_Angeles",
        "type": "clientInfo"
      }
    ],
    "channelData": {
        "teamsChannelId": "19:253b1f341670408fb6fe51050b6e5ceb@thread.skype",
        "teamsTeamId": "19:712c61d0ef384e5fa681ba90ca943398@thread.skype"
    }·
}""".replace("·", " ").encode()
)

TENANT, USER = "72f988bf-86f1-41af-91ab-2d7cd011db47", "7faf8ab2-3d56-4244-b585-20c8a42ed2b8"
_PATH, _SIG = "/workflows/5e0a4f/triggers/manual/paths/invoke", "Zm9yLXRlc3RzLW9ubHk"
_TARGET = f"{_PATH}?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={_SIG}"
POSTS = f"https://prod-19.westeurope.logic.azure.com:443{_TARGET}"
_MOST, _A_SECOND = 28 * 1024, 4


def driver(posts: str | None = POSTS, *, api: str | None = None, token: str = TOKEN) -> Teams:
    """As the service makes it; `posts`: the URL to post to, `api`: the relay before it."""
    named = None if posts is None else SecretRef(secret="teams-posts")
    settings = TeamsSettings(
        token=SecretRef(secret="teams"), posts=named, api=api, verify=api is None
    )
    secrets = {"teams": token, "teams-posts": posts or ""}
    return Teams(settings, Context(secrets=secrets, networks="127.0.0.0/8"))


def sent(text: str, at: datetime, **changed: Any) -> dict[str, Any]:
    """What Teams sends by now: with tenant and the person's id in the directory."""
    stamp = f"{at:%Y-%m-%dT%H:%M:%S.%f}0Z"
    return {
        "type": "message", "id": "1485983408511", "timestamp": stamp, "channelId": "msteams",
        "from": {"id": "29:1XJKJMvc5GBtc2JwZq0oj8tH", "name": "Megan Bowen", "aadObjectId": USER},
        "conversation": {"id": "19:253b1f34@thread.tacv2;messageid=1485983194839"},
        "recipient": {"id": "28:c9e8c047-2a74-40a2-b28a-b162d5f5327c", "name": "Deployer"},
        "textFormat": "plain", "text": f"<at>Deployer</at>&nbsp;{text}\n",
        "channelData": {
            "teamsChannelId": "19:253b1f34@thread.tacv2", "teamsTeamId": "19:712c61d0@thread.tacv2",
            "tenant": {"id": TENANT},
        },
        **changed,
    }  # fmt: skip


def signed(said: Any, token: str = TOKEN) -> Request:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    digest = hmac.digest(base64.b64decode(token), body, hashlib.sha256)
    return Request({"authorization": f"HMAC {base64.b64encode(digest).decode()}"}, body)


# What a card of ours may be made of, with the properties of version 1.2 and their values.
_SIZES = {"Small", "Default", "Medium", "Large", "ExtraLarge"}
_COLOURS = {"Default", "Dark", "Light", "Accent", "Good", "Warning", "Attention"}
_ELEMENTS: dict[str, dict[str, Any]] = {
    "Container": {
        "items": list, "bleed": bool, "spacing": str,
        "style": {"default", "emphasis", "good", "attention", "warning", "accent"},
    },
    "RichTextBlock": {
        "inlines": list, "spacing": {"None", "Small", "Default", "Medium", "Large"},
    },
    "TextRun": {
        "text": str, "weight": {"Lighter", "Default", "Bolder"}, "size": _SIZES, "color": _COLOURS,
        "fontType": {"Default", "Monospace"}, "isSubtle": bool,
    },
}  # fmt: skip
_NEEDED = {"Container": "items", "RichTextBlock": "inlines", "TextRun": "text"}


def cards(said: Any) -> list[dict[str, Any]]:
    """The cards of a message; ValueError says what Teams would not take, or would show otherwise
    than as plain text."""
    _only(said, {"type", "summary", "text", "attachments"})
    if said["type"] != "message" or not isinstance(said.get("summary", ""), str):
        raise ValueError("no message")
    found = []
    for attachment in said["attachments"]:
        if attachment["contentType"] != "application/vnd.microsoft.card.adaptive":
            raise ValueError("Summary or Text is required.")
        card = attachment["content"]
        _only(card, {"$schema", "type", "version", "msteams", "body"})
        if (card["type"], card["version"]) != ("AdaptiveCard", "1.2"):
            raise ValueError("this card cannot be shown")
        # `entities` under msteams would make mentions of text.
        _only(card["msteams"], {"width"})
        for element in card["body"]:
            _check(element)
        found.append(card)
    return found


def texts(card: dict[str, Any]) -> list[str]:
    """What a person reads, row by row."""
    return ["".join(run["text"] for run in row["inlines"]) for row in _walk(card)]


def _walk(card: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for element in card["body"]:
        yield from element["items"] if element["type"] == "Container" else [element]


def _check(element: Any) -> None:
    kind = _ELEMENTS.get(element["type"])
    if kind is None or not element.get(_NEEDED[element["type"]]):
        raise ValueError(f"no such element: {element}")
    for name, value in element.items():
        takes = {element["type"]} if name == "type" else kind.get(name)
        if takes is None or not (
            value in takes if isinstance(takes, set) else isinstance(value, takes)
        ):
            raise ValueError(f"{element['type']}.{name} cannot be {value!r}")
    for inner in [*element.get("items", []), *element.get("inlines", [])]:
        _check(inner)


def _only(value: dict[str, Any], known: set[str]) -> None:
    if set(value) - known:
        raise ValueError(f"unknown: {set(value) - known}")


class Workflow(Platform):
    """The URL of a workflow; with `old`, of an incoming webhook, which says 200 to everything."""

    def __init__(self, *, old: bool = False) -> None:
        super().__init__()
        self.old = old
        self.cards: list[dict[str, Any]] = []
        self.enabled = True
        self._times: list[float] = []

    def answer(self, asked: Asked) -> Answer:
        if asked.method != "POST" or asked.path != _PATH or asked.query.get("sig") != _SIG:
            return self._refuse(401, "DirectApiAuthorizationRequired", "wrong signature")
        if not self.enabled:
            return self._refuse(404, "WorkflowTriggerIsNotEnabled", "trigger is not enabled")
        now = time.monotonic()
        self._times = [at for at in self._times if now - at < 1] + [now]
        if len(self._times) > _A_SECOND:
            return self._refuse(429, "RateLimited", "Rate limit is exceeded.", {"Retry-After": "7"})
        if self._size(asked) > _MOST:
            return self._refuse(413, "RequestEntityTooLarge", "too large")
        try:
            self.cards.extend(cards(asked.json()))
        except (ValueError, KeyError, TypeError) as error:
            return self._refuse(400, "BadRequest", f"Bad payload received: {error!r}")
        return Answer(200, b"1") if self.old else Answer(202)

    def _size(self, asked: Asked) -> int:
        if "charset=utf-8" in asked.headers["content-type"].lower():
            return len(asked.body)
        return len(asked.body.decode().encode("utf-16-le"))

    def _refuse(
        self, status: int, code: str, why: str, headers: dict[str, str] | None = None
    ) -> Answer:
        if self.old:
            said = (
                "Webhook message delivery failed with error: Microsoft Teams endpoint returned"
                f" HTTP error {status} with ContextId tcid=3626521845697697778,server=DB3PEPF0."
            )
            return Answer(200, said.encode())
        return Answer(status, {"error": {"code": code, "message": why}}, headers or {})
