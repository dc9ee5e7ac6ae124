"""A message as Slack's Block Kit. Nothing of it is markup: all text is `plain_text`, or rich text,
which Slack does not parse. https://docs.slack.dev/reference/block-kit/blocks
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deployer.core.chat import SIGNS, Button, Message, fit, plain_text
from deployer.core.text import printable
from deployer.drivers.chat.units import fit_pieces, units

_HEADER, _TEXT, _TYPES, _FIELD, _LABEL = 150, 3000, 2000, 2000, 75  # characters
_FIELDS, _BUTTONS = 10, 25  # of one block
_MOST_FIELDS = 200  # in 20 of the 50 blocks that a message may have
# All of a message. Above some 9,600 characters Slack refuses it as msg_blocks_too_long, which only
# https://github.com/slackapi/bolt-js/issues/2867 says.
_ALL = 9000
# They are Slack's own signs, in plain text too.
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
Block = dict[str, Any]


def drawn(message: Message) -> dict[str, Any]:
    """`blocks`, and `text` for notifications and screen readers; within Slack's limits."""
    return {"text": _cut(plain_text(message), _TEXT), "blocks": _blocks(message)}


def _blocks(message: Message) -> list[Block]:
    top: list[Block] = [{"type": "header", "text": _plain(_title(message), _HEADER)}]
    if message.bar is not None:
        top.append(_section(str(message.bar), _TEXT))
    below = [*_types(message.types), *_actions(message.buttons)]
    # What stands between them has the room that they leave.
    between: list[Block] = []
    if any(line.strip() for line in message.lines):
        room = min(_TEXT, _ALL - _size([*top, *below]))
        between.append(_section("\n".join(message.lines), room))
    between += _facts(message.facts, _ALL - _size([*top, *between, *below]))
    return [*top, *between, *below]


def _title(message: Message) -> str:
    return f"{SIGNS[message.tone]} {message.title}".strip()


def _facts(facts: tuple[tuple[str, str], ...], room: int) -> Iterator[Block]:
    """In two columns; how many had no room is said."""
    fields: list[Block] = []
    for name, value in facts[:_MOST_FIELDS]:
        field = _plain(f"{fit(name, 100)}\n{value}", _FIELD)
        room -= units(field["text"])
        if room < 0:
            break
        fields.append(field)
    for start in range(0, len(fields), _FIELDS):
        yield {"type": "section", "fields": fields[start : start + _FIELDS]}
    if len(fields) < len(facts):
        left = _plain(f"… and {len(facts) - len(fields)} more", _TEXT)
        yield {"type": "context", "elements": [left]}


def _types(types: tuple[str, ...]) -> Iterator[Block]:
    if types:
        text = _cut("\n".join(types), _TYPES, {})
        code = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]}
        yield {"type": "rich_text", "elements": [code]}


def _actions(buttons: tuple[Button, ...]) -> Iterator[Block]:
    drawn = [_button(button, f"say-{number}") for number, button in enumerate(buttons)]
    for start in range(0, len(drawn), _BUTTONS):
        yield {"type": "actions", "elements": drawn[start : start + _BUTTONS]}


def _button(button: Button, id_: str) -> Block:
    label = _plain(button.label if button.label.strip() else button.says, _LABEL)
    drawn = {"type": "button", "action_id": id_, "text": label, "value": button.says}
    return {**drawn, "style": "danger"} if button.danger else drawn


def _section(text: str, most: int) -> Block:
    return {"type": "section", "text": _plain(text, most)}


def _plain(text: str, most: int) -> Block:
    return {"type": "plain_text", "text": _cut(text, most), "emoji": False}


def _cut(text: str, most: int, escapes: dict[str, str] = _ESCAPES) -> str:
    """At most `most` characters as Slack counts them, and never nothing, which it refuses; one
    that is escaped stays whole."""
    pieces = [escapes.get(character, character) for character in printable(text, most)]
    return fit_pieces(pieces, most, units) if text.strip() else "…"


def _size(part: Any) -> int:
    """Characters of all text in there."""
    if isinstance(part, list):
        return sum(map(_size, part))
    if not isinstance(part, dict):
        return 0
    text = part.get("text")
    return (units(text) if isinstance(text, str) else 0) + sum(map(_size, part.values()))
