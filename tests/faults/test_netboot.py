"""dnsmasq that dies, configuration that is half-written, a database that is away, and storms."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from deployer.netboot import dhcp
from deployer.netboot.dnsmasq import KnownHost, Mode
from deployer.netboot.events import Kind
from deployer.netboot.supervisor import Ears
from tests.support.live import until
from tests.support.netboot import (
    BIG,
    KNOWN,
    OURS,
    PATIENCE,
    SECURE,
    STRANGER,
    Server,
    alive,
    in_threads,
    loaders_image,
    open_folder,
    plan,
    supervised,
)
from tests.support.netns import Segment, needs_root
from tests.support.pxe import PxeClient
from tests.support.tftp import TftpClient

pytestmark = [needs_root, pytest.mark.slow]


@pytest.fixture
def segment() -> Iterator[Segment]:
    with Segment() as segment:
        yield segment


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def boots(segment: Segment, mac: str = KNOWN, file: str = "snponly.efi") -> bool:
    return [r.file for r in PxeClient(segment.client, mac).discovers(2)] == [file]


def is_left_alone(segment: Segment, mac: str) -> bool:
    return PxeClient(segment.client, mac).discovers(0.5) == []


def test_f054_a_dnsmasq_that_is_killed_again_and_again_comes_back(
    segment: Segment, folder: Path
) -> None:
    with supervised(segment, plan(folder)) as netboot:
        for times in (1, 2):
            pid = netboot.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            until(lambda: "dnsmasq ended" in netboot.problems(), PATIENCE)
            until(lambda: boots(segment), PATIENCE)
            assert netboot.supervisor.health().restarts == times
            assert netboot.pid != pid
        until(lambda: netboot.problems() == "", PATIENCE, netboot.problems)
        assert netboot.health, "the service was told, too"


def test_f054_a_broken_fragment_changes_nothing_but_the_health(
    segment: Segment, folder: Path
) -> None:
    fragment = folder / "own.conf"
    fragment.write_text("dhcp-option=option:ntp-server,10.77.0.1\n")
    with supervised(segment, plan(folder), fragment) as netboot:
        pid = netboot.pid
        fragment.write_text("dhcp-option=option:ntp-server,10.77.0.1\ndhcp-ran")
        until(lambda: "own.conf" in netboot.problems(), PATIENCE)
        assert "bad option at line" in netboot.problems()
        assert netboot.pid == pid and boots(segment)
        # Whatever happens now: it starts again with what was good.
        os.kill(pid or 0, signal.SIGKILL)
        (folder / "br0" / "dnsmasq.conf").write_text("half a li")
        until(lambda: netboot.pid not in (None, pid), PATIENCE)
        until(lambda: boots(segment), PATIENCE)
        fragment.write_text("dhcp-option=option:ntp-server,10.77.0.2\n")
        asks = PxeClient(segment.client, extra={55: bytes([42])})
        new = [bytes([10, 77, 0, 2])]
        until(lambda: [offer.options.get(42) for offer in asks.discovers()] == new, PATIENCE)
        assert netboot.problems() == ""


def test_f054_a_wrong_fragment_at_the_start_is_refused_by_its_line(folder: Path) -> None:
    from deployer.errors import ConfigurationError
    from deployer.netboot.supervisor import Ears, Supervisor

    fragment = folder / "own.conf"
    fragment.write_text("no-such-option\n")
    ears = Ears(known=list, happened=lambda _: None, beat=lambda _: None)
    with pytest.raises(ConfigurationError, match=r"own\.conf: bad option at line \d+"):
        Supervisor(plan(folder), folder / "br0", ears, fragment).run()


def test_a_new_host_is_known_within_seconds_and_without_a_restart(
    segment: Segment, folder: Path
) -> None:
    with supervised(segment, plan(folder, known_only=True)) as netboot:
        pid = netboot.pid
        assert is_left_alone(segment, STRANGER)
        netboot.known.append(KnownHost(STRANGER))
        until(lambda: boots(segment, STRANGER), PATIENCE)
        netboot.known.pop()
        until(lambda: is_left_alone(segment, STRANGER), PATIENCE)
        assert netboot.pid == pid, "dnsmasq 2.90 aborts when it reads hosts with tags again"


def test_a_host_that_is_marked_secure_boot_is_given_the_signed_chain_from_then_on(
    segment: Segment, folder: Path
) -> None:
    with supervised(segment, plan(folder)) as netboot:
        assert boots(segment)
        netboot.known[:] = [KnownHost(KNOWN, secure_boot=True)]
        until(lambda: boots(segment, file="shimx64.efi"), PATIENCE)
        assert netboot.supervisor.health().restarts == 0, "meant, and no fault"


def test_without_the_database_known_machines_boot_all_the_same(
    segment: Segment, folder: Path
) -> None:
    with supervised(segment, plan(folder, known_only=True)) as netboot:
        netboot.database_is_away = True
        until(lambda: "the database is away" in netboot.problems(), PATIENCE)
        assert boots(segment)
        netboot.database_is_away = False
        until(lambda: netboot.problems() == "", PATIENCE, netboot.problems)


def test_without_the_database_at_the_start_secure_hosts_get_nothing_unsigned(
    segment: Segment, folder: Path
) -> None:
    made = plan(folder)
    with supervised(segment, made):
        assert boots(segment, SECURE, "shimx64.efi")

    def away() -> list[KnownHost]:
        raise ConnectionError("the database is away")

    ears = Ears(away, lambda _events: None, lambda _health: None)
    with supervised(segment, made, ears=ears):
        assert boots(segment, SECURE, "shimx64.efi")
        assert boots(segment, KNOWN, "snponly.efi")


def test_a_reader_whose_dhcp_was_another_servers_is_known_by_its_card(
    segment: Segment, folder: Path
) -> None:
    """In proxy mode the address comes from elsewhere, and dnsmasq's lines do not name it."""
    segment.client.ip("link", "set", "eth0", "address", STRANGER)
    with supervised(segment, plan(folder, Mode.PROXY)) as netboot, segment.client.has("10.77.0.8"):
        TftpClient(segment.client, OURS).reads("undionly.kpxe")
        until(lambda: [e for e in netboot.events if e.kind is Kind.READ], PATIENCE)
        (read,) = [e for e in netboot.events if e.kind is Kind.READ]
        assert (read.mac, read.address, read.file) == (STRANGER, "10.77.0.8", "undionly.kpxe")
        assert read.size == (folder / "loaders" / "undionly.kpxe").stat().st_size


