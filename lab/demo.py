"""`make demo`: the main job on screen. A blank machine becomes a Debian that lets us log in.

Nothing is played: the service runs as it does for real, the machine is QEMU with real firmware,
the request goes through the REST API, and in the end `ssh` logs in to what was installed.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
from rich.console import Console
from rich.live import Live
from rich.markup import escape

from deployer.cli.client import Client
from deployer.cli.watch import OneMachine
from deployer.core.lifecycle import RESTING, State
from deployer.core.text import printable
from deployer.errors import DeployerError
from lab.machine import DiskSpec, Firmware, Machine, best_accelerator, free_port

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".demo"
IMAGES = [ROOT / ".cache/images" / name for name in ("live-x86_64", "debian-12-x86_64")]
COMMAND = ROOT / ".venv/bin/deployer"
KEY = FOLDER / "key"
HOST, PROFILE, MAC = "demo", "debian-12-image", "52:54:00:de:00:01"

_READY_SECONDS, _BOOTING_SECONDS, _INSTALL_SECONDS = 60, 15, 900
_POLL_SECONDS = 0.4
# What the live system says on its console when it can do no more; it tells the service too, if
# it can, and has so long for that.
_GAVE_UP, _LAST_WORDS_SECONDS = "Deployer: FAILED", 30
_CONSOLE_LINES = 30
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PIPE_WIDTH = 98

Json = dict[str, Any]


class DemoError(Exception):
    """The demo cannot go on; the message is for the person before the screen."""


def shown(value: object, limit: int = 2000) -> str:
    """Text that others wrote: no control characters, no markup."""
    return escape(printable(str(value), limit))


# --- the service ------------------------------------------------------------------------------


class Service:
    """`deployer serve` as a process of its own, on free loopback ports."""

    def __init__(self) -> None:
        self.port, self.machine_port = free_port(), free_port()
        self.log = FOLDER / "service.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def machine_url(self) -> str:
        """QEMU's user network shows our loopback as 10.0.2.2."""
        return f"http://10.0.2.2:{self.machine_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What is set for a service that runs here for real must not lead us there."""
        others = {k: v for k, v in os.environ.items() if not k.startswith("DEPLOYER_")}
        return others | {
            "DEPLOYER_DATA_DIR": str(FOLDER / "data"),
            "DEPLOYER_LISTEN": f"127.0.0.1:{self.port}",
            "DEPLOYER_MACHINE_LISTEN": f"127.0.0.1:{self.machine_port}",
            "DEPLOYER_MACHINE_URL": self.machine_url,
            "DEPLOYER_LOG_FORMAT": "text",
        }

    def command(self, *arguments: str) -> str:
        """What `deployer ...` prints, run on the server's own machine as an admin would."""
        done = subprocess.run(
            [COMMAND, *arguments], env=self.environment, cwd=FOLDER, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise DemoError(f"`deployer {' '.join(arguments)}` failed: {said}")
        return done.stdout.strip()

    @contextmanager
    def running(self, lock: int) -> Iterator[None]:
        """It holds `lock` too: should it ever outlive us, the next demo knows."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [COMMAND, "serve"], env=self.environment, cwd=FOLDER, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, pass_fds=[lock], start_new_session=True,
            )  # fmt: skip
        os.ftruncate(lock, 0)
        os.write(lock, str(self.process.pid).encode())
        try:
            self._wait_until_ready()
            yield
        finally:
            self._stop(self.process)

    def _wait_until_ready(self) -> None:
        end, seen = time.monotonic() + _READY_SECONDS, "no answer"
        while time.monotonic() < end:
            self.check_alive()
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.get(f"{self.url}/readyz", trust_env=False)
                if answer.status_code == 200:
                    return
                seen = answer.text
            time.sleep(0.2)
        raise DemoError(f"the service is not ready after {_READY_SECONDS} s: {seen}")

    def check_alive(self) -> None:
        if self.process is None or self.process.poll() is not None:
            last = self.log.read_text(errors="replace").strip().splitlines()[-5:]
            raise DemoError(f"the service has stopped by itself: {' '.join(last)}")

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def take_lock(stack: ExitStack) -> int:
    """One demo at a time: they share a data folder."""
    file = stack.enter_context((FOLDER / "lock").open("a+"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise DemoError(f"another demo is running; its service is process {file.read()}") from None
    return file.fileno()


# --- what an operator does --------------------------------------------------------------------


def new_token(service: Service) -> str:
    """A token for this run; that of the run before is revoked, if there was one."""
    with contextlib.suppress(DemoError):
        service.command("token", "revoke", "demo")
    return service.command("token", "create", "--name", "demo", "--role", "admin")


def import_images(api: Client, service: Service) -> Iterator[str]:
    """The images that the service did not have yet, exactly as they are now."""
    for folder in IMAGES:
        if not (folder / "image.json").exists():
            raise DemoError(f"{folder} is not there; `make media` builds it")
        files = json.loads((folder / "image.json").read_text())["files"]
        known = api.find(f"/images/{folder.name}")
        if known is None or known["files"] != files:
            service.command("image", "add", str(folder))
            yield folder.name


def public_key() -> str:
    if not KEY.exists():
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f", str(KEY)]
        subprocess.run(command, check=True)
    return KEY.with_suffix(".pub").read_text().strip()


def describe(api: Client, ssh_port: int) -> None:
    """Host and profile as they must be now, whatever a run before left."""
    host = {
        "macs": [MAC], "power": {"driver": "manual"}, "protected": False,
        "ssh": {"address": "127.0.0.1", "port": ssh_port},
    }  # fmt: skip
    if api.find(f"/hosts/{HOST}"):
        api.send("PATCH", f"/hosts/{HOST}", host)
    else:
        api.send("POST", "/hosts", {"name": HOST, **host})
    profile = {
        "name": PROFILE, "os": "image", "release": "debian-12", "locale": "C.UTF-8",
        "storage": {"disk": {"min_size": "2G"}},
        "users": [{"name": "ops", "sudo": True, "ssh_keys": [public_key()]}],
        "verify": {"release": "12", "packages": ["openssh-server"]},
    }  # fmt: skip
    if api.find(f"/profiles/{PROFILE}"):
        api.send("PUT", f"/profiles/{PROFILE}", profile)
    else:
        api.send("POST", "/profiles", profile)


def request_deployment(api: Client) -> str:
    """The id of a new deployment that waits for its machine; an unfinished one is cancelled."""
    for old in api.items("/deployments", {"host": HOST}):
        if old["state"] not in RESTING:
            api.send("POST", f"/deployments/{old['id']}/cancel")
    id_: str = api.send("POST", "/deployments", {"host": HOST, "profile": PROFILE})["id"]
    end = time.monotonic() + _BOOTING_SECONDS
    while api.get(f"/deployments/{id_}")["state"] == State.QUEUED:
        if time.monotonic() > end:
            raise DemoError(f"the deployment is still queued after {_BOOTING_SECONDS} s")
        time.sleep(0.1)
    return id_


def blank_machine(firmware: Firmware, service: Service, ssh_port: int) -> Machine:
    """A machine with an empty disk, whose DHCP server names our boot script."""
    folder = FOLDER / "machine"
    shutil.rmtree(folder, ignore_errors=True)
    return Machine(
        HOST, folder, MAC, f"{service.machine_url}/boot.ipxe", firmware,
        [DiskSpec(folder / "disk.qcow2", "8G", "DEMO-DISK-1")], ssh_port,
        accelerator=best_accelerator(ROOT / ".cache/lab/accelerator"),
    )  # fmt: skip


# --- watching ---------------------------------------------------------------------------------


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
def picture(api: Client, id_: str, console: Console) -> Iterator[Picture]:
    """On a terminal the same that `deployer deploy --wait` shows; elsewhere lines."""
    usual = api.get(f"/profiles/{PROFILE}/usual")["seconds"]
    if not console.is_terminal:
        yield Lines(api, usual, console)
        return
    moving = OneMachine(api, {PROFILE: usual})
    moving.show([api.get(f"/deployments/{id_}")])
    with Live(get_renderable=moving.render, console=console, refresh_per_second=4):
        yield moving


def watch(api: Client, id_: str, machine: Machine, picture: Picture, service: Service) -> None:
    """Until it is ready; DemoError when it does not come to that."""
    end = time.monotonic() + _INSTALL_SECONDS
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


# --- what is told afterwards ------------------------------------------------------------------


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


# --- the whole --------------------------------------------------------------------------------


@dataclass
class Demo:
    """One run; what it starts is stopped by `stack`."""

    console: Console
    stack: ExitStack
    firmware: Firmware
    service: Service = field(default_factory=Service)
    ssh_port: int = field(default_factory=free_port)
    token: str = ""
    api: Client | None = None
    machine: Machine | None = None
    deployment: str | None = None

    def run(self) -> None:
        heading(self.console, "The service")
        self.stack.enter_context(self.service.running(take_lock(self.stack)))
        self.console.print(f"  deployer serve, on {self.service.url}")
        self.token = new_token(self.service)
        self.api = api = self.stack.enter_context(Client(self.service.url, self.token))
        for name in import_images(api, self.service):
            self.console.print(f"  {name} imported, checksums verified")
        describe(api, self.ssh_port)
        self._install(api)
        write_ssh_config(self.ssh_port)
        log_in(self.console)

    def _install(self, api: Client) -> None:
        heading(self.console, f"Host {HOST} becomes {PROFILE}")
        self.machine = machine = blank_machine(self.firmware, self.service, self.ssh_port)
        kind = machine.accelerator.split(",")[0].upper()
        self.console.print(
            f"  QEMU ({kind}), {self.firmware.upper()}, an empty disk, network first"
        )
        self.deployment = id_ = request_deployment(api)
        self.stack.enter_context(machine)
        self.console.print("  switched on, as a person would do it\n")
        with picture(api, id_, self.console) as view:
            watch(api, id_, machine, view, self.service)
        events = api.get(f"/deployments/{id_}/events")["items"]
        tell_history(self.console, events)
        tell_facts(self.console, events)

    def explain(self, problem: Exception) -> None:
        """All that helps to find out why: cause, the service's opinion, the console, the logs."""
        say = self.console.print
        say(f"\n[bold red]The demo failed:[/] {shown(problem)}")
        why = self._why()
        for name in ("last_seen", "expected"):
            if name in why:
                say(f"  {name.replace('_', ' ')}: {shown(why[name])}")
        for cause in why.get("likely", []):
            say(f"  likely: {shown(cause)}")
        if self.machine and (lines := self.machine.console().splitlines()[-_CONSOLE_LINES:]):
            heading(self.console, "The last lines of the machine's console")
            for line in lines:
                say(f"  {shown(line)}", soft_wrap=True)
        say(f"\nLogs: {FOLDER}/service.log, {FOLDER}/machine/", soft_wrap=True)

    def _why(self) -> Json:
        """Empty when there is nothing to ask about, or nobody."""
        if self.api and self.deployment:
            with contextlib.suppress(DeployerError):
                return self.api.get(f"/deployments/{self.deployment}/explain")
        return {}

    def keep(self) -> None:
        """Leaves service and machine running until Ctrl-C."""
        token = FOLDER / "token"
        token.touch(0o600)
        token.write_text(self.token)
        heading(self.console, "Service and machine stay on until Ctrl-C. In another shell:")
        for line in (
            LOGIN,
            f"export DEPLOYER_SERVER={self.service.url} DEPLOYER_TOKEN=$(cat .demo/token)",
            f".venv/bin/deployer status {HOST}",
        ):
            self.console.print(f"  $ {escape(line)}", soft_wrap=True)
        with contextlib.suppress(KeyboardInterrupt):
            while self.machine and self.machine.running:
                self.service.check_alive()
                time.sleep(1)


def play(demo: Demo, keep: bool) -> int:
    """The exit code."""
    begun = time.monotonic()
    try:
        demo.run()
        spent = f"{time.monotonic() - begun:.0f} s"
        demo.console.print(f"\n[bold green]Done[/] in {spent}: from an empty disk to a login.")
        if keep:
            demo.keep()
        return 0
    except (DemoError, DeployerError, subprocess.SubprocessError, OSError) as problem:
        demo.explain(problem)
        return 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.demo", description=__doc__)
    parser.add_argument("--firmware", choices=["bios", "uefi"], default="bios")
    parser.add_argument("--keep", action="store_true", help="leave all running until Ctrl-C")
    wanted = parser.parse_args()
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    code = 130
    with ExitStack() as stack, interruptible(console):
        code = play(Demo(console, stack, wanted.firmware), wanted.keep)
    console.print("Service and machine are switched off; `make demo KEEP=1` leaves them on.")
    return code


@contextmanager
def interruptible(console: Console) -> Iterator[None]:
    """Ctrl-C ends the demo, once; what was started is then stopped, whatever else is pressed."""
    for number in _SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        console.print("\nInterrupted.")
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
