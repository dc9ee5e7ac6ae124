"""The work that transitions order: each effect by name, and how one is carried out.

An effect's row says how far it got, so that carrying it out again after a crash is safe: one
that has ended is left alone, one that may not be repeated is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from sqlmodel import Session

from deployer.answers.context import Snapshot
from deployer.core.effects import APPROVE, NOTIFY, Command, kind_of
from deployer.core.lifecycle import UNFINISHED, Event, State
from deployer.core.text import printable
from deployer.core.workflows import Step
from deployer.drivers import ssh
from deployer.drivers.calls import Call
from deployer.drivers.power.base import PowerDriver
from deployer.errors import DriverError, DriverRefused, DriverUnclear
from deployer.observe import log, metrics
from deployer.services import deliveries, deployments, flow, identity, network_boot, outward, power
from deployer.services import verify as verification
from deployer.services.parts import Parts
from deployer.store import deployments as deployment_store
from deployer.store import effects as store
from deployer.store import hosts
from deployer.store.tables import Deployment, Effect


@dataclass(frozen=True)
class Outcome:
    """What an effect reports back: a line for the history, and an event if it moves something."""

    detail: dict[str, Any] = field(default_factory=dict)
    event: Event | None = None
    cause: str | None = None
    change: Callable[[Session, Deployment], None] | None = None  # made in the same commit


class TryAgain(Exception):
    """The effect did not work this time, and may later."""


def _power_boot_once(parts: Parts, deployment: Deployment, effect: Effect) -> Outcome:
    """When its machine did not come, in `booting`: by another way, and restarted once more."""
    tries = network_boot.boot_once(parts, deployment, _driver(parts, deployment))
    again = State(deployment.state) is not State.QUEUED

    def change(session: Session, row: Deployment) -> None:
        row.boot_tries = [*row.boot_tries, *tries]
        if State(row.state) not in (State.QUEUED, State.BOOTING):
            network_boot.tidy(session, parts, row)  # it went on, or ended, meanwhile
        if again and _still_away(row):
            deployments.arrive_again(session, parts, row)

    last = tries[-1]
    detail = {"power": last["said"], "method": last["method"]}
    if len(tries) > 1:
        detail["refused"] = network_boot.told(tries[:-1])
    return Outcome(detail, None if again else Event.START, change=change)


def _power_cycle(parts: Parts, deployment: Deployment, effect: Effect) -> Outcome:
    driver = _driver(parts, deployment)
    said: dict[str, Any]
    try:
        said = {"power": driver.cycle()}
    except DriverUnclear as error:
        # Not again: if it was done, the machine may be loading its installer by now. If it was
        # not, the machine does not come in time.
        said = {"power": error.message, "unclear": True}
    return _restarted(parts, deployment, driver, said)


def _restarted(
    parts: Parts, deployment: Deployment, driver: PowerDriver, said: dict[str, Any]
) -> Outcome:
    until = network_boot.is_awaited(parts, deployment, driver)

    def change(session: Session, row: Deployment) -> None:
        if _still_away(row):
            row.boot_awaited_until = until

    return Outcome(said, change=change)


def _still_away(deployment: Deployment) -> bool:
    return State(deployment.state) is State.BOOTING and deployment.boot_count == 0


def _power_off(parts: Parts, deployment: Deployment, effect: Effect) -> Outcome:
    return Outcome({"power": _driver(parts, deployment).off()})


def _power_eject_media(parts: Parts, deployment: Deployment, effect: Effect) -> Outcome:
    """Not under a later deployment that may be booting from the same ISO: it takes it out."""
    with parts.database.reading() as session:
        other = deployment_store.unfinished_of(session, deployment.host_id or "")
    if other and other.id != deployment.id and State(other.state) in (State.QUEUED, State.BOOTING):
        return Outcome({"power": f"nothing is taken out while {other.id} boots"})
    return Outcome({"power": _driver(parts, deployment).eject_media()})


def _driver(parts: Parts, deployment: Deployment) -> PowerDriver:
    return power.driver_of(parts, Snapshot.from_json(deployment.snapshot).host)


def _ssh_verify(parts: Parts, deployment: Deployment, effect: Effect) -> Outcome:
    verdict = verification.verify(
        parts, Snapshot.from_json(deployment.snapshot), deployment.reported
    )
    detail = {"checks": [check.as_dict() for check in verdict.checks]}

    def change(session: Session, row: Deployment) -> None:
        row.verification = verdict.result
        if verdict.result == "verified":
            identity.remember(session, parts, row, verdict.machine_id)

    if verdict.cause:
        return Outcome(detail, Event.VERIFICATION_FAILED, printable(verdict.cause), change)
    return Outcome(detail, Event.VERIFIED, change=change)


def _ssh_run(parts: Parts, deployment: Deployment, effect: Effect) -> Outcome:
    wanted = Command.model_validate(effect.args)
    text = wanted.command or flow.variables(deployment).get(wanted.var or "")
    detail: dict[str, Any] = {"command": text}
    if not isinstance(text, str):
        cause = f"ssh.run: vars.{wanted.var} is {text!r}, and must be a command"
        return Outcome(detail, Event.EFFECT_FAILED, cause)
    target = _ssh_target(parts, deployment)
    if target is None:
        if wanted.if_reachable:
            return Outcome({**detail, "not_run": verification.NO_ADDRESS})
        return Outcome(detail, Event.EFFECT_FAILED, verification.NO_ADDRESS)
    seconds = wanted.timeout.total_seconds()
    try:
        answer = ssh.execute(target, parts.ssh_key_file, text, seconds)
    except ssh.NotReachable as error:
        if wanted.if_reachable:
            return Outcome({**detail, "not_run": str(error)})
        raise TryAgain(str(error)) from None
    except (ssh.Refused, ssh.Interrupted) as error:
        return Outcome(detail, Event.EFFECT_FAILED, f"ssh.run: {error}")
    detail |= {"exit": answer.status, "output": printable(answer.output, _OUTPUT_KEPT)}
    if answer.status != 0:
        last = printable(answer.output.strip()[-200:])
        return Outcome(detail, Event.EFFECT_FAILED, f"ssh.run: ended with {answer.status}: {last}")
    return Outcome(detail)


def _ssh_target(parts: Parts, deployment: Deployment) -> ssh.Target | None:
    """Before its machine has booted, the system that runs there is the one from before."""
    if State(deployment.state) in (State.QUEUED, State.BOOTING):
        return identity.running_target(parts, deployment)
    return verification.target_of(Snapshot.from_json(deployment.snapshot), deployment.reported)


def _ssh_identity(parts: Parts, deployment: Deployment, effect: Effect) -> Outcome:
    seen = identity.compare(parts, deployment)
    if seen.cause:
        return Outcome({"found": seen.found}, Event.EFFECT_FAILED, printable(seen.cause))
    return Outcome({"found": seen.found})


def _wait(parts: Parts, deployment: Deployment, effect: Effect) -> Outcome:
    """It has been waited for already: it was not to begin before."""
    return Outcome()


def _approve(parts: Parts, deployment: Deployment, effect: Effect) -> Outcome:
    """Only when nobody has approved in time: who does ends the effect."""
    return Outcome({}, Event.EFFECT_FAILED, "nobody has approved it in time")


def _http_request(parts: Parts, deployment: Deployment, effect: Effect) -> Outcome:
    return _sent(parts, outward.request(parts, deployment, effect.args, effect.id))


def _webhook(parts: Parts, deployment: Deployment, effect: Effect) -> Outcome:
    return _sent(parts, outward.webhook(parts, deployment, effect.args, effect.id, parts.clock()))


def _notify(parts: Parts, deployment: Deployment, effect: Effect) -> Outcome:
    """Written down, in one commit with the history's line; it is sent afterwards."""
    name, text = outward.notice(deployment, effect.args)

    def change(session: Session, row: Deployment) -> None:
        deliveries.say(session, parts, row, name, text)

    return Outcome({"receiver": name, "text": text}, change=change)


