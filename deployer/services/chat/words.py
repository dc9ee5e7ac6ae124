"""How deployments are told to people, in chats and notifications."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from deployer.core.chat import Bar, Button, Message, Tone, fit
from deployer.core.explain import Explanation, show_duration
from deployer.core.lifecycle import RESTING, State
from deployer.core.sizes import show_size
from deployer.core.text import printable
from deployer.store.tables import Deployment, HistoryEntry, HostFacts

# How far each state is on the way to `ready`, in per cent: where it begins, and how much of the
# way it is. What an installer says of itself moves within `installing`.
_SHARE: dict[State, tuple[int, int]] = {
    State.QUEUED: (0, 2), State.BOOTING: (2, 8), State.INSTALLING: (10, 70),
    State.FIRST_BOOT: (80, 15), State.VERIFYING: (95, 5), State.READY: (100, 0),
}  # fmt: skip
_DOING: dict[State, str] = {
    State.QUEUED: "accepted", State.BOOTING: "starting from the network",
    State.INSTALLING: "installing", State.FIRST_BOOT: "starting from its own disk",
    State.VERIFYING: "being looked at",
}  # fmt: skip
_ORDER = list(_SHARE)
# Times are shown this coarsely, so that a message need not be changed every second.
_GRAIN = 15
_MOST_FACTS = 12
_CAUSE = 700


def told(
    row: Deployment, history: Sequence[HistoryEntry], usual: Mapping[str, float], now: datetime,
    why: Explanation | None = None,
) -> Message:  # fmt: skip
    """One deployment as it stands: the message that is edited in place until it ends."""
    state = State(row.state)
    if state is State.READY:
        return _ready(row, history)
    if state is State.FAILED:
        return _failed(row, why)
    if state is State.CANCELLED:
        by = next((line.by for line in history if line.to_state == state), row.requested_by)
        return Message(f"{_pair(row)}: cancelled", Tone.PLAIN, facts=(("by", by), *_took(row)))
    return _under_way(row, history, usual, now)


def _pair(row: Deployment) -> str:
    return f"{row.host_name} → {row.profile_name}"


def _under_way(
    row: Deployment, history: Sequence[HistoryEntry], usual: Mapping[str, float], now: datetime
) -> Message:
    state = State(row.state)
    facts = [("stage", _stage(row)), ("elapsed", _coarse(now - row.created_at))]
    left = remaining(row, usual, now)
    if left is not None:
        facts.append(("left", _coarse(left) if left else "longer than usual by now"))
    facts.append(("asked by", row.requested_by))
    waits = awaits_approval(history)
    buttons = [Button("Approve", f"approve {row.host_name}")] if waits else []
    buttons += [
        Button("Why?", f"why {row.host_name}"),
        Button("Cancel", f"cancel {row.host_name}", danger=True),
    ]
    title = f"{_pair(row)}: " + ("waits for approval" if waits else _DOING[state])
    return Message(
        title, Tone.ASKING if waits else Tone.WORKING, facts=tuple(facts), bar=Bar(percent(row)),
        buttons=tuple(_typeable(buttons)),
    )  # fmt: skip


def _ready(row: Deployment, history: Sequence[HistoryEntry]) -> Message:
    detail = next((line.detail for line in reversed(history) if line.to_state == "ready"), {})
    checks = detail.get("checks") or []
    facts = [(str(c["name"]), str(c["found"])) for c in checks if c.get("ok")][:_MOST_FACTS]
    if row.verification == "verified":
        line = f"{len(checks)} of {len(checks)} checks hold."
    else:
        line = "Installed, not verified." if not checks else "Installed; not everything fits."
        facts += [(str(c["name"]), f"{c['found']} (expected {c['expected']})")
                  for c in checks if not c.get("ok")]  # fmt: skip
    return Message(
        f"{_pair(row)}: ready", Tone.GOOD, (line,), facts=(*facts, *_took(row)), bar=Bar(100)
    )


def _failed(row: Deployment, why: Explanation | None) -> Message:
    lines = [fit(printable(row.cause or "no cause is known"), _CAUSE)]
    if why is not None and why.causes and why.causes[0] not in lines[0]:
        lines.append(f"Likely: {why.causes[0]}.")
    buttons = [Button("Why?", f"why {row.host_name}"), Button("Retry", f"retry {row.host_name}")]
    disk = "may have been changed" if row.answers_first_at else "was not touched"
    return Message(
        f"{_pair(row)}: failed", Tone.BAD, tuple(lines), facts=(("disk", disk), *_took(row)),
        types=(f"deployer explain {row.host_name}",), buttons=tuple(_typeable(buttons)),
    )  # fmt: skip


def _typeable(buttons: Iterable[Button]) -> Iterable[Button]:
    """Without those that a platform could not carry: of hosts with very long names."""
    return (button for button in buttons if len(button.says.encode()) <= 64)


def _took(row: Deployment) -> tuple[tuple[str, str], ...]:
    end = row.ended_at
    return (("after", show_duration(end - row.created_at)),) if end is not None else ()


def _stage(row: Deployment) -> str:
    said = row.progress.get("message") or row.progress.get("stage")
    if State(row.state) is State.INSTALLING and said:
        return fit(printable(str(said)), 100)
    return _DOING[State(row.state)]


def percent(row: Deployment) -> int:
    """Of the whole way."""
    begins, share = _SHARE.get(State(row.state), (0, 0))
    within = row.progress.get("percent") if State(row.state) is State.INSTALLING else 0
    return begins + int(share * min(float(within or 0), 100) / 100)


def remaining(row: Deployment, usual: Mapping[str, float], now: datetime) -> timedelta | None:
    """How long it usually takes from here; None where nobody knows, zero when it should be done."""
    state = State(row.state)
    if state in RESTING or not usual:
        return None
    here = usual.get(state, 0) - (now - row.state_since).total_seconds()
    later = sum(usual.get(each, 0) for each in _ORDER[_ORDER.index(state) + 1 :])
    return timedelta(seconds=max(0, here) + later)


def _coarse(span: timedelta) -> str:
    seconds = span.total_seconds()
    return show_duration(timedelta(seconds=seconds - seconds % _GRAIN))


def awaits_approval(history: Sequence[HistoryEntry]) -> bool:
    marks = [line.event for line in history if line.event in ("approval_needed", "approved")]
    return bool(marks) and marks[-1] == "approval_needed" and not _ended(history)


def _ended(history: Sequence[HistoryEntry]) -> bool:
    return any(line.to_state in RESTING for line in history)


def why_(row: Deployment, why: Explanation) -> Message:
    """For whoever asks why it stands where it stands."""
    facts = (("last seen", why.last_seen), ("expected next", why.expected))
    likely = tuple(f"{n}. {cause}" for n, cause in enumerate(why.causes, 1))
    lines = (fit(printable(row.cause), _CAUSE),) if row.cause else ()
    tone = Tone.BAD if row.state == State.FAILED else Tone.PLAIN
    return Message(f"{_pair(row)}: {row.state}", tone, (*lines, *likely), facts=facts)


def at_stake(
    facts: HostFacts | None, before: Deployment | None, now: datetime
) -> tuple[tuple[str, str], ...]:
    """What is known of a host that is about to be overwritten."""
    seen: dict[str, Any] = facts.facts if facts else {}
    disks = [disk for disk in seen.get("disks") or [] if isinstance(disk, dict)]
    last = facts.updated_at if facts else None
    return (
        ("now", f"{before.profile_name}, since {_ago(now, before.ended_at)}" if before
         else "not installed by me"),
        ("last seen", _ago(now, last) if last else "never"),
        ("disk", "; ".join(_disk(disk) for disk in disks[:4]) or "seen when it asks which one"),
    )  # fmt: skip


def _ago(now: datetime, at: datetime | None) -> str:
    if at is None:
        return "an unknown time"
    span = now - at
    days = f"{span.days} days" if span.days > 2 else show_duration(span)
    return f"{days} ago"


def _disk(disk: dict[str, Any]) -> str:
    named = f"{disk.get('path')} {show_size(int(disk.get('size') or 0))}"
    serial = f", serial {disk['serial']}" if disk.get("serial") else ""
    holds = ", ".join(map(str, disk.get("contents") or []))
    return printable(named + serial + (f", holds {holds}" if holds else ""))
