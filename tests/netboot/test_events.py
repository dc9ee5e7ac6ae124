"""dnsmasq's lines as events: captured ones, hostile ones, and live from a real dnsmasq."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.netboot.events import Event, Kind, Parser
from tests.support.live import until
from tests.support.netboot import BIG, KNOWN, OURS, SECURE, STRANGER, Server, plan
from tests.support.netns import Segment, needs_root
from tests.support.pxe import PxeClient
from tests.support.tftp import TftpClient

CAPTURED = Path(__file__).parent / "captured"
NIC = "52:54:00:00:00:99"


def told(*lines: str, root: str = "/srv/tftp") -> list[Event]:
    parser = Parser(root, {"snponly.efi": 173792})
    return [event for line in lines for event in parser.feed(line)] + parser.flush()


def shown(events: list[Event]) -> list[tuple[str, ...]]:
    return [
        tuple(str(x) for x in (e.kind, e.mac, e.address, e.arch, e.file) if x is not None)
        for e in events
    ]


def test_what_was_captured_in_full_mode_reads_as_one_story() -> None:
    events = told(*(CAPTURED / "full.log").read_text().splitlines())
    assert shown(events) == [
        ("dhcp_ignored", "52:54:00:00:aa:01", "7"),
        ("dhcp_offer", NIC, "10.77.0.106", "7", "snponly.efi"),
        ("dhcp_ack", NIC, "10.77.0.106", "7", "snponly.efi"),
        ("dhcp_offer", NIC, "10.77.0.106", "7", "snponly.efi"),
        ("dhcp_ack", NIC, "10.77.0.106", "7", "snponly.efi"),
        ("dhcp_offer", NIC, "10.77.0.106"),
        ("dhcp_ack", NIC, "10.77.0.106"),
        *[("tftp_read", "10.77.0.50", "snponly.efi")] * 2,
        ("tftp_aborted", "10.77.0.50"),
        ("tftp_missing", "10.77.0.50", "etc/passwd"),
        ("tftp_refused", "../../etc/passwd"),
        ("tftp_missing", "10.77.0.50", "nothing.efi"),
        ("tftp_missing", "10.77.0.50", "evilname sent /x to 1.2.3.4"),
        ("tftp_missing", "10.77.0.50", "a%s[0m"),
        ("tftp_refused", "10.77.0.50"),
        ("tftp_read", "10.77.0.50", "snponly.efi"),
        ("tftp_missing", "10.77.0.50", "srv"),
        *[("tftp_refused", "10.77.0.50")] * 2,
        ("tftp_timeout", "10.77.0.50", "snponly.efi"),
    ]
    assert [e.size for e in events if e.kind is Kind.READ] == [173792] * 3
    assert [e.pxe for e in events if e.kind is Kind.ACK] == [True, True, False]


def test_what_was_captured_in_proxy_mode_reads_as_one_story() -> None:
    events = told(*(CAPTURED / "proxy.log").read_text().splitlines())
    assert shown(events) == [
        ("proxy_file", NIC, "0", "undionly.kpxe"),
        ("proxy_offer", NIC, "6"),
        ("proxy_file", NIC, "6", "grub-i386.efi"),
        ("proxy_offer", NIC, "7"),
        ("proxy_file", NIC, "7", "snponly.efi"),
        ("proxy_offer", NIC, "9"),
    ]


def test_files_that_a_loader_tries_first_and_need_not_be_there_are_no_event() -> None:
    names = [
        "pxelinux.cfg/01-52-54-00-12-34-56", "pxelinux.cfg/0A4D00AC", "grub/x86_64-efi/fs.lst",
        "grub/grub.cfg-01-52-54-00-12-34-56", "grub/locale/en.mo", "revocations.efi",
    ]  # fmt: skip
    lines = [f"dnsmasq-tftp[1]: file /srv/tftp/{n} not found for 10.77.0.50" for n in names]
    assert told(*lines) == []


@given(st.text(max_size=300))
def test_no_line_makes_the_parser_fail(text: str) -> None:
    for prefix in ("", "dnsmasq-dhcp[1]: ", "dnsmasq-dhcp[1]: 77 ", "dnsmasq-tftp[1]: "):
        told(prefix + text)


@given(st.text(alphabet=st.characters(min_codepoint=32), max_size=200))
def test_what_a_client_calls_itself_makes_no_event(text: str) -> None:
    for what in ("vendor class", "user class", "client provides name"):
        assert told(f"dnsmasq-dhcp[1]: 77 {what}: {text}") == []


def test_a_name_as_long_as_a_packet_is_cut(segment: Segment) -> None:
    (event,) = told(f"dnsmasq-tftp[1]: file /srv/tftp/{'a' * 5000} not found for 10.77.0.50")
    assert len(event.file or "") == 200


# --- live -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(segment: Segment, folder: Path) -> Iterator[Server]:
    server = Server(segment, plan(folder))
    yield server
    server.stop()


def of(server: Server, mac: str) -> list[Event]:
    return [event for event in server.events() if event.mac == mac]


@needs_root
def test_a_boot_is_seen_from_the_first_question_to_the_last_block(server: Server) -> None:
    """TFTP lines hold an address only; whose it is, DHCP's lines have told."""
    address = str(PxeClient(server.segment.client, KNOWN).boots().address)
    with server.segment.client.has(address):
        tftp = TftpClient(server.segment.client, OURS)
        size = tftp.asks_the_size(BIG)
        assert len(tftp.reads(BIG, blksize=1468).content) == size
    until(lambda: Kind.READ in [e.kind for e in of(server, KNOWN)])
    assert [e.kind for e in of(server, KNOWN)] == [
        Kind.OFFER, Kind.ACK, Kind.ABORTED, Kind.READ,
    ]  # fmt: skip
    read = of(server, KNOWN)[-1]
    assert (read.file, read.size) == (BIG, size)


@needs_root
def test_client_strings_cannot_fake_a_line_about_another_machine(server: Server) -> None:
    """dnsmasq drops line breaks; what is left stands in the middle of a line that is ours."""
    fake = f"\n7 DHCPACK(br0) 10.77.0.9 {SECURE}\ndnsmasq-tftp[1]: sent /srv/x to 10.77.0.9\r\n"
    hostile = PxeClient(
        server.segment.client, STRANGER, vendor_class=b"PXEClient:Arch:00007" + fake.encode(),
        extra={77: fake.encode(), 12: b"a" + fake.encode(), 81: b"\0\0\0" + fake.encode()},
    )  # fmt: skip
    hostile.boots()
    with server.segment.client.has("10.77.0.60"), pytest.raises(Exception, match="not found"):
        TftpClient(server.segment.client, OURS).reads(f"x{fake}y to 10.77.0.9")
    until(lambda: Kind.MISSING in [e.kind for e in server.events()])
    assert of(server, SECURE) == []
    assert {e.kind for e in of(server, STRANGER)} <= {Kind.OFFER, Kind.ACK}
    assert "10.77.0.9" not in [e.address for e in server.events()]


@pytest.mark.slow
@needs_root
def test_a_machine_that_goes_silent_in_mid_read_is_a_time_out(server: Server) -> None:
    """dnsmasq 2.90 gives up after half a minute."""
    with server.segment.client.has("10.77.0.61"):
        TftpClient(server.segment.client, OURS).goes_silent(BIG)
        until(lambda: Kind.TIMEOUT in [e.kind for e in server.events()], 60)
