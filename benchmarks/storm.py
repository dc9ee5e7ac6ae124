"""A power cut: every host asks at about the same time what to boot, each from its own address.

THREATS F060. The whole of 127.0.0.0/8 is this machine, so hosts need no network of their own.
"""

from __future__ import annotations

import asyncio
import random
import resource
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.statistics import percentile

Script = Literal["installer", "local", "neither"]
# More at once than any fleet's switches let through at the same moment; bounded by descriptors.
_AT_ONCE = 500


@dataclass
class Outcome:
    """`wrong`: an installer for a host without a job, or the reverse."""

    hosts: int = 0
    wrong: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def p99_ms(self) -> float:
        return percentile(self.milliseconds, 99)

    @property
    def errors(self) -> int:
        """Hosts that got no answer, or one that is none."""
        return self.hosts - self.statuses[200]


def address(number: int) -> str:
    """127.1.0.0 and up: one per host, none of them 127.0.0.1."""
    return f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def kind(script: bytes) -> Script:
    if b"kernel" in script and b"/d/" in script:
        return "installer"
    return "local" if b"#!ipxe" in script and b"kernel" not in script else "neither"


def run(port: int, armed: Iterable[str], idle: Iterable[str], seconds: float) -> Outcome:
    """All hosts by MAC, each once, at random moments within `seconds` (0: all at once)."""
    _allow_descriptors(4 * _AT_ONCE)
    hosts = [(mac, "installer") for mac in armed] + [(mac, "local") for mac in idle]
    random.shuffle(hosts)
    return asyncio.run(_all(port, hosts, seconds))


def _allow_descriptors(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


async def _all(port: int, hosts: list[tuple[str, str]], seconds: float) -> Outcome:
    outcome, gate = Outcome(hosts=len(hosts)), asyncio.Semaphore(_AT_ONCE)
    began = time.perf_counter()

    async def boot(number: int, mac: str, expected: str) -> None:
        await asyncio.sleep(random.random() * seconds)
        # The wait for this gate counts: it stands for what the server keeps waiting.
        asked = time.perf_counter()
        async with gate:
            status, body = await _ask(port, number, mac)
        outcome.milliseconds.append((time.perf_counter() - asked) * 1000)
        outcome.statuses[status] += 1
        outcome.wrong += status == 200 and kind(body) != expected

    await asyncio.gather(*(boot(n, mac, wanted) for n, (mac, wanted) in enumerate(hosts)))
    outcome.seconds = time.perf_counter() - began
    return outcome


async def _ask(port: int, number: int, mac: str) -> tuple[int, bytes]:
    query = f"mac={mac.replace(':', '-')}&uuid=&serial=&arch=x86_64&platform=pcbios"
    request = f"GET /boot/ipxe?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    return await exchange(port, request.encode(), address(number))


async def exchange(port: int, request: bytes, client: str = "127.0.0.1") -> tuple[int, bytes]:
    """Status (0: no answer) and body, over a connection of its own, as iPXE does it."""
    try:
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, local_addr=(client, 0)
            )
            writer.write(request)
            answer = await reader.read(-1)
            writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body
    except (OSError, TimeoutError, IndexError, ValueError):
        return 0, b""
