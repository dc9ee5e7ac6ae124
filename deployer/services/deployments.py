"""Deployments: check, create, advance, cancel, retry. `advance()` alone writes their state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from deployer.answers.context import Snapshot
from deployer.core.effects import APPROVE, Approval, pause_before
from deployer.core.ids import new_id
from deployer.core.inventory import HostSpec
from deployer.core.lifecycle import RESTING, Event, State, next_state
from deployer.core.profiles import ProfileSpec
from deployer.core.receivers import APPROVAL
from deployer.core.workflows import Step
from deployer.errors import Conflict, Forbidden, NotFound
from deployer.observe import log, metrics
from deployer.services import deliveries, flow, network_boot, receivers, rendering, secrets
from deployer.services.chat import follow
from deployer.services.parts import Parts
from deployer.store import deployments as store
from deployer.store import effects, hosts, profiles
from deployer.store.tables import Deployment, HistoryEntry, Host

# Echoes beyond this many are answered, but no longer written down: nobody can fill our disk.
_ECHOES_KEPT = 10


@dataclass(frozen=True)
class Request:
    """Who wants which host to become which profile."""

    host: str
    profile: str
    vars: dict[str, Any]
    by: str
    retry_of: str | None = None


@dataclass(frozen=True)
class Checked:
    """A request that passed every check, as of the moment when `host` was read."""

    host: Host
    snapshot: Snapshot
    workflow: str


# --- before anything is touched ---------------------------------------------------------------


def check(session: Session, parts: Parts, request: Request) -> Checked:
    """Everything that can be found wrong without touching a machine; changes nothing."""
    host = hosts.by_name(session, request.host)
    if host is None:
        raise NotFound(
            f"there is no host {request.host!r}", field="host", value=request.host,
            remedy="`deployer hosts` lists the names",
        )  # fmt: skip
    profile = profiles.by_name(session, request.profile)
    if profile is None:
        raise NotFound(
            f"there is no profile {request.profile!r}", field="profile", value=request.profile,
            remedy="`deployer profiles` lists the names",
        )  # fmt: skip
    spec = HostSpec.model_validate(host.spec)
    snapshot = rendering.snapshot_of(session, parts, spec, ProfileSpec.model_validate(profile.spec))
    rendering.refuse_findings(rendering.findings_of(session, parts, snapshot, request.vars))
    workflow = parts.workflows[snapshot.profile.workflow]
    secrets.values_of(session, parts, workflow.secrets(), f"the workflow {workflow.name}")
    receivers.refuse_missing(session, workflow)
    return Checked(host, snapshot, snapshot.profile.workflow)


# --- create -----------------------------------------------------------------------------------


def create(session: Session, parts: Parts, checked: Checked, request: Request) -> Deployment:
    """Store the deployment, its first history line and its first effects.

    Forbidden when the host is protected; Conflict when it has an unfinished deployment, or when
    it was changed since it was checked.
    """
    now = parts.clock()
    host = hosts.by_name(session, request.host)
    if host is None or host.updated_at != checked.host.updated_at:
        raise Conflict(
            f"the host {request.host} was changed while this was checked", remedy="ask again"
        )
    refuse_untouchable(session, host)
    _refuse_runaway(session, parts, now)
    deployment = Deployment(
        id=new_id("dep", now),
        host_id=host.id,
        host_name=host.name,
        profile_name=checked.snapshot.profile.name,
        state=State.QUEUED,
        snapshot={**checked.snapshot.to_json(), "workflow": checked.workflow},
        vars=request.vars,
        requested_by=request.by,
        retry_of=request.retry_of,
        created_at=now,
        state_since=now,
    )
    deployment.deadline = now + flow.patience(parts, deployment, State.QUEUED)
    try:
        with session.begin_nested():
            session.add(deployment)
    except IntegrityError:
        # Somebody was faster; the database says so, whatever we saw a moment ago.
        _refuse_second(store.unfinished_of(session, host.id))
        raise
    _record(session, deployment, "created", request.by, now, to=State.QUEUED)
    follow.wherever_wanted(session, parts, deployment)
    deliveries.tell(session, parts, deployment, State.QUEUED)
    go_on(session, parts, deployment)
    return deployment


def refuse_untouchable(session: Session, host: Host) -> None:
    """Forbidden when it is protected, Conflict when it has an unfinished deployment."""
    if host.protected:
        raise Forbidden(
            f"{host.name} is protected", field="host", value=host.name,
            remedy=f"if it may be wiped, lift this first: `deployer hosts unprotect {host.name}`",
        )  # fmt: skip
    _refuse_second(store.unfinished_of(session, host.id))


def _refuse_second(existing: Deployment | None) -> None:
    if existing is not None:
        raise Conflict(
            f"{existing.host_name} has an unfinished deployment, {existing.id} ({existing.state})",
            field="host",
            value=existing.host_name,
            remedy=f"wait for it, or cancel it: `deployer cancel {existing.host_name}`",
            deployment=existing.id,
        )


def _refuse_runaway(session: Session, parts: Parts, now: datetime) -> None:
    query = select(func.count()).where(col(Deployment.created_at) > now - timedelta(hours=1))
    if session.exec(query).one() >= parts.settings.installs_per_hour:
        raise Forbidden(
            f"{parts.settings.installs_per_hour} deployments were created within the last hour,"
            " which is the ceiling",
            remedy="if this is no runaway script, raise DEPLOYER_INSTALLS_PER_HOUR",
        )


# --- advance ----------------------------------------------------------------------------------


def advance(
    session: Session,
    parts: Parts,
    deployment: Deployment,
    event: Event,
    *,
    by: str,
    cause: str | None = None,
    detail: dict[str, Any] | None = None,
) -> bool:
    """Let `event` happen: state, history line and ordered effects, in the caller's transaction.

    The caller holds the deployment's row locked. False when the event leads nowhere from here:
    an echo or a late call, which is written down and harmless.
    """
    now = parts.clock()
    state = State(deployment.state)
    to = next_state(state, event)
    if to is None:
        if store.count_events(session, deployment.id, event) < _ECHOES_KEPT:
            _record(session, deployment, event, by, now, detail=detail)
        return False
    metrics.stage_seconds.labels(state).observe((now - deployment.state_since).total_seconds())
    metrics.transitions.labels(to).inc()
    deployment.state = to
    deployment.state_since = now
    deployment.boot_awaited_until = None
    deployment.version += 1
    deployment.cause = cause if to is State.FAILED else None
    if to in RESTING:
        deployment.ended_at, deployment.deadline = now, None
    else:
        deployment.deadline = now + flow.patience(parts, deployment, to)
    _record(session, deployment, event, by, now, from_=state, to=to, detail=detail)
    deliveries.tell(session, parts, deployment, to)
    if to is not State.BOOTING:
        network_boot.tidy(session, parts, deployment)
    go_on(session, parts, deployment)
    return True


def arrive_again(session: Session, parts: Parts, deployment: Deployment) -> None:
    """As if it had come to this state only now: with its effects, and all the time there is."""
    _restart_patience(parts, deployment)
    go_on(session, parts, deployment)


def go_on(session: Session, parts: Parts, deployment: Deployment, after: int = -1) -> None:
    """Order the workflow's next effect in this state; an event that it says happens at once."""
    state = deployment.state
    if flow.workflow_of(parts, deployment) is None and State(state) not in RESTING:
        name = deployment.snapshot["workflow"]
        note(session, deployment, "workflow_missing", "service", parts.clock(), workflow=name)
    while deployment.state == state:
        found = flow.next_step(parts, deployment, after)
        if found is None:
            return
        after, step = found
        if step.do is not None:
            _order_step(session, parts, deployment, after, step)
            return
        if step.say is not None:
            advance(session, parts, deployment, step.say, by="service")


