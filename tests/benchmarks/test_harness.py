"""The harness counts and compares as it says. What it measures is asserted nowhere."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import checks, fleet, flood, load, peers, report, scenarios, statistics, storm
from benchmarks.checks import Cost
from benchmarks.load import Result
from benchmarks.peers import Peer, PeerFailed, running
from benchmarks.scenarios import CALLS, GRANIAN, NGINX, OURS, STARLETTE, Findings
from deployer.app import build_parts
from deployer.settings import Settings
from deployer.store import boots
from tests.support.service import Service

ROOT = Path(__file__).parents[2]
SERVER = [sys.executable, "-m", "http.server", "--bind=127.0.0.1", "--directory=$work", "$port"]
URL = "http://127.0.0.1:$port/"


def result(rate: float, errors: int = 0) -> Result:
    return Result(int(rate * 2), 2.0, int(rate * 2000), 1.5, 9.0, errors, 0.5, 50_000_000)


# --- numbers ----------------------------------------------------------------------------------


def test_a_ratio_is_taken_within_each_round() -> None:
    rounds = {
        "a": [result(100), result(10), result(90)], "b": [result(200), result(20), result(90)],
    }  # fmt: skip
    assert statistics.ratio(rounds, "a", "b", lambda r: r.rate) == 0.5


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(1, 201)]
    assert statistics.percentile(values, 99) == 198
    assert statistics.percentile(values, 100) == 200
    assert statistics.percentile([7.0], 50) == 7
    with pytest.raises(ValueError, match="no values"):
        statistics.percentile([], 50)


def test_the_last_line_of_wrk_is_the_result() -> None:
    found = load.parse('Running 1s test\n  1 threads\n{"requests": 7, "seconds": 1.5}\n')
    assert found == {"requests": 7, "seconds": 1.5}
    with pytest.raises(PeerFailed, match="unable to connect"):
        load.parse("unable to connect to 127.0.0.1:1")


# --- peers ------------------------------------------------------------------------------------


def test_the_peers_of_the_documentation_can_be_read(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    file = tmp_path / "peers.toml"
    file.write_text(page.partition("```toml\n")[2].partition("```")[0])
    (peer,) = peers.read(file)
    assert set(peer.urls) <= {*CALLS, *scenarios.FILES}
    file.write_text('[[peer]]\nname = "x"\ncolour = "red"\n')
    with pytest.raises(PeerFailed, match=r"peers\.toml describes no peers: .*colour"):
        peers.read(file)


@pytest.mark.slow
def test_a_peer_is_asked_counted_and_stopped(tmp_path: Path) -> None:
    (tmp_path / "hello").write_text("hello")
    (tmp_path / "urls").write_text("/hello\nGET /hello\nGET /missing\n")
    peer = Peer("a", SERVER, f"{URL}hello", {"some": "@$work/urls", "one": "/hello"})
    with running(peer, tmp_path) as on:
        assert on.get("/hello") == b"hello"
        assert on.lines("none") is None
        assert on.lines("one") == ["GET /hello"]
        some = on.lines("some")
        assert some == ["GET /hello", "GET /hello", "GET /missing"]
        found = load.put(on, some, seconds=1, connections=2)
        process = on.process
    assert found.requests > 0 and found.rss_bytes > 1_000_000
    assert abs(found.errors - found.requests / 3) <= 2, "every third is a 404"
    assert process.poll() is not None


def test_a_peer_that_does_not_start_says_what_it_wrote(tmp_path: Path) -> None:
    broken = Peer("b", [sys.executable, "-c", "raise SystemExit('no such luck')"], URL)
    said = r"b does not answer.*\n.*no such luck"
    with pytest.raises(PeerFailed, match=said), running(broken, tmp_path):
        pass
    missing = Peer("c", ["no-such-program"], URL)
    with pytest.raises(PeerFailed, match="c cannot be started"), running(missing, tmp_path):
        pass


# --- hosts ------------------------------------------------------------------------------------


def test_the_fleet_in_the_database_is_what_it_says(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    settings = Settings(data_dir=tmp_path / "data")
    parts = build_parts(settings, create=True)
    from tests.support.images import register_images

    register_images(parts)
    try:
        made = fleet.make(settings, 50, media)
        assert (len(made.armed), len(made.installing), len(made.idle)) == (5, 20, 25)
        seen = Counter(
            found.state
            for mac in made.armed + made.installing + made.idle
            if (found := boots.glance(parts.database, mac))
        )
        assert seen == {"booting": 5, "installing": 20, None: 25}
    finally:
        parts.database.dispose()


def test_a_script_is_one_of_two_kinds() -> None:
    assert storm.kind(b"#!ipxe\nkernel http://x/d/y") == "installer"
    assert storm.kind(b"#!ipxe\nexit\n") == "local"
    assert storm.kind(b"Internal Server Error") == "neither"
    assert storm.address(0) == "127.1.0.0" and storm.address(70_000) == "127.2.17.112"


# --- report -----------------------------------------------------------------------------------


def canned() -> Findings:
    rates = {OURS: 600, NGINX: 2000, STARLETTE: 1000, GRANIAN: 1100}
    calls = {peer: [result(rate)] * 3 for peer, rate in rates.items()}
    outcome = storm.Outcome(100, 1, Counter({200: 97, 503: 2, 0: 1}), [10.0] * 99 + [500.0], 61.0)
    return Findings(
        calls={size: dict.fromkeys(CALLS, calls) for size in (1_000, 10_000)},
        files={"kernel, 8 MB": calls}, storms={"100 boots": outcome},
        commands=flood.Answers(Counter({200: 99, 0: 1}), [20.0] * 99 + [900.0]),
        resting={1_000: 10**8, 10_000: 11 * 10**7},
        checks={"plain": Cost(0.1, 0.004, 0.002, 2.1), "slow": Cost(0.2, 0.003, 0.002, 3.7)},
    )  # fmt: skip


def test_the_report_shows_ratios_errors_and_memory() -> None:
    text = report.text(canned(), "make bench")
    assert "| boot script, no job, 1,000 hosts, to Starlette on uvicorn | ≥ 0.50 | 0.60 |" in text
    assert "| the same, 10,000 hosts to 1,000 hosts | 1 | 1.00 |" in text
    assert "| kernel, 8 MB, to nginx | ≥ 0.90 | 0.30 |" in text
    assert "| 100 boots | 100 | 1 | 2 | 3 | 10 | 61.0 |" in text
    assert "100 chat commands in one instant: 1 without an answer, p50 20 ms, p99 20 ms." in text
    assert "| 10,000 | 110 | 50 | 50 | 50 | 50 |" in text
    row = "| answer file | Deployer | 600 | 0.60 | 0.30 | 1.50 | 9.00 | 417 | 1.5 | 0 | 50 |"
    assert row in text
    assert "| check of a file of twice the length (slow), to once | < 3 | 3.70 |" in text
    assert "| plain | 100 | 4.0 | 2.00 | 2.10 |" in text


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_commands_of_the_flood_are_understood(service: Service) -> None:
    flood.prepare(service.parts.settings)
    service.clock.now = datetime.now(UTC)
    for number in range(4):
        head, _, body = flood._request(number).partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        answer = service.api.post("/chat/slack", content=body, headers=headers)
        assert answer.status_code == 200
        assert "I do not know you yet" not in answer.text


@pytest.mark.slow
def test_a_family_is_measured() -> None:
    found = checks.measure("debian")
    assert min(found.first, found.check, found.rendering, found.growth) > 0


def test_results_replace_the_last_ones_and_nothing_else() -> None:
    page = "a\n<!-- results -->\nold \\1\n<!-- end of results -->\nb\n"
    placed = report.placed(page, "new \\1\n")
    assert placed == "a\n<!-- results -->\nnew \\1\n<!-- end of results -->\nb\n"


def test_the_published_results_name_no_machine() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert not any(place in page for place in ("/tmp", "/work", "/home", "/root", "127.0.0.1:8"))
