"""What it costs to judge a description: each family's answer files, as a deployment is queued.

`to rendering` compares with writing the very files that are judged. `growth` is the cost of a file
of twice the length to that of one: 2 is what a check in one pass costs, 4 would be one whose cost
is the square of what an operator sends.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deployer.answers import prepare
from deployer.answers.context import Snapshot
from deployer.answers.families import FoundFamily
from tests import golden

EXAMPLE = "lvm"
_LONG = 60_000  # characters of the shorter file
_ROUNDS = 5
_MEASURABLE = 0.002  # seconds; less is noise


@dataclass(frozen=True)
class Cost:
    """CPU seconds, those of shells that a check starts included; of files, all of a family's."""

    first: float  # with what is read once, and every shell started
    check: float
    rendering: float
    growth: float


def measure(family: str) -> Cost:
    """The costs of `family` for an example that it can express."""
    found = golden.found(family)
    example = next(
        case for case in (EXAMPLE, "dhcp", *golden.examples())
        if not prepare.unsupported(found.family, _snapshot(found, case).profile)
    )  # fmt: skip
    values = golden.context_of(_snapshot(found, example))
    files = prepare.answers(found, values)
    first = _once(lambda: prepare.findings(found, values, files))
    usual = _cpu(lambda: prepare.findings(found, values, files))
    return Cost(
        first,
        usual,
        _cpu(lambda: prepare.answers(found, values)),
        max(_growth(found, values, files, path, usual) for path in files),
    )


def _snapshot(found: FoundFamily, case: str) -> Snapshot:
    return golden.snapshot(found, **golden.read_example(case))


def _growth(
    found: FoundFamily, values: dict[str, Any], files: dict[str, str], path: str, usual: float
) -> float:
    """Of one file, that holds itself again and again: long, and full of faults."""
    short = files[path] * (_LONG // (len(files[path]) or 1))

    def more(text: str) -> float:
        return _cpu(lambda: prepare.findings(found, values, {**files, path: text})) - usual

    single = more(short)
    return more(short * 2) / single if single > _MEASURABLE else 1.0


def _cpu(work: Callable[[], object]) -> float:
    """The least of some rounds: what one costs above that is other work of the machine."""
    return min(_once(work) for _ in range(_ROUNDS))


def _once(work: Callable[[], object]) -> float:
    before = _used()
    work()
    return _used() - before


def _used() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def run(say: Callable[[str], None]) -> dict[str, Cost]:
    """Costs by family."""
    say("checks of answer files")
    return {family: measure(family) for family in golden.families()}
