"""Messages made to fit a platform: each text one printable line, and no more than is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from deployer.core.chat import Button, Message, fit
from deployer.core.text import printable

# What a person still reads; the platforms that these are for document no limits of their own.
_TITLE, _LINE, _NAME, _LABEL, _ROWS = 300, 1000, 100, 80, 40


def line(text: str, most: int) -> str:
    """One line: a machine's line break would look like a line of ours."""
    return fit(printable(text, most).replace("\n", "\\n"), most)


def fitted(message: Message, fits: Callable[[Message], bool]) -> Message:
    """As much of it as `fits`: facts go first, from the end, then lines, what to type, buttons."""
    shown = _readable(message)
    known = len(message.facts) + len([each for each in message.lines if each])
    fewest, most = 0, sum(map(len, (shown.facts, shown.lines, shown.types, shown.buttons)))
    if fits(whole := _first(shown, most, known)):
        return whole
    while fewest < most - 1:
        middle = (fewest + most) // 2
        if fits(_first(shown, middle, known)):
            fewest = middle
        else:
            most = middle
    return _first(shown, fewest, known)


def _readable(message: Message) -> Message:
    return Message(
        line(message.title, _TITLE),
        message.tone,
        tuple(line(each, _LINE) for each in message.lines[:_ROWS] if each),
        tuple((line(name, _NAME), line(value, _LINE)) for name, value in message.facts[:_ROWS]),
        message.bar,
        tuple(line(each, _LINE) for each in message.types[:_ROWS] if each),
        tuple(Button(line(b.label, _LABEL), b.says, b.danger) for b in message.buttons),
    )


def _first(message: Message, count: int, known: int) -> Message:
    """Its `count` most important parts, and how many of the `known` facts and lines are missing."""
    buttons = message.buttons[:count]
    types = message.types[: (count := count - len(buttons))]
    lines = message.lines[: (count := count - len(types))]
    facts = message.facts[: count - len(lines)]
    missing = known - len(lines) - len(facts)
    more = (f"… and {missing} more",) if missing else ()
    return replace(message, buttons=buttons, types=types, lines=(*lines, *more), facts=facts)
