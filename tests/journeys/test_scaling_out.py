"""Two services behind nginx and two workers on one PostgreSQL, as deploy/compose.yaml has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import PostgresServer
from tests.support.site import Site

pytestmark = pytest.mark.slow


@pytest.fixture
def site(postgres: PostgresServer, tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, postgres.new_database(), DEPLOYER_POWER_NETWORKS="127.0.0.0/8") as site:
        yield site


def test_a_machine_becomes_ready(site: Site) -> None:
    site.knows()
    id_ = site.queues()
    site.waits_for(id_, "booting")
    machine = site.machine(address="127.0.1.1")
    machine.installs()
    machine.phones_home("first_boot")
    site.waits_for(id_, "ready")
