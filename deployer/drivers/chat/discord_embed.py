"""A message as Discord shows it: one embed and rows of buttons, within what Discord documents.

Limits: https://discord.com/developers/docs/resources/message (embed limits) and
https://discord.com/developers/docs/components/reference (action row, button).
"""

from __future__ import annotations

import re
from typing import Any

from deployer.core.chat import SIGNS, Button, Message, Tone
from deployer.core.text import printable
from deployer.drivers.chat.units import fit_units, units

_TITLE, _DESCRIPTION, _FIELDS, _NAME, _VALUE, _ALL = 256, 4096, 25, 256, 1024, 6000
_IN_A_ROW, _ROWS, _LABEL, _CUSTOM_ID = 5, 5, 80, 100
# Commands to type are kept when lines are not; so many characters of them.
_TYPES = 1000
# Fields up to this length stand beside each other.
_SHORT = 40

_COLOURS = {
    Tone.PLAIN: 0x99AAB5, Tone.WORKING: 0x3498DB, Tone.ASKING: 0xF1C40F, Tone.GOOD: 0x2ECC71,
    Tone.BAD: 0xE74C3C,
}  # fmt: skip
_SECONDARY, _DANGER = 2, 4

# Whatever Discord's Markdown, mentions, emoji and links begin or end with; a backslash makes it
# text again. Some mean something at the beginning of a line alone.
_MARKS = re.compile(r"[\\`*_~|<>@#\[\]()]|:(?=\S)")
_LISTS = re.compile(r"^(\s*\d*)([-+.])", re.MULTILINE)


def payload(message: Message) -> dict[str, Any]:
    """What creates or replaces a message; nobody is ever notified by a mention in it."""
    rows, typed = _buttons(message.buttons)
    return {
        "embeds": [_embed(message, (*message.types, *typed))],
        "components": rows,
        "allowed_mentions": {"parse": []},
    }


def escaped(text: str) -> str:
    return _LISTS.sub(r"\1\\\2", _MARKS.sub(r"\\\g<0>", text))


def label(text: str, most: int) -> str:
    """One line of at most so many units, where Discord draws text as it is."""
    return fit_units(_line(text) or "–", most)


def _flat(text: str, most: int) -> str:
    """The same where it draws Markdown."""
    return fit_units(_line(text) or "–", most, escaped)


def _line(text: str) -> str:
    return " ".join(printable(text, _DESCRIPTION).split())


def _embed(message: Message, types: tuple[str, ...]) -> dict[str, Any]:
    sign = f"{SIGNS[message.tone]} " if SIGNS[message.tone] else ""
    title = sign + _flat(message.title, _TITLE - units(sign))
    description = _description(message, types)
    fields = _fields(message.facts, _ALL - units(title) - units(description))
    embed = {"title": title, "color": _COLOURS[message.tone]}
    return embed | ({"description": description} if description else {}) | {"fields": fields}


def _description(message: Message, types: tuple[str, ...]) -> str:
    """The bar, the lines as far as they fit, and what to type."""
    head = [f"`{message.bar}`"] if message.bar is not None else []
    tail = [_code(types)] if types else []
    left = _DESCRIPTION - sum(units(part) + 1 for part in (*head, *tail))
    lines = []
    for line in message.lines:
        if left < 2:
            break
        if _line(line):
            lines.append(_flat(line, left))
            left -= units(lines[-1]) + 1
    return "\n".join([*head, *lines, *tail])


def _code(lines: tuple[str, ...]) -> str:
    """A block in which nothing can be escaped, so that no backtick may end it."""
    text = "\n".join(_line(line).replace("`", "ˋ") for line in lines)
    return f"```\n{fit_units(text, _TYPES)}\n```"


def _fields(facts: tuple[tuple[str, str], ...], left: int) -> list[dict[str, Any]]:
    fields = []
    for name, value in facts[:_FIELDS]:
        shown = _flat(name, _NAME)
        left -= units(shown)
        if left < 2:
            break
        said = _flat(value, min(_VALUE, left))
        left -= units(said)
        fields.append({"name": shown, "value": said, "inline": len(said) <= _SHORT})
    return fields


def _buttons(buttons: tuple[Button, ...]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of them, and what to type for those that find no place."""
    # Discord refuses a message in which two buttons mean the same.
    once = [b for at, b in enumerate(buttons) if b.says not in [o.says for o in buttons[:at]]]
    able = [button for button in once if 0 < units(button.says) <= _CUSTOM_ID]
    pressed, most = able[: _IN_A_ROW * _ROWS], _IN_A_ROW
    rows = [
        {"type": 1, "components": [_button(button) for button in pressed[at : at + most]]}
        for at in range(0, len(pressed), most)
    ]
    typed = [f"/deployer text:{button.says}" for button in once if button not in pressed]
    return rows, typed


def _button(button: Button) -> dict[str, Any]:
    return {
        "type": 2, "style": _DANGER if button.danger else _SECONDARY,
        "label": label(button.label, _LABEL), "custom_id": button.says,
    }  # fmt: skip
