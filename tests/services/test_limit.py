"""The limit on boot requests: generous to a burst, fair over time, bounded in memory."""

from __future__ import annotations

from deployer.services import limit
from deployer.services.limit import Judged, RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def judged(rate: RateLimit, count: int, address: str = "10.0.0.7") -> list[Judged]:
    return [rate.judge(address) for _ in range(count)]


def test_a_minutes_worth_may_come_at_once_and_then_as_fast_as_it_grows_again() -> None:
    clock = Clock()
    rate = RateLimit(60, clock)
    assert set(judged(rate, 60)) == {Judged.FINE}
    assert judged(rate, 3) == [Judged.FIRST_TOO_MANY, Judged.TOO_MANY, Judged.TOO_MANY]
    clock.now += 2
    assert judged(rate, 3) == [Judged.FINE, Judged.FINE, Judged.TOO_MANY]


def test_only_after_a_calm_minute_is_it_another_burst() -> None:
    clock = Clock()
    rate = RateLimit(60, clock)
    judged(rate, 61)
    clock.now += 30
    assert Judged.FIRST_TOO_MANY not in judged(rate, 40)
    clock.now += 61
    assert judged(rate, 62)[60:] == [Judged.FIRST_TOO_MANY, Judged.TOO_MANY]


def test_no_limit_is_none() -> None:
    rate = RateLimit(0)
    assert set(judged(rate, 100_000)) == {Judged.FINE}


def test_of_many_addresses_the_one_that_was_silent_longest_is_forgotten() -> None:
    rate = RateLimit(1, Clock())
    for number in range(limit._ADDRESSES + 1):
        assert rate.judge(f"{number}") is Judged.FINE
    assert rate.judge(f"{limit._ADDRESSES}") is Judged.FIRST_TOO_MANY
    assert rate.judge("0") is Judged.FINE
    assert len(rate._buckets) == limit._ADDRESSES
