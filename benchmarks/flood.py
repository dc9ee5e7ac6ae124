"""Many commands from a chat at once, while machines ask what to boot. THREATS T100.

Slack's slash commands, signed as its documentation says ("Verifying requests from Slack").
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlencode

from benchmarks import storm
from benchmarks.statistics import percentile
from deployer.app import build_parts
from deployer.core.receivers import ReceiverSpec
from deployer.services import people, receivers, secrets
from deployer.services.people import Role
from deployer.settings import Settings
from deployer.store.tables import ChatPerson

_SECRET = "the-signing-secret-of-the-benchmark"
_TEAM = "T0BENCH"
_PEOPLE = 50  # so that it is the workspace's limit that they meet, not their own
_AT_ONCE = 100
_TEXTS = ("status", "hosts", "why h000001", "help")


@dataclass
class Answers:
    """What the platform was told, and after how long."""

    statuses: Counter[int] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)

    @property
    def p99_ms(self) -> float:
        return percentile(self.milliseconds, 99)

    @property
    def errors(self) -> int:
        return self.statuses.total() - self.statuses[200]


def prepare(settings: Settings) -> None:
    """A Slack workspace whose people may look at everything."""
    parts = build_parts(settings)
    now = parts.clock()
    with parts.database.writing() as session:
        for name in ("bench-signing", "bench-bot"):
            secrets.save(session, parts, name, _SECRET, "benchmark", now)
        spec = ReceiverSpec(name="bench", type="slack", settings={
            "signing_secret": {"secret": "bench-signing"}, "bot_token": {"secret": "bench-bot"},
        })  # fmt: skip
        receivers.save(session, parts, None, spec)
        token, _ = people.create_token(session, "bench", Role.VIEWER, timedelta(days=1), now)
        session.flush()
        for number in range(_PEOPLE):
            session.add(
                ChatPerson(
                    platform="slack", tenant=_TEAM, user=f"U{number}", token_id=token.id,
                    linked_at=now,
                )
            )  # fmt: skip
    parts.database.dispose()


@contextmanager
def flood(port: int, commands: int) -> Iterator[Answers]:
    """So many at once, for as long as that takes; what is in it goes on meanwhile."""
    answers = Answers()
    thread = threading.Thread(target=lambda: asyncio.run(_all(port, commands, answers)))
    thread.start()
    try:
        yield answers
    finally:
        thread.join()


async def _all(port: int, commands: int, answers: Answers) -> None:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def say(number: int) -> None:
        async with gate:
            began = time.perf_counter()
            status, _ = await storm.exchange(port, _request(number))
        answers.milliseconds.append((time.perf_counter() - began) * 1000)
        answers.statuses[status] += 1

    await asyncio.gather(*map(say, range(commands)))


def _request(number: int) -> bytes:
    body = urlencode({
        "team_id": _TEAM, "user_id": f"U{number % _PEOPLE}", "channel_id": "C0BENCH",
        "command": "/deployer", "text": _TEXTS[number % len(_TEXTS)], "api_app_id": "A0",
        "response_url": f"http://127.0.0.1:9/{number}", "trigger_id": str(number),
    })  # fmt: skip
    stamp = str(int(time.time()))
    base = f"v0:{stamp}:{body}".encode()
    signature = "v0=" + hmac.new(_SECRET.encode(), base, hashlib.sha256).hexdigest()
    return (
        "POST /chat/slack HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"X-Slack-Request-Timestamp: {stamp}\r\nX-Slack-Signature: {signature}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
