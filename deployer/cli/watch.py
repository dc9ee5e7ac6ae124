"""Follows deployments to their end: a live picture on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deployer.cli import output
from deployer.cli.failures import ConnectionLost
from deployer.core.explain import show_duration
from deployer.core.lifecycle import RESTING, State
from deployer.errors import DeployerError

if TYPE_CHECKING:
    from deployer.cli.client import Client

Json = dict[str, Any]
Usual = dict[str, dict[str, float]]  # by profile and state

POLL_SECONDS = 1.0
# A server that restarts, or a cable that is plugged into another port, is no reason to give up.
PATIENCE_SECONDS = 60.0
STAGES = [State.QUEUED, State.BOOTING, State.INSTALLING, State.FIRST_BOOT, State.VERIFYING]
_BAR = 20


class Picture(Protocol):
    """Shows deployments as they are now; told again whenever something may have changed."""

    def show(self, deployments: list[Json]) -> None: ...


def follow(api: Client, started: list[Json], console: Console) -> list[Json]:
    """Show progress until every one has ended; the deployments as they ended.

    ConnectionLost when nobody answered for a minute. Ctrl-C stops the watching, not the work.
    """
    usual = _usual(api, {d["profile"] for d in started})
    now = {d["id"]: d for d in started}
    try:
        if console.is_terminal:
            _live(api, now, usual, console)
        else:
            _poll(api, now, PlainPicture(console, usual))
    except ConnectionLost as error:
        raise ConnectionLost(
            f"{error.message}; tried for {PATIENCE_SECONDS:.0f} s",
            remedy="the deployments go on without us; look again later: `deployer status`",
        ) from None
    except KeyboardInterrupt:
        output.note("not watching any more; the deployments go on: `deployer status`")
        raise SystemExit(130) from None
    _show_ends(now.values(), console)
    return list(now.values())


def _usual(api: Client, profiles: set[str]) -> Usual:
    """How long each stage takes as a rule; nothing where nobody knows yet."""
    from deployer.cli.client import segment

    found: Usual = {}
    for name in profiles:
        try:
            found[name] = api.get(f"/profiles/{segment(name)}/usual")["seconds"]
        except DeployerError:
            found[name] = {}
    return found


def _poll(api: Client, now: dict[str, Json], picture: Picture) -> None:
    """Every deployment that still moves is asked for once a second."""
    while True:
        for id_ in [i for i, d in now.items() if d["state"] not in RESTING]:
            now[id_] = api.get(f"/deployments/{id_}", patience=PATIENCE_SECONDS)
        picture.show(list(now.values()))
        if all(d["state"] in RESTING for d in now.values()):
            return
        time.sleep(POLL_SECONDS)


def _show_ends(deployments: Iterable[Json], console: Console) -> None:
    for deployment in deployments:
        span = output.moment(deployment["ended_at"]) - output.moment(deployment["created_at"])
        name, state = output.safe(deployment["host"]), output.state(deployment["state"])
        console.print(Text.assemble(name, ": ", state, f" after {show_duration(span)}"))
        for line in (deployment["cause"] or "").splitlines():
            console.print(output.safe(f"  {line}"))
        if deployment["state"] == State.FAILED:
            console.print(output.safe(f"  history: deployer status {deployment['host']}", "dim"))


# --- plain ------------------------------------------------------------------------------------


class PlainPicture:
    """One line per change, for logs and pipes: a new state, a new stage, every ten per cent."""

    def __init__(self, console: Console, usual: Usual) -> None:
        self._console, self._usual = console, usual
        self._told: dict[str, tuple[Any, ...]] = {}

    def show(self, deployments: list[Json]) -> None:
        for deployment in deployments:
            progress = _progress(deployment)
            percent = progress.get("percent")
            mark = (
                deployment["state"], progress.get("stage"),
                None if percent is None else int(percent // 10),
            )  # fmt: skip
            if self._told.get(deployment["id"]) != mark and deployment["state"] not in RESTING:
                self._console.print(output.safe(self._line(deployment)))
            self._told[deployment["id"]] = mark

    def _line(self, deployment: Json) -> str:
        words = [f"{datetime.now():%H:%M:%S}", deployment["host"], deployment["state"]]
        said = _said(_progress(deployment))
        usual = _usually(self._usual, deployment, deployment["state"])
        return "  ".join([*words, *([said] if said else []), *([usual] if usual else [])])


def _progress(deployment: Json) -> Json:
    shown: Json = deployment["progress"] or {}
    return shown if deployment["state"] == State.INSTALLING else {}


def _said(progress: Json) -> str:
    percent = progress.get("percent")
    words = ["" if percent is None else f"{percent:.0f} %", progress.get("stage") or ""]
    return " ".join(filter(None, [*words, progress.get("message") or ""]))


def _usually(usual: Usual, deployment: Json, state: str) -> str:
    seconds = usual.get(deployment["profile"], {}).get(state)
    return (
        ""
        if seconds is None or seconds < 1
        else f"usually {show_duration(timedelta(seconds=seconds))}"
    )


# --- live -------------------------------------------------------------------------------------


def _live(api: Client, now: dict[str, Json], usual: Usual, console: Console) -> None:
    picture: LivePicture = (
        OneMachine(api, usual) if len(now) == 1 else ManyMachines(usual, console.height)
    )
    picture.deployments = list(now.values())
    # Drawn again four times a second, so that clocks run while we wait for an answer.
    with Live(get_renderable=picture.render, console=console, refresh_per_second=4):
        _poll(api, now, picture)


class LivePicture:
    """Drawn by Rich's own thread from what was seen last."""

    def __init__(self) -> None:
        self.deployments: list[Json] = []

    def show(self, deployments: list[Json]) -> None:
        self.deployments = deployments

    def render(self) -> RenderableType:
        raise NotImplementedError


