"""How many boot requests one address may make. THREATS T002.

In memory and by process: each replica counts for itself, which only makes the limit wider.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

# Beyond so many, whoever was silent longest is forgotten: what we keep is bounded.
_ADDRESSES = 10_000


class Judged(Enum):
    FINE = "fine"
    FIRST_TOO_MANY = "first too many"  # of this burst: worth a line
    TOO_MANY = "too many"


@dataclass(slots=True)
class _Bucket:
    """What an address has left, as of `at`; it fills up again within a minute."""

    left: float
    at: float
    burst: bool = False


class RateLimit:
    """A burst of `per_minute` requests, then as many per minute; 0 is no limit."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self.clock = per_minute, clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def judge(self, address: str) -> Judged:
        if not self.per_minute:
            return Judged.FINE
        now = self.clock()
        bucket = self._bucket(address, now)
        bucket.left += (now - bucket.at) * self.per_minute / 60
        bucket.at = now
        if bucket.left >= self.per_minute:
            # Calm again for long enough to count the next time as another burst.
            bucket.left, bucket.burst = self.per_minute, False
        if bucket.left >= 1:
            bucket.left -= 1
            return Judged.FINE
        judged = Judged.TOO_MANY if bucket.burst else Judged.FIRST_TOO_MANY
        bucket.burst = True
        return judged

    def _bucket(self, address: str, now: float) -> _Bucket:
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = _Bucket(self.per_minute, now)
            if len(self._buckets) > _ADDRESSES:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(address)
        return bucket
