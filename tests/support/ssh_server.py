"""A real SSH server on a loopback port that can misbehave in the ways that machines do."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable
from typing import Any, Literal

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

# `deaf`: takes the connection and never speaks; `endless`: output without end; `mute`: a command
# that prints nothing and never ends; `stuck`: a command that is never even begun; `undecided`: a
# login that is never answered.
Manner = Literal["well", "deaf", "endless", "mute", "stuck", "undecided"]


def new_key() -> paramiko.Ed25519Key:
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
    )
    return paramiko.Ed25519Key.from_private_key(io.StringIO(pem.decode()))


class SshServer:
    """Context manager. `says(command)` is what a command prints, or (that, its exit status).

    With None as the status, the connection ends as when the machine restarts. `refusals`: so many
    logins are refused first, as while the machine still starts.
    """

    def __init__(
        self,
        says: Callable[[str], str | tuple[str, int | None]],
        authorized: str,
        *,
        user: str = "deployer",
        manner: Manner = "well",
        refusals: int = 0,
        host_key: paramiko.PKey | None = None,
    ) -> None:
        self.says, self.user, self.manner, self.refusals = says, user, manner, refusals
        self.authorized = authorized.split()[1]
        self.host_key = host_key or new_key()
        self.logins = 0
        self.commands: list[str] = []
        self.asked_for_more: list[str] = []
        self.closing = threading.Event()
        self._transports: list[paramiko.Transport] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    @property
    def host_key_line(self) -> str:
        return f"{self.host_key.get_name()} {self.host_key.get_base64()}"

    def __enter__(self) -> SshServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._listener.close()
        for transport in self._transports:
            transport.close()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self.manner == "deaf":
                self.connection = connection  # held open
                continue
            transport = paramiko.Transport(connection)
            transport.add_server_key(self.host_key)
            self._transports.append(transport)
            try:
                transport.start_server(server=_Session(self), event=threading.Event())
            except paramiko.SSHException:
                continue

    def run(self, channel: paramiko.Channel, command: str) -> None:
        try:
            # Until its input ends: then the client has read that the command was begun.
            while channel.recv(1024):
                pass
            if self.manner == "mute":
                self.closing.wait()
            while self.manner == "endless" and not self.closing.is_set():
                channel.sendall(b"x" * 32768)
            said = self.says(command)
            text, status = said if isinstance(said, tuple) else (said, 0)
            channel.sendall(text.encode())
            if status is None:
                channel.transport.close()
                return
            channel.send_exit_status(status)
            channel.close()
        except (OSError, EOFError):
            pass  # the client has heard enough


class _Session(paramiko.ServerInterface):
    def __init__(self, server: SshServer) -> None:
        self.server = server

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if self.server.manner == "undecided":
            self.server.closing.wait(20)
        self.server.logins += 1
        known = (
            username == self.server.user
            and key.get_base64() == self.server.authorized
            and self.server.logins > self.server.refusals
        )
        return AUTH_SUCCESSFUL if known else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if self.server.manner == "stuck":
            self.server.closing.wait(20)
        self.server.commands.append(command.decode())
        threading.Thread(
            target=self.server.run, args=(channel, command.decode()), daemon=True
        ).start()
        return True

    def _more(self, what: str) -> bool:
        self.server.asked_for_more.append(what)
        return False

    def check_channel_forward_agent_request(self, channel: Any) -> bool:
        return self._more("agent")

    def check_channel_x11_request(self, channel: Any, *_: Any) -> bool:
        return self._more("x11")

    def check_channel_pty_request(self, channel: Any, *_: Any) -> bool:
        return self._more("pty")
