"""What is said in rooms, from the answers of /sync, each as what somebody said to us.

Nothing in these answers is certain to be as the specification has it: other servers wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeGuard

from deployer.core.chat import fit
from deployer.drivers.chat.base import SIGNED_WITHIN, Heard, Person, Place

# Of an id, by the specification; T096 leaves the text's length to whoever reads the command.
_MOST = 255


@dataclass(frozen=True)
class Me:
    """Whom we are logged in as, and by which words a message is for us."""

    user: str
    name: str
    prefix: str


@dataclass(frozen=True)
class Said:
    """A message of a person in a room that we listen to; `thread`: the root of its thread."""

    id: str
    room: str
    sender: str
    text: str
    at: datetime
    mentions: bool
    thread: str = ""


def batch_of(answer: dict[str, Any]) -> str | None:
    """Where the next call goes on."""
    token = answer.get("next_batch")
    return token if isinstance(token, str) and token else None


def invited(answer: dict[str, Any]) -> set[str]:
    return set(_dict(_dict(answer.get("rooms")).get("invite")))


def said_in(answer: dict[str, Any], me: Me, rooms: list[str]) -> Iterator[Said]:
    """In order for each room. Not what programs say (notices), what we say, and what is changed or
    encrypted."""
    joined = _dict(_dict(answer.get("rooms")).get("join"))
    for room in rooms:
        timeline = _dict(_dict(joined.get(room)).get("timeline"))
        events = timeline.get("events")
        for event in events if isinstance(events, list) else []:
            said = _said(_dict(event), room, me)
            if said is not None:
                yield said


def _said(event: dict[str, Any], room: str, me: Me) -> Said | None:
    content = _dict(event.get("content"))
    id_, sender, text = event.get("event_id"), event.get("sender"), content.get("body")
    if event.get("type") != "m.room.message" or content.get("msgtype") != "m.text":
        return None
    if "state_key" in event or not (_id(id_) and _user(sender) and isinstance(text, str)):
        return None
    relates = _dict(content.get("m.relates_to"))
    if sender == me.user or relates.get("rel_type") == "m.replace":
        return None
    at = _moment(event.get("origin_server_ts"))
    if at is None:
        return None
    if relates.get("m.in_reply_to"):
        text = _without_quote(text)
    root = relates.get("event_id") if relates.get("rel_type") == "m.thread" else ""
    ids = _dict(content.get("m.mentions")).get("user_ids")
    mentions = isinstance(ids, list) and me.user in ids
    return Said(id_, room, sender, text, at, mentions, root if _id(root) else "")


def heard(said: Said, me: Me, now: datetime, alone: Callable[[str], bool]) -> Heard | None:
    """What is said to us: after our prefix or our name, with a mention, or in a room where nobody
    else is. None when it is not, or was said more than five minutes away.

    The time is what the sender's server claims: no more than a reason to refuse.
    """
    if abs(now - said.at) > SIGNED_WITHIN:
        return None
    private = None
    text = _addressed(said, me)
    if text is None:
        private = alone(said.room)
        if not private:
            return None
        text = said.text
    if private is None:
        private = alone(said.room)
    local, _, server = said.sender.removeprefix("@").partition(":")
    return Heard(
        once=said.id,
        at=None,
        person=Person(server, said.sender, fit(local, 100)),
        place=Place(said.room, reply=f"{said.id} {said.thread}".strip(), public=not private),
        text=text.strip(),
    )


def _addressed(said: Said, me: Me) -> str | None:
    """The text without what makes it ours; None when it is not."""
    text = said.text.strip()
    first, *rest = text.split(maxsplit=1)[:2] or [""]
    if first == me.prefix:
        return "".join(rest)
    # The longer one first, because one may begin with the other.
    names = sorted(filter(None, (me.user, me.name)), key=len, reverse=True)
    either = (re.escape(name) if name[0] == "@" else f"@?{re.escape(name)}" for name in names)
    name = f"(?:{'|'.join(either)})"
    address = re.match(rf"{name}([:,]|(?=\s)|$)", text)
    if address and (said.mentions or address[1] or address[0] == me.user):
        return text[address.end() :]
    return re.sub(name, " ", text, count=1) if said.mentions else None


def _without_quote(text: str) -> str:
    """Old clients begin an answer with the lines that it answers, each after `> `."""
    lines = text.split("\n")
    while lines and lines[0].startswith("> "):
        lines.pop(0)
    return "\n".join(lines)


def _moment(milliseconds: Any) -> datetime | None:
    if not isinstance(milliseconds, int) or isinstance(milliseconds, bool):
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _id(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= _MOST and " " not in value


def _user(value: Any) -> TypeGuard[str]:
    return _id(value) and value[0] == "@" and value.partition(":")[2] != ""


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