def _sent(parts: Parts, call: Call) -> Outcome:
    return Outcome({"request": call.told, "status": outward.send(parts, call)})


_OUTPUT_KEPT = 2000
ACTS: dict[str, Callable[[Parts, Deployment, Effect], Outcome]] = {
    "power.boot_once": _power_boot_once,
    "power.cycle": _power_cycle,
    "power.off": _power_off,
    "power.eject_media": _power_eject_media,
    "ssh.run": _ssh_run,
    "ssh.verify": _ssh_verify,
    "ssh.identity": _ssh_identity,
    "wait": _wait,
    APPROVE: _approve,
    "http.request": _http_request,
    "webhook": _webhook,
    NOTIFY: _notify,
}


def perform(parts: Parts, effect_id: str, offer: int = 0) -> None:
    """Carry out one effect and commit what came of it; if it may work later, it is offered again.

    Nothing happens when the effect was offered again since: then it is another worker's.
    """
    begun = _begin(parts, effect_id, offer)
    if begun is None:
        return
    effect, deployment, interrupted = begun
    try:
        if interrupted:
            outcome = _interrupted(parts, deployment, effect)
        else:
            outcome = _forbidden(parts, deployment) or ACTS[effect.name](parts, deployment, effect)
    except DriverRefused as error:
        outcome = Outcome({}, Event.EFFECT_FAILED, f"{effect.name}: {error.message}")
    except (DriverError, TryAgain) as error:
        if not interrupted and _tries_later(parts, effect, deployment, str(error)):
            return
        cause = f"{effect.name}: {error} (after {effect.attempts} tries)"
        outcome = Outcome({}, Event.EFFECT_FAILED, cause)
    except Exception as error:
        # A fault of ours, or a driver's: trying again would hide it.
        log.error("effect_crashed", effect=effect.name, deployment=deployment.id, exc_info=True)
        cause = printable(f"{effect.name}: {type(error).__name__}: {error}")
        outcome = Outcome({}, Event.EFFECT_FAILED, cause)
    _finish(parts, begun, outcome)


