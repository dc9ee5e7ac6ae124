"""The service as a process of its own, so that it can be killed; and machines that call it.

Processes are forked from one that has imported everything already: a start takes a moment.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx

from deployer.app import build_parts
from deployer.cli import main
from deployer.drivers.power.fake import Fake
from deployer.observe import configure_logging
from deployer.services import effects, people
from deployer.services.parts import Parts, utc_now
from deployer.settings import Settings
from tests.support.machine import FakeMachine
from tests.support.postgres import free_port
from tests.support.service import PROFILE, ok

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.support.live", "deployer.serve", "tests.support.faults"])

HOST = {"name": "web01", "macs": ["52:54:00:12:34:56"]}


def until(true: Callable[[], Any], seconds: float = 10, what: str | Callable[[], Any] = "") -> Any:
    """The first true answer; AssertionError when there is none in time."""
    began = time.monotonic()
    end = began + seconds
    while not (answer := true()):
        assert time.monotonic() < end, (
            f"not within {seconds} s: {what() if callable(what) else what}"
        )
        # The longer it takes, the seldomer: asking takes time from the machine in QEMU.
        time.sleep(min(0.5, max(0.01, (time.monotonic() - began) / 20)))
    return answer


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


Fault = Callable[[], None] | None


def _serve(settings: Settings, log: Path, power_log: Path, worker: bool, fault: Fault) -> None:
    _begin(log, power_log, fault)
    from deployer import serve

    configure_logging("json")
    serve.serve(build_parts(settings), with_worker=worker)


def _work(settings: Settings, log: Path, power_log: Path, fault: Fault) -> None:
    _begin(log, power_log, fault)
    from deployer import serve

    configure_logging("json")
    serve.work(build_parts(settings))


def run_command(
    words: list[str], environment: dict[str, str], log: Path, power_log: Path, fault: Fault
) -> None:
    """What `deployer WORDS` does in an empty folder, with this environment alone."""
    os.chdir(environment["HOME"])
    os.environ.clear()
    os.environ.update(environment)
    _begin(log, power_log, fault)
    main(words)


def _begin(log: Path, power_log: Path, fault: Fault) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _power_on_paper(power_log)
    if fault:
        fault()


def _power_on_paper(path: Path) -> None:
    """The fake switch also writes down what it was told, and for which effect, where a killed
    process cannot take it."""
    begin, act, thread = effects._begin, Fake._act, threading.local()

    def begun(parts: Parts, effect_id: str, offer: int) -> Any:
        thread.effect = effect_id
        return begin(parts, effect_id, offer)

    def written(self: Fake, what: str) -> str:
        said = act(self, what)
        with path.open("a") as file:
            file.write(f"{self.settings.name} {thread.effect} {what}\n")
        return said

    effects._begin = begun
    Fake._act = written  # type: ignore[method-assign]


class Child:
    """A process that may be started, killed and stopped again and again.

    `run` is what it does, with `args` and a fault.
    """

    def __init__(self, run: Callable[..., None], *args: Any) -> None:
        self.run, self.args = run, args
        self.process: Any = None

    def launch(self, fault: Fault = None) -> Self:
        """Start the process and do not wait for it; `fault` runs in it, before the service does."""
        self.process = PROCESSES.Process(target=self.run, args=(*self.args, fault), daemon=True)
        self.process.start()
        return self

    @property
    def is_alive(self) -> bool:
        return self.process is not None and bool(self.process.is_alive())

    def kill(self) -> None:
        if self.is_alive:
            os.kill(self.process.pid, signal.SIGKILL)
        self.wait()

    def terminate(self) -> None:
        os.kill(self.process.pid, signal.SIGTERM)

    def wait(self, seconds: float = 20) -> int | None:
        """Its exit code; negative when a signal ended it."""
        if self.process is None:
            return None
        self.process.join(seconds)
        code: int | None = self.process.exitcode
        return code


class Deed(NamedTuple):
    """An act of a fake power switch, and the id of the effect that it was."""

    switch: str
    effect: str
    what: str


class Remote:
    """A service as it is seen over the network; `api` calls as an admin."""

    def __init__(self, url: str, machine_url: str, token: str, power_log: Path) -> None:
        self.url, self.machine_url, self.token = url, machine_url, token
        self.power_log = power_log
        self.api = self.client()

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=15)

    def is_ready(self) -> bool:
        return answers(f"{self.url}/readyz")

    def machine(self, mac: str = HOST["macs"][0], address: str = "127.0.0.1") -> LiveMachine:
        return LiveMachine(self.machine_url, mac, address)

    def knows(self, *hosts: dict[str, Any], **profile: Any) -> None:
        for host in hosts or (HOST,):
            ok(self.api.post("/api/v1/hosts", json=host))
        ok(self.api.post("/api/v1/profiles", json={**PROFILE, **profile}))

    def queues(self, host: str = "web01") -> str:
        body = {"host": host, "profile": PROFILE["name"]}
        return str(ok(self.api.post("/api/v1/deployments", json=body))["id"])

    def deployment(self, id_: str) -> dict[str, Any]:
        return ok(self.api.get(f"/api/v1/deployments/{id_}"))

    def state(self, id_: str) -> str:
        return str(self.deployment(id_)["state"])

    def waits_for(self, id_: str, *states: str, seconds: float = 15) -> None:
        until(lambda: self.state(id_) in states, seconds, f"{id_} in {states}")

    def history(self, id_: str) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = ok(self.api.get(f"/api/v1/deployments/{id_}/events"))["items"]
        return lines

    def events(self, id_: str) -> list[str]:
        return [line["event"] for line in self.history(id_)]

    def waits_for_event(self, id_: str, event: str) -> None:
        until(lambda: event in self.events(id_), 15, lambda: f"{event} in {self.events(id_)}")

    def told(self, switch: str) -> list[str]:
        """What the fake power switch of this name was told, by any process so far."""
        return [deed.what for deed in self.deeds() if deed.switch == switch]

    def deeds(self) -> list[Deed]:
        """What all of them were told."""
        lines = self.power_log.read_text().splitlines() if self.power_log.exists() else []
        return [Deed(*line.split()[:3]) for line in lines]

    def expects_told(self, switch: str, acts: list[str]) -> None:
        """It comes to these acts, and to no more while nobody asks for any."""
        until(lambda: len(self.told(switch)) >= len(acts), 10, lambda: str(self.told(switch)))
        time.sleep(0.3)
        assert self.told(switch) == acts


class LiveService(Child, Remote):
    """Context manager: the service on these data; `worker`: does it do a worker's part, too?"""

    def __init__(self, settings: Settings, *, worker: bool = True) -> None:
        ports = [free_port(), free_port()]
        self.settings = settings.model_copy(
            update={
                "listen": f"127.0.0.1:{ports[0]}", "machine_listen": f"127.0.0.1:{ports[1]}",
                "machine_url": f"http://127.0.0.1:{ports[1]}", "installs_per_hour": 100_000,
            }
        )  # fmt: skip
        self.log = settings.data_dir / "service.log"
        self.worker = worker
        power_log = settings.data_dir / "power.log"
        Child.__init__(self, _serve)
        url = f"http://{self.settings.listen}"
        Remote.__init__(self, url, self.settings.machine_url, self._make_token(), power_log)

    def launch(self, fault: Fault = None) -> Self:
        """With the settings as they are by now."""
        self.args = (self.settings, self.log, self.power_log, self.worker)
        return super().launch(fault)

    def _make_token(self) -> str:
        parts = self.parts()
        try:
            return make_ready(parts, self.settings.listen)
        finally:
            parts.database.dispose()

    def parts(self) -> Parts:
        """To look into its database from here; the caller disposes."""
        return build_parts(self.settings, create=True)

    def __enter__(self) -> LiveService:
        return self

    def __exit__(self, *_: object) -> None:
        self.api.close()
        self.kill()

    def start(self, fault: Fault = None) -> LiveService:
        """Start, and wait until it says that it is ready."""
        self.launch(fault)
        until(lambda: self.is_ready() or not self.is_alive, 20, "ready")
        assert self.is_alive, self.log.read_text()[-3000:]
        return self

    def restart(self) -> LiveService:
        self.kill()
        return self.start()

    def has_worker(self, name: str) -> Child:
        """A worker of this name beside it; not started."""
        settings = self.settings.model_copy(update={"worker_name": name})
        return Child(_work, settings, self.log, self.power_log)


def make_ready(parts: Parts, name: str) -> str:
    """Put small images in place; the secret of a new token of an admin."""
    from tests.support.images import register_images

    register_images(parts)
    with parts.database.writing() as session:
        _, secret = people.create_token(
            session, name, people.Role.ADMIN, timedelta(days=1), utc_now()
        )
    return secret


class LiveMachine(FakeMachine):
    """A machine that calls over real connections, one per request, as firmware and curl do."""

    def __init__(self, url: str, mac: str, address: str) -> None:
        self.mac, self.address = mac, address
        self.http = httpx.Client(  # type: ignore[assignment]
            base_url=url, headers={"Connection": "close"}, timeout=15,
            transport=httpx.HTTPTransport(local_address=address),
        )  # fmt: skip
        self.plan_url, self.plan = None, {}


def in_parallel(*calls: Callable[[], Any]) -> list[Any]:
    """All at the same moment, each in a thread; their results in order. An error is raised."""
    results: list[Any] = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def run(number: int) -> None:
        gate.wait()
        try:
            results[number] = calls[number]()
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
