"""Load from wrk, bounded in time, and what came of it."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import PeerFailed, Running

_SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Result:
    """One peer under load for a moment. `errors`: wrong statuses, and requests without answer."""

    requests: int
    seconds: float
    bytes: int
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_seconds: float
    rss_bytes: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time per request: less noisy than a rate where others use the machine."""
        return self.cpu_seconds / max(self.requests, 1) * 1e6


def parse(output: str) -> dict[str, float]:
    """The line of JSON that our script ends wrk's output with."""
    try:
        found: dict[str, float] = json.loads(output.strip().splitlines()[-1])
        return found
    except (IndexError, ValueError):
        raise PeerFailed(f"wrk did not work: {output.strip()[-500:]}") from None


def put(peer: Running, lines: list[str], seconds: float, connections: int) -> Result:
    """Ask for `lines` in turn, from a place in the list that differs each time."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        before = peer.usage()
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout=10s",
             "-s", str(_SCRIPT), peer.base, "--", file.name, str(random.randrange(2**31))],
            capture_output=True, text=True, timeout=seconds + 30, check=False,
        )  # fmt: skip
        after = peer.usage()
    found = parse(done.stdout or done.stderr)
    return Result(
        requests=int(found["requests"]), seconds=found["seconds"], bytes=int(found["bytes"]),
        p50_ms=found["p50_ms"], p99_ms=found["p99_ms"],
        errors=int(found["wrong_status"] + found["failed"]),
        cpu_seconds=after.cpu_seconds - before.cpu_seconds, rss_bytes=after.rss_bytes,
    )  # fmt: skip