def _forbidden(parts: Parts, deployment: Deployment) -> Outcome | None:
    """A host that was protected after its deployment was queued is not even restarted."""
    if State(deployment.state) not in (State.QUEUED, State.BOOTING):
        return None
    with parts.database.reading() as session:
        host = hosts.by_id(session, deployment.host_id or "")
    if host is None or not host.protected:
        return None
    cause = f"{host.name} was protected after this was queued; it is left alone"
    return Outcome({}, Event.EFFECT_FAILED, cause)


def _ours(session: Session, effect_id: str, offer: int) -> Effect | None:
    """The effect, locked; None when it has ended, or is by now another worker's."""
    effect = store.get(session, effect_id, lock=True)
    if effect is None or effect.ended_at is not None or effect.offer != offer:
        return None
    return effect


class _Begun(NamedTuple):
    """`interrupted`: a worker died over it, and it may not be repeated."""

    effect: Effect
    deployment: Deployment
    interrupted: bool


def _begin(parts: Parts, effect_id: str, offer: int) -> _Begun | None:
    """Mark it begun; None when there is nothing to do (any more).

    Nothing here may fail but the database: what does is offered again, and fails again.
    """
    with parts.database.writing() as session:
        effect = _ours(session, effect_id, offer)
        if effect is None:
            return None
        deployment = deployments.find(session, effect.deployment_id, lock=True)
        interrupted = effect.started_at is not None and not kind_of(effect.name).repeatable
        now = parts.clock()
        if State(deployment.state) not in UNFINISHED and not _belongs_here(effect, deployment):
            effect.ended_at, effect.error = now, "not needed any more: the deployment has ended"
        elif kind_of(effect.name).restarts and deployment.boot_count:
            effect.ended_at, effect.error = now, "not needed any more: the machine has come"
            _next_step(session, parts, deployment, effect)
        elif not interrupted:
            effect.started_at, effect.attempts = now, effect.attempts + 1
        session.add(effect)
        return None if effect.ended_at else _Begun(effect, deployment, interrupted)


