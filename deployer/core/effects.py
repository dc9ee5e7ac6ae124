"""What a workflow can order: each effect's name, what it takes, and whether it may be repeated.

How it is carried out is in `services.effects`, under the same names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from deployer.core.durations import Duration
from deployer.core.profiles import SecretRef
from deployer.core.text import Block, Line, Name


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
    Nothing of it may be a secret: it is shown with the workflow.

    `var`: the variable of profile, host or request that holds it. `if_reachable`: a machine that
    does not answer need not run it."""

    command: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    var: Name | None = None
    timeout: Duration = timedelta(minutes=5)
    if_reachable: bool = False

    @model_validator(mode="after")
    def _is_one_command(self) -> Command:
        if (self.command is None) == (self.var is None):
            raise ValueError("a command stands in `command`, or in the variable `var`; write one")
        return self


# Where it goes to is seen when it is rendered: a template may stand anywhere in it.
Template = Annotated[Line, Field(min_length=1, max_length=2000)]


def _header(name: str) -> str:
    if name.lower() in ("host", "connection", "content-length", "transfer-encoding"):
        raise ValueError(f"must not be {name}, which follows from what is sent")
    return name


HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$"), AfterValidator(_header)]


class HttpRequest(Arguments):
    """Texts are Jinja2 templates that see `host`, `profile` and `deployment`; a header may be
    {secret: NAME}. Without `expect`, any status of 2xx is fine. `json` is the body.

    It has an Idempotency-Key: it is sent again when no answer came."""

    url: Template
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: dict[HeaderName, Template | SecretRef] = Field(default_factory=dict, max_length=32)
    json_: Any = Field(default=None, alias="json")
    expect: list[Annotated[int, Field(ge=200, le=599)]] = Field(default=[], max_length=20)


class Webhook(Arguments):
    """The deployment as the API shows it, signed as standardwebhooks.com says; `secret` is the name
    of what `deployer secret set` keeps: whsec_ and 24 to 64 bytes in base64."""

    url: Template
    secret: Name


class Notify(Arguments):
    """The first line of `text`, a template as above, is what a notification shows."""

    receiver: Name
    text: Annotated[Block, Field(min_length=1)]


@dataclass(frozen=True)
class Kind:
    """`repeatable`: a second time does no harm. A power cycle does: it may kill an installer.

    `limited`: goes to a BMC, so not more at once than racks and BMCs bear. `restarts` the machine,
    which then comes to us: so it is pointless once it has come, and not all do it in one minute.
    `outward`: goes to somebody else than the machine, and so is allowed when a deployment has
    ended. `tidies`: undoes what is no longer needed, also when a deployment has ended; nothing
    fails when that fails.
    """

    summary: str
    takes: type[Arguments] = Arguments
    repeatable: bool = True
    limited: bool = False
    restarts: bool = False
    outward: bool = False
    tidies: bool = False


APPROVE, NOTIFY = "approve", "notify"

KINDS: dict[str, Kind] = {
    "power.boot_once": Kind(
        "sets the next start to the network, and reads it back; reports `start`", limited=True
    ),
    "power.cycle": Kind(
        "restarts the machine, or switches it on", repeatable=False, limited=True, restarts=True
    ),
    "power.off": Kind("switches the machine off", limited=True),
    "power.eject_media": Kind(
        "empties the virtual drive that `power.boot_once` has filled; ordered by itself",
        limited=True,
        tidies=True,
    ),
    "ssh.run": Kind(
        "runs a command on the installed system; in `queued`, on the one that still runs",
        Command,
        repeatable=False,
    ),
    "ssh.identity": Kind(
        "compares host key and machine-id of the running system with those that were verified last"
    ),
    "ssh.verify": Kind("logs in and compares; reports `verified` or `verification_failed`"),
    "wait": Kind("does nothing for a while", WaitFor),
    APPROVE: Kind("waits for a person: `deployer approve HOST`", Approval),
    "http.request": Kind("asks another service", HttpRequest, outward=True),
    "webhook": Kind("sends the deployment, signed", Webhook, outward=True),
    NOTIFY: Kind("tells a receiver, and does not wait for it", Notify, outward=True),
}


def kind_of(name: str) -> Kind:
    """Of an effect that was ordered; by a newer version than this, it may be one of no known kind,
    of which nothing is promised."""
    return KINDS.get(name, Kind("is not known to this version", repeatable=False))


def secrets_in(name: str, args: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(field, name of a secret) of those that an effect needs."""
    taken = KINDS[name].takes.model_validate(args)
    if isinstance(taken, Webhook):
        yield "secret", taken.secret
    if isinstance(taken, HttpRequest):
        for header, value in taken.headers.items():
            if isinstance(value, SecretRef):
                yield f"headers.{header}", value.secret


def pause_before(name: str, args: dict[str, Any]) -> timedelta | None:
    """How long nothing is done, on purpose; None where work begins at once."""
    taken = KINDS[name].takes.model_validate(args)
    if isinstance(taken, WaitFor):
        return taken.for_
    return taken.within if isinstance(taken, Approval) else None
