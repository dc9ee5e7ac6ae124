"""What a machine may ask and say with the token of its deployment.

Every wrong, foreign, dead or early token is the same 404: it tells nothing. Repeated, late and
out-of-order calls are answered kindly and move nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NoReturn

from pydantic import ValidationError
from sqlmodel import Session

from deployer.answers import prepare
from deployer.answers.context import Machine, Snapshot
from deployer.core import disks as disk_rule
from deployer.core.disks import Disk, NoDisk
from deployer.core.families import Answer
from deployer.core.hosts import canonical_mac, comparable_serial, same_uuid
from deployer.core.lifecycle import UNFINISHED, Event, MachineEvent, State
from deployer.core.profiles import DISKS_OF
from deployer.core.progress import Progress, host_keys_of, system_of
from deployer.core.text import printable
from deployer.core.tokens import Purpose, deployment_of
from deployer.errors import Invalid, NotFound, TooLarge
from deployer.observe import metrics
from deployer.services import deployments, flow, identity, local_boot, rendering, secrets
from deployer.services.parts import Parts
from deployer.store import deployments as store
from deployer.store import hosts
from deployer.store.tables import Deployment, MachineLog

# A new system says its `first_boot` again until it hears us; for so long we hear it out.
_PHONE_HOME_GRACE = timedelta(minutes=10)
LOG_LIMIT = 1024 * 1024
_LOGS_PER_DEPLOYMENT = 16
# Within one deployment; a stage line more often than that is noise.
_STAGES_KEPT = 200


_HOST_KEY = re.compile(r"[a-z0-9@.-]{1,100} [A-Za-z0-9+/]{1,2000}={0,3}(?![^ ])", re.ASCII)


def _nothing_here() -> NotFound:
    return NotFound("there is nothing here")


def _by_token(
    session: Session,
    parts: Parts,
    token: str,
    purpose: Purpose,
    *,
    grace: bool = False,
    lock: bool = True,
) -> Deployment:
    """The deployment that this token opens now, its row locked unless it is only read."""
    id_ = deployment_of(parts.key, token, purpose)
    deployment = store.get(session, id_, lock=lock) if id_ else None
    if deployment is None or deployment.state == State.QUEUED:
        raise _nothing_here()
    if State(deployment.state) in UNFINISHED:
        return deployment
    ended = deployment.ended_at
    still_warm = ended is not None and parts.clock() < ended + _PHONE_HOME_GRACE
    if grace and deployment.state == State.READY and still_warm:
        return deployment
    raise _nothing_here()


def answer_file(
    parts: Parts, token: str, path: str, address: str, told: dict[str, Any] | None = None
) -> bytes:
    """The rendered file; the first fetch of any ends `booting`, so the script is spent.

    `told`: what an installer says of its machine while it asks. It may refuse, never grant.
    """
    with parts.database.reading() as session:
        deployment = _by_token(session, parts, token, Purpose.ANSWERS, lock=False)
        again = deployment.state != State.BOOTING and deployment.answers_address == address
        if again:  # nothing to write down, so no turn among the writers
            return _rendered(session, parts, deployment, path)
    with parts.database.writing() as session:
        deployment = _by_token(session, parts, token, Purpose.ANSWERS)
        return _first_answer(session, parts, deployment, path, address, told or {})


def answer_by_mac(parts: Parts, path: str, told: dict[str, Any], address: str) -> bytes:
    """The answer file of the one host that has these MACs, where it may be found so at all.

    A MAC may narrow, never grant: what grants is that this address has fetched that host's boot
    script, within the window, which held the token that is not asked for here. It holds also
    where `strict_address` is off. THREATS, ground rule 2; T003, T004, T007, T013.
    """
    with parts.database.writing() as session:
        deployment = _armed_by_macs(session, parts, told.get("macs", []))
        if deployment.boot_address != address:
            _refuse_reader(session, parts, deployment, address, deployment.boot_address or "")
        _refuse_unless_found_by_mac(parts, deployment, path)
        return _first_answer(session, parts, deployment, path, address, told)


def _armed_by_macs(session: Session, parts: Parts, shown: list[str]) -> Deployment:
    """NotFound unless all that is known of `shown` is one host, and its script was just fetched."""
    owners = {host.id for mac in _macs(shown) if (host := hosts.by_mac(session, mac))}
    if len(owners) != 1:
        raise _nothing_here()
    deployment = store.unfinished_of(session, owners.pop(), lock=True)
    if deployment is None or deployment.boot_first_at is None:
        raise _nothing_here()
    if deployment.boot_mac not in list(_macs(shown)):  # another NIC fetched the script
        raise _nothing_here()
    window = timedelta(seconds=parts.settings.boot_window)
    in_time = deployment.state == State.BOOTING and (
        parts.clock() < deployment.boot_first_at + window
        and (deployment.deadline is None or parts.clock() < deployment.deadline)
    )
    # It asks again when its own network failed in between; by then it has had the file.
    again = deployment.state == State.INSTALLING and deployment.answers_first_at is not None
    host = hosts.by_id(session, deployment.host_id or "")
    if not (in_time or again) or host is None or host.protected:
        raise _nothing_here()
    return deployment


def _macs(shown: list[str]) -> Iterator[str]:
    for text in shown:
        with suppress(ValueError):
            yield canonical_mac(text)


def _refuse_unless_found_by_mac(parts: Parts, deployment: Deployment, path: str) -> None:
    profile = Snapshot.from_json(deployment.snapshot).profile
    answers = rendering.family_of(parts, profile).family.at(profile.release).answers
    if not any(answer.found_by_mac and answer.path == path for answer in answers):
        raise _nothing_here()


def _first_answer(
    session: Session,
    parts: Parts,
    deployment: Deployment,
    path: str,
    address: str,
    told: dict[str, Any],
) -> bytes:
    text = _rendered(session, parts, deployment, path)
    _refuse_other_address(session, parts, deployment, address)
    _refuse_other_machine(session, parts, deployment, address, told)
    if told:
        deployment.reported = {**deployment.reported, "facts": told}
    if deployment.answers_first_at is None:
        deployment.answers_first_at, deployment.answers_address = parts.clock(), address
    if deployment.state == State.BOOTING:
        deployments.advance(
            session, parts, deployment, Event.ANSWERS_FETCHED, by=f"machine {address}",
            detail={"file": path},
        )  # fmt: skip
    session.add(deployment)
    return text


def _rendered(session: Session, parts: Parts, deployment: Deployment, path: str) -> bytes:
    snapshot = Snapshot.from_json(deployment.snapshot)
    found = rendering.family_of(parts, snapshot.profile)
    answers = found.family.at(snapshot.profile.release).answers
    answer = next((a for a in answers if a.path == path), None)
    if answer is None or not _still_readable(deployment, answer):
        raise _nothing_here()
    context = rendering.context_of(
        parts,
        snapshot,
        deployment.id,
        deployment.vars,
        Machine(**deployment.reported.get("boot", {})),
        secrets=secrets.values_for(session, parts, snapshot.profile),
    )
    return prepare.packed(answer, prepare.answers(found, context))


def _still_readable(deployment: Deployment, answer: Answer) -> bool:
    """Secrets are gone for good once the installer has what it needs. THREATS T012."""
    if answer.readable_until == "installer_finished":
        return deployment.state in (State.BOOTING, State.INSTALLING)
    return deployment.answers_closed_at is None


def _refuse_other_address(
    session: Session, parts: Parts, deployment: Deployment, address: str
) -> None:
    bound = deployment.answers_address or deployment.boot_address
    if bound is None or bound == address or not parts.settings.strict_address:
        return
    _refuse_reader(session, parts, deployment, address, bound)


def _refuse_other_machine(
    session: Session, parts: Parts, deployment: Deployment, address: str, told: dict[str, Any]
) -> None:
    """THREATS T120: a moved NIC or a cloned MAC must not cost another machine its disk."""
    host = Snapshot.from_json(deployment.snapshot).host
    serial, shown = comparable_serial(host.serial), comparable_serial(told.get("serial"))
    if host.uuid and told.get("uuid") and not same_uuid(host.uuid, told["uuid"]):
        _refuse_reader(session, parts, deployment, address, f"the UUID {host.uuid}")
    if serial and shown and serial != shown:
        _refuse_reader(session, parts, deployment, address, f"the serial {host.serial}")


def _refuse_reader(
    session: Session, parts: Parts, deployment: Deployment, address: str, bound: str
) -> NoReturn:
    if not store.count_events(session, deployment.id, "second_reader"):
        deployments.note(
            session, deployment, "second_reader", f"machine {address}", parts.clock(),
            expected=bound,
        )  # fmt: skip
        session.commit()  # the refusal rolls back, the warning must stay
    raise _nothing_here()


def phone_home(
    session: Session,
    parts: Parts,
    token: str,
    event: MachineEvent,
    body: dict[str, Any],
    address: str,
) -> None:
    """A machine says how far it got. Saying it twice is fine."""
    deployment = _by_token(session, parts, token, Purpose.PHONE_HOME, grace=True)
    metrics.callbacks.labels(event).inc()
    reported = _reported(event, body, address)
    _close_answers(deployment, parts.clock())
    if State(deployment.state) in UNFINISHED:
        deployment.reported = {**deployment.reported, **reported}
    if event is MachineEvent.FIRST_BOOT and deployment.state == State.FIRST_BOOT:
        local_boot.came_home(session, parts, deployment)
    written = event in (MachineEvent.INSTALLER_FINISHED, MachineEvent.FIRST_BOOT)
    if written and State(deployment.state) in _OF_AN_INSTALL and flow.overwrites(parts, deployment):
        identity.forget(session, deployment)
    if "facts" in reported:
        _learn(session, deployment, parts.clock(), system=reported["facts"])
    cause = _failure(body) if event is MachineEvent.INSTALLER_FAILED else None
    deployments.advance(
        session, parts, deployment, Event(event), by=f"machine {address}", cause=cause,
        detail=_detail(event, body),
    )  # fmt: skip
    session.add(deployment)


# Later calls are echoes, and what is recorded then is the new system itself.
_OF_AN_INSTALL = {State.BOOTING, State.INSTALLING, State.FIRST_BOOT}


def _close_answers(deployment: Deployment, now: datetime) -> None:
    if deployment.answers_closed_at is None:
        deployment.answers_closed_at = now


def _text(value: Any, limit: int = 2000) -> str:
    return printable(value, limit) if isinstance(value, str) else ""


def _reported(event: MachineEvent, body: dict[str, Any], address: str) -> dict[str, Any]:
    """What we keep of a call's body: known names of known types; the rest is dropped."""
    known: dict[str, Any] = {}
    if "ssh_host_keys" in body or "ssh-public-host-keys" in body:
        known["ssh_host_keys"] = [key for key in host_keys_of(body) if _HOST_KEY.match(key)]
    if event is MachineEvent.FIRST_BOOT:
        known["first_boot_address"] = address
    facts = body.get("facts")
    if isinstance(facts, dict):
        kept = {str(k)[:64]: v for k, v in list(facts.items())[:64]}
        known["facts"] = {k: v for k, v in kept.items() if isinstance(v, str | int | list)}
    elif system := system_of(body):
        known["facts"] = system
    return known