class OneMachine(LivePicture):
    """Each stage with its time, the usual time, and how far the installer is."""

    def __init__(self, api: Client, usual: Usual) -> None:
        super().__init__()
        self._api, self._usual = api, usual
        self._times: dict[str, timedelta] = {}

    def show(self, deployments: list[Json]) -> None:
        if not self.deployments or self.deployments[0]["state"] != deployments[0]["state"]:
            self._times = self._spans(deployments[0]["id"])
        super().show(deployments)

    def _spans(self, id_: str) -> dict[str, timedelta]:
        """How long each stage that is over has taken."""
        events = self._api.get(f"/deployments/{id_}/events", patience=PATIENCE_SECONDS)["items"]
        moves = [(event["to"], output.moment(event["at"])) for event in events if event["to"]]
        return {state: later - since for (state, since), (_, later) in pairwise(moves)}

    def render(self) -> RenderableType:
        deployment = self.deployments[0]
        made = Table.grid(padding=(0, 2, 0, 0))
        for stage in STAGES:
            made.add_row(*self._row(deployment, stage))
        title = output.one_line(f"{deployment['host']} becomes {deployment['profile']}", "bold")
        progress = _progress(deployment)
        if not progress:
            return Group(title, made)
        bar = Table.grid()
        bar.add_row(ProgressBar(total=100, completed=progress.get("percent") or 0, width=_BAR * 3))
        return Group(title, made, bar, output.one_line(_said(progress), "dim"))

    def _row(self, deployment: Json, stage: State) -> list[RenderableType]:
        over = self._times.get(stage)
        if deployment["state"] == stage:
            mark, style, spent = "▸", "bold cyan", output.age(deployment["state_since"])
        elif over is None:
            mark, style, spent = " ", "dim", ""
        else:
            stopped = stage == self._stopped_in(deployment)
            mark, style = ("✗", "red") if stopped else ("✓", "green")
            spent = show_duration(over)
        usual = _usually(self._usual, deployment, stage)
        return [Text(f"{mark} {stage}", style), Text(spent, justify="right"), Text(usual, "dim")]

    def _stopped_in(self, deployment: Json) -> str | None:
        """The stage in which it failed or was cancelled."""
        ended_badly = deployment["state"] in RESTING - {State.READY}
        return list(self._times)[-1] if ended_badly and self._times else None


class ManyMachines(LivePicture):
    """One line each, those that still move first; no more lines than the terminal has."""

    def __init__(self, usual: Usual, height: int) -> None:
        super().__init__()
        self._usual, self._rows = usual, max(height - 3, 3)

    def render(self) -> RenderableType:
        moving = [d for d in self.deployments if d["state"] not in RESTING]
        ended = [d for d in self.deployments if d["state"] in RESTING]
        made = Table.grid(padding=(0, 2, 0, 0))
        for deployment in [*moving, *reversed(ended)][: self._rows]:
            made.add_row(*self._row(deployment))
        return Group(made, Text(_counts(self.deployments), "dim"))

    def _row(self, deployment: Json) -> list[RenderableType]:
        percent = _progress(deployment).get("percent")
        bar: RenderableType = ""
        if percent is not None:
            bar = ProgressBar(total=100, completed=percent, width=_BAR)
        return [
            output.safe(deployment["host"]), output.state(deployment["state"]),
            Text(output.age(deployment["state_since"]), justify="right"), bar,
            output.one_line(_usually(self._usual, deployment, deployment["state"]), "dim"),
        ]  # fmt: skip


def _counts(deployments: list[Json]) -> str:
    states = [d["state"] for d in deployments]
    shown = [f"{states.count(s)} {s}" for s in State if s in states]
    return ", ".join(shown)
