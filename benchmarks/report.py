"""Findings as the tables in docs/performance.md: ratios first, nothing that names the machine."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.checks import Cost
from benchmarks.flood import Answers
from benchmarks.load import Result
from benchmarks.scenarios import CALLS, NGINX, OURS, STARLETTE, Findings
from benchmarks.statistics import Rounds, middle, percentile, ratio
from benchmarks.storm import Outcome

_PLACE = re.compile(r"(<!-- results -->\n).*?(<!-- end of results -->)", re.DOTALL)
_MB = 1e6


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def placed(page: str, results: str) -> str:
    """`page` with `results` where the last ones were."""
    assert _PLACE.search(page), "the page has no place for results"
    return _PLACE.sub(lambda m: m[1] + results + m[2], page)


def text(findings: Findings, command: str) -> str:
    parts = [_machine(command), "### Targets\n", _targets(findings)]
    for size, scenarios in findings.calls.items():
        parts += [f"### Calls, {size:,} hosts in the database\n", _calls(scenarios)]
    parts += ["### Boot media\n", _files(findings.files), "### Power cuts\n",
              _storms(findings.storms), _commands(findings.commands),
              "### Memory\n", _memory(findings),
              "### Checks of answer files\n", _checks(findings.checks)]  # fmt: skip
    return "\n".join(parts)


def _machine(command: str) -> str:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores = Path("/proc/cpuinfo").read_text().count("processor\t")
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False).stderr
    names = ["uvicorn", "granian", "starlette", "fastapi", "sqlalchemy"]
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"Made by `{command}` on {cores} cores of {cpu[1] if cpu else 'an unknown processor'},"
        f" shared by servers and load; Python {platform.python_version()}, {versions},"
        f" nginx {nginx.strip().rpartition('/')[2]}, SQLite.\n"
    )


def _rate(result: Result) -> float:
    return result.rate


def _targets(findings: Findings) -> str:
    rows = []
    local = CALLS[0]
    sizes = sorted(findings.calls)
    for size in sizes:
        rounds = findings.calls[size][local]
        rows.append([f"{local}, {size:,} hosts, to {STARLETTE}", "≥ 0.50",
                     _shown(ratio(rounds, OURS, STARLETTE, _rate))])  # fmt: skip
    small, large = (findings.calls[size][local] for size in (sizes[0], sizes[-1]))
    flat = ratio(large, OURS, STARLETTE, _rate) / ratio(small, OURS, STARLETTE, _rate)
    rows.append([f"the same, {sizes[-1]:,} hosts to {sizes[0]:,} hosts", "1", _shown(flat)])
    for name, rounds in findings.files.items():
        found = _shown(ratio(rounds, OURS, NGINX, _rate))
        rows.append([f"{name}, to {NGINX}", "≥ 0.90", found])
    for name, outcome in findings.storms.items():
        rows.append([f"{name}: p99", "< 1 s", f"{outcome.p99_ms / 1000:.3f} s"])
    rows.append(["chat commands meanwhile: p99", "< 3 s",
                 f"{findings.commands.p99_ms / 1000:.3f} s"])  # fmt: skip
    for family, cost in sorted(findings.checks.items(), key=lambda entry: -entry[1].growth)[:1]:
        rows.append([f"check of a file of twice the length ({family}), to once", "< 3",
                     _shown(cost.growth)])  # fmt: skip
    return table(["ratio", "target", "found"], rows)


def _shown(value: float) -> str:
    return f"{value:.2f}"


def _calls(scenarios: dict[str, Rounds]) -> str:
    def row(scenario: str, peer: str, rounds: Rounds) -> list[str]:
        found = rounds[peer]
        return [
            scenario, peer, f"{middle(found, _rate):,.0f}",
            *(_to(rounds, peer, other, _rate) for other in (STARLETTE, NGINX)),
            f"{middle(found, lambda r: r.p50_ms):.2f}", f"{middle(found, lambda r: r.p99_ms):.2f}",
            f"{middle(found, lambda r: r.cpu_us):,.0f}",
            f"{sum(r.cpu_seconds for r in found):.1f}", _errors(found),
            f"{found[-1].rss_bytes / _MB:.0f}",
        ]  # fmt: skip

    head = ["call", "peer", "requests/s", "to Starlette", "to nginx", "p50 ms", "p99 ms",
            "CPU µs each", "CPU s", "errors", "RSS MB"]  # fmt: skip
    return table(head, [row(s, p, rounds) for s, rounds in scenarios.items() for p in rounds])


def _to(rounds: Rounds, peer: str, other: str, of: Callable[[Result], float]) -> str:
    return _shown(ratio(rounds, peer, other, of)) if other in rounds else ""


def _errors(results: Sequence[Result]) -> str:
    return str(sum(result.errors for result in results))


def _files(files: dict[str, Rounds]) -> str:
    def row(name: str, peer: str, rounds: Rounds) -> list[str]:
        found = rounds[peer]
        return [
            name, peer, f"{middle(found, lambda r: r.bytes / r.seconds) / _MB:,.0f}",
            _to(rounds, peer, NGINX, _rate), f"{middle(found, lambda r: r.p99_ms):.0f}",
            f"{middle(found, lambda r: r.cpu_seconds / max(r.bytes, 1)) * 1e9:.2f}",
            _errors(found), f"{found[-1].rss_bytes / _MB:.0f}",
        ]  # fmt: skip

    head = ["file", "peer", "MB/s", "to nginx", "p99 ms", "CPU s per GB", "errors", "RSS MB"]
    return table(head, [row(n, p, rounds) for n, rounds in files.items() for p in rounds])


def _storms(storms: dict[str, Outcome]) -> str:
    rows = [
        [name, str(o.hosts), str(o.wrong), str(sum(n for s, n in o.statuses.items() if s >= 500)),
         str(o.errors), f"{o.p99_ms:.0f}", f"{o.seconds:.1f}"]
        for name, o in storms.items()
    ]  # fmt: skip
    head = ["storm", "hosts", "wrong script", "5xx", "no answer or other status", "p99 ms",
            "seconds in all"]  # fmt: skip
    return table(head, rows)


def _commands(answers: Answers) -> str:
    middle_ms = percentile(answers.milliseconds, 50)
    return (
        f"{answers.statuses.total():,} chat commands in one instant: {answers.errors} without an"
        f" answer, p50 {middle_ms:.0f} ms, p99 {answers.p99_ms:.0f} ms.\n"
    )


def _memory(findings: Findings) -> str:
    rows = []
    for size, scenarios in findings.calls.items():
        after = [f"{scenarios[name][OURS][-1].rss_bytes / _MB:.0f}" for name in CALLS]
        rows.append([f"{size:,}", f"{findings.resting[size] / _MB:.0f}", *after])
    return table(["hosts", "RSS MB at rest", *(f"after {name}" for name in CALLS)], rows)


def _checks(costs: dict[str, Cost]) -> str:
    rows = [
        [family, f"{cost.first * 1000:.0f}", f"{cost.check * 1000:.1f}",
         _shown(cost.check / cost.rendering), _shown(cost.growth)]
        for family, cost in costs.items()
    ]  # fmt: skip
    return table(["family", "first ms", "then ms", "to rendering", "growth"], rows)
