"""The service that the demo runs: `deployer serve`, as it is run for real."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx

from lab.demo.places import COMMAND, FOLDER, DemoError
from lab.machine import free_port

_READY_SECONDS = 60


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
