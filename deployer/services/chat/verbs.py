"""What each command does. Whatever changes something goes by `services.orders`, as the API does,
and what overwrites a disk or ends an install is confirmed first by somebody who was shown it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlmodel import Session

from deployer.core.chat import Button, Message, Tone
from deployer.core.chat_commands import USAGE, Command, Verb, nearest
from deployer.core.ids import short
from deployer.core.lifecycle import RESTING, State
from deployer.drivers.chat.base import Heard
from deployer.errors import Conflict, DeployerError, Forbidden, NotFound
from deployer.services import deadlines, deployments, flow, inventory, orders, people
from deployer.services.chat import codes, follow, words
from deployer.services.orders import Orderer
from deployer.services.parts import Parts
from deployer.services.people import Role
from deployer.store import deployments as deployment_store
from deployer.store import hosts, profiles
from deployer.store.tables import ApiToken, Deployment, OneTimeCode

_LISTED = 30
_SEARCHED = 1000


@dataclass(frozen=True)
class Speaker:
    """Who says it, by whose token, and where: in the chat of which receiver and platform."""

    parts: Parts
    receiver: str
    platform: str
    token: ApiToken
    heard: Heard

    @property
    def identity(self) -> list[str]:
        return [self.platform, self.heard.person.tenant, self.heard.person.user]

    @property
    def orderer(self) -> Orderer:
        return Orderer(self.token.name, self.token.id, " ".join(filter(None, self.identity)))


def do(speaker: Speaker, command: Command) -> Message:
    """The answer; what is refused is a DeployerError, as everywhere."""
    acts = USAGE[command.verb].acts
    people.require(speaker.token, Role.OPERATOR if acts else Role.VIEWER)
    return _DOES[command.verb](speaker, command)


def help_(linked_as: str | None) -> Message:
    lines: tuple[str, ...] = ("I reinstall machines, and say where they stand.",)
    if linked_as is None:
        lines += ("I do not know you yet. Run `deployer chat link` where you have a token, and"
                  " tell me: link CODE",)  # fmt: skip
    else:
        lines += (f"You act as {linked_as}.",)
    forms = tuple((usage.form, usage.does) for usage in USAGE.values())
    return Message("Deployer", lines=lines, facts=forms)


# --- looking ----------------------------------------------------------------------------------


def _help(speaker: Speaker, command: Command) -> Message:
    return help_(f"{speaker.token.name} ({speaker.token.role})")


def _status(speaker: Speaker, command: Command) -> Message:
    parts = speaker.parts
    with parts.database.reading() as session:
        if command.hosts:
            return current(session, parts, _latest(session, command.hosts[0]))
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


def current(session: Session, parts: Parts, row: Deployment) -> Message:
    """A deployment as it stands."""
    now = parts.clock()
    failed = State(row.state) is State.FAILED
    return words.told(
        row, deployment_store.history(session, row.id),
        deadlines.usual_seconds(session, row.profile_name), now,
        deadlines.explanation(session, row, now) if failed else None,
    )  # fmt: skip


def _why(speaker: Speaker, command: Command) -> Message:
    parts = speaker.parts
    with parts.database.reading() as session:
        row = _latest(session, command.hosts[0])
        return words.why_(row, deadlines.explanation(session, row, parts.clock()))


def _hosts(speaker: Speaker, command: Command) -> Message:
    first = command.labels[0] if command.labels else None
    with speaker.parts.database.reading() as session:
        found = hosts.page(session, label=first, q=None, after="", limit=_SEARCHED)
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


def _profiles(speaker: Speaker, command: Command) -> Message:
    with speaker.parts.database.reading() as session:
        found = profiles.page(session, q=None, after="", limit=_SEARCHED)
        facts = [(row.name, f"{row.spec['os']} {row.spec['release']}") for row in found[:_LISTED]]
    return Message(f"{len(found)} profiles" + _more(len(found), _LISTED), facts=tuple(facts))


def _more(count: int, most: int) -> str:
    return f" (the first {most})" if count > most else ""


# --- asking for an act ------------------------------------------------------------------------


def _reinstall(speaker: Speaker, command: Command) -> Message:
    """Nothing yet: it is checked, and whoever asked is shown what would be lost."""
    parts = speaker.parts
    known = partial(_find_host, parts)
    with parts.database.reading() as session:
        _find_profile(session, command.profile)
        for name in command.hosts:
            known(session, name)
            request = deployments.Request(name, command.profile, {}, by=speaker.token.name)
            checked = deployments.check(session, parts, request)
            deployments.refuse_untouchable(session, checked.host)
        facts: list[tuple[str, str]] = []
        for name in command.hosts:
            facts += _at_stake(session, parts, name, alone=len(command.hosts) == 1)
        overwrites = flow.would_overwrite(parts, checked.workflow)
    what = "Everything on the chosen disk will be lost." if overwrites else "No disk is installed."
    return _confirmation(
        speaker, f"{', '.join(command.hosts)} becomes {command.profile}?", what, tuple(facts),
        {"verb": Verb.REINSTALL, "hosts": list(command.hosts), "profile": command.profile},
        f"Yes, {'overwrite' if overwrites else 'start'}",
    )  # fmt: skip


def _at_stake(session: Session, parts: Parts, name: str, alone: bool) -> list[tuple[str, str]]:
    host = inventory.find_host(session, name)
    before = deployment_store.ready_of(session, host.id)
    known = words.at_stake(host, hosts.facts(session, host.id), before, parts.clock())
    if alone:
        return [("host", name), *known]
    return [(name, "; ".join(f"{key}: {value}" for key, value in known))]


def _retry(speaker: Speaker, command: Command) -> Message:
    parts = speaker.parts
    with parts.database.reading() as session:
        row = _latest(session, command.hosts[0])
        request = deployments.retry_request(session, row.id, by=speaker.token.name)
        deployments.refuse_untouchable(session, deployments.check(session, parts, request).host)
        facts = _at_stake(session, parts, row.host_name, alone=True)
    return _confirmation(
        speaker, f"{row.host_name} becomes {row.profile_name} again?",
        "Everything on the chosen disk will be lost.", tuple(facts),
        {"verb": Verb.RETRY, "hosts": [row.host_name], "profile": row.profile_name,
         "deployment": row.id},
        "Yes, try again",
    )  # fmt: skip


def _cancel(speaker: Speaker, command: Command) -> Message:
    with speaker.parts.database.reading() as session:
        row = _unfinished(session, command.hosts[0])
        stands = current(session, speaker.parts, row)
    touched = (
        "Its disk may be left half written."
        if row.answers_first_at
        else ("Its disk was not touched.")
    )
    return _confirmation(
        speaker, f"Cancel {row.host_name} → {row.profile_name}?", touched, stands.facts,
        {"verb": Verb.CANCEL, "hosts": [row.host_name], "deployment": row.id}, "Yes, cancel it",
    )  # fmt: skip


def _approve(speaker: Speaker, command: Command) -> Message:
    with speaker.parts.database.reading() as session:
        row = _unfinished(session, command.hosts[0])
    data = {"verb": Verb.APPROVE, "hosts": [row.host_name], "deployment": row.id}
    if speaker.heard.at is None:
        title = f"Let {row.host_name} → {row.profile_name} go on?"
        return _confirmation(speaker, title, "", (), data, "Yes, go on")
    return _ACTS[Verb.APPROVE](speaker, data)


def _confirmation(
    speaker: Speaker, title: str, line: str, facts: tuple[tuple[str, str], ...],
    data: dict[str, Any], yes: str,
) -> Message:  # fmt: skip
    parts = speaker.parts
    many = parts.settings.chat_four_eyes_from
    data["by_another"] = bool(many) and len(data["hosts"]) >= many
    data["asker"] = speaker.identity
    with parts.database.writing() as session:
        data["versions"] = _versions(session, data)
        code = codes.issue(session, parts, "confirm", speaker.token.id, data)
    lines = [line] if line else []
    if data["by_another"]:
        lines.append(f"Of {many} hosts and more, somebody else has to confirm: confirm {code}")
    lines.append("This question is good for 5 minutes.")
    yes_button = Button(yes, f"confirm {code}", danger=True)
    return Message(
        title, Tone.ASKING, tuple(lines), facts, buttons=(yes_button, Button("No", f"no {code}"))
    )


def _versions(session: Session, data: dict[str, Any]) -> dict[str, Any]:
    """What was looked at: when it is another one at the answer, that is no answer to it."""
    found: dict[str, Any] = {}
    for name in data["hosts"]:
        host, last = hosts.by_name(session, name), deployment_store.latest_of(session, name)
        found[name] = [str(host.updated_at) if host else None, last.id if last else None]
    if profile := profiles.by_name(session, data.get("profile", "")):
        found[f"profile {profile.name}"] = [str(profile.updated_at)]
    return found


# --- the answer -------------------------------------------------------------------------------


def _no(speaker: Speaker, command: Command) -> Message:
    with speaker.parts.database.writing() as session:
        row = codes.look(session, speaker.parts, "confirm", command.code)
        _refuse_others(speaker, row)
        codes.use(session, speaker.parts, row)
    return Message("Nothing was done.")


def _confirm(speaker: Speaker, command: Command) -> Message:
    with speaker.parts.database.writing() as session:
        row = codes.look(session, speaker.parts, "confirm", command.code)
        data = row.data
        asked_by_them = data["asker"] == speaker.identity
        if data["by_another"] and asked_by_them:
            raise Forbidden("You asked for it, so somebody else has to confirm it.")
        if not data["by_another"]:
            _refuse_others(speaker, row)
        if _versions(session, data) != data["versions"]:
            raise Conflict(
                "Host, profile or deployment is not what it was when this was asked.",
                remedy="ask again, and look at what is shown then",
            )
        codes.use(session, speaker.parts, row)
    return _ACTS[Verb(data["verb"])](speaker, data)


def _refuse_others(speaker: Speaker, row: OneTimeCode) -> None:
    """Whoever asked may answer, and an admin."""
    if row.data["asker"] != speaker.identity and speaker.token.role != Role.ADMIN:
        raise Forbidden("Only who asked for it, or an admin, may answer.")


def _do_reinstall(speaker: Speaker, data: dict[str, Any]) -> Message:
    done, refused = [], []
    for host in data["hosts"]:
        request = deployments.Request(host, data["profile"], {}, by=speaker.token.name)
        body = {"host": host, "profile": data["profile"], "vars": {}}
        try:
            made = orders.create(
                speaker.parts, speaker.orderer, request, None, body, _thread(speaker)
            )
            done.append((host, f"queued as {made['short_id']}"))
        except DeployerError as error:
            refused.append((host, error.message))
    title = f"{len(done)} of {len(data['hosts'])} queued: {data['profile']}"
    if len(data["hosts"]) == 1:
        title = f"{data['hosts'][0]} → {data['profile']}: " + ("queued" if done else "refused")
    return Message(title, Tone.BAD if refused else Tone.GOOD, facts=tuple(refused + done))


def _do_retry(speaker: Speaker, data: dict[str, Any]) -> Message:
    made = orders.retry(speaker.parts, speaker.orderer, data["deployment"], None, _thread(speaker))
    title = f"{made['host']} → {made['profile']}: queued again"
    return Message(title, Tone.GOOD, facts=((made["host"], f"queued as {made['short_id']}"),))


def _thread(speaker: Speaker) -> Callable[[Session, Deployment], None]:
    """Where it was asked for, it is told how it goes on."""
    place = speaker.heard.place
    return lambda session, row: follow.here(
        session, row, speaker.receiver, place.channel, speaker.parts.clock()
    )


def _do_cancel(speaker: Speaker, data: dict[str, Any]) -> Message:
    with speaker.parts.database.writing() as session:
        row = orders.cancel(session, speaker.parts, speaker.orderer, data["deployment"])
        return Message(f"{row.host_name} → {row.profile_name}: cancelled", Tone.GOOD)


def _do_approve(speaker: Speaker, data: dict[str, Any]) -> Message:
    with speaker.parts.database.writing() as session:
        row = orders.approve(session, speaker.parts, speaker.orderer, data["deployment"])
        return Message(f"{row.host_name} → {row.profile_name}: goes on", Tone.GOOD)


_ACTS: dict[Verb, Callable[[Speaker, dict[str, Any]], Message]] = {
    Verb.REINSTALL: _do_reinstall, Verb.RETRY: _do_retry, Verb.CANCEL: _do_cancel,
    Verb.APPROVE: _do_approve,
}  # fmt: skip


# --- finding ----------------------------------------------------------------------------------


def _find_host(parts: Parts, session: Session, name: str) -> None:
    if hosts.by_name(session, name) is None:
        known = [host.name for host, _ in hosts.page(session, label=None, q=None, after="",
                                                     limit=_SEARCHED)]  # fmt: skip
        raise _unknown("host", name, known)


def _find_profile(session: Session, name: str) -> None:
    if profiles.by_name(session, name) is None:
        known = [row.name for row in profiles.page(session, q=None, after="", limit=_SEARCHED)]
        raise _unknown("profile", name, known)


def _unknown(what: str, name: str, known: list[str]) -> NotFound:
    close = nearest(name, known)
    remedy = f"did you mean {' or '.join(close)}?" if close else f"`{what}s` lists the names"
    return NotFound(f"there is no {what} {name!r}", field=what, value=name, remedy=remedy)


def _latest(session: Session, name: str) -> Deployment:
    row = deployment_store.latest_of(session, name)
    if row is None:
        known = [h.name for h, _ in hosts.page(session, label=None, q=None, after="",
                                               limit=_SEARCHED)]  # fmt: skip
        if name not in known:
            raise _unknown("host", name, known)
        raise NotFound(f"{name} was never deployed", field="host", value=name,
                       remedy=f"reinstall {name} as PROFILE")  # fmt: skip
    return row


def _unfinished(session: Session, name: str) -> Deployment:
    row = _latest(session, name)
    if State(row.state) in RESTING:
        raise Conflict(
            f"{name} has no deployment under way; the last one, {short(row.id)}, is {row.state}",
            remedy=f"status {name}",
        )
    return row


_DOES: dict[Verb, Callable[[Speaker, Command], Message]] = {
    Verb.HELP: _help, Verb.STATUS: _status, Verb.WHY: _why, Verb.HOSTS: _hosts,
    Verb.PROFILES: _profiles, Verb.REINSTALL: _reinstall, Verb.RETRY: _retry,
    Verb.CANCEL: _cancel, Verb.APPROVE: _approve, Verb.CONFIRM: _confirm, Verb.NO: _no,
}  # fmt: skip
