"""A message as Telegram shows it: plain text, what parts of it are, and rows of buttons.

Nothing is escaped, because nothing is parsed: formatting is told apart from the text. But Telegram
makes links of what looks like a URL, a host, a @name, a #word or a /command, except within code:
so each of these is shown as code. https://core.telegram.org/bots/api#messageentity
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from deployer.core.chat import SIGNS, Button, Message
from deployer.core.text import printable
from deployer.drivers.chat.units import fit_units, units

_TEXT, _ENTITIES, _ALERT, _CALLBACK_BYTES = 4096, 100, 200, 64
# Not documented, and found by those who met them: 100 buttons a message; a label has to be short.
_BUTTONS, _IN_A_ROW, _LABEL = 100, 2, 64
_TITLE, _TYPES = 256, 1000

# What becomes a link, as one word; and digits that may be a telephone number or a card.
_LIVE = re.compile(r"@\w|(?<!\w)[#/]\w|\$[A-Z]|\.\w")
_DIGITS = re.compile(r"\+?\d[\d ()-]{6,}\d|\+\d+")

Params = dict[str, Any]


def params(message: Message, asker: str = "") -> Params:
    """What sends it or replaces a message. `asker`: the id of whom it answers; the title is then a
    mention of them, by which their press on its buttons is told from anybody else's."""
    keyboard, typed = _keyboard(message.buttons)
    text = _Text()
    sign = f"{SIGNS[message.tone]} " if SIGNS[message.tone] else ""
    title = sign + fit_units(_line(message.title) or "–", _TITLE)
    if asker:
        bold = {"type": "bold", "offset": 0, "length": units(title)}
        text.entities.append(bold)
        text.add(title, {"type": "text_mention", "user": {"id": int(asker)}})
    else:
        text.add_words(title, {"type": "bold"})
    tail = "\n".join(_line(line) for line in (*message.types, *typed))
    _body(text, message, fit_units(tail, _TYPES))
    return {
        "text": text.whole, "entities": text.told(),
        "link_preview_options": {"is_disabled": True},
        "reply_markup": {"inline_keyboard": keyboard},
    }  # fmt: skip


def alert(message: Message) -> str | None:
    """The message as Telegram shows it to whoever pressed a button, and to nobody else; None when
    it is too long for that, or wants an answer."""
    facts = [f"{name}: {value}" for name, value in message.facts]
    lines = [f"{SIGNS[message.tone]} {message.title}", *message.lines, *facts, *message.types]
    text = "\n".join(_line(line) for line in lines)
    return text if not message.buttons and units(text) <= _ALERT else None


def _line(text: str) -> str:
    return " ".join(printable(text, _TEXT).split())


@dataclass
class _Text:
    """Text and the entities of its parts; lengths are in UTF-16, as Telegram counts."""

    whole: str = ""
    length: int = 0
    entities: list[dict[str, Any]] = field(default_factory=list)

    def add(self, text: str, entity: dict[str, Any] | None = None) -> None:
        if entity is not None and text.strip():
            self.entities.append({**entity, "offset": self.length, "length": units(text)})
        self.whole, self.length = self.whole + text, self.length + units(text)

    def add_words(self, text: str, entity: dict[str, Any] | None = None) -> None:
        """With what would become a link as code, in which there is nothing else."""
        at = 0
        for start, end in _live(text):
            self.add(text[at:start], entity)
            self.add(text[start:end], {"type": "code"})
            at = end
        self.add(text[at:], entity)

    def told(self) -> list[dict[str, Any]]:
        """Telegram drops those past the hundredth, so that then all is code but the title."""
        if len(self.entities) <= _ENTITIES:
            return self.entities
        first = units(self.whole.partition("\n")[0]) + 1
        title = [each for each in self.entities if each["offset"] < first]
        rest = {"type": "pre", "offset": first, "length": self.length - first}
        return [*title, rest]


def _live(text: str) -> list[tuple[int, int]]:
    """Where the words are that would become links; those that touch are one."""
    words = [m.span() for m in re.finditer(r"\S+", text) if _LIVE.search(m[0])]
    found: list[tuple[int, int]] = []
    for start, end in sorted([*words, *(m.span() for m in _DIGITS.finditer(text))]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _body(text: _Text, message: Message, tail: str) -> None:
    """The bar, lines and facts as far as they fit, and what to type."""
    if message.bar is not None:
        text.add("\n")
        text.add(str(message.bar), {"type": "code"})
    most = _TEXT - (units(tail) + 1 if tail else 0)
    for line in _lines(message):
        left = most - text.length - 1
        if left < 1:
            break
        text.add("\n")
        text.add_words(fit_units(line, left))
    if tail:
        text.add("\n")
        text.add(tail, {"type": "pre"})


def _lines(message: Message) -> Iterator[str]:
    yield from filter(None, map(_line, message.lines))
    yield from (f"{_line(name) or '–'}: {_line(value) or '–'}" for name, value in message.facts)


def _keyboard(buttons: tuple[Button, ...]) -> tuple[list[list[Params]], list[str]]:
    """Rows of them, and what to type for those that find no place."""
    able = [b for b in buttons if 0 < len(b.says.encode()) <= _CALLBACK_BYTES][:_BUTTONS]
    keys = [{"text": _label(button), "callback_data": button.says} for button in able]
    rows = [keys[at : at + _IN_A_ROW] for at in range(0, len(keys), _IN_A_ROW)]
    return rows, [f"/deployer {button.says}" for button in buttons if button not in able]


def _label(button: Button) -> str:
    sign = "⚠️ " if button.danger else ""
    return fit_units(sign + (_line(button.label) or button.says), _LABEL)
