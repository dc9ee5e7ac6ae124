"""Where a deployment stands in its workflow: the next step, and the effect that it orders."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from deployer.core.ids import new_id
from deployer.core.inventory import HostSpec
from deployer.core.lifecycle import PROGRESS_LIMIT, State
from deployer.core.workflows import Step, Workflow
from deployer.services import power
from deployer.services.parts import Parts
from deployer.store.tables import Deployment, Effect


def workflow_of(parts: Parts, deployment: Deployment) -> Workflow | None:
    """None when an operator has taken its file away meanwhile: no machine's call, and no other
    deployment, must fail for that."""
    return parts.workflows.get(deployment.snapshot["workflow"])


def next_step(parts: Parts, deployment: Deployment, after: int) -> tuple[int, Step] | None:
    """The first that applies behind the step number `after` of the state that it is in."""
    workflow = workflow_of(parts, deployment)
    if workflow is None:
        return None
    holding = {c for c in workflow.conditions() if _holds(parts, deployment, c)}
    steps = workflow.steps(State(deployment.state), holding)
    return next(((number, step) for number, step in steps if number > after), None)


def _holds(parts: Parts, deployment: Deployment, condition: str) -> bool:
    kind, _, rest = condition.partition(":")
    profile, host = deployment.snapshot["profile"], deployment.snapshot["host"]
    if kind == "verify":
        found = parts.catalogue.get(profile["os"])
        return (found is None or found.family.verifies) and profile.get("verify", {}) is not False
    if kind == "power_control":
        return power.controls_power(HostSpec.model_validate(host))
    if kind == "label":
        key, _, value = rest.partition("=")
        return bool(host.get("labels", {}).get(key) == value)
    return bool(variables(deployment).get(rest))


def variables(deployment: Deployment) -> dict[str, Any]:
    """The profile's, then the host's, then the request's; the later one wins."""
    profile, host = deployment.snapshot["profile"], deployment.snapshot["host"]
    return {**profile.get("vars", {}), **host.get("vars", {}), **deployment.vars}


def patience(parts: Parts, deployment: Deployment, state: State) -> timedelta:
    """How long it may stay in `state`: by its workflow, else by the settings."""
    workflow = workflow_of(parts, deployment)
    if workflow is not None and state in workflow.patience:
        return workflow.patience[state]
    spec = HostSpec.model_validate(deployment.snapshot["host"])
    return parts.settings.patience(state, power_control=power.controls_power(spec))


def overwrites(parts: Parts, deployment: Deployment) -> bool:
    """Whether another system, or none, is on the disk when it is done."""
    return would_overwrite(parts, deployment.snapshot["workflow"])


def would_overwrite(parts: Parts, workflow: str) -> bool:
    """The same, of a workflow by its name."""
    found = parts.workflows.get(workflow)
    return found is None or found.task in ("install", "wipe")


def longest(parts: Parts, deployment: Deployment) -> timedelta:
    """How long `installing` may last in all while its machine reports progress."""
    workflow = workflow_of(parts, deployment)
    if workflow is not None and workflow.longest is not None:
        return workflow.longest
    return PROGRESS_LIMIT * patience(parts, deployment, State.INSTALLING)


def order(
    session: Session, deployment: Deployment, name: str, now: datetime, *,
    args: dict[str, Any] | None = None, step: int | None = None, not_before: datetime | None = None,
) -> None:  # fmt: skip
    """An effect, which a worker carries out after this commit. `step`: its number in the workflow,
    None for one that stands in none."""
    host = HostSpec.model_validate(deployment.snapshot["host"])
    session.add(
        Effect(
            id=new_id("eff", now), deployment_id=deployment.id, name=name, args=args or {},
            created_at=now, state=deployment.state, step=step, not_before=not_before,
            rack=host.labels.get("rack"), bmc=power.lane(host),
        )
    )  # fmt: skip
    session.flush()


def step_of(parts: Parts, deployment: Deployment, effect: Effect) -> Step | None:
    """The step that ordered this effect, as the workflow's file has it now."""
    workflow = workflow_of(parts, deployment)
    if workflow is None or effect.step is None or effect.state is None:
        return None
    found = workflow.step(State(effect.state), effect.step)
    return found if found is not None and found.do == effect.name else None
