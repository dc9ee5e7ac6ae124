"""One dnsmasq as our child: checked before it starts, without root's rights, and never orphaned."""

from __future__ import annotations

import os
import pwd
import queue
import shutil
import signal
import subprocess
import threading
from pathlib import Path

from deployer.errors import ConfigurationError

_ACCOUNTS = ("dnsmasq", "nobody")
# To bind ports below 1024 and to answer machines that have no address yet.
_RIGHTS = "-all,+net_admin,+net_raw,+net_bind_service"
# Lines that wait to be read; beyond, the oldest are dropped and dnsmasq is never held up.
_LINES = 50_000


def account() -> pwd.struct_passwd:
    """Whom dnsmasq runs as."""
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ConfigurationError(
        f"there is no account {' or '.join(_ACCOUNTS)} for dnsmasq to run as",
        remedy="apt-get install dnsmasq-base, which makes one",
    )


def need_programs() -> None:
    packages = {"dnsmasq": "dnsmasq-base", "setpriv": "util-linux", "ip": "iproute2"}
    missing = [package for program, package in packages.items() if not shutil.which(program)]
    if missing:
        raise ConfigurationError(
            f"these packages are missing: {' '.join(missing)}",
            remedy=f"apt-get install --no-install-recommends {' '.join(missing)}",
        )
    if os.geteuid() != 0:
        raise ConfigurationError(
            "DHCP and TFTP use ports that belong to root", remedy="run this command with sudo"
        )


def complaint(config: Path) -> str | None:
    """What dnsmasq has against this configuration, or None when it would start with it."""
    done = subprocess.run(
        ["dnsmasq", "--test", f"--conf-file={config}"], capture_output=True, text=True,
        errors="replace", timeout=30, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return None
    return done.stderr.strip().removeprefix("dnsmasq: ") or f"exit code {done.returncode}"


class Dnsmasq:
    """A running dnsmasq. Make it in the main thread: it dies with the thread that made it."""

    def __init__(self, config: Path) -> None:
        who = account()
        # Already without rights when it is started: to drop them itself would also make the
        # kernel forget that it shall die with us (prctl(2), PR_SET_PDEATHSIG).
        self._process = subprocess.Popen(
            ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups",
             f"--inh-caps={_RIGHTS}", f"--ambient-caps={_RIGHTS}", "--pdeathsig", "KILL",
             "dnsmasq", f"--conf-file={config}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, errors="replace", bufsize=1, start_new_session=True,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue(_LINES)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Never stop reading: a full pipe would hold up every answer to every machine."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            try:
                self._lines.put_nowait(line)
            except queue.Full:
                self._lines.get_nowait()
                self._lines.put_nowait(line)

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def lines(self) -> list[str]:
        """What it has said since the last time."""
        found = []
        while True:
            try:
                found.append(self._lines.get_nowait())
            except queue.Empty:
                return found

    def read_hosts_again(self) -> None:
        if self.exit_code() is None:
            self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self.exit_code() is None:
            self._process.terminate()
            try:
                self._process.wait(3)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._reader.join(2)
        if self._process.stderr is not None:
            self._process.stderr.close()