def _failure(body: dict[str, Any]) -> str:
    message = _text(body.get("message")) or "the installer said that it failed, and not why"
    stage = _text(body.get("stage"), 100)
    return f"{message} (while {stage})" if stage else message


# Of the disks of a machine, say: a line for each, and a few more.
_RESULTS_KEPT = 200


def _detail(event: MachineEvent, body: dict[str, Any]) -> dict[str, Any]:
    if event is MachineEvent.INSTALLER_FINISHED:
        return _results(body)
    if event is not MachineEvent.INSTALLER_FAILED:
        return {}
    return {"message": _failure(body), "log_tail": _text(body.get("log_tail"), 8000)}


def _results(body: dict[str, Any]) -> dict[str, Any]:
    """What came of it, as it stands on the timeline: `message`, and `results` line by line."""
    lines = body.get("results")
    told = [_text(line, 500) for line in lines[:_RESULTS_KEPT]] if isinstance(lines, list) else []
    detail = {"message": _text(body.get("message")), "results": [line for line in told if line]}
    return {name: value for name, value in detail.items() if value}


def progress(session: Session, parts: Parts, token: str, message: Progress, address: str) -> None:
    """The installer is alive; `installing` is given more time, within a limit."""
    deployment = _by_token(session, parts, token, Purpose.PHONE_HOME, grace=True)
    metrics.callbacks.labels("progress").inc()
    now = parts.clock()
    if deployment.state == State.BOOTING:
        deployments.advance(
            session, parts, deployment, Event.INSTALLER_STARTED, by=f"machine {address}"
        )
    if deployment.state != State.INSTALLING:
        return
    # Subiquity reports of itself before its first command, which fetches the rest of the answers.
    if message.stage not in (None, "start"):
        _close_answers(deployment, now)
    told = deployment.progress  # what stays when there is no news, but a sign of life
    if message.stage is not None:
        if message.stage != told.get("stage"):
            _note_stage(session, deployment, message, address, now)
        text = printable(message.message, 500)
        told = {"stage": message.stage, "percent": message.percent, "message": text}
    deployment.progress = {**told, "at": now.isoformat()}
    limit = deployment.state_since + flow.longest(parts, deployment)
    patience = flow.patience(parts, deployment, State.INSTALLING)
    deployment.deadline = min(now + patience, limit)
    session.add(deployment)


