"""Debian's own installer on a machine in QEMU, as far as the mirror at hand lets it come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployer.settings import Settings
from lab.machine import Machine
from lab.mirror import Mirror
from tests.support.lab import CACHE, Lab
from tests.support.service import ok

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
MIRROR_CACHE = CACHE / "lab/mirror"


@pytest.fixture
def lab(settings: Settings, tmp_path: Path) -> Iterator[Lab]:
    with Lab(settings, tmp_path) as lab:
        lab.has_installer()
        yield lab


def describes(lab: Lab, machine: Machine, mirror: Mirror, **profile: Any) -> None:
    lab.describes(
        machine, os="debian", release="12", mirror=mirror.url, locale="en_US.UTF-8", **profile,
    )  # fmt: skip


@pytest.mark.qemu
def test_f017_a_part_that_the_mirror_lacks_ends_the_deployment_before_the_disk_is_touched(
    lab: Lab,
) -> None:
    """The installer itself would show a question, and wait for ever."""
    machine = lab.a_machine("bios")
    with Mirror(MIRROR_CACHE, serves=lambda path: not path.endswith(".udeb")) as mirror:
        describes(lab, machine, mirror)
        id_ = lab.arms()
        with machine:
            lab.becomes(id_, "failed", machine)
    told = lab.deployment(id_)
    lines = ok(lab.api.get(f"/api/v1/deployments/{id_}/events"))["items"]
    events = [line["event"] for line in lines]
    assert events.index("answers_fetched") < events.index("installer_started")
    assert "the installer asks retriever/net/error and waits" in told["cause"]
    assert f"{mirror.url}{mirror.refused[0]}: 404: Not Found" in told["cause"]
    assert told["progress"]["stage"] == "retrieving"
    assert told["disk"] is None
    tail = lines[-1]["detail"]["log_tail"]
    assert "package retrieval failed" in tail
    assert told["logs"] == ["syslog"]
    syslog = lab.api.get(f"/api/v1/deployments/{id_}/logs/syslog").text
    assert "main-menu" in syslog
    assert "/d/" not in (tail + syslog).replace("/d/...", "")
    assert Path(machine.disks[0].path).stat().st_size < 300_000, "nothing was written"


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/Packages.xz", "the installer asks retriever/net/error and waits"),
        # Half of a Release file names no architecture.
        ("/Release", "the installer asks mirror/noarch and waits"),
    ],
    ids=["an index", "all there is"],
)
def test_f017_a_mirror_that_hangs_up_in_the_middle(lab: Lab, path: str, cause: str) -> None:
    machine = lab.a_machine("bios")
    with Mirror(MIRROR_CACHE, cuts=lambda asked: asked.endswith(path)) as mirror:
        describes(lab, machine, mirror)
        id_ = lab.arms()
        with machine:
            lab.becomes(id_, "failed", machine)
    told = lab.deployment(id_)
    assert told["cause"].startswith(cause)
    assert told["disk"] is None


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("firmware", "layout"), [("bios", "plain"), ("uefi", "lvm"), ("bios", "raid1")]
)
def test_a_complete_installation(lab: Lab, firmware: Any, layout: str) -> None:
    with Mirror(MIRROR_CACHE) as mirror:
        lacking = mirror.lacking("12")
        if lacking:
            pytest.skip(
                f"the mirror that apt uses here lacks {len(lacking)} parts of Debian's installer"
                f" ({lacking[0]}, ...), so a complete installation cannot be run"
            )
        disks = [lab.disk("a"), *([lab.disk("b")] if layout == "raid1" else [])]
        machine = lab.a_machine(firmware, *disks)
        describes(
            lab, machine, mirror, storage={"layout": layout, "disk": {"min_size": "5G"}},
            verify={"release": "12", "packages": ["openssh-server"]},
        )  # fmt: skip
        id_ = lab.arms()
        with machine:
            lab.becomes(id_, "ready", machine)
            assert lab.logs_in(machine, "hostname").startswith("web01")
