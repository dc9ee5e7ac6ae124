"""A real dnsmasq with our configuration, asked by every kind of firmware."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from deployer.netboot import dhcp, process
from deployer.netboot.dnsmasq import Mode, Plan, Range, configuration
from deployer.netboot.events import Kind
from deployer.netboot.loaders import CLIENTS, Loader, Offer, choose
from tests.support.netboot import (
    KNOWN,
    OURS,
    SECURE,
    STRANGER,
    THEIRS,
    URL,
    Server,
    another_server,
    plan,
)
from tests.support.netns import Segment, needs_root
from tests.support.pxe import PxeClient

pytestmark = needs_root
CODES = [*CLIENTS, 27]


@pytest.fixture(scope="module")
def full(segment: Segment, folder: Path) -> Iterator[Server]:
    server = Server(segment, plan(folder))
    yield server
    server.stop()


def expected(plan: Plan, code: int, secure: bool, ipxe: bool) -> str:
    if ipxe:
        return f"{URL}/boot.ipxe"
    chosen = choose(code, plan.loader, secure, plan.loaders)
    if not isinstance(chosen, Offer):
        return ""
    return f"{URL}/images/loaders/{chosen.file}" if chosen.client.http else chosen.file


def client(segment: Segment, code: int, secure: bool, ipxe: bool = False) -> PxeClient:
    http = code in CLIENTS and CLIENTS[code].http
    return PxeClient(segment.client, SECURE if secure else KNOWN, code, http=http, ipxe=ipxe)


@pytest.mark.parametrize("ipxe", [False, True], ids=["firmware", "ipxe"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "secure"])
def test_full_mode_names_each_firmware_its_loader_and_ipxe_the_script(
    full: Server, secure: bool, ipxe: bool
) -> None:
    """No chain loop: iPXE is never given a loader again."""
    for code in CODES:
        reply = client(full.segment, code, secure, ipxe).boots()
        assert reply.file == expected(full.plan, code, secure, ipxe), code
        assert str(reply.server) == str(reply.next_server) == OURS
        http = code in CLIENTS and CLIENTS[code].http
        assert reply.vendor_class == ("HTTPClient" if http else ""), code


def test_ipxe_that_sends_no_user_class_is_known_by_its_own_option(full: Server) -> None:
    reply = replace(client(full.segment, 7, False), ipxe_option=True).boots()
    assert reply.file == f"{URL}/boot.ipxe"


def test_what_is_no_boot_firmware_gets_an_address_and_no_boot_file(full: Server) -> None:
    reply = PxeClient(full.segment.client, KNOWN, arch=None).boots()
    assert reply.file == ""
    assert int(reply.address)


@pytest.fixture(scope="module")
def proxy(folder: Path) -> Iterator[Server]:
    with Segment(others=("client", "other")) as segment:
        another_server(segment.others["other"], folder)
        server = Server(segment, plan(folder, Mode.PROXY))
        yield server
        server.stop()


@pytest.mark.parametrize("ipxe", [False, True], ids=["firmware", "ipxe"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "secure"])
def test_proxy_mode_adds_the_file_to_the_address_of_another_server(
    proxy: Server, secure: bool, ipxe: bool
) -> None:
    """UEFI asks for it on port 4011; BIOS and HTTP boot are told at once."""
    for code in CODES:
        lease, file = client(proxy.segment, code, secure, ipxe).boots_beside_proxy()
        assert str(lease.server) == THEIRS and lease.file == "", code
        assert str(file.server) == OURS and not int(file.address), code
        assert file.file == expected(proxy.plan, code, secure, ipxe), code
        http = code in CLIENTS and CLIENTS[code].http
        assert file.vendor_class == ("HTTPClient" if http else "PXEClient"), code


@pytest.mark.slow
def test_known_only_leaves_strangers_alone(segment: Segment, folder: Path, full: Server) -> None:
    full.stop()
    server = Server(segment, plan(folder, known_only=True))
    assert PxeClient(segment.client, STRANGER).discovers(patience=0.5) == []
    assert PxeClient(segment.client, KNOWN).boots().file == "snponly.efi"
    server.stop()
    assert Kind.IGNORED in {e.kind for e in server.events() if e.mac == STRANGER}


def test_a_relayed_network_has_its_own_range(segment: Segment, folder: Path, full: Server) -> None:
    """As a router sends it: from its address in that network, and is answered there."""
    full.stop()
    far = Range(*map(IPv4Address, ("10.79.0.100", "10.79.0.200", "255.255.255.0")))
    made = plan(folder)
    server = Server(segment, replace(made, ranges=(*made.ranges, far)))
    network, options = segment.client, PxeClient(segment.client).options()
    with network.has("10.77.0.9"), network.has("10.79.0.1"):
        segment.server.ip("route", "add", "10.79.0.0/24", "via", "10.77.0.9")
        with contextlib.closing(network.udp(("", 67))) as udp:
            udp.settimeout(2)
            packet = dhcp.request(dhcp.DISCOVER, STRANGER, 7, options, relay="10.79.0.1")
            udp.sendto(packet, (OURS, 67))
            reply = dhcp.parse(udp.recv(4096))
    server.stop()
    assert reply is not None and reply.file == "snponly.efi"
    assert str(reply.address).startswith("10.79.0.")


@pytest.mark.slow
def test_a_plan_gives_the_same_text_always_and_dnsmasq_accepts_each(folder: Path) -> None:
    draft = folder / "draft.conf"
    for mode in Mode:
        for loader in Loader:
            for size in (None, 512, 1468):
                made = plan(folder, mode, loader=loader, block_size=size, known_only=True)
                assert configuration(made) == configuration(made)
                draft.write_text(configuration(made))
                assert process.complaint(draft) is None
    draft.write_text("dhcp-range=nonsense\n")
    assert process.complaint(draft)


def test_no_dns_no_ipv6_and_no_other_interface(folder: Path) -> None:
    lines = configuration(plan(folder)).splitlines()
    assert {"port=0", "interface=br0", "except-interface=lo", "bind-dynamic"} <= set(lines)
    assert not [line for line in lines if line.startswith(("enable-ra", "dhcp-range=::"))]
