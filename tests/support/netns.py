"""Networks of their own for one test: namespaces, a bridge, and sockets that live in them."""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

_CLONE_NEWNET = 0x40000000
_SO_RCVBUFFORCE = 33
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()
T = TypeVar("T")

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="network namespaces can be made by root alone; run the tests as root"
)


class Namespace:
    """Context manager; at its end the namespace, its interfaces and its processes are gone."""

    def __init__(self, name: str) -> None:
        self.name = f"dep{os.getpid()}-{next(_numbers)}-{name}"
        self._processes: list[subprocess.Popen[Any]] = []

    @classmethod
    def existing(cls, name: str) -> Namespace:
        """One that somebody else has made, and will remove."""
        made = cls("")
        made.name = name
        return made

    def __enter__(self) -> Namespace:
        _ip("netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        _ip("netns", "del", self.name)

    def ip(self, *words: str) -> None:
        _ip("-n", self.name, *words)

    @contextmanager
    def has(self, address: str) -> Iterator[None]:
        """For as long as this lasts, `eth0` has this address."""
        self.ip("addr", "add", f"{address}/20", "dev", "eth0")
        try:
            yield
        finally:
            self.ip("addr", "del", f"{address}/20", "dev", "eth0")

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *words]

    def start(self, *words: str, **how: Any) -> subprocess.Popen[Any]:
        """A process in here; it is killed at the end."""
        process = subprocess.Popen(self.command(*words), **how)
        self._processes.append(process)
        return process

    def call(self, action: Callable[[], T]) -> T:
        """What `action` returns when it runs in here: sockets that it makes stay in here."""
        result: list[Any] = []

        def run() -> None:
            try:
                result.append(self.enter(action))
            except BaseException as error:
                result.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if isinstance(result[0], BaseException):
            raise result[0]
        answer: T = result[0]
        return answer

    def enter(self, action: Callable[[], T]) -> T:
        """Take this thread, which must end soon, into the namespace."""
        with Path(f"/run/netns/{self.name}").open() as file:
            if _libc.setns(file.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        return action()

    def udp(
        self, address: tuple[str, int] = ("", 0), interface: str | None = None
    ) -> socket.socket:
        def make() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            # Each socket hears every broadcast of a storm, and must not lose its own among them.
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 * 1024 * 1024)
            if interface:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            made.bind(address)
            return made

        return self.call(make)


class Segment:
    """Context manager: a bridge `br0` in the server's namespace, and others joined to it by a
    cable each, whose end there is called `eth0`."""

    def __init__(self, address: str = "10.77.0.1/20", others: Sequence[str] = ("client",)) -> None:
        self.address = address
        self.server = Namespace("server")
        self.others = {name: Namespace(name) for name in others}

    def __enter__(self) -> Segment:
        self.server.__enter__()
        self.server.ip("link", "add", "br0", "type", "bridge", "forward_delay", "0")
        self.server.ip("addr", "add", self.address, "dev", "br0")
        self.server.ip("link", "set", "br0", "up")
        for number, other in enumerate(self.others.values()):
            other.__enter__()
            end = f"port{number}"
            self.server.ip("link", "add", end, "type", "veth", "peer", "name", "eth0",
                           "netns", other.name)  # fmt: skip
            self.server.ip("link", "set", end, "master", "br0")
            self.server.ip("link", "set", end, "up")
            other.ip("link", "set", "eth0", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for other in self.others.values():
            other.__exit__()
        self.server.__exit__()

    @property
    def client(self) -> Namespace:
        return self.others["client"]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
