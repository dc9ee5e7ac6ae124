"""Messages as Matrix shows them: a plain text, and the same in the HTML that clients permit.

https://spec.matrix.org/latest/client-server-api/#mroommessage-msgtypes
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

from deployer.core.chat import SIGNS, Button, Message
from deployer.drivers.chat.fitting import fitted

# An event has 65,536 bytes; its frame, and the reply or edit around this, take some of them.
MOST_BYTES = 48_000
# What clients make links and mentions of by themselves, wherever they find it in a text.
_LIVELY = re.compile(r"(?<=@)|(?<=:)(?=//)|(?<=[Ww][Ww][Ww])(?=\.)")


def content(message: Message, prefix: str) -> dict[str, Any]:
    """Of an m.room.message; `prefix` stands before what is typed in place of a button.

    A notice is what programs say, and what other programs do not answer; nobody is mentioned by it.
    """
    shown = fitted(message, lambda each: _size(_content(each, prefix)) <= MOST_BYTES)
    return _content(shown, prefix)


def _size(content: dict[str, Any]) -> int:
    return len(json.dumps(content, ensure_ascii=False).encode())


def _content(message: Message, prefix: str) -> dict[str, Any]:
    title = f"{SIGNS[message.tone]} {message.title}".strip()
    return {
        "msgtype": "m.notice",
        "body": "\n".join([title, *_lines(message, prefix)]),
        "format": "org.matrix.custom.html",
        "formatted_body": f"<strong>{_safe(title)}</strong>{''.join(_elements(message, prefix))}",
        "m.mentions": {},
    }


def _typed(button: Button, prefix: str) -> str:
    return f"{prefix} {button.says}"


def _lines(message: Message, prefix: str) -> Iterator[str]:
    if message.bar is not None:
        yield str(message.bar)
    yield from message.lines
    yield from (f"{name}: {value}" for name, value in message.facts)
    yield from message.types
    yield from (f"{each.label}: {_typed(each, prefix)}" for each in message.buttons)


def _elements(message: Message, prefix: str) -> Iterator[str]:
    if message.bar is not None:
        yield f"<br><code>{message.bar}</code>"
    yield from (f"<br>{_safe(line)}" for line in message.lines)
    yield _listed(f"<em>{_safe(name)}:</em> {_safe(value)}" for name, value in message.facts)
    yield _listed(f"<code>{_safe(line)}</code>" for line in message.types)
    yield _listed(
        f"<strong>{_safe(each.label)}:</strong> <code>{_safe(_typed(each, prefix))}</code>"
        for each in message.buttons
    )


def _listed(items: Iterator[str]) -> str:
    found = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{found}</ul>" if found else ""


def _safe(text: str) -> str:
    """As text; an empty element keeps a client from finding an address or a mention in it, and
    nothing comes along when it is copied."""
    return _LIVELY.sub("<span></span>", html.escape(text))
