"""Two services behind nginx and two workers on one PostgreSQL, as deploy/compose.yaml has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.test_verify import healthy
from tests.support import mockups
from tests.support.bmc import PASSWORD, FaultyBmc
from tests.support.images import KERNEL
from tests.support.live import HOST, until
from tests.support.postgres import PostgresServer
from tests.support.service import ok
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
    (holder,) = site.workers_at_work()
    site.workers[holder].kill()

    machine = site.machine(address="127.0.1.1")
    machine.boots_installer()
    assert machine.phones_home("installer_started").status_code == 200
    assert site.who_answered("127.0.1.1") == {"serve1", "serve2"}
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
