"""What is shown to whoever asks; nothing changes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import Session

from deployer.core.chat import Message
from deployer.core.chat_commands import USAGE, Command, Verb
from deployer.core.lifecycle import State
from deployer.services import deadlines
from deployer.services.chat import words
from deployer.services.chat.speaker import SEARCHED, Speaker, latest
from deployer.services.parts import Parts
from deployer.store import deployments as deployment_store
from deployer.store import hosts as host_store
from deployer.store import profiles as profile_store
from deployer.store.tables import Deployment, HistoryEntry

_LISTED = 30


def introduction(linked_as: str | None) -> Message:
    """What can be said; to whom we do not know, how to make themselves known."""
    lines: tuple[str, ...] = ("I reinstall machines, and say where they stand.",)
    if linked_as is None:
        lines += ("I do not know you yet. Run `deployer chat link` where you have a token, and"
                  " tell me: link CODE",)  # fmt: skip
    else:
        lines += (f"You act as {linked_as}.",)
    forms = tuple((usage.form, usage.does) for usage in USAGE.values())
    return Message("Deployer", lines=lines, facts=forms)


def help(speaker: Speaker, command: Command) -> Message:
    return introduction(f"{speaker.token.name} ({speaker.token.role})")


def status(speaker: Speaker, command: Command) -> Message:
    parts = speaker.parts
    with parts.database.reading() as session:
        if command.hosts:
            return current(session, parts, latest(session, command.hosts[0]))
        rows = deployment_store.page(session, host=None, state=None, before=None, limit=200)
    live = [row for row in rows if row.ended_at is None]
    ended = [row for row in rows if row.ended_at is not None][: max(0, 10 - len(live))]
    if not rows:
        return Message("Nothing was deployed yet.", types=(USAGE[Verb.REINSTALL].form,))
    facts = tuple(
        (row.host_name, f"{row.profile_name}: {row.state}"
         + (f", {words.percent(row)} %" if row.ended_at is None else ""))
        for row in (live + ended)[:_LISTED]
    )  # fmt: skip
    return Message(f"{len(live)} under way" + _more(len(live), _LISTED), facts=facts)


def current(
    session: Session, parts: Parts, row: Deployment, history: Sequence[HistoryEntry] | None = None
) -> Message:
    """A deployment as it stands; `history`, if it is at hand."""
    now = parts.clock()
    if history is None:
        history = deployment_store.history(session, row.id)
    usual = deadlines.usual_seconds(session, row.profile_name) if row.ended_at is None else {}
    failed = State(row.state) is State.FAILED
    why = deadlines.explanation(session, row, now, history) if failed else None
    return words.told(row, history, usual, now, why)


def why(speaker: Speaker, command: Command) -> Message:
    parts = speaker.parts
    with parts.database.reading() as session:
        row = latest(session, command.hosts[0])
        return words.why_(row, deadlines.explanation(session, row, parts.clock()))


def hosts(speaker: Speaker, command: Command) -> Message:
    first = command.labels[0] if command.labels else None
    with speaker.parts.database.reading() as session:
        found = host_store.page(session, label=first, q=None, after="", limit=SEARCHED)
        fitting = [
            (host, state) for host, state in found
            if all(host.spec.get("labels", {}).get(k) == v for k, v in command.labels)
        ]  # fmt: skip
        facts = []
        for host, _state in fitting[:_LISTED]:
            last = deployment_store.latest_of(session, host.name)
            shown = "never deployed" if last is None else f"{last.profile_name}: {last.state}"
            facts.append((host.name, shown + (", protected" if host.protected else "")))
    return Message(f"{len(fitting)} hosts" + _more(len(fitting), _LISTED), facts=tuple(facts))


def profiles(speaker: Speaker, command: Command) -> Message:
    with speaker.parts.database.reading() as session:
        found = profile_store.page(session, q=None, after="", limit=SEARCHED)
        facts = [(row.name, f"{row.spec['os']} {row.spec['release']}") for row in found[:_LISTED]]
    return Message(f"{len(found)} profiles" + _more(len(found), _LISTED), facts=tuple(facts))


def _more(count: int, most: int) -> str:
    return f" (the first {most})" if count > most else ""
