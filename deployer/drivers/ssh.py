"""Logs in to a machine, knowing its host key beforehand, and runs a few commands.

Never trust-on-first-use: the key came from the machine through its own token, or from its
operator, or we do not go in. No agent, no forwarding, no keyboard; every wait and every output is
bounded (THREATS T048, T049).
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import paramiko

_CONNECT_SECONDS = 10
_LOGIN_SECONDS = 60  # a machine that has just started may be busy with that
_COMMAND_SECONDS = 20.0
_SESSION_SECONDS = 90.0
_OUTPUT_LIMIT = 256 * 1024
USER = "deployer"


@dataclass(frozen=True)
class Target:
    address: str
    port: int
    host_keys: tuple[str, ...]
    user: str = USER


@dataclass(frozen=True)
class Answer:
    """`status` is None when the connection ended before the command did."""

    status: int | None
    output: str


class Ask(Protocol):
    """Runs a command, which may take that many seconds; unset, as many as one of ours takes."""

    def __call__(self, command: str, seconds: float | None = None) -> Answer: ...


class NotReachable(Exception):
    """Nobody answers yet; a machine that is still starting may in a moment."""


class Refused(Exception):
    """Somebody answers, and it is not the machine that we installed, or it does not let us in."""


class NotLetIn(Refused):
    """It is the machine that we know, and it does not accept our key."""


class Interrupted(Exception):
    """The command was begun, and nobody knows how it ended."""


def run(target: Target, key_file: Path, commands: dict[str, str]) -> dict[str, str]:
    """What each command printed, by its name."""
    with session(target, key_file) as ask:
        return {name: ask(command).output for name, command in commands.items()}


@contextmanager
def session(target: Target, key_file: Path, seconds: float | None = None) -> Iterator[Ask]:
    """Logged in: what it gives runs a command. NotReachable when the connection breaks."""
    transport = _open(target)
    # paramiko waits for some answers without a limit; a closed connection ends every wait.
    limit = threading.Timer(seconds or _SESSION_SECONDS, transport.close)
    limit.start()
    try:
        _login(transport, target, key_file)
        yield lambda command, seconds=None: _command(
            transport, command, seconds or _COMMAND_SECONDS
        )
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise NotReachable(f"the connection broke: {error or type(error).__name__}") from None
    finally:
        limit.cancel()
        transport.close()


def execute(target: Target, key_file: Path, command: str, seconds: float) -> Answer:
    """One command, which is begun once at the most; NotReachable only before that."""
    with session(target, key_file, seconds + _SESSION_SECONDS) as ask:
        try:
            return ask(f"{{ {command}\n}} 2>&1", seconds)
        except (paramiko.SSHException, OSError, EOFError, NotReachable) as error:
            raise Interrupted(f"the connection broke: {error or type(error).__name__}") from None


def _open(target: Target) -> paramiko.Transport:
    try:
        connection = socket.create_connection((target.address, target.port), _CONNECT_SECONDS)
    except OSError as error:
        raise NotReachable(f"{target.address} port {target.port}: {error}") from None
    transport = paramiko.Transport(connection)
    transport.banner_timeout = _CONNECT_SECONDS
    transport.auth_timeout = _LOGIN_SECONDS
    # Ask for exactly the kinds of key that we know, or the machine may show us another one.
    kinds = [key.split()[0] for key in target.host_keys if key.strip()]
    known = [k for k in transport.get_security_options().key_types if _kind(k) in kinds]
    if not known:
        connection.close()
        raise Refused("we know no SSH host key of the machine that we could check")
    transport.get_security_options().key_types = known
    return transport


def _kind(algorithm: str) -> str:
    # RSA keys sign with names of their own; the key is called ssh-rsa all the same.
    return "ssh-rsa" if algorithm.startswith("rsa-sha2-") else algorithm


def _login(transport: paramiko.Transport, target: Target, key_file: Path) -> None:
    try:
        transport.start_client(timeout=_CONNECT_SECONDS)
    except paramiko.SSHException as error:
        raise NotReachable(f"no SSH handshake: {error}") from None
    shown = transport.get_remote_server_key()
    shown_line = f"{shown.get_name()} {shown.get_base64()}"
    if shown_line not in {" ".join(key.split()[:2]) for key in target.host_keys}:
        raise Refused(
            f"{target.address} port {target.port} shows another SSH host key than the one that we"
            " know; this is another machine, or somebody is in between"
        )
    began = time.monotonic()
    try:
        transport.auth_publickey(
            target.user, paramiko.Ed25519Key.from_private_key_file(str(key_file))
        )
    except paramiko.AuthenticationException:
        # paramiko says the same when no answer came at all.
        if not transport.is_active() or time.monotonic() - began >= _LOGIN_SECONDS:
            raise NotReachable("no answer to our key") from None
        raise NotLetIn(
            f"the machine does not accept our key for the account {target.user!r}; was it removed"
            " by a script?"
        ) from None


def _command(transport: paramiko.Transport, command: str, seconds: float) -> Answer:
    """Standard output of `command`; an endless one is cut, a silent one ends in NotReachable."""
    channel = transport.open_session(timeout=_CONNECT_SECONDS)
    channel.settimeout(seconds)
    channel.exec_command(command)
    channel.shutdown_write()
    deadline, output = time.monotonic() + seconds, b""
    while len(output) < _OUTPUT_LIMIT:
        chunk = channel.recv(32 * 1024)
        if not chunk:
            channel.status_event.wait(max(0.0, deadline - time.monotonic()))
            break
        output += chunk
        if time.monotonic() > deadline:
            raise NotReachable(f"no end of output after {seconds:.0f} s of `{command}`")
    status = channel.exit_status if channel.exit_status >= 0 else None
    channel.close()
    return Answer(status, output[:_OUTPUT_LIMIT].decode("utf-8", "replace"))