def _note_stage(
    session: Session, deployment: Deployment, message: Progress, address: str, now: datetime
) -> None:
    if store.count_events(session, deployment.id, "progress") < _STAGES_KEPT:
        deployments.note(
            session, deployment, "progress", f"machine {address}", now,
            stage=message.stage, percent=message.percent, message=printable(message.message, 500),
        )  # fmt: skip


def choose_disk(
    session: Session, parts: Parts, token: str, reported: list[Disk], address: str
) -> dict[str, Any]:
    """Which disk may be written: `proceed` with one, or `abort` with the reason.

    `disks` are all of them, two for RAID 1, any number for `pick: all`; `disk` is the first. The
    answer is the same however often it is asked; an abort fails the deployment. So does a report
    that would lead to another disk than the first one did: writing may have begun there.
    """
    deployment = _by_token(session, parts, token, Purpose.PHONE_HOME)
    if deployment.state not in (State.BOOTING, State.INSTALLING):
        raise _nothing_here()
    snapshot = Snapshot.from_json(deployment.snapshot)
    system = (snapshot.image or {}).get("min_disk_size", 0)
    needed = snapshot.profile.storage.needs(system)
    by, now = f"machine {address}", parts.clock()
    _learn(session, deployment, now, disks=[disk.model_dump(mode="json") for disk in reported])
    try:
        storage = snapshot.profile.storage
        disks = disk_rule.choose(storage.disk, reported, needed, DISKS_OF[storage.layout])
        _refuse_other_disks(deployment, disks)
    except NoDisk as refusal:
        deployments.advance(
            session, parts, deployment, Event.INSTALLER_FAILED, by=by, cause=str(refusal),
            detail={"disks": [d.describe() for d in reported]},
        )  # fmt: skip
        session.add(deployment)
        return {"action": "abort", "reason": str(refusal)}
    identity.forget(session, deployment)
    chosen = [disk.identity() for disk in disks]
    if "disk" not in deployment.reported:
        deployment.reported = {**deployment.reported, "disk": chosen[0], "disks": chosen}
        deployments.note(
            session, deployment, "disk_chosen", by, now,
            disk=" and ".join(disk.describe() for disk in disks),
            contents=sorted({content for disk in disks for content in disk.contents}),
            others=[d.describe() for d in reported if d not in disks],
        )  # fmt: skip
        session.add(deployment)
    return {"action": "proceed", "disk": chosen[0], "disks": chosen}


