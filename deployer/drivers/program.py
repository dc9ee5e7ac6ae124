"""Runs a program of this machine: without a shell, bounded in time and output."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

from deployer.errors import DriverRefused

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# How often we look whether it has ended although somebody still holds its output open.
_LOOK_SECONDS = 0.2


class OutOfTime(Exception):
    """It was killed; what it had done until then is not known."""


@dataclass(frozen=True)
class Ended:
    status: int
    output: str
    errors: str


def run(
    arguments: list[str],
    *,
    seconds: float,
    given: str = "",
    environment: Mapping[str, str] | None = None,
    limit: int = 64 * 1024,
) -> Ended:
    """Its exit status and the first `limit` bytes of either output.

    It finds `given` (at most 16 kB) on its standard input, sees PATH, LANG and `environment`, and
    nothing of ours. OutOfTime after `seconds`; DriverRefused when it cannot be run at all.
    """
    clean = {"PATH": os.environ.get("PATH", _PATH), "LANG": "C.UTF-8", **(environment or {})}
    try:
        process = subprocess.Popen(
            arguments, env=clean, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise DriverRefused(
            f"{arguments[0]} cannot be run: {error.strerror}", remedy="is it installed here?"
        ) from None
    assert process.stdin and process.stdout and process.stderr
    with process.stdout, process.stderr:
        with contextlib.suppress(OSError):  # it need not read it
            process.stdin.write(given.encode())  # fits into the pipe
            process.stdin.flush()
        with contextlib.suppress(OSError):
            process.stdin.close()
        output, errors = _watched(process, time.monotonic() + seconds, limit)
    return Ended(process.wait(), output, errors)


def _watched(process: subprocess.Popen[bytes], ends: float, limit: int) -> tuple[str, str]:
    """What it prints until it ends: all of it is read, or it would wait; the beginning is kept."""
    assert process.stdout and process.stderr
    kept = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as open_pipes:
        for pipe in kept:
            open_pipes.register(pipe, selectors.EVENT_READ)
        while open_pipes.get_map() or process.poll() is None:
            if time.monotonic() > ends:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # its children too
                process.wait()
                raise OutOfTime
            ready = open_pipes.select(_LOOK_SECONDS) if open_pipes.get_map() else _pause()
            for key, _ in ready:
                chunk = os.read(key.fd, 65536)
                pipe = process.stdout if key.fileobj is process.stdout else process.stderr
                kept[pipe] += chunk[: max(0, limit - len(kept[pipe]))]
                if not chunk:
                    open_pipes.unregister(pipe)
            if not ready and process.poll() is not None:
                break  # what it left running in the background holds its output
    output, errors = (bytes(text).decode("utf-8", "replace") for text in kept.values())
    return output, errors


def _pause() -> list[tuple[selectors.SelectorKey, int]]:
    """It has closed its output and works on."""
    time.sleep(0.02)
    return []