_INTERRUPTED = "interrupted; whether it was done is not known"


def _interrupted(parts: Parts, deployment: Deployment, effect: Effect) -> Outcome:
    """A machine that may have been restarted is waited for, as after a BMC that did not say;
    anything else has failed."""
    if kind_of(effect.name).restarts:
        said = {"power": _INTERRUPTED, "unclear": True}
        return _restarted(parts, deployment, _driver(parts, deployment), said)
    return Outcome({}, Event.EFFECT_FAILED, f"{effect.name}: {_INTERRUPTED}")


def _belongs_here(effect: Effect, deployment: Deployment) -> bool:
    """Ordered by the very end of its deployment, and no machine is touched for it; or it tidies."""
    kind = kind_of(effect.name)
    return kind.tidies or (kind.outward and effect.state == deployment.state)


def _tries_later(parts: Parts, effect: Effect, deployment: Deployment, error: str) -> bool:
    """Offer it again after a pause; False when all its tries are used up.

    It failed before it had an effect, so even one that may not be repeated may be tried again.
    """
    step = flow.step_of(parts, deployment, effect) or USUAL
    if effect.attempts >= step.tries:
        return False
    metrics.effects.labels(effect.name, "again").inc()
    pause = min(step.pause * 2 ** (effect.attempts - 1), LONGEST_PAUSE)
    with parts.database.writing() as session:
        row = _ours(session, effect.id, effect.offer)
        if row is not None:
            row.started_at, row.error = None, error
            store.offer_later(row, parts.clock() + pause)
            session.add(row)
    return True


# What is ordered beside a workflow is tried as often as a step that says nothing of it.
USUAL = Step(do="power.off")
LONGEST_PAUSE = timedelta(minutes=10)


def _finish(parts: Parts, begun: _Begun, outcome: Outcome) -> None:
    """Effect, history line, the move that it reports, and the next step are one commit."""
    with parts.database.writing() as session:
        effect = _ours(session, begun.effect.id, begun.effect.offer)
        if effect is None:
            return
        now = parts.clock()
        effect.ended_at, effect.error = now, outcome.cause
        session.add(effect)
        deployment = deployment_store.get(session, effect.deployment_id, lock=True)
        if deployment is None:
            return
        metrics.effects.labels(effect.name, "failed" if outcome.cause else "done").inc()
        log.info("effect", deployment=deployment.id, effect=effect.name, cause=outcome.cause)
        if begun.interrupted:
            effect.error = outcome.cause or _INTERRUPTED
            deployments.note(
                session, deployment, "effect_interrupted", "service", now, effect=effect.name
            )
        _report(session, parts, deployment, effect, outcome)
        session.add(deployment)


def _report(
    session: Session, parts: Parts, deployment: Deployment, effect: Effect, outcome: Outcome
) -> None:
    detail = {"effect": effect.name, **outcome.detail}
    step = flow.step_of(parts, deployment, effect)
    event, now = outcome.event, parts.clock()
    if outcome.change is not None:
        outcome.change(session, deployment)
    may_fail = kind_of(effect.name).tidies or (step is not None and step.on_failure == "go_on")
    if event is Event.EFFECT_FAILED and (may_fail or State(deployment.state) not in UNFINISHED):
        detail, event = {**detail, "failed": outcome.cause}, None
    if event is not None:
        deployments.advance(
            session, parts, deployment, event, by="service", cause=outcome.cause, detail=detail
        )
    else:
        deployments.note(session, deployment, effect.name, "service", now, **detail)
    _next_step(session, parts, deployment, effect)


def _next_step(session: Session, parts: Parts, deployment: Deployment, effect: Effect) -> None:
    if effect.step is not None and deployment.state == effect.state:
        deployments.go_on(session, parts, deployment, effect.step)
