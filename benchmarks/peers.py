"""A peer: a command that starts a server, and where it answers. Ours are peers like any other's.

Others come from a TOML file; docs/performance.md shows one.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class PeerFailed(Exception):
    """A peer did not start, or its description is wrong; the message says what to do."""


@dataclass(frozen=True)
class Peer:
    """`$port` and `$work`, a folder of its own, are filled in everywhere.

    `urls`: by scenario, a path, `METHOD path body`, or `@FILE` with one such line per request.
    """

    name: str
    command: list[str]
    ready: str
    urls: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)


def read(file: Path) -> list[Peer]:
    """The peers of a TOML file; PeerFailed names what is wrong."""
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8"))["peer"]
        return [Peer(**entry) for entry in entries]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise PeerFailed(f"{file.name} describes no peers: {error}") from None


@dataclass(frozen=True)
class Usage:
    """Of a process and its children, the ended ones too."""

    cpu_seconds: float
    rss_bytes: int


class Running:
    """A peer that answers."""

    def __init__(self, peer: Peer, process: subprocess.Popen[bytes], port: int, work: Path):
        self.peer, self.process, self.port, self.work = peer, process, port, work
        self.base = f"http://127.0.0.1:{port}"

    @property
    def name(self) -> str:
        return self.peer.name

    def lines(self, scenario: str) -> list[str] | None:
        """What to ask in this scenario, a line per request; None when this peer has no part."""
        given = self.peer.urls.get(scenario)
        if given is None:
            return None
        given = fill(given, self.port, self.work)
        lines = Path(given[1:]).read_text().splitlines() if given[0] == "@" else [given]
        return [line if " " in line else f"GET {line}" for line in lines if line]

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.base + path, timeout=10) as answer:
            content: bytes = answer.read()
            return content

    def usage(self) -> Usage:
        cpu, rss = 0, 0
        for pid in _tree(self.process.pid):
            try:
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile; its parent has its time
                continue
            cpu += sum(int(ticks) for ticks in stat[11:15])
            rss += int(stat[21]) * _PAGE
        return Usage(cpu / _TICKS, rss)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except OSError:
            continue
        for child in found:
            yield from _tree(int(child))


def fill(text: str, port: int, work: Path) -> str:
    return Template(text).safe_substitute(port=port, work=work)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(peer: Peer, work: Path, port: int | None = None) -> Iterator[Running]:
    """The peer, from the moment it is ready; stopped at the end, with all that it started."""
    port = port or free_port()
    work.mkdir(parents=True, exist_ok=True)
    command = [fill(word, port, work) for word in peer.command]
    env = {name: fill(value, port, work) for name, value in peer.env.items()}
    with (work / "log").open("ab") as log:
        try:
            process = subprocess.Popen(
                command, env={**os.environ, **env}, stdout=log, stderr=log, start_new_session=True
            )
        except OSError as error:
            raise PeerFailed(f"{peer.name} cannot be started: {error.strerror}") from None
    try:
        _wait(peer, process, fill(peer.ready, port, work), work / "log")
        yield Running(peer, process, port, work)
    finally:
        _stop(process)


def _wait(peer: Peer, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise PeerFailed(f"{peer.name} does not answer; the end of what it wrote:\n"
                     + log.read_text(errors="replace")[-1500:])  # fmt: skip


def _stop(process: subprocess.Popen[bytes]) -> None:
    """The session that was started for it, and nothing else."""
    for number, seconds in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        if process.poll() is None:
            os.killpg(process.pid, number)
        try:
            process.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            continue