def _command(segment: Segment, folder: Path, *more: str) -> subprocess.Popen[str]:
    """`deployer netboot` as a process, with an image and a database of its own."""
    environment = {
        **os.environ, "DEPLOYER_DATA_DIR": str(folder / "data"),
        "DEPLOYER_NETBOOT_DIR": str(folder / "netboot"), "DEPLOYER_LOG_FORMAT": "text",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }  # fmt: skip
    run = [sys.executable, "-m", "deployer"]
    image = str(loaders_image(folder))
    done = subprocess.run([*run, "image", "add", image], env=environment, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return segment.server.start(
        *run, "netboot", "--interface", "br0", *more, env=environment, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def _children(pid: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_dnsmasq_outlives_its_supervisor(
    segment: Segment, folder: Path, number: signal.Signals
) -> None:
    process = _command(segment, folder, "--mode", "full", "--range", "10.77.0.100,10.77.0.200")
    until(lambda: boots(segment), 20, lambda: str(process.poll()))
    (dnsmasq,) = _children(process.pid)
    assert os.stat(f"/proc/{dnsmasq}").st_uid != 0, "it has no need to be root"  # noqa: PTH116
    process.send_signal(number)
    assert process.wait(10) == (0 if number is signal.SIGTERM else -signal.SIGKILL)
    until(lambda: not alive(dnsmasq), PATIENCE)


# --- storms ---------------------------------------------------------------------------------------

MACHINES = 1000
ROOM = [f"52:54:00:00:{n >> 8:02x}:{n & 255:02x}" for n in range(MACHINES)]


def test_f066_the_first_offer_comes_within_a_second_in_a_storm(
    segment: Segment, folder: Path
) -> None:
    """1,000 machines ask at once while 20 read their loader; one that matters comes in between."""
    with supervised(segment, plan(folder)) as netboot:
        netboot.known += [KnownHost(mac) for mac in ROOM]
        until(lambda: ROOM[-1] in netboot.supervisor.plan.hosts_file.read_text(), PATIENCE)
        with segment.client.has("10.77.15.254"):
            reads = [lambda: TftpClient(segment.client, OURS, 10).reads(BIG, blksize=1468)] * 20
            results = in_threads([lambda: _storm(segment), lambda: _one_that_matters(segment),
                                  *reads])  # fmt: skip
        offered, seconds = results[0], results[1]
        assert set(offered) == set(ROOM), "every one was offered an address"
        assert len(set(offered.values())) == MACHINES, "and each an address of its own"
        assert seconds < 1
        sizes = {len(transfer.content) for transfer in results[2:]}
        assert sizes == {(folder / "loaders" / BIG).stat().st_size}
        counts = netboot.supervisor._parser.counts
        until(lambda: counts[Kind.OFFER] >= MACHINES, PATIENCE, lambda: str(counts))


def _storm(segment: Segment) -> dict[str, str]:
    """The address that each was offered; whoever hears nothing asks again, as firmware does."""
    offered: dict[str, str] = {}
    with contextlib.closing(PxeClient(segment.client).socket()) as udp:
        listener = threading.Thread(target=_listen, args=(udp, offered))
        listener.start()
        for _ in range(5):
            for mac in [mac for mac in ROOM if mac not in offered]:
                options = PxeClient(segment.client, mac).options()
                packet = dhcp.request(dhcp.DISCOVER, mac, random.getrandbits(32), options)
                udp.sendto(packet, ("255.255.255.255", 67))
                time.sleep(0.0005)
            time.sleep(0.5)
            if len(offered) == MACHINES:
                break
        listener.join()
    return offered


def _listen(udp: socket.socket, offered: dict[str, str]) -> None:
    udp.settimeout(1.5)
    with contextlib.suppress(TimeoutError):
        while len(offered) < MACHINES:
            reply = dhcp.parse(udp.recv(4096))
            if reply is not None and reply.kind == dhcp.OFFER and reply.mac in ROOM:
                offered[reply.mac] = str(reply.address)


def _one_that_matters(segment: Segment) -> float:
    """Seconds until a machine that comes in mid-storm has its first offer."""
    time.sleep(0.3)
    spans = []
    for _ in range(3):
        start = time.monotonic()
        assert PxeClient(segment.client, KNOWN).discovers(10)
        spans.append(time.monotonic() - start)
    return median(spans)


def test_f066_leases_and_transfers_are_sized_for_a_room_of_machines(
    segment: Segment, folder: Path
) -> None:
    made = plan(folder, Mode.FULL)
    server = Server(segment, made)
    config = (folder / "br0" / "dnsmasq.conf").read_text()
    assert "dhcp-lease-max=100000" in config
    assert "restricting maximum simultaneous TFTP transfers" not in server.log.read_text()
