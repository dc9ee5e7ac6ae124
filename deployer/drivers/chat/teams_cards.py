"""Messages as Adaptive Cards, in the one element that takes plain text alone.

A TextBlock or a FactSet reads Markdown in its text; a TextRun does not, so nothing in it has to be
escaped: https://learn.microsoft.com/adaptive-cards/authoring-cards/text-features. There are no
mentions, either, because a card only has those that `msteams.entities` lists.
"""

from __future__ import annotations

import json
from typing import Any

from deployer.core.chat import SIGNS, Button, Message, Tone, fit
from deployer.core.text import printable

# 28 KB for a message, and where a webhook takes our UTF-8 for UTF-16 (seen in 2024 as 413 at half
# of that), twice our characters. Teams documents no other limit of a card's text.
MOST_BYTES = 28_000
_TITLE, _LINE, _NAME, _LABEL, _ROWS = 300, 1000, 100, 80, 40

# An element of a card.
Row = dict[str, Any]

_STYLES = {
    Tone.PLAIN: "emphasis", Tone.WORKING: "accent", Tone.ASKING: "warning", Tone.GOOD: "good",
    Tone.BAD: "attention",
}  # fmt: skip


def activity(message: Message, name: str) -> bytes:
    """The body of an answer or a post, in UTF-8; `name` is what we are called after an @.

    What does not fit is left out from the end: facts, then lines, then what to type.
    """
    lines = [_row(_run(_text(line, _LINE))) for line in message.lines[:_ROWS] if line]
    facts = [_fact(key, value) for key, value in message.facts[:_ROWS]]
    types = [_code(line) for line in message.types[:_ROWS] if line]
    buttons = [_button(button, name) for button in message.buttons]
    left_out = max(0, len(message.lines) - _ROWS) + max(0, len(message.facts) - _ROWS)
    while True:
        more = [_row(_run(f"… and {left_out} more", isSubtle=True))] if left_out else []
        body = _body(message, [*lines, *facts, *more, *types, *buttons])
        fullest = facts or lines or types or buttons
        if _fits(body) or not fullest:
            return body
        left_out += fullest is facts or fullest is lines
        fullest.pop()


def _fits(body: bytes) -> bool:
    return max(len(body), len(body.decode().encode("utf-16-le"))) <= MOST_BYTES


def _body(message: Message, rows: list[Row]) -> bytes:
    title = _text(f"{SIGNS[message.tone]} {message.title}".strip(), _TITLE)
    bar = [_row(_run(str(message.bar), fontType="Monospace"))] if message.bar else []
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
                    "body": [_head(title, message.tone), *bar, *rows],
                },
            }
        ],
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def _head(title: str, tone: Tone) -> Row:
    shown = _row(_run(title, weight="Bolder", size="Medium"))
    return {"type": "Container", "style": _STYLES[tone], "bleed": True, "items": [shown]}


def _fact(key: str, value: str) -> Row:
    name = _run(f"{_text(key, _NAME)}: ", isSubtle=True)
    return _row(name, _run(_text(value, _LINE)), spacing="Small")


def _code(line: str) -> Row:
    return _row(_run(_text(line, _LINE), fontType="Monospace"), spacing="Small")


def _button(button: Button, name: str) -> Row:
    colour = {"color": "Attention"} if button.danger else {}
    label = _run(f"{_text(button.label, _LABEL)}: ", weight="Bolder", **colour)
    return _row(label, _run(f"@{name} {button.says}", fontType="Monospace"))


def _row(*runs: dict[str, Any], **how: Any) -> Row:
    return {"type": "RichTextBlock", "inlines": list(runs), **how}


def _run(text: str, **how: Any) -> dict[str, Any]:
    return {"type": "TextRun", "text": text, **how}


def _text(text: str, most: int) -> str:
    """One line: a machine's line break would look like a line of ours."""
    return fit(printable(text, most).replace("\n", "\\n"), most)
