"""What is measured, of whom, and against what."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import checks, flood, load, nginx, storm
from benchmarks.checks import Cost
from benchmarks.fleet import Fleet, make
from benchmarks.flood import Answers
from benchmarks.peers import Peer, Running, free_port, running
from benchmarks.statistics import Rounds
from benchmarks.storm import Outcome
from deployer.settings import Settings

OURS = "Deployer"
STARLETTE = "Starlette on uvicorn"
GRANIAN = "Starlette on granian"
NGINX = "nginx"
BEHIND = "Deployer behind nginx"

_LOCAL, _INSTALLER = "boot script, no job", "boot script, installer"
_ANSWERS, _PHONE_HOME = "answer file", "phone-home"
CALLS = (_LOCAL, _INSTALLER, _ANSWERS, _PHONE_HOME)
FILES = {"kernel, 8 MB": "live-x86_64/vmlinuz", "initrd, 51 MB": "live-x86_64/initrd.img",
         "file, 64 MB": "bench/blob"}  # fmt: skip
_COMMANDS = 1000
_KEPT = 5000  # different requests per scenario; more would only fill wrk's memory


@dataclass(frozen=True)
class Plan:
    sizes: Sequence[int]
    rounds: int
    seconds: float
    storm_hosts: int
    storm_seconds: float


QUICK = Plan((1_000, 10_000), 2, 1, 1_000, 5)
FULL = Plan((1_000, 10_000, 100_000), 3, 2, 5_000, 60)


@dataclass
class Findings:
    """Everything that the report is made of."""

    calls: dict[int, dict[str, Rounds]] = field(default_factory=dict)
    files: dict[str, Rounds] = field(default_factory=dict)
    storms: dict[str, Outcome] = field(default_factory=dict)
    commands: Answers = field(default_factory=Answers)  # of a chat, during the last storm
    resting: dict[int, int] = field(default_factory=dict)  # bytes of memory before any load
    checks: dict[str, Cost] = field(default_factory=dict)  # by family


def deployer(settings: Settings, **more: str) -> Peer:
    """The service as it is run, with everything in it: API, worker, deadlines."""
    prefix = {
        "DATA_DIR": str(settings.data_dir), "LISTEN": f"127.0.0.1:{free_port()}",
        "MACHINE_LISTEN": "127.0.0.1:$port", "MACHINE_URL": "http://127.0.0.1:$port",
        # All load comes from one address here, and asks for the same hosts again and again.
        "BOOT_SCRIPT_LIMIT": "1000", "BOOT_REQUESTS_PER_MINUTE": "0", **more,
    }  # fmt: skip
    return Peer(
        OURS, [sys.executable, "-m", "deployer", "serve"], "http://127.0.0.1:$port/boot.ipxe",
        env={f"DEPLOYER_{name}": value for name, value in prefix.items()},
    )  # fmt: skip


def bare(name: str, server: str, folder: Path, urls: dict[str, str]) -> Peer:
    command = [sys.executable, "-m", "benchmarks.bare", server, "$port", str(folder)]
    return Peer(name, command, "http://127.0.0.1:$port/", urls)


class Bench:
    """One run in a folder of its own, which its caller removes."""

    def __init__(
        self, plan: Plan, work: Path, media: Path, others: Sequence[Peer],
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.plan, self.work, self.others, self.say = plan, work, others, say
        self.media = _with_blob(media, work / "media")
        self.static = work / "static"
        self.found = Findings()

    def run(self) -> Findings:
        for size in self.plan.sizes:
            self._with_hosts(size, last=size == self.plan.sizes[-1])
        self.found.checks = checks.run(self.say)
        return self.found

    def _with_hosts(self, size: int, last: bool) -> None:
        self.say(f"{size} hosts: filling the database")
        settings = Settings(data_dir=self.work / f"data{size}")
        fleet = make(settings, size, self.media)
        with ExitStack() as stack:
            ours = stack.enter_context(running(deployer(settings), self.work / f"ours{size}"))
            self.found.resting[size] = ours.usage().rss_bytes
            self._calls(ours, fleet)
            if last:
                self._files(ours, settings)
        if last:
            self._storms(settings, fleet)

    # --- calls --------------------------------------------------------------------------------

    def _calls(self, ours: Running, fleet: Fleet) -> None:
        asked = _requests(fleet)
        replies = self.static / str(fleet.size)
        replies.mkdir(parents=True)
        for scenario, lines in asked.items():
            path = lines[0].split()[1]
            # A phone-home's reply is known; to ask for it would be to make the call.
            reply = b"ok\n" if scenario == _PHONE_HOME else ours.get(path)
            (replies / _slug(scenario)).write_bytes(reply)
        same = {scenario: f"/{_slug(scenario)}" for scenario in asked}
        peers = [
            nginx.static(self.work / f"nginx{fleet.size}", replies, same),
            bare(STARLETTE, "uvicorn", replies, same), bare(GRANIAN, "granian", replies, same),
            *self.others,
        ]  # fmt: skip
        with ExitStack() as stack:
            all_ = [ours, *self._start(stack, peers, fleet.size)]
            self.found.calls[fleet.size] = {
                scenario: self._rounds(scenario, all_, {OURS: lines}, connections=16)
                for scenario, lines in asked.items()
            }

    def _start(self, stack: ExitStack, peers: Sequence[Peer], part: object) -> list[Running]:
        return [
            stack.enter_context(running(peer, self.work / f"peer-{part}-{number}"))
            for number, peer in enumerate(peers)
        ]

    def _rounds(
        self, scenario: str, peers: list[Running], given: dict[str, list[str]], connections: int
    ) -> Rounds:
        """Peer after peer, round after round: whatever disturbs the machine disturbs all."""
        self.say(f"  {scenario}")
        asked = {peer.name: given.get(peer.name) or peer.lines(scenario) for peer in peers}
        results: Rounds = {name: [] for name, lines in asked.items() if lines}
        for _ in range(self.plan.rounds):
            for peer in peers:
                if lines := asked[peer.name]:
                    result = load.put(peer, lines, self.plan.seconds, connections)
                    results[peer.name].append(result)
        return results

    # --- files --------------------------------------------------------------------------------

    def _files(self, ours: Running, settings: Settings) -> None:
        images = settings.images_dir
        accel = deployer(
            settings, ACCEL_REDIRECT="/protected/images", TRUSTED_PROXIES="127.0.0.1"
        )  # fmt: skip
        own = {name: f"/images/{path}" for name, path in FILES.items()}
        plain = {name: f"/{path}" for name, path in FILES.items()}
        sent = {name: f"/files/{path}" for name, path in FILES.items()}
        with ExitStack() as stack:
            behind = stack.enter_context(running(accel, self.work / "behind"))
            all_ = [ours, *self._start(stack, [
                nginx.static(self.work / "nginx-files", images, plain),
                nginx.in_front(self.work / "nginx-front", behind.port, images, own),
                bare(STARLETTE, "uvicorn", images, sent), bare(GRANIAN, "granian", images, sent),
                *self.others,
            ], "files")]  # fmt: skip
            for name in FILES:
                lines = {OURS: [f"GET {own[name]}"]}
                self.found.files[name] = self._rounds(name, all_, lines, connections=4)

    # --- power cuts ---------------------------------------------------------------------------

    def _storms(self, settings: Settings, fleet: Fleet) -> None:
        """A tenth of the hosts with a job, as in the database."""
        count, slowly = self.plan.storm_hosts, self.plan.storm_seconds
        flood.prepare(settings)
        people = free_port()
        service = deployer(
            settings, BOOT_REQUESTS_PER_MINUTE="600", LISTEN=f"127.0.0.1:{people}"
        )  # fmt: skip
        with running(service, self.work / "storm") as on:
            self._storm(f"{count} boots within {slowly:.0f} s", on, fleet, slowly)
            self._storm(f"{count} boots all at once", on, fleet, 0.0)
            with flood.flood(people, _COMMANDS) as self.found.commands:
                name = f"{count} boots within {slowly:.0f} s, {_COMMANDS} chat commands"
                self._storm(name, on, fleet, slowly)

    def _storm(self, name: str, on: Running, fleet: Fleet, seconds: float) -> None:
        self.say(name)
        count = self.plan.storm_hosts
        jobs = count // 10
        # Other hosts than before: each deployment belongs to the first address that asks.
        first = (len(self.found.storms) + 1) * jobs
        armed, idle = fleet.armed[-first:][:jobs], fleet.idle[: count - jobs]
        self.found.storms[name] = storm.run(on.port, armed, idle, seconds)


def _requests(fleet: Fleet) -> dict[str, list[str]]:
    """Of answers and phone-home, each has tokens of its own: a call closes the answers."""
    half = len(fleet.answers) // 2

    def script(mac: str) -> str:
        return (
            f"GET /boot/ipxe?mac={mac.replace(':', '-')}&uuid=&serial=&arch=x86_64&platform=pcbios"
        )

    return {
        _LOCAL: [script(mac) for mac in fleet.idle[:_KEPT]],
        _INSTALLER: [script(mac) for mac in fleet.armed[: min(_KEPT, len(fleet.armed) // 2)]],
        _ANSWERS: [f"GET /d/{token}/answers/plan.json" for token in fleet.answers[:half]],
        _PHONE_HOME: [
            f"POST /d/{token}/phone-home/installer_started {{}}"
            for token in fleet.phone_home[half:]
        ],
    }


def _slug(scenario: str) -> str:
    return "".join(letter for letter in scenario if letter.isalpha())


def _with_blob(media: Path, folder: Path) -> Path:
    """The images in `media`, and one with a file of 64 MB."""
    folder.mkdir(parents=True)
    for image in sorted(media.iterdir()):
        (folder / image.name).symlink_to(image.resolve())
    blob = folder / "bench"
    blob.mkdir()
    content = bytes(range(256)) * 4096 * 64
    (blob / "blob").write_bytes(content)
    entry = {"path": "blob", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest = {"name": "bench", "kind": "raw", "arch": "x86_64", "files": [entry]}
    (blob / "image.json").write_text(json.dumps(manifest))
    return folder