def _learn(session: Session, deployment: Deployment, now: datetime, **facts: Any) -> None:
    if deployment.host_id is not None:  # it may have been deleted meanwhile
        hosts.learn(session, deployment.host_id, now, **facts)


def _refuse_other_disks(deployment: Deployment, disks: list[Disk]) -> None:
    before = deployment.reported.get("disks")
    if before is not None and before != [disk.identity() for disk in disks]:
        now, then = (disk.describe() for disk in disks), (disk["path"] for disk in before)
        raise NoDisk(
            f"the rule means {' and '.join(now)} now, but meant {' and '.join(then)} before, which"
            " may have been written to; look at the machine, then deploy again"
        )


def parse_disks(body: dict[str, Any]) -> list[Disk]:
    """The disks of a report; Invalid names the first entry that is none."""
    entries = body.get("disks")
    if not isinstance(entries, list) or len(entries) > 1000:
        raise Invalid(
            "the body must hold a list `disks`", field="disks", remedy="send at most 1000 disks"
        )
    try:
        return [Disk.model_validate(entry) for entry in entries]
    except ValidationError as error:
        first = error.errors()[0]
        raise Invalid(
            f"disks: {'.'.join(map(str, first['loc']))}: {first['msg']}", field="disks"
        ) from None


def save_log(session: Session, parts: Parts, token: str, name: str, content: bytes) -> None:
    """Keep an installer's log; TooLarge when it, or the number of logs, is beyond the limit."""
    deployment = _by_token(session, parts, token, Purpose.LOGS)
    metrics.callbacks.labels("log").inc()
    sizes = store.log_sizes(session, deployment.id)
    if name not in sizes and len(sizes) >= _LOGS_PER_DEPLOYMENT:
        raise TooLarge(f"a deployment keeps {_LOGS_PER_DEPLOYMENT} logs", remedy="reuse a name")
    store.save_log(
        session,
        MachineLog(
            deployment_id=deployment.id, name=name, at=parts.clock(), content=content[:LOG_LIMIT]
        ),
    )
