"""Messages as Adaptive Cards, in the one element that takes plain text alone.

A TextBlock or a FactSet reads Markdown in its text; a TextRun does not, so nothing in it has to be
escaped: https://learn.microsoft.com/adaptive-cards/authoring-cards/text-features. There are no
mentions, either, because a card only has those that `msteams.entities` lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from deployer.core.chat import SIGNS, Message, Tone
from deployer.drivers.chat.fitting import fitted

# 28 KB for a message, and where a webhook takes our UTF-8 for UTF-16 (seen in 2024 as 413 at half
# of that), twice our characters. Teams documents no other limit of a card's text.
MOST_BYTES = 28_000

# An element of a card.
Row = dict[str, Any]

_STYLES = {
    Tone.PLAIN: "emphasis", Tone.WORKING: "accent", Tone.ASKING: "warning", Tone.GOOD: "good",
    Tone.BAD: "attention",
}  # fmt: skip


def activity(message: Message, name: str) -> bytes:
    """The body of an answer or a post, in UTF-8; `name` is what we are called after an @."""
    return _body(fitted(message, lambda each: _fits(_body(each, name))), name)


def _fits(body: bytes) -> bool:
    return max(len(body), len(body.decode().encode("utf-16-le"))) <= MOST_BYTES


def _body(message: Message, name: str) -> bytes:
    title = f"{SIGNS[message.tone]} {message.title}".strip()
    said = {
        "type": "message",
        # What a notification shows in place of "sent a card".
        "summary": title,
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": None,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.2",
                    "msteams": {"width": "Full"},
                    "body": [_head(title, message.tone), *_rows(message, name)],
                },
            }
        ],
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def _head(title: str, tone: Tone) -> Row:
    shown = _row(_run(title, weight="Bolder", size="Medium"))
    return {"type": "Container", "style": _STYLES[tone], "bleed": True, "items": [shown]}


def _rows(message: Message, name: str) -> Iterator[Row]:
    if message.bar is not None:
        yield _row(_run(str(message.bar), fontType="Monospace"))
    for line in message.lines:
        yield _row(_run(line))
    for key, value in message.facts:
        yield _row(_run(f"{key}: ", isSubtle=True), _run(value), spacing="Small")
    for line in message.types:
        yield _row(_run(line, fontType="Monospace"), spacing="Small")
    for button in message.buttons:
        colour = {"color": "Attention"} if button.danger else {}
        label = _run(f"{button.label}: ", weight="Bolder", **colour)
        yield _row(label, _run(f"@{name} {button.says}", fontType="Monospace"))


def _row(*runs: dict[str, Any], **how: Any) -> Row:
    return {"type": "RichTextBlock", "inlines": list(runs), **how}


def _run(text: str, **how: Any) -> dict[str, Any]:
    return {"type": "TextRun", "text": text, **how}
