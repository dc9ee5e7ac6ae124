"""What changes something: asked for, shown to a person, confirmed, and only then ordered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlmodel import Session

from deployer.core.chat import Button, Message, Tone
from deployer.core.chat_commands import Command, Verb
from deployer.errors import Conflict, DeployerError, Forbidden
from deployer.services import deployments, flow, orders
from deployer.services.chat import codes, follow, words
from deployer.services.chat.looking import current
from deployer.services.chat.speaker import Speaker, find_host, find_profile, latest, unfinished
from deployer.services.parts import Parts
from deployer.services.people import Role
from deployer.store import deployments as deployment_store
from deployer.store import hosts, profiles
from deployer.store.tables import Deployment, Host, OneTimeCode


def reinstall(speaker: Speaker, command: Command) -> Message:
    """Nothing yet: it is checked, and whoever asked is shown what would be lost."""
    parts = speaker.parts
    facts: list[tuple[str, str]] = []
    with parts.database.reading() as session:
        find_profile(session, command.profile)
        for name in command.hosts:
            find_host(session, name)
            request = deployments.Request(name, command.profile, {}, by=speaker.token.name)
            checked = deployments.check(session, parts, request)
            deployments.refuse_untouchable(session, checked.host)
            facts += _at_stake(session, parts, checked.host, alone=len(command.hosts) == 1)
        overwrites = flow.would_overwrite(parts, checked.workflow)
    what = "Everything on the chosen disk will be lost." if overwrites else "No disk is installed."
    return _confirmation(
        speaker, f"{', '.join(command.hosts)} becomes {command.profile}?", what, tuple(facts),
        {"verb": Verb.REINSTALL, "hosts": list(command.hosts), "profile": command.profile},
        f"Yes, {'overwrite' if overwrites else 'start'}",
    )  # fmt: skip


def _at_stake(session: Session, parts: Parts, host: Host, alone: bool) -> list[tuple[str, str]]:
    before = deployment_store.ready_of(session, host.id)
    known = words.at_stake(hosts.facts(session, host.id), before, parts.clock())
    if alone:
        return [("host", host.name), *known]
    return [(host.name, "; ".join(f"{key}: {value}" for key, value in known))]


def retry(speaker: Speaker, command: Command) -> Message:
    parts = speaker.parts
    with parts.database.reading() as session:
        row = latest(session, command.hosts[0])
        request = deployments.retry_request(session, row.id, by=speaker.token.name)
        host = deployments.check(session, parts, request).host
        deployments.refuse_untouchable(session, host)
        facts = _at_stake(session, parts, host, alone=True)
    return _confirmation(
        speaker, f"{row.host_name} becomes {row.profile_name} again?",
        "Everything on the chosen disk will be lost.", tuple(facts),
        {"verb": Verb.RETRY, "hosts": [row.host_name], "profile": row.profile_name,
         "deployment": row.id},
        "Yes, try again",
    )  # fmt: skip


def cancel(speaker: Speaker, command: Command) -> Message:
    with speaker.parts.database.reading() as session:
        row = unfinished(session, command.hosts[0])
        stands = current(session, speaker.parts, row)
    half = "Its disk may be left half written."
    touched = half if row.answers_first_at else "Its disk was not touched."
    return _confirmation(
        speaker, f"Cancel {row.host_name} → {row.profile_name}?", touched, stands.facts,
        {"verb": Verb.CANCEL, "hosts": [row.host_name], "deployment": row.id}, "Yes, cancel it",
    )  # fmt: skip


def approve(speaker: Speaker, command: Command) -> Message:
    with speaker.parts.database.reading() as session:
        row = unfinished(session, command.hosts[0])
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


def no(speaker: Speaker, command: Command) -> Message:
    with speaker.parts.database.writing() as session:
        row = codes.look(session, speaker.parts, "confirm", command.code)
        _refuse_others(speaker, row)
        codes.use(session, speaker.parts, row)
    return Message("Nothing was done.")


def confirm(speaker: Speaker, command: Command) -> Message:
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
