"""Is the system that answers still the one that we verified last? Promise 7: else it is left alone.

What is recorded at a verification is kept with the host, until its disk is about to be written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from deployer.answers.context import Snapshot
from deployer.core.inventory import HostSpec
from deployer.drivers import ssh
from deployer.services import verify
from deployer.services.parts import Parts
from deployer.services.shown import moment
from deployer.store import hosts
from deployer.store.tables import Deployment

FACT = "installed"
_ANYWAY = "if it may be reinstalled all the same, deploy it by the workflow install"


@dataclass(frozen=True)
class Comparison:
    """`cause` says why nothing may be touched."""

    found: str
    cause: str | None = None


def remember(
    session: Session, parts: Parts, deployment: Deployment, machine_id: str | None
) -> None:
    """What was just verified: where it answers, and how it is known."""
    target = verify.target_of(Snapshot.from_json(deployment.snapshot), deployment.reported)
    if target is None or deployment.host_id is None:
        return
    now = parts.clock()
    record = {
        "machine_id": machine_id, "address": target.address, "host_keys": list(target.host_keys),
        "deployment": deployment.id, "at": moment(now),
    }  # fmt: skip
    hosts.learn(session, deployment.host_id, now, **{FACT: record})


def forget(session: Session, deployment: Deployment) -> None:
    """Its disk is about to hold another system, or does so already."""
    if deployment.host_id is not None:
        hosts.unlearn(session, deployment.host_id, FACT)


def running_target(parts: Parts, deployment: Deployment) -> ssh.Target | None:
    """Where the system answers that was verified last, before this deployment; None when none is
    known."""
    record = _record(parts, deployment)
    if record is None:
        return None
    host = HostSpec.model_validate(deployment.snapshot["host"])
    address = verify.configured_address(host) or record["address"]
    return ssh.Target(address, host.ssh.port, tuple(record["host_keys"]))


def compare(parts: Parts, deployment: Deployment) -> Comparison:
    """One look: who does not answer cannot be compared, and need not be."""
    record, target = _record(parts, deployment), running_target(parts, deployment)
    if record is None or target is None:
        return Comparison("nothing was verified here that could be compared")
    try:
        outputs = ssh.run(target, parts.ssh_key_file, verify.MACHINE_ID)
    except ssh.NotReachable as problem:
        return Comparison(f"it does not answer: {problem}")
    except ssh.NotLetIn:
        return Comparison("its SSH host key is the recorded one; our account is gone")
    except ssh.Refused as refusal:
        return Comparison("another SSH host key", f"{refusal}; {_ANYWAY}")
    seen, wanted = verify.machine_id_of(outputs), record["machine_id"]
    if wanted is None or seen == wanted:
        return Comparison("it is the system that was verified last")
    return Comparison(
        "another machine-id",
        f"{target.address} answers with the machine-id {seen or 'none'}, and {wanted} was recorded"
        f" at {record['at']} ({record['deployment']}): another system runs there; {_ANYWAY}",
    )


def _record(parts: Parts, deployment: Deployment) -> dict[str, Any] | None:
    with parts.database.reading() as session:
        row = hosts.facts(session, deployment.host_id or "")
    found: dict[str, Any] | None = row.facts.get(FACT) if row else None
    return found
