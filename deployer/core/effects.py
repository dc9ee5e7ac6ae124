"""What a workflow can order: each effect's name, what it takes, and whether it may be repeated.

How it is carried out is in `services.effects`, under the same names.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from deployer.core.durations import Duration


class Arguments(BaseModel):
    """What stands under `with:`; most effects take nothing."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class WaitFor(Arguments):
    for_: Duration = Field(alias="for")


class Approval(Arguments):
    """How long a person may take; then the deployment fails. `by_another`: not by who asked."""

    within: Duration = timedelta(days=1)
    by_another: bool = False


class Command(Arguments):
    """A command line for the installed system, run as the account that verifies; zero is success.
    Nothing of it may be a secret: it is shown with the workflow."""

    command: str = Field(min_length=1, max_length=10_000)
    timeout: Duration = timedelta(minutes=5)


@dataclass(frozen=True)
class Kind:
    """`repeatable`: a second time does no harm. A power cycle does: it may kill an installer.

    `limited`: goes to a BMC, so not more at once than racks and BMCs bear.
    """

    summary: str
    takes: type[Arguments] = Arguments
    repeatable: bool = True
    limited: bool = False


APPROVE = "approve"

KINDS: dict[str, Kind] = {
    "power.boot_once": Kind(
        "sets the next start to the network, and reads it back; reports `start`", limited=True
    ),
    "power.cycle": Kind("restarts the machine, or switches it on", repeatable=False, limited=True),
    "power.off": Kind("switches the machine off", limited=True),
    "ssh.run": Kind("runs a command on the installed system", Command, repeatable=False),
    "ssh.verify": Kind("logs in and compares; reports `verified` or `verification_failed`"),
    "wait": Kind("does nothing for a while", WaitFor),
    APPROVE: Kind("waits for a person: `deployer approve HOST`", Approval),
}


def pause_before(name: str, args: dict[str, Any]) -> timedelta | None:
    """How long nothing is done, on purpose; None where work begins at once."""
    taken = KINDS[name].takes.model_validate(args)
    if isinstance(taken, WaitFor):
        return taken.for_
    return taken.within if isinstance(taken, Approval) else None
