"""From a real dnsmasq to a deployment's history: what a person sees of a machine that boots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deployer.netboot.supervisor import Ears
from deployer.services import deadlines, netboot
from tests.support.live import until
from tests.support.netboot import (
    BIG,
    KNOWN,
    OURS,
    PATIENCE,
    Supervised,
    open_folder,
    plan,
    supervised,
)
from tests.support.netns import Segment, needs_root
from tests.support.pxe import PxeClient
from tests.support.service import MAC, Service
from tests.support.tftp import NOT_FOUND, TftpClient, TftpError

pytestmark = [needs_root, pytest.mark.parametrize("backend", ["sqlite"], indirect=True)]


@pytest.fixture
def place() -> Iterator[tuple[Segment, Path]]:
    with Segment() as segment, open_folder() as folder:
        yield segment, folder


@contextmanager
def recorded(segment: Segment, folder: Path, service: Service) -> Iterator[Supervised]:
    """A supervisor that writes to the service's database."""
    made = plan(folder)
    recorder = netboot.Recorder(service.parts, made)
    ears = Ears(recorder.hosts, recorder.happened, lambda _health: None)
    with supervised(segment, made, ears=ears) as supervisor:
        netboot.beat(service.parts, made, supervisor.supervisor.health())
        yield supervisor


def first_cause(service: Service, id_: str) -> str:
    with service.parts.database.reading() as session:
        return deadlines.explanation(session, service.row(id_), service.clock()).causes[0]


def netboot_lines(service: Service, id_: str) -> list[tuple[Any, ...]]:
    return [
        (line["event"], line["detail"].get("file"))
        for line in service.history(id_)
        if line["by"] == "netboot"
    ]


@pytest.mark.slow
def test_each_step_of_a_machine_stands_in_its_history_and_changes_the_explanation(
    service: Service, place: tuple[Segment, Path]
) -> None:
    assert MAC == KNOWN
    segment, folder = place
    service.knows()
    id_ = service.deploys()
    with recorded(segment, folder, service):
        assert "not one DHCP question of it has come" in first_cause(service, id_)
        address = str(PxeClient(segment.client).boots().address)
        until(lambda: "never asked for the file" in first_cause(service, id_), PATIENCE)
        with segment.client.has(address):
            tftp = TftpClient(segment.client, OURS)
            with pytest.raises(TftpError) as refused:
                tftp.reads("bootx64.efi")
            assert refused.value.code == NOT_FOUND
            until(
                lambda: "told to fetch bootx64.efi, which the" in first_cause(service, id_),
                PATIENCE,
            )
            tftp.asks_the_size(BIG)
            tftp.reads(BIG, blksize=1468)
        PxeClient(segment.client, ipxe=True).boots()
        until(lambda: "did not fetch it" in first_cause(service, id_), PATIENCE)
        service.machine(address=address).http.get(f"/boot/ipxe?mac={MAC}")
        until(lambda: "kernel or initrd" in first_cause(service, id_), PATIENCE)
    assert netboot_lines(service, id_) == [
        ("dhcp_offer", BIG), ("dhcp_ack", BIG), ("tftp_missing", "bootx64.efi"),
        ("tftp_read", BIG), ("dhcp_script", "http://10.77.0.1:8081/boot.ipxe"),
    ]  # fmt: skip
