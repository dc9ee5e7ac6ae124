"""`make demo`: the main job on screen. A blank machine becomes a Debian that lets us log in.

Nothing is played: the service runs as it does for real, the machine is QEMU with real firmware,
the request goes through the REST API, and in the end `ssh` logs in to what was installed.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape

from deployer.cli.client import Client
from deployer.errors import DeployerError
from lab.demo.operator import (
    blank_machine,
    describe,
    import_images,
    new_token,
    public_key,
    request_deployment,
)
from lab.demo.places import FOLDER, HOST, MIRROR_CACHE, DemoError
from lab.demo.profiles import PROFILES, DemoProfile
from lab.demo.screen import (
    LOGIN,
    heading,
    log_in,
    picture,
    shown,
    tell_facts,
    tell_history,
    watch,
    write_ssh_config,
)
from lab.demo.service import Service, take_lock
from lab.machine import Firmware, Machine, free_port
from lab.mirror import Mirror

_CONSOLE_LINES = 30
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PIPE_WIDTH = 98

Json = dict[str, Any]


@dataclass
class Demo:
    """One run; what it starts is stopped by `stack`."""

    console: Console
    stack: ExitStack
    firmware: Firmware
    profile: DemoProfile
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
        for name in import_images(api, self.service, self.profile.folders):
            self.console.print(f"  {name} imported, checksums verified")
        describe(api, self.ssh_port, self.profile.described(self._mirror(), public_key()))
        self._install(api)
        write_ssh_config(self.ssh_port)
        log_in(self.console)

    def _mirror(self) -> str:
        """The address of a Debian mirror for the machine, when this profile needs one."""
        if not self.profile.needs_mirror:
            return ""
        mirror = self.stack.enter_context(Mirror(MIRROR_CACHE))
        lacking = mirror.lacking("12")
        self.console.print("  a mirror for the machine: the one that apt uses here, passed on")
        if lacking:
            self.console.print(
                f"  [yellow]It lacks {len(lacking)} parts of Debian's installer, {lacking[0]} the"
                " first: the installation cannot be completed here. It will run as far as it comes,"
                " and end as failed, with that cause.[/]", soft_wrap=True,
            )  # fmt: skip
        return mirror.url

    def _install(self, api: Client) -> None:
        heading(self.console, f"Host {HOST} becomes {self.profile.name}")
        self.machine = machine = blank_machine(self.firmware, self.service, self.ssh_port)
        kind = machine.accelerator.split(",")[0].upper()
        self.console.print(
            f"  QEMU ({kind}), {self.firmware.upper()}, an empty disk, network first"
        )
        self.deployment = id_ = request_deployment(api, self.profile.name)
        self.stack.enter_context(machine)
        self.console.print("  switched on, as a person would do it\n")
        with picture(api, id_, self.profile.name, self.console) as view:
            watch(api, id_, machine, view, self.service, self.profile.patience)
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
    parser.add_argument("--profile", choices=sorted(PROFILES), default="debian-12-image")
    parser.add_argument("--keep", action="store_true", help="leave all running until Ctrl-C")
    wanted = parser.parse_args()
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    code = 130
    with ExitStack() as stack, interruptible(console):
        code = play(Demo(console, stack, wanted.firmware, PROFILES[wanted.profile]), wanted.keep)
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
