"""`deployer deploy` and `retry`: a host becomes a profile, and we may watch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from deployer.cli import output, targets
from deployer.cli.connection import complete_host, complete_profile, connect
from deployer.cli.failures import ApiError, finding
from deployer.cli.options import AsJson, Target, Vars, parse_vars
from deployer.core.lifecycle import State
from deployer.errors import DeployerError, Forbidden, Invalid

if TYPE_CHECKING:
    from deployer.cli.client import Client

Json = dict[str, Any]

# A request for more hosts than this needs their number as confirmation.
HOSTS_WITHOUT_COUNT = 10

Wait = Annotated[
    bool,
    typer.Option("--wait", help="Watch it. Exit code 0: ready, 1: failed, 3: connection lost."),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key", metavar="KEY", help="Asked again with this key, nothing happens twice."
    ),
]


def deploy(
    ctx: typer.Context,
    hosts: Annotated[list[str], typer.Argument(metavar="HOST", autocompletion=complete_host)],
    profile: Annotated[str, typer.Option(autocompletion=complete_profile)],
    var: Vars = None,
    wait: Wait = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what each machine would be given.")
    ] = False,
    count: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help=f"How many hosts, as confirmation; for more than {HOSTS_WITHOUT_COUNT}.",
        ),
    ] = None,
    idempotency_key: Key = None,
    json: AsJson = False,
) -> None:
    """Have hosts become a profile: ERASES THEIR DISKS.

    One host is one JSON object with --json; several are a list.
    """
    names = list(dict.fromkeys(hosts))
    body = {"profile": profile, "vars": parse_vars(var)}
    if not dry_run:
        _confirm_count(names, count)
    with connect(ctx) as api:
        if dry_run:
            _show_dry_runs(api, names, body, json)
            return
        known = _look_up(api, names, profile)
        started, refused = _queue(api, names, body, idempotency_key)
        _tell(started, known, json, wait)
        ended = _follow(api, started, json) if wait else started
    if json:
        _show_json(ended, single=len(names) == 1)
    _finish(ended, refused, wait)


def _confirm_count(names: list[str], count: int | None) -> None:
    """Nobody reinstalls a hall by a glob that matched too much."""
    if count is None and len(names) > HOSTS_WITHOUT_COUNT:
        raise Invalid(
            f"{len(names)} hosts would be reinstalled; more than {HOSTS_WITHOUT_COUNT} need a"
            " confirmation", field="--count", remedy=f"if that is right, add --count {len(names)}",
        )  # fmt: skip
    if count is not None and count != len(names):
        raise Invalid(
            f"--count says {count}, but {len(names)} are named; nothing was queued",
            field="--count", value=count, remedy="look at the list of hosts again",
        )  # fmt: skip


def _look_up(api: Client, names: list[str], profile: str) -> dict[str, Json]:
    """Every host, before the first is queued: one wrong name and nothing happens."""
    from deployer.cli.client import segment

    api.get(f"/profiles/{segment(profile)}")
    known = {name: api.get(f"/hosts/{segment(name)}") for name in names}
    protected = [name for name, host in known.items() if host["protected"]]
    if protected:
        raise Forbidden(
            f"protected: {', '.join(protected)}; nothing was queued", field="HOST",
            value=protected[0],
            remedy=f"leave it out, or allow it: `deployer hosts unprotect {protected[0]}`",
        )  # fmt: skip
    return known


def _queue(
    api: Client, names: list[str], body: Json, key: str | None
) -> tuple[list[Json], list[DeployerError]]:
    """One deployment per host; a host that is refused does not stop the others."""
    started: list[Json] = []
    refused: list[DeployerError] = []
    for name in names:
        headers = {"Idempotency-Key": f"{key}/{name}"} if key else None
        try:
            started.append(
                api.send("POST", "/deployments", {"host": name, **body}, headers=headers)
            )
        except ApiError as error:
            if len(names) == 1 or error.status == 401:
                raise
            output.show_error(error)
            refused.append(error)
    return started, refused


def _tell(started: list[Json], known: dict[str, Json], json: bool, wait: bool) -> None:
    if not json and not wait:
        for deployment in started:
            line = f"{deployment['host']} becomes {deployment['profile']}: {deployment['id']} is "
            output.say(Text.assemble(output.safe(line), output.state(deployment["state"])))
    by_hand = [d["host"] for d in started if known[d["host"]]["power"]["driver"] == "manual"]
    if by_hand:
        names = ", ".join(by_hand)
        output.note(f"restart {names} by hand, with the network card first in the boot order")


def _follow(api: Client, started: list[Json], json: bool) -> list[Json]:
    from deployer.cli import watch

    return watch.follow(api, started, output.console(stderr=json))


def _show_json(deployments: list[Json], *, single: bool) -> None:
    if single:
        output.show_json(deployments[0])
    else:
        output.show_list(deployments)


def _finish(ended: list[Json], refused: list[DeployerError], waited: bool) -> None:
    bad = [d for d in ended if d["state"] != State.READY] if waited else []
    if refused:
        output.note(f"{len(ended)} queued, {len(refused)} refused")
    raise typer.Exit(1 if bad or refused else 0)


# --- dry run ----------------------------------------------------------------------------------


def _show_dry_runs(api: Client, names: list[str], body: Json, json: bool) -> None:
    answers = {
        name: api.send("POST", "/deployments", {"host": name, **body}, params={"dry_run": "true"})
        for name in names
    }
    if json and len(names) == 1:
        output.show_json(answers[names[0]])
    elif json:
        output.show_list({"host": name, **answer} for name, answer in answers.items())
    else:
        for name, answer in answers.items():
            _show_dry_run(name, answer)
    raise typer.Exit(1 if any(answer["findings"] for answer in answers.values()) else 0)


def _show_dry_run(name: str, answer: Json) -> None:
    files = {"boot script (iPXE)": answer["boot"]["ipxe"], **answer["answers"]}
    for title, text in files.items():
        output.say(output.safe(f"--- {name}: {title}", "bold"))
        output.say(output.safe_block(text))
    if answer["findings"]:
        output.say(output.safe(f"--- {name}: this stands in the way", "bold red"))
        output.show_findings(finding(item) for item in answer["findings"])


# --- again ------------------------------------------------------------------------------------


def retry(
    ctx: typer.Context, target: Target, wait: Wait = False, idempotency_key: Key = None,
    json: AsJson = False,
) -> None:  # fmt: skip
    """The same host and profile once more, as they are described now."""
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else None
    with connect(ctx) as api:
        old = targets.need(api, target)
        known = _look_up(api, [old["host"]], old["profile"])
        new = api.send("POST", f"/deployments/{old['id']}/retry", headers=headers)
        _tell([new], known, json, wait)
        ended = _follow(api, [new], json) if wait else [new]
    if json:
        output.show_json(ended[0])
    _finish(ended, [], wait)
