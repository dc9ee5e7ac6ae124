"""Keeps one dnsmasq running with the right configuration, and tells what it sees.

It knows no database: who our hosts are comes from `Ears.known`, and what happened goes to
`Ears.happened` and `Ears.beat`. An error of theirs stops nobody from booting.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from deployer.errors import ConfigurationError, DeployerError
from deployer.netboot import process, tftproot
from deployer.netboot.addresses import Reservations, leases
from deployer.netboot.dnsmasq import (
    KnownHost,
    Plan,
    configuration,
    hosts_file,
    read_hosts_file,
    secure_macs,
)
from deployer.netboot.events import Event, Parser
from deployer.netboot.process import Dnsmasq
from deployer.netboot.rogue import Foreign, Watch
from deployer.observe import log

_TICK = 0.1
_BEAT = 5.0
_BACKOFF = (0.2, 1.0, 2.0, 5.0, 10.0, 30.0)
_SETTLED = 1.0  # it would have ended by now if it could not bind its ports
_STEADY = 60.0  # after this long, a death begins with the shortest pause again


@dataclass(frozen=True)
class Health:
    """What the service may say about us."""

    problems: tuple[str, ...]
    counts: dict[str, int]
    restarts: int


@dataclass(frozen=True)
class Ears:
    """Who is asked, and who is told. Each may raise; then we go on with what we know."""

    known: Callable[[], Collection[KnownHost]]
    happened: Callable[[list[Event]], None]
    beat: Callable[[Health], None]
    foreign: Callable[[Foreign], None] = lambda _foreign: None


@dataclass
class Supervisor:
    """`run()` blocks until `stop()`; `fragment`: lines of the operator's own, read again when the
    file changes."""

    plan: Plan
    folder: Path
    ears: Ears
    fragment: Path | None = None
    refresh: timedelta = timedelta(seconds=3)
    watch: Watch | None = None

    def __post_init__(self) -> None:
        self._asked = threading.Event()
        self._dnsmasq: Dnsmasq | None = None
        root = self.plan.tftp_root
        sizes = {str(p.relative_to(root)): p.stat().st_size for p in root.rglob("*")}
        self._parser = Parser(str(root), sizes, neighbour)
        self._problems: dict[str, str] = {}
        self._config = self.folder / "dnsmasq.conf"
        self._deaths = self._restarts = 0
        self._next_start = self._next_refresh = self._next_beat = 0.0
        self._started = 0.0
        self._current: str | None = None
        # Should the database be away at the start: nobody is given an unsigned loader for that.
        self._secure = secure_macs(_text_of(self._config))
        self._reserved = Reservations(
            self.plan.pool, frozenset({self.plan.address.ip}),
            read_hosts_file(_text_of(self.plan.hosts_file)),
        )  # fmt: skip

    def stop(self) -> None:
        self._asked.set()

    def run(self) -> None:
        """ConfigurationError when there is no good configuration to begin with."""
        self._write_hosts()
        self._write_configuration()
        if problem := self._problems.get("configuration"):
            raise ConfigurationError(
                f"dnsmasq refuses the configuration: {problem}", remedy="correct what it names",
                field="--fragment" if self.fragment else None, value=str(self.fragment or ""),
            )  # fmt: skip
        try:
            while not self._asked.is_set():
                self._tick(time.monotonic())
                self._asked.wait(_TICK)
        finally:
            if self._dnsmasq is not None:
                self._dnsmasq.stop()
                self._listen()

    def _tick(self, now: float) -> None:
        self._keep_alive(now)
        self._listen()
        if now >= self._next_refresh:
            self._next_refresh = now + self.refresh.total_seconds()
            if self._write_hosts() and self._dnsmasq:
                self._dnsmasq.read_hosts_again()
            if self._write_configuration() and self._dnsmasq:
                log.info("netboot_restart", why="its configuration has changed")
                self._dnsmasq.stop()
                self._dnsmasq, self._next_start = None, now
        if self.watch is not None and (foreign := self.watch.look(now)):
            self._tell("foreign", lambda: self.ears.foreign(foreign))
        if now >= self._next_beat:
            self._next_beat = now + _BEAT
            self._tell("heartbeat", lambda: self.ears.beat(self.health()))

    def health(self) -> Health:
        problems = dict(self._problems)
        if self.watch is not None and self.watch.seen:
            problems["foreign"] = "; ".join(str(one) for one in self.watch.seen)
        counts = {str(kind): number for kind, number in self._parser.counts.items()}
        return Health(tuple(problems.values()), counts, self._restarts)

    # --- dnsmasq itself -----------------------------------------------------------------------

    def _keep_alive(self, now: float) -> None:
        if self._dnsmasq is None:
            if now >= self._next_start:
                self._start(now)
        elif (code := self._dnsmasq.exit_code()) is not None:
            self._buried(code, now)
        elif now - self._started > _SETTLED:
            self._problems.pop("dnsmasq", None)
            if now - self._started > _STEADY:
                self._deaths = 0

    def _start(self, now: float) -> None:
        # Whatever became of the file meanwhile, it starts with what was found good.
        problem = self._put_in_place(self._current or "")
        if problem is not None:
            self._problems["dnsmasq"] = f"dnsmasq refuses what it took before: {problem}"
            self._next_start = now + _BACKOFF[-1]
            return
        self._dnsmasq, self._started = Dnsmasq(self._config), now
        log.info("netboot_started", pid=self._dnsmasq.pid)

    def _buried(self, code: int, now: float) -> None:
        """It has ended without being asked; say why, and when it is tried again."""
        assert self._dnsmasq is not None
        self._dnsmasq.stop()
        last = [line for line in self._listen() if line.startswith("dnsmasq: ")]
        why = last[-1].removeprefix("dnsmasq: ").strip() if last else f"exit code {code}"
        pause = _BACKOFF[min(self._deaths, len(_BACKOFF) - 1)]
        self._deaths += 1
        self._restarts += 1
        self._problems["dnsmasq"] = f"dnsmasq ended ({why}); next start in {pause:g} s"
        log.error("netboot_died", why=why, pause=pause, times=self._deaths)
        self._dnsmasq, self._next_start = None, now + pause
        self._next_beat = now

    def _listen(self) -> list[str]:
        lines = self._dnsmasq.lines() if self._dnsmasq else []
        events = [event for line in lines for event in self._parser.feed(line)]
        if not lines:
            events = self._parser.flush()
        if events:
            self._tell("history", lambda: self.ears.happened(events))
        return lines

    # --- files --------------------------------------------------------------------------------

    def _write_hosts(self) -> bool:
        """True when the file has changed. Without the database, the hosts of before stay."""
        known: list[KnownHost] = []
        if not self._tell("hosts", lambda: known.extend(self.ears.known())):
            return not self.plan.hosts_file.exists() and _replace(self.plan.hosts_file, "")
        self._secure = frozenset(host.mac for host in known if host.secure_boot)
        macs = {host.mac for host in known}
        self._reserved.renew(macs, leases(_text_of(self.plan.lease_file)))
        return _replace(self.plan.hosts_file, hosts_file(macs, self._reserved.given))

    def _write_configuration(self) -> bool:
        """True when there is a new one, and dnsmasq takes it. Else the one of before stays."""
        try:
            extra = self._fragment()
        except (OSError, UnicodeDecodeError) as error:
            self._problems["configuration"] = f"{self.fragment} cannot be read: {error}"
            return False
        text = configuration(replace(self.plan, secure=self._secure, extra=extra))
        if text == self._current:
            self._problems.pop("configuration", None)
            return False
        problem = self._put_in_place(text)
        if problem is not None:
            named = f"{self.fragment}: {problem}" if self.fragment else problem
            if self._problems.get("configuration") != named:
                log.error("netboot_configuration_refused", problem=named)
            self._problems["configuration"] = named
            return False
        self._problems.pop("configuration", None)
        self._current = text
        return True

    def _put_in_place(self, text: str) -> str | None:
        """What dnsmasq has against it; when that is nothing, it is in place."""
        draft = self._config.with_suffix(".draft")
        draft.write_text(text)
        problem = process.complaint(draft)
        if problem is None:
            draft.replace(self._config)
            return None
        return problem.replace(str(draft), "dnsmasq.conf")

    def _fragment(self) -> tuple[str, ...]:
        if self.fragment is None:
            return ()
        text = self.fragment.read_text(encoding="utf-8")
        return (f"# {self.fragment}", *text.splitlines())

    def _tell(self, whom: str, call: Callable[[], None]) -> bool:
        """False when it failed: the database may be away; machines boot all the same."""
        try:
            call()
            self._problems.pop(whom, None)
            return True
        except DeployerError as error:
            self._problems[whom] = f"{whom}: {error.message}"
        except Exception as error:  # whatever it is, it must not stop DHCP for a network
            log.error("netboot_failed_to_tell", whom=whom, error=str(error), exc_info=True)
            self._problems[whom] = f"{whom}: {error}"
        return False


def prepare(folder: Path, image: Path, menus: dict[str, str]) -> tuple[Path, dict[str, int]]:
    """(TFTP root, size of each file); checks that dnsmasq's own account gets at them."""
    process.need_programs()
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / "tftp"
    sizes = tftproot.build(root, image, menus)
    own = folder / "leases"
    own.mkdir(exist_ok=True)
    who = process.account()
    os.chown(own, who.pw_uid, who.pw_gid)
    for place in (folder, *folder.parents):
        if not place.stat().st_mode & 0o001:
            raise ConfigurationError(
                f"{place} is closed to the account {who.pw_name}, which dnsmasq runs as",
                field="DEPLOYER_NETBOOT_DIR", value=str(folder),
                remedy=f"set DEPLOYER_NETBOOT_DIR to another folder, or `chmod o+x {place}`",
            )  # fmt: skip
    return root, sizes


def _text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""


def _replace(file: Path, text: str) -> bool:
    """Atomically, and only when it differs; True when it did."""
    if file.exists() and file.read_text() == text:
        return False
    draft = file.with_suffix(".draft")
    draft.write_text(text)
    draft.chmod(0o644)
    draft.replace(file)
    return True


def neighbour(address: str) -> str | None:
    """The MAC that the kernel knows for this address."""
    try:
        rows = Path("/proc/thread-self/net/arp").read_text().splitlines()[1:]
    except OSError:
        return None
    for row in rows:
        words = row.split()
        if words[0] == address and words[3] != "00:00:00:00:00:00":
            return words[3].lower()
    return None
