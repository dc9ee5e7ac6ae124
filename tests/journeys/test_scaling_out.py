"""Two services behind nginx and two workers on one PostgreSQL, as deploy/compose.yaml has them."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.test_verify import healthy
from tests.support import faults, mockups
from tests.support.bmc import PASSWORD, FaultyBmc
from tests.support.images import KERNEL
from tests.support.live import HOST, Fault, until
from tests.support.postgres import PostgresServer
from tests.support.service import PROFILE, ok
from tests.support.site import Site
from tests.support.ssh_server import SshServer

pytestmark = pytest.mark.slow


@pytest.fixture
def site(postgres: PostgresServer, tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, postgres.new_database(), DEPLOYER_POWER_NETWORKS="127.0.0.0/8") as site:
        yield site


@pytest.fixture
def bmc() -> Iterator[FaultyBmc]:
    with FaultyBmc(mockups.dell()) as bmc:
        yield bmc


@pytest.fixture
def installed(site: Site) -> Iterator[SshServer]:
    """The system on the machine's disk."""
    with SshServer(healthy, site.parts.ssh_public_key) as server:
        yield server


def test_a_machine_becomes_ready_while_a_service_and_a_worker_are_killed(
    site: Site, bmc: FaultyBmc, installed: SshServer
) -> None:
    ok(site.api.post("/api/v1/secrets", json={"name": "bmc", "value": PASSWORD}))
    ssh = {"address": "127.0.0.1", "port": installed.port}
    site.knows({**HOST, "power": bmc.settings, "ssh": ssh}, verify={"release": "12"})
    bmc.fault("POST", "Reset$", "do_and_hang")
    id_ = site.queues()
    until(lambda: bmc.resets, 15, "the restart")
    until(lambda: len(site.workers_at_work()) == 1, 10, "only the restart is in hand")
    (holder,) = site.workers_at_work()
    site.workers[holder].kill()

    machine = site.machine(address="127.0.1.1")
    machine.boots_installer()
    assert machine.phones_home("installer_started").status_code == 200
    until(lambda: site.who_answered("127.0.1.1") == {"serve1", "serve2"}, 5, "both had a part")
    site.services["serve1"].kill()
    assert machine.reports_disks().json()["action"] == "proceed"
    for percent in range(10, 100, 10):
        assert machine.progresses("writing", percent).status_code == 200
    assert machine.http.get("/images/live-x86_64/vmlinuz").content == KERNEL
    assert machine.phones_home("installer_finished").status_code == 200
    assert "kernel" not in machine.asks()
    keys = {"ssh_host_keys": [installed.host_key_line]}
    assert machine.phones_home("first_boot", keys).status_code == 200
    site.waits_for(id_, "ready", seconds=30)

    site.workers[holder].launch()
    until(lambda: not site.unfinished_effects(id_), 30, "its worker came back")
    assert bmc.resets == ["ForceRestart"], "never a second time"
    events = site.events(id_)
    moves = ("start", "answers_fetched", "installer_finished", "first_boot", "verified")
    assert [events.count(move) for move in moves] == [1] * len(moves), events


def _armed(site: Site, name: str, fault: Fault) -> None:
    """This service dies at `fault`, once it comes to it."""
    site.services[name].kill()
    site.services[name].launch(fault)
    site.waits_until_ready(name)


def test_what_a_machine_said_to_a_service_that_dies_over_it_is_said_to_the_other(
    site: Site,
) -> None:
    site.knows()
    id_ = site.queues()
    site.waits_for(id_, "booting")
    machine = site.machine(address="127.0.1.1")
    machine.installs()
    _armed(site, "serve1", faults.at_commit("after_commit", "first_boot"))
    for _ in range(4):  # nginx takes turns, so it comes to that service, too
        assert machine.phones_home("first_boot").status_code == 200
    assert not site.services["serve1"].is_alive
    site.waits_for(id_, "ready")
    assert [line["to"] for line in site.history(id_)].count("verifying") == 1


def test_what_a_person_asked_of_a_service_that_dies_over_it_is_not_asked_again(site: Site) -> None:
    site.knows()
    for name in site.services:
        _armed(site, name, faults.at_commit("after_commit", "created"))
    body = {"host": HOST["name"], "profile": PROFILE["name"]}
    key = {"Idempotency-Key": "the same"}
    assert site.api.post("/api/v1/deployments", json=body, headers=key).status_code == 502
    # The other one would have said that there is one already: it was not asked.
    again = ok(site.api.post("/api/v1/deployments", json=body, headers=key))
    for _ in range(4):  # none of it comes to the one that is not there
        listed = ok(site.api.get("/api/v1/deployments"))["items"]
        assert [item["id"] for item in listed] == [again["id"]]
    assert sum(service.is_alive for service in site.services.values()) == 1


def test_services_are_restarted_one_after_the_other_and_nobody_notices(site: Site) -> None:
    site.knows()
    id_ = site.queues()
    site.waits_for(id_, "booting")
    machine, over = site.machine(address="127.0.1.1"), threading.Event()
    machine.boots_installer()
    heard: Counter[str] = Counter()

    def calls(number: int) -> None:
        host = {
            "name": f"h{number}",
            "macs": [f"52:54:00:00:{number // 256:02x}:{number % 256:02x}"],
        }
        for what, answer in (
            ("people ask", site.api.get("/api/v1/hosts/web01")),
            ("people change", site.api.post("/api/v1/hosts", json=host)),
            ("machines ask", machine.http.get(f"/boot/ipxe?mac={machine.mac}")),
            ("machines say", machine.progresses("writing", number % 100)),
        ):
            heard[what if answer.is_success else f"{what}: {answer.status_code}"] += 1

    def call_again_and_again() -> None:
        for number in itertools.takewhile(lambda _: not over.is_set(), itertools.count()):
            calls(number)

    caller = threading.Thread(target=call_again_and_again)
    caller.start()
    for name, service in site.services.items():
        before = heard.total()
        service.terminate()
        assert service.wait() == 0
        service.launch()
        site.waits_until_ready(name)
        until(lambda: heard.total() > before + 8)  # noqa: B023
    over.set()
    caller.join(20)
    assert set(heard) == {"people ask", "people change", "machines ask", "machines say"}
