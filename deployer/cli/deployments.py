"""`deployer status`, `explain`, `approve` and `cancel`: where deployments stand, and our word."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from deployer.cli import output, targets
from deployer.cli.connection import complete_host, complete_profile, connect
from deployer.cli.options import AsJson, Target
from deployer.core.lifecycle import RESTING, UNFINISHED, State

if TYPE_CHECKING:
    from deployer.cli.client import Client

Json = dict[str, Any]

_RECENT = 20
# More than this many lines is a case for --state, or for --json and a program.
_ROWS = 200


def status(
    ctx: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="HOST|ID",
            autocompletion=complete_host,
            help="A host or a deployment; otherwise all that are unfinished, and recent ones.",
        ),
    ] = None,
    state: Annotated[State | None, typer.Option(help="Only deployments in this state.")] = None,
    profile: Annotated[
        str | None,
        typer.Option(help="Only deployments of this profile.", autocompletion=complete_profile),
    ] = None,
    json: AsJson = False,
) -> None:
    """Where deployments stand: one with its history, or a table."""
    with connect(ctx) as api:
        if target is None:
            _status_of_all(api, state, profile, json)
        else:
            _status_of_one(api, target, json)


def _status_of_all(api: Client, state: State | None, profile: str | None, json: bool) -> None:
    def wanted(deployment: Json) -> bool:
        return profile is None or deployment["profile"] == profile

    if json:
        output.show_list(filter(wanted, api.items("/deployments", {"state": state})))
        return
    rows = list(filter(wanted, _of_state(api, state) if state else _unfinished_and_recent(api)))
    if not rows:
        output.say("there are no such deployments" if state or profile else _NOTHING_YET)
        return
    output.show(_table(rows[:_ROWS]))
    if len(rows) > _ROWS:
        output.note(f"... and {len(rows) - _ROWS} more; choose with --state or --profile")


_NOTHING_YET = "there are no deployments yet; `deployer deploy HOST --profile P` makes one"


def _of_state(api: Client, state: State) -> list[Json]:
    return list(api.items("/deployments", {"state": state}))


def _unfinished_and_recent(api: Client) -> list[Json]:
    unfinished = chain.from_iterable(
        _of_state(api, state) for state in State if state in UNFINISHED
    )
    recent = api.get("/deployments", {"limit": _RECENT})["items"]
    found = {d["id"]: d for d in chain(unfinished, recent)}
    # Ids sort by time: the newest first, and those that still move above those that rest.
    newest = sorted(found.values(), key=lambda d: str(d["id"]), reverse=True)
    return sorted(newest, key=lambda d: d["state"] in RESTING)


def _table(rows: list[Json]) -> Any:
    made = output.table("host", "profile", "state", "since", "id", "what", narrow="what")
    for row in rows:
        made.add_row(
            output.safe(row["host"]), output.safe(row["profile"]), output.state(row["state"]),
            output.age(row["state_since"]), row["short_id"], output.one_line(_what(row)),
        )  # fmt: skip
    return made


def _what(deployment: Json) -> str:
    progress = deployment["progress"] if deployment["state"] == State.INSTALLING else None
    if progress:
        percent = progress.get("percent")
        shown = "" if percent is None else f" {percent:.0f} %"
        return f"{progress.get('stage', '')}{shown} {progress.get('message') or ''}".strip()
    return deployment["cause"] or ""


def _status_of_one(api: Client, target: str, json: bool) -> None:
    found = targets.find(api, target)
    events = api.get(f"/deployments/{found['id']}/events")["items"] if found else []
    if json:
        output.show_json({**found, "events": events} if found else None)
    elif found is None:
        output.say(output.safe(f"{target} has had no deployment yet"))
    else:
        _show(found, events)


def _show(deployment: Json, events: list[Json]) -> None:
    title = f"{deployment['host']} becomes {deployment['profile']}: "
    output.say(Text.assemble(output.safe(title), output.state(deployment["state"])))
    output.show(output.facts(_facts(deployment)))
    output.say("")
    output.show(_timeline(events))


def _facts(deployment: Json) -> list[tuple[str, Any]]:
    disk = deployment["disk"] or {}
    return [
        ("id", deployment["id"]),
        ("asked", f"{output.age(deployment['created_at'])} ago by {deployment['requested_by']}"),
        ("retry of", deployment["retry_of"]),
        ("vars", " ".join(f"{k}={v}" for k, v in deployment["vars"].items())),
        ("disk", " ".join(str(disk[k]) for k in ("path", "model", "serial") if disk.get(k))),
        ("now", _what(deployment) if deployment["state"] not in RESTING else ""),
        ("deadline", output.clock_time(deployment["deadline"]) if deployment["deadline"] else ""),
        ("cause", deployment["cause"]),
    ]


def _timeline(events: list[Json]) -> Any:
    made = output.table("time", "state", "event", "by", "detail", narrow="detail")
    for event in events:
        by = event["by"].removeprefix("machine ")
        made.add_row(
            output.clock_time(event["at"]), output.state(event["to"]), output.safe(event["event"]),
            output.safe(by), output.safe(_detail(event["detail"])),
        )  # fmt: skip
    return made


def _detail(detail: Json) -> str:
    """What is worth a line: sentences as they are, other values with their name."""
    words = []
    for key, value in detail.items():
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        if key != "effect" and value not in (None, "", [], {}):
            words.append(shown if " " in shown else f"{key}={shown}")
    return " ".join(" ".join(words).split())


def explain(ctx: typer.Context, target: Target, json: AsJson = False) -> None:
    """Why it stands where it stands: last seen, expected next, and what is likely wrong."""
    with connect(ctx) as api:
        deployment = targets.need(api, target)
        why = api.get(f"/deployments/{deployment['id']}/explain")
    if json:
        output.show_json(why)
        return
    title = f"{deployment['host']} becomes {deployment['profile']}: "
    since = f" for {output.age(deployment['state_since'])}"
    output.say(Text.assemble(output.safe(title), output.state(why["state"]), since))
    likely = [f"{number}. {cause}" for number, cause in enumerate(why["likely"], 1)]
    output.show(
        output.facts([
            ("cause", why["cause"]),
            ("last seen", why["last_seen"]),
            ("expected", why["expected"]),
            *zip(["likely", *[""] * len(likely)], likely, strict=False),
        ])
    )  # fmt: skip


def cancel(ctx: typer.Context, target: Target, json: AsJson = False) -> None:
    """Stop a deployment: from now on its machine boots its own disk."""
    _act(ctx, target, "cancel", json)


def approve(ctx: typer.Context, target: Target, json: AsJson = False) -> None:
    """Let a deployment go on whose workflow waits for a person."""
    _act(ctx, target, "approve", json)


def _act(ctx: typer.Context, target: str, act: str, json: bool) -> None:
    with connect(ctx) as api:
        deployment = targets.need(api, target)
        answer = api.send("POST", f"/deployments/{deployment['id']}/{act}")
    if json:
        output.show_json(answer)
    else:
        output.say(output.safe(f"{answer['host']}: {answer['id']} is {answer['state']}"))
