"""Messages as Adaptive Cards, in the one element that takes plain text alone.

A TextBlock or a FactSet reads Markdown in its text; a TextRun does not, so nothing in it has to be
escaped: https://learn.microsoft.com/adaptive-cards/authoring-cards/text-features. There are no
mentions, either, because a card only has those that `msteams.entities` lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from deployer.core.chat import SIGNS, Message, Tone, fit
from deployer.core.text import printable

# 28 KB for a message, and where a webhook takes our UTF-8 for UTF-16 (seen in 2024 as 413 at half
# of that), twice our characters. Teams documents no other limit of a card's text.
MOST_BYTES = 28_000
_TITLE, _LINE, _NAME, _LABEL, _ROWS = 300, 1000, 100, 80, 40

_STYLES = {
    Tone.PLAIN: "emphasis", Tone.WORKING: "accent", Tone.ASKING: "warning", Tone.GOOD: "good",
    Tone.BAD: "attention",
}  # fmt: skip


def activity(message: Message, name: str) -> bytes:
    """The body of an answer or a post, in UTF-8; `name` is what we are called after an @.

    What does not fit is left out from the end: facts, then lines, then what to type.
    """
    facts, lines = list(message.facts[:_ROWS]), list(message.lines[:_ROWS])
    types, buttons = list(message.types[:_ROWS]), list(message.buttons)
    parts: list[list[Any]] = [facts, lines, types, buttons]
    for part in parts:
        while not _fits(body := _body(message, name, parts)) and part:
            part.pop()
    return body


def _fits(body: bytes) -> bool:
    return max(len(body), len(body.decode().encode("utf-16-le"))) <= MOST_BYTES


def _body(message: Message, name: str, parts: list[list[Any]]) -> bytes:
    title = _title(message)
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
                    "body": [_head(message, title), *_rows(message, name, *parts)],
                },
            }
        ],
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def _title(message: Message) -> str:
    return _text(f"{SIGNS[message.tone]} {message.title}".strip(), _TITLE)


def _head(message: Message, title: str) -> dict[str, Any]:
    shown = _row(_run(title, weight="Bolder", size="Medium"))
    style = _STYLES[message.tone]
    return {"type": "Container", "style": style, "bleed": True, "items": [shown]}


def _rows(
    message: Message, name: str, facts: list[Any], lines: list[Any], types: list[Any],
    buttons: list[Any],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    if message.bar is not None:
        yield _row(_run(str(message.bar), fontType="Monospace"))
    for line in filter(None, lines):
        yield _row(_run(_text(line, _LINE)))
    for key, value in facts:
        yield _row(
            _run(f"{_text(key, _NAME)}: ", isSubtle=True), _run(_text(value, _LINE)),
            spacing="Small",
        )  # fmt: skip
    for line in filter(None, types):
        yield _row(_run(_text(line, _LINE), fontType="Monospace"), spacing="Small")
    for button in buttons:
        colour = {"color": "Attention"} if button.danger else {}
        yield _row(
            _run(f"{_text(button.label, _LABEL)}: ", weight="Bolder", **colour),
            _run(f"@{name} {button.says}", fontType="Monospace"),
        )
    left_out = len(message.lines) + len(message.facts) - len(lines) - len(facts)
    if left_out:
        yield _row(_run(f"… and {left_out} more", isSubtle=True))


def _row(*runs: dict[str, Any], **how: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(runs), **how}


def _run(text: str, **how: Any) -> dict[str, Any]:
    return {"type": "TextRun", "text": text, **how}


def _text(text: str, most: int) -> str:
    """One line: a machine's line break would look like a line of ours."""
    return fit(printable(text, most).replace("\n", "\\n"), most)
