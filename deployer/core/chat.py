"""What is said in chats, without any platform's markup: each driver shows it in its own way.

Every text in here may come from a machine or from a stranger. It is plain text, and whoever draws
it for a platform escapes it for that platform.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_BAR = 20


class Tone(StrEnum):
    """What a message is, for its colour or sign."""

    PLAIN = "plain"
    WORKING = "working"
    ASKING = "asking"
    GOOD = "good"
    BAD = "bad"


# One sign for each, where a platform has no colours.
SIGNS = {
    Tone.PLAIN: "", Tone.WORKING: "⏳", Tone.ASKING: "❓", Tone.GOOD: "✅", Tone.BAD: "❌",
}  # fmt: skip


@dataclass(frozen=True)
class Button:
    """Pressing it says `says`, as if whoever presses had typed it; where there are no buttons,
    that is what to type. At most 64 bytes, which is what Telegram carries."""

    label: str
    says: str
    danger: bool = False


@dataclass(frozen=True)
class Bar:
    """How far something is, 0 to 100 per cent."""

    percent: int

    def __str__(self) -> str:
        done = round(self.percent * _BAR / 100)
        return "█" * done + "░" * (_BAR - done) + f" {self.percent} %"


@dataclass(frozen=True)
class Message:
    """`title` is what a notification shows; `facts` are (name, value); `types` are commands for a
    terminal or for this chat, shown as code."""

    title: str
    tone: Tone = Tone.PLAIN
    lines: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    bar: Bar | None = None
    types: tuple[str, ...] = ()
    buttons: tuple[Button, ...] = ()


def plain_text(message: Message) -> str:
    """The whole message for a terminal or for plain text mail; buttons as what to type."""
    shown = [f"{SIGNS[message.tone]} {message.title}".strip()]
    if message.bar is not None:
        shown.append(str(message.bar))
    shown.extend(message.lines)
    width = max((len(name) for name, _ in message.facts), default=0)
    shown.extend(f"  {name:<{width}}  {value}" for name, value in message.facts)
    shown.extend(f"  {line}" for line in message.types)
    shown.extend(f"  [{button.label}]  {button.says}" for button in message.buttons)
    return "\n".join(shown)


def fit(text: str, most: int) -> str:
    """`text` in at most `most` characters; what is cut is seen to be cut."""
    return text if len(text) <= most else text[: max(0, most - 1)].rstrip() + "…"
