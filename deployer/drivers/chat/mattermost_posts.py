"""A message as a Mattermost post: Markdown, a message attachment, and buttons that are sealed.

https://developers.mattermost.com/integrate/reference/message-attachments
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

from deployer.core.chat import SIGNS, Button, Message, Tone, fit
from deployer.core.text import printable
from deployer.drivers.chat.units import fit_pieces

# A post may have 16,383 characters, and 4,000 where the database is an old MySQL.
_TITLE, _TEXT, _TYPES, _VALUE, _ALL = 1000, 4000, 1500, 2000, 8000
_LABEL, _MOST_FACTS = 80, 100
_COLORS = {Tone.WORKING: "#1c58d9", Tone.ASKING: "warning", Tone.GOOD: "good", Tone.BAD: "danger"}
# What clients' Markdown makes something of, unless a backslash stands before it; and what they look
# for when that is done, backslashes or not: emoji, mentions, hashtags, channels, addresses, and the
# server mentions, too. A space of no width parts it. (`:de:` in a MAC address would be a flag.) No
# more than needed, as notifications show the backslashes: https://github.com/mattermost/marked
_MARKS = re.compile(
    r"([`*\[\]_|])|\bwww\d{0,3}(\.)|^([-+>])|^\d+([.)])", re.IGNORECASE | re.MULTILINE
)
_PARTED = re.compile(r"[\\#~<&@]|:(?=\S)(?!\d\d\b)|;(?=[-)])|\.(?=[^\W\d_]{2,4}/)|^=", re.MULTILINE)
_NO_WIDTH = "\u200b"
_ENTITIES = {"<": "&lt;", "$": "&#36;"}
Post = dict[str, Any]


def sealed(key: str, says: str) -> str:
    """Mattermost signs no press of a button: this shows that we drew it."""
    told = f"button {says}".encode("utf-8", "surrogatepass")
    return hmac.new(key.encode(), told, hashlib.sha256).hexdigest()


def drawn(message: Message, url: str, key: str) -> Post:
    """`message` and `attachments`. Buttons lead to `url`, and are sealed with `key`."""
    body = _body(message)
    parts: Post = {
        "text": body,
        "fields": _fields(message.facts, _ALL - len(body)),
        "actions": [_action(each, at, url, key) for at, each in enumerate(message.buttons)],
    }
    shown = {name: part for name, part in parts.items() if part}
    colour = {"color": _COLORS[message.tone]} if message.tone in _COLORS else {}
    return {"message": _title(message), "attachments": [colour | shown] if shown else []}


def spoken(message: Message, command: str) -> str:
    """All of it as text, where there can be no button: what to type instead is never cut."""
    typed = [f"{_line(button.label, _LABEL)}: `{command} {button.says}`"
             for button in message.buttons]  # fmt: skip
    below = "\n".join(typed)
    above = "\n".join(part for part in (_title(message), _body(message)) if part)
    room = _TEXT - len(below) - len(above)
    facts = [f"{field['title']}: {field['value']}" for field in _fields(message.facts, room)]
    return "\n".join(part for part in (above, *facts, below) if part)


def _title(message: Message) -> str:
    return f"**{_line(f'{SIGNS[message.tone]} {message.title}', _TITLE)}**"


def _body(message: Message) -> str:
    """Bar, lines, and what to type."""
    bar = "" if message.bar is None else escaped(str(message.bar), _TITLE)
    code = _code(message.types)
    room = _TEXT // 2 - len(bar) - len(code)
    lines = escaped("\n".join(message.lines), room) if any(map(str.strip, message.lines)) else ""
    return "\n".join(part for part in (bar, lines, code) if part)


def _code(types: tuple[str, ...]) -> str:
    """In a fence that is longer than any in there."""
    if not types:
        return ""
    text = fit(printable("\n".join(types), _TYPES), _TYPES)
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{ticks}\n{text}\n{ticks}"


def _fields(facts: tuple[tuple[str, str], ...], room: int) -> list[dict[str, Any]]:
    """Those that have room; how many have none is said."""
    fields = []
    for name, value in facts[:_MOST_FACTS]:
        field = {"title": _line(name, 200), "value": escaped(value, _VALUE), "short": True}
        room -= sum(map(len, map(str, field.values())))
        if room < 40:
            break
        fields.append(field)
    if len(fields) < len(facts):
        fields.append(
            {"title": "…", "value": f"and {len(facts) - len(fields)} more", "short": True}
        )
    return fields


def _action(button: Button, number: int, url: str, key: str) -> dict[str, Any]:
    # A label is no Markdown; an id has letters and digits alone, or a press of it is lost.
    label = fit(printable(button.label, _LABEL).replace("\n", " ").strip(), _LABEL) or button.says
    context = {"says": button.says, "seal": sealed(key, button.says)}
    return {
        "id": f"say{number}", "type": "button",
        "name": _PARTED.sub(lambda match: match[0] + _NO_WIDTH, label),
        "style": "danger" if button.danger else "default",
        "integration": {"url": url, "context": context},
    }  # fmt: skip


def _line(text: str, most: int) -> str:
    return escaped(text.replace("\n", " "), most)


def escaped(text: str, most: int) -> str:
    """Markdown that is read as `text`, in at most `most` characters, and never nothing."""
    # Four spaces at its beginning make a line code.
    shown = "\n".join(line.strip() for line in printable(text, max(0, most)).split("\n")).strip()
    marks = {match.start(match.lastindex or 0) for match in _MARKS.finditer(shown)}
    parted = {match.start() for match in _PARTED.finditer(shown)}
    pieces = [
        "\\" * (at in marks) + _ENTITIES.get(letter, letter) + _NO_WIDTH * (at in parted)
        for at, letter in enumerate(shown)
    ]
    return fit_pieces(pieces, most) or "…"
