"""Mattermost's side: its API, the URLs of its commands, what it sends us, and what it shows.

Limits and refusals of server 10: model/post.go, model/message_attachment.go,
model/integration_action.go, app/notification.go and web/webhook.go of mattermost/mattermost;
the command is the example of developers.mattermost.com/integrate/slash-commands.
"""

from __future__ import annotations

import base64
import html
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from deployer.drivers.chat.base import Request, Response
from tests.support.chat.platform import Answer, Asked, Platform

TOKEN, BOT_TOKEN = "nezum4kpu3faiec7r7c5zt6tfy", "b0tb0tb0tb0tb0tb0tb0tb0tb0"
USER, BOT = "k1x4aqdjy3813c84m771eoc9xo", "bot4aqdjy3813c84m771eoc9xo"
CHANNEL, PRIVATE = "i3bb9xfyqt8rtbyshmyhgsj16c", "p3bb9xfyqt8rtbyshmyhgsj16c"
URL = "https://deployer.example.com/chat/mattermost"
_USES = 5  # of one response_url
_STYLES = {"default", "primary", "success", "good", "warning", "danger"}
_COLOR = re.compile("good|warning|danger|#[0-9a-f]{6}", re.IGNORECASE)
Json = dict[str, Any]


class Mattermost(Platform):
    """`posts` by id; `private` are those that one person sees, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.posts: dict[str, Json] = {}
        self.private: list[Json] = []
        self.channels = {CHANNEL: "town-square"}
        self._hooks: dict[str, int] = {}
        self._count = itertools.count(1)

    @property
    def settings(self) -> Json:
        return {
            "api": self.url, "verify": False, "token": {"secret": "command"}, "url": URL,
            "bot_token": {"secret": "bot"}, "channel": CHANNEL,
        }  # fmt: skip

    # --- what people do ---------------------------------------------------------------------------

    def command(self, text: str, token: str = TOKEN, **more: str) -> Request:
        hook = self._id("hook")
        self._hooks[hook] = 0
        form = {
            "channel_id": CHANNEL, "channel_name": "town-square", "command": "/deployer",
            # As the server's SiteURL has it, which need not be how we reach it.
            "response_url": f"http://10.0.0.5:8065/hooks/commands/{hook}", "team_domain": "rrrr",
            "team_id": "tsb8crrn5tgqtedpkt81b4tcya", "text": text, "token": token,
            "trigger_id": self._trigger(), "user_id": USER, "user_name": "tester", **more,
        }  # fmt: skip
        headers = {
            "accept": "application/json", "authorization": f"Token {token}",
            "content-type": "application/x-www-form-urlencoded", "user-agent": "mattermost-10.5.0",
        }  # fmt: skip
        return Request(headers, urlencode(form).encode())

    def press(self, post: Json, number: int = 0, **more: Any) -> Request:
        """What the server sends when somebody presses the button of this number."""
        action = buttons(post)[number]
        assert re.fullmatch("[A-Za-z0-9]+", action["id"]), "404: no such route"
        assert action["integration"]["url"] == URL
        said = {
            "user_id": USER, "user_name": "tester", "channel_id": CHANNEL,
            "channel_name": "town-square", "team_id": "tsb8crrn5tgqtedpkt81b4tcya",
            "team_domain": "rrrr", "post_id": post["id"], "trigger_id": self._trigger(),
            "type": "button", "data_source": "",
            "context": action["integration"]["context"], **more,
        }  # fmt: skip
        return Request({"content-type": "application/json"}, json.dumps(said).encode())

    def takes_press(self, response: Response) -> None:
        """Our answer to a press."""
        assert response.status == 200
        said = json.loads(response.body) if response.body else {}
        assert set(said) <= {"update", "ephemeral_text", "skip_slack_parsing"}
        assert "update" not in said, "404 where only one person saw it, which we cannot know"
        if said.get("ephemeral_text"):
            assert said["skip_slack_parsing"]
            self.private.append({"message": said["ephemeral_text"], "props": {}})

    # --- what we ask ------------------------------------------------------------------------------

    def answer(self, asked: Asked) -> Answer:
        path = asked.path.removeprefix("/api/v4")
        if asked.path.startswith("/hooks/commands/"):
            return self._hook(asked)
        if asked.headers.get("authorization") != f"Bearer {BOT_TOKEN}":
            return _no(401, "api.context.session_expired.app_error", "Invalid or expired session")
        match asked.method, path.split("/")[1:]:
            case "GET", ["users", "me"]:
                return Answer(200, {"id": BOT, "username": "deployer", "is_bot": True})
            case "POST", ["channels", "direct"]:
                return self._direct(asked.json())
            case "POST", ["posts"]:
                return self._create(asked.json())
            case "PUT", ["posts", id_, "patch"]:
                return self._patch(id_, asked.json())
        return _no(404, "api.context.404.app_error", "Sorry, we could not find the page.")

    def _hook(self, asked: Asked) -> Answer:
        id_ = asked.path.rpartition("/")[2]
        if id_ not in self._hooks:
            return _no(404, "app.command_webhook.get.missing", "Unable to get the webhook.")
        self._hooks[id_] += 1
        if self._hooks[id_] > _USES:
            return _no(400, "app.command_webhook.try_use.invalid", "Invalid webhook.")
        if asked.headers["content-type"].partition(";")[0] != "application/json":
            return _no(400, "web.command_webhook.parse.app_error", "Unable to parse incoming data.")
        said = asked.json()
        assert said["response_type"] == "ephemeral"
        post = {"id": self._id("eph"), "message": said["text"],
                "props": {"attachments": said["attachments"]}}  # fmt: skip
        if not said.get("skip_slack_parsing"):
            post["message"] = re.sub(r"<([^\n<|>]+)\|([^\n>]+)>", r"[\2](\1)", post["message"])
        refused = refusal(post)
        if refused is None:
            self.private.append(post)
        return refused or Answer(200, b"ok")

    def _direct(self, users: list[str]) -> Answer:
        if sorted(users) != sorted([BOT, USER]):
            return _no(400, "api.channel.create_direct_channel.invalid_user.app_error", "Invalid")
        self.channels[PRIVATE] = f"{BOT}__{USER}"
        return Answer(201, {"id": PRIVATE, "type": "D", "name": self.channels[PRIVATE]})

    def _create(self, post: Json) -> Answer:
        if post["channel_id"] not in self.channels:
            return _forbidden()
        if post["root_id"]:
            root = self.posts.get(post["root_id"])
            if root is None or root["root_id"] or root["channel_id"] != post["channel_id"]:
                return _no(
                    400, "api.post.create_post.root_id.app_error", "Invalid RootId parameter."
                )
        refused = refusal(post)
        if refused is not None:
            return refused
        made = {**post, "id": self._id("post"), "user_id": BOT}
        self.posts[made["id"]] = made
        return Answer(201, made)

    def _patch(self, id_: str, patch: Json) -> Answer:
        if id_ not in self.posts:
            return _forbidden()
        assert set(patch) <= {"message", "props"}
        refused = refusal(self.posts[id_] | patch)
        if refused is None:
            self.posts[id_] |= patch
        return refused or Answer(200, self.posts[id_])

    def _id(self, kind: str) -> str:
        return f"{kind}{next(self._count)}".ljust(26, "x")

    def _trigger(self) -> str:
        told = f"{self._id('trigger')}:{USER}:1551208195427:MEUCIHRuakveFgDaM7zPDh1eDVwY"
        return base64.b64encode(told.encode()).decode()


def _no(status: int, id_: str, message: str) -> Answer:
    told = {"id": id_, "message": message, "detailed_error": "", "status_code": status}
    return Answer(status, told | {"request_id": "j3jc8nqm1jbyfbjfs8ptd9g9ro"})


def _forbidden() -> Answer:
    said = "You do not have the appropriate permissions."
    return _no(403, "api.context.permissions.app_error", said)


def refusal(post: Json) -> Answer | None:
    """Of what no post may be."""
    if len(post["message"]) > 16_383:
        return _no(400, "model.post.is_valid.message_length.app_error", "Post Message is too long.")
    if len(json.dumps(post["props"], ensure_ascii=False)) > 800_000:
        return _no(400, "model.post.is_valid.props.app_error", "Invalid props.")
    wrong = [each for one in attachments(post) for each in _problems(one)]
    if wrong or not (post["message"] or attachments(post)):
        return _no(400, "model.post.is_valid.props.app_error", ", ".join(wrong))
    return None


def _problems(attachment: Json) -> Iterator[str]:
    if not _COLOR.fullmatch(attachment.get("color", "good")):
        yield "invalid color"
    for field in attachment.get("fields", []):
        if not isinstance(field["value"], str) or not isinstance(field["title"], str):
            yield "value must be either a string or int"
    for action in attachment.get("actions", []):
        if not action["name"]:
            yield "action must have a name"
        if action["style"] not in _STYLES or action["type"] != "button":
            yield "invalid style"
        if not action["integration"]["url"]:
            yield "action must have integration settings"


# --- what people see ------------------------------------------------------------------------------


def attachments(post: Json) -> list[Json]:
    return post["props"].get("attachments") or []


def buttons(post: Json) -> list[Json]:
    return [action for one in attachments(post) for action in one.get("actions", [])]


def says(post: Json) -> list[str]:
    return [action["integration"]["context"]["says"] for action in buttons(post)]


def read(post: Json) -> list[str]:
    """The texts that are seen, without the spaces that have no width."""
    return [seen(markdown)[0].replace("\u200b", "") for markdown in _markdowns(post)]


def active(post: Json) -> list[str]:
    """Mentions, links, emoji and markup that are more than text, beside our own bold title."""
    return [found for markdown in _markdowns(post) for found in seen(markdown)[1]]


def _markdowns(post: Json) -> Iterator[str]:
    yield post["message"]
    for one in attachments(post):
        yield one.get("text", "")
        for field in one.get("fields", []):
            yield from (field["title"], field["value"])


# As the web client has it: github.com/mattermost/marked, lib/marked.js. A backslash helps these
# signs alone, and one before a letter is a backslash.
_ESCAPE = re.compile(r"\\([`*{}\[\]()#+\-.!_>|~]|\\(?!\w))")
_MARKUP = [
    re.compile(form, re.DOTALL | re.IGNORECASE)
    for form in (
        r"<(?:[^ >]+(?:@|:/)|www\d{0,3}\.)[^ >]+>", r"</?[a-z][\w:-]*[^>]*>", r"<![a-z]+[^>]*>",
        r"!?\[[^\]]*\]\([^)]+\)", r"(__|\*\*).+?\1", r"_\S.*?_(?!\w)", r"\*[^\s*].*?\*",
        r"~~\S.*?~~", r"(`+)[^`].*?\1", r"[a-z][a-z\d.+-]*:(?:/{1,3}\S|[a-z%]\S)",
        r"www\d{0,3}\.\S", r"(?<![\w.-])[\w.-]+\.[^\W\d_]{2,4}/\S", r"\$[^$\n]+\$(?!\w)",
        r"&#?\w+;",
    )
]  # fmt: skip
_AT_LINE_START = re.compile(
    r" {4}\S|(?: *[-*_]){3,} *(?:\n|$)| *#{1,6} +\S| *>.| *(?:[*+-]|\d+[.)]) +\S|={2,}|-{2,}"
    r"|```|~~~"
)
# What is looked for in the text that is left: by the clients' text_formatting, and for mentions by
# the server's app/notification.go.
_LOOKED_FOR = re.compile(
    r"@[a-z0-9.\-_:]+|:(?!\d\d:)[a-z0-9_+-]+:|(?<!\w)#[^\W\d_][\w.-]*|(?<!\w)~[a-z0-9]+"
    r"|[:;]-?[)(\]dops/|$@](?!\w)|</?3|<[@!]\w+>|[\w.]+@[\w.]+\.\w+",
    re.IGNORECASE,
)


def seen(markdown: str) -> tuple[str, list[str]]:
    """(The text that is seen, what in it is more than text)."""
    fence = re.fullmatch(r"(.*?)^(`{3,})\n(.*)\n\2(.*)", markdown, re.DOTALL | re.MULTILINE)
    if fence and not re.search(rf"^{fence[2]}`* *$", fence[3], re.MULTILINE):
        before, after = seen(fence[1]), seen(fence[4])
        return before[0] + fence[3] + after[0], before[1] + after[1]
    # Our own title. Without a look at backslashes: any two stars would end it.
    bold = re.match(r"\*\*(.+?)\*\*(?!\*)(.*)", markdown, re.DOTALL)
    if bold:
        first, rest = seen(bold[1]), seen(bold[2])
        return first[0] + rest[0], first[1] + rest[1]
    text, found, at = "", [], 0
    while at < len(markdown):
        if at == 0 or markdown[at - 1] == "\n":
            found += [m[0] for m in [_AT_LINE_START.match(markdown, at)] if m]
        if escape := _ESCAPE.match(markdown, at):
            text, at = text + escape[1], escape.end()
            continue
        if entity := re.compile("&lt;|&#36;").match(markdown, at):
            text, at = text + html.unescape(entity[0]), entity.end()
            continue
        found += [m[0] for m in (form.match(markdown, at) for form in _MARKUP) if m]
        text, at = text + markdown[at], at + 1
    return text, found + [m[0] for m in _LOOKED_FOR.finditer(text)]
