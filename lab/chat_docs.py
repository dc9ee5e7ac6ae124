"""What docs/chat.md has of the code: the language, what platforms can do, and real payloads."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from deployer.core.chat import Message, plain_text
from deployer.core.chat_commands import USAGE
from deployer.drivers.chat import (
    discord_embed,
    matrix_html,
    mattermost_posts,
    slack_blocks,
    teams_cards,
    telegram_text,
)
from deployer.services.parts import CHAT_DRIVERS
from tests.support.chat.examples import EXAMPLES

# Per chat platform: a message as the JSON that is sent.
DRAWN: dict[str, Callable[[Message], Any]] = {
    "discord": discord_embed.payload,
    "matrix": lambda message: matrix_html.content(message, "!deployer"),
    "mattermost": lambda message: mattermost_posts.drawn(
        message, "https://deployer.example.com/chat/mattermost", "an example's key"
    ),
    "slack": slack_blocks.drawn,
    "teams": lambda message: json.loads(teams_cards.activity(message, "Deployer")),
    "telegram": telegram_text.params,
}


def payloads(name: str) -> str:
    """docs/chat/NAME.json: three messages as this platform is sent them."""
    shown = {title: DRAWN[name](message) for title, message in EXAMPLES.items()}
    return json.dumps(shown, ensure_ascii=False, indent=1) + "\n"


def commands() -> list[list[str]]:
    """The language."""
    rows = [["say", "and"]]
    rows += [[f"`{usage.form}`", usage.does] for usage in USAGE.values()]
    return rows


def platforms() -> list[list[str]]:
    """What each platform lets us do."""
    rows = [["platform", "buttons", "message edited in place", "threads", "signature covers time"]]
    for name, driver in sorted(CHAT_DRIVERS.items()):
        facts = (driver.buttons, driver.edits, driver.threads, driver.signs_time)
        link = f"[{name}](chat/{name}.md)"
        rows.append([link, *("✓" if fact else "" for fact in facts)])
    return rows


def messages() -> str:
    """One message, as a terminal shows it and as each platform is sent it."""
    message = EXAMPLES["under_way"]
    parts = [f"```text\n{plain_text(message)}\n```\n"]
    for name, drawn in DRAWN.items():
        body = json.dumps(drawn(message), ensure_ascii=False, indent=1)
        title = f"{name}; a question and a failure are in chat/{name}.json"
        parts.append(f"<details><summary>{title}</summary>\n\n```json\n{body}\n```\n\n</details>\n")
    return "\n".join(parts)