def _order_step(
    session: Session, parts: Parts, deployment: Deployment, number: int, step: Step
) -> None:
    """What waits gets its own time: the patience of a state is for what nobody foresaw."""
    now = parts.clock()
    pause = pause_before(step.do or "", step.with_)
    if pause is not None and deployment.deadline is not None:
        deployment.deadline += pause
    if step.do == APPROVE:
        note(session, deployment, "approval_needed", "service", now)
        deliveries.tell(session, parts, deployment, APPROVAL)
    flow.order(
        session, deployment, step.do or "", now, args=step.with_, step=number,
        not_before=None if pause is None else now + pause,
    )  # fmt: skip


def _restart_patience(parts: Parts, deployment: Deployment) -> None:
    state = State(deployment.state)
    deployment.deadline = parts.clock() + flow.patience(parts, deployment, state)


def note(
    session: Session, deployment: Deployment, event: str, by: str, now: datetime, **detail: Any
) -> None:
    """A history line that moves nothing."""
    _record(session, deployment, event, by, now, detail=detail)


def _record(
    session: Session,
    deployment: Deployment,
    event: str,
    by: str,
    now: datetime,
    *,
    from_: State | None = None,
    to: State | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    session.add(
        HistoryEntry(
            deployment_id=deployment.id, at=now, event=event, from_state=from_, to_state=to,
            by=by, detail=detail or {},
        )
    )  # fmt: skip
    session.flush()
    log.info(
        "transition" if to else "event", deployment=deployment.id, host=deployment.host_name,
        what=str(event), **{"from": from_, "to": to} if to else {}, by=by,
    )  # fmt: skip


# --- what people ask --------------------------------------------------------------------------


def find(session: Session, id_: str, *, lock: bool = False) -> Deployment:
    deployment = store.get(session, id_, lock=lock)
    if deployment is None:
        raise NotFound(
            f"there is no deployment {id_!r}", field="id", value=id_,
            remedy="`deployer status` lists them; ids of deployments begin with dep_",
        )  # fmt: skip
    return deployment


def cancel(session: Session, parts: Parts, id_: str, by: str) -> Deployment:
    """After this returns and is committed, no script, answer or token of it works any more."""
    deployment = find(session, id_, lock=True)
    state = State(deployment.state)
    disk = "may have been changed" if deployment.answers_first_at else "was not touched"
    if not advance(session, parts, deployment, Event.CANCEL, by=by, detail={"disk": disk}):
        raise Conflict(
            f"{id_} is {state}; a deployment that has ended cannot be cancelled",
            field="state", value=str(state), remedy="nothing needs to be done",
        )  # fmt: skip
    return deployment


def approve(session: Session, parts: Parts, id_: str, by: str) -> Deployment:
    """Whoever is allowed to lets it go on; Conflict when it waits for nobody."""
    deployment = find(session, id_, lock=True)
    waiting = effects.approval_of(session, id_)
    if waiting is None or State(deployment.state) in RESTING:
        raise Conflict(
            f"{id_} is {deployment.state} and waits for nobody's approval",
            field="state", value=deployment.state, remedy="nothing needs to be done",
        )  # fmt: skip
    if Approval.model_validate(waiting.args).by_another and by == deployment.requested_by:
        raise Forbidden(
            f"{id_} was asked for by {by}, and its workflow wants another person's approval",
            field="by", value=by, remedy="let somebody else approve it",
        )  # fmt: skip
    now = parts.clock()
    waiting.ended_at = now
    session.add(waiting)
    note(session, deployment, "approved", by, now)
    _restart_patience(parts, deployment)
    go_on(session, parts, deployment, -1 if waiting.step is None else waiting.step)
    return deployment


def retry_request(session: Session, id_: str, by: str) -> Request:
    """The request that repeats an ended deployment, with host and profile as they are now."""
    deployment = find(session, id_)
    if State(deployment.state) not in RESTING:
        raise Conflict(
            f"{id_} is {deployment.state}; only an ended deployment can be repeated",
            field="state", value=deployment.state, remedy="wait for its end, or cancel it",
        )  # fmt: skip
    return Request(
        deployment.host_name, deployment.profile_name, deployment.vars, by, retry_of=deployment.id
    )
