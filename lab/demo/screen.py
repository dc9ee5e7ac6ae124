"""What the person before the screen sees: progress while it lasts, and the story afterwards."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape

from deployer.cli.client import Client
from deployer.cli.watch import OneMachine
from deployer.core.lifecycle import RESTING, State
from deployer.core.text import printable
from lab.demo.places import FOLDER, HOST, KEY, ROOT, DemoError
from lab.demo.service import Service
from lab.machine import Machine

_POLL_SECONDS = 0.4
# What the live system says on its console when it can do no more; it tells the service too, if
# it can, and has so long for that.
_GAVE_UP, _LAST_WORDS_SECONDS = "Deployer: FAILED", 30

Json = dict[str, Any]


def shown(value: object, limit: int = 2000) -> str:
    """Text that others wrote: no control characters, no markup."""
    return escape(printable(str(value), limit))


# --- while it lasts ----------------------------------------------------------------------------


class Picture(Protocol):
    def show(self, deployments: list[Json]) -> None: ...


class Lines:
    """For a log: a line when the installer has got further, and one for each stage that is over."""

    def __init__(self, api: Client, usual: dict[str, float], console: Console) -> None:
        self.api, self.usual, self.console = api, usual, console
        self.said: set[str] = set()

    def show(self, deployments: list[Json]) -> None:
        deployment = deployments[0]
        now = deployment["progress"]
        if now and deployment["state"] == State.INSTALLING:
            percent = now["percent"] or 0
            # A stage is one line, but for the long one: that gets a line for every quarter.
            line = f"    {percent:3.0f} %  {shown(now['stage'])}"
            self._once(f"{now['stage']} {percent // 25}", line)
        for state, seconds in seconds_in(self.api.get(f"/deployments/{deployment['id']}/events")):
            usually = f"  usually {self.usual[state]:.0f} s" if state in self.usual else ""
            self._once(state, f"  {state:12} {seconds:3.0f} s{usually}")

    def _once(self, key: str, line: str) -> None:
        if key not in self.said:
            self.said.add(key)
            self.console.print(line)


def seconds_in(events: Json) -> Iterator[tuple[str, float]]:
    """Each of the machine's stages that is over, and how long it lasted."""
    moves = [event for event in events["items"] if event["to"] not in (None, State.QUEUED)]
    for move, next_ in itertools.pairwise(moves):
        since, until = (datetime.fromisoformat(event["at"]) for event in (move, next_))
        yield move["to"], (until - since).total_seconds()


@contextmanager
def picture(api: Client, id_: str, profile: str, console: Console) -> Iterator[Picture]:
    """On a terminal the same that `deployer deploy --wait` shows; elsewhere lines."""
    usual = api.get(f"/profiles/{profile}/usual")["seconds"]
    if not console.is_terminal:
        yield Lines(api, usual, console)
        return
    moving = OneMachine(api, {profile: usual})
    moving.show([api.get(f"/deployments/{id_}")])
    with Live(get_renderable=moving.render, console=console, refresh_per_second=4):
        yield moving


def watch(
    api: Client, id_: str, machine: Machine, picture: Picture, service: Service, patience: float
) -> None:
    """Until it is ready; DemoError when it does not come to that within `patience` seconds."""
    end = time.monotonic() + patience
    while (now := api.get(f"/deployments/{id_}"))["state"] != State.READY:
        picture.show([now])
        if now["state"] in RESTING:
            raise DemoError(f"the deployment is {now['state']}: {now['cause']}")
        if not machine.running:
            raise DemoError("QEMU has stopped by itself")
        if _GAVE_UP in machine.console():
            end = min(end, time.monotonic() + _LAST_WORDS_SECONDS)
        if time.monotonic() > end:
            raise DemoError(f"the deployment is still {now['state']}; it is not worth waiting more")
        service.check_alive()
        time.sleep(_POLL_SECONDS)
    picture.show([now])


# --- afterwards --------------------------------------------------------------------------------


def heading(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/]")


def tell_history(console: Console, events: list[Json]) -> None:
    heading(console, "What happened")
    start = datetime.fromisoformat(events[0]["at"])
    for event in events:
        after = (datetime.fromisoformat(event["at"]) - start).total_seconds()
        name = f"{event['event']} → {event['to']}" if event["to"] else event["event"]
        by = event["by"].split()[0]
        line = f"  {after:5.1f} s  {name:31}  {by:7}  {essence(event['detail'])}"
        console.print(shown(line.rstrip(), limit=console.width - 2))


def essence(detail: Json) -> str:
    """The one thing that a person wants to see of an event."""
    if checks := detail.get("checks"):
        return f"{sum(check['ok'] for check in checks)} of {len(checks)} checks hold"
    named = next((detail[k] for k in ("message", "disk", "power", "file") if detail.get(k)), None)
    plain = (f"{k} {v}" for k, v in detail.items() if isinstance(v, str | int | float))
    return str(named or ", ".join(plain))


def tell_facts(console: Console, events: list[Json]) -> None:
    """What the service found when it logged in; all of it is as the profile wants it."""
    heading(console, "What the service found when it logged in")
    for event in events:
        for check in event["detail"].get("checks", []):
            mark = "[green]✓[/]" if check["ok"] else "[red]✗[/]"
            console.print(f"  {mark} {shown(check['name'])}: {shown(check['found'])}")


LOGIN = f"ssh -F {FOLDER.name}/ssh_config {HOST}"


def write_ssh_config(port: int) -> None:
    """For LOGIN, in the project's folder.

    The machine is new and on our loopback, so ssh may learn its key now; the service's own login
    knew the key beforehand, from the installer.
    """
    known = FOLDER / "known_hosts"
    known.unlink(missing_ok=True)
    options = {
        "HostName": "127.0.0.1", "Port": port, "User": "ops", "IdentityFile": f'"{KEY}"',
        "IdentitiesOnly": "yes", "UserKnownHostsFile": f'"{known}"',
        "StrictHostKeyChecking": "accept-new", "LogLevel": "ERROR",
    }  # fmt: skip
    lines = [f"Host {HOST}", *(f"  {name} {value}" for name, value in options.items())]
    (FOLDER / "ssh_config").write_text("\n".join(lines) + "\n")


def log_in(console: Console) -> None:
    """A login as a person would do it, on the screen."""
    remote = "hostname; head -1 /etc/os-release; lsblk"
    heading(console, "A login with the key of the profile's user")
    console.print(f"  $ {LOGIN} '{remote}'")
    done = subprocess.run(
        [*LOGIN.split(), "-o", "BatchMode=yes", remote], cwd=ROOT, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    for line in (done.stdout + done.stderr).splitlines():
        console.print(f"  {shown(line.rstrip())}")
    if done.returncode != 0:
        raise DemoError(f"the login failed, exit code {done.returncode}")
