"""What several short, noisy rounds say together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.load import Result

Rounds = dict[str, list[Result]]  # by peer; those of one round stand at the same place


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent of `values` do not exceed."""
    if not values:
        raise ValueError("there are no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def middle(results: Sequence[Result], of: Callable[[Result], float]) -> float:
    return median(of(result) for result in results)


def ratio(rounds: Rounds, peer: str, to: str, of: Callable[[Result], float]) -> float:
    """The median of each round's own ratio: what disturbs a whole round cancels out."""
    pairs = zip(rounds[peer], rounds[to], strict=True)
    return median(of(a) / of(b) for a, b in pairs)
