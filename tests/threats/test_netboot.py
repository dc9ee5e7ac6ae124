"""TFTP that shall give away nothing, and DHCP servers that are not ours. T027, T028."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.netboot.dnsmasq import Mode
from deployer.netboot.rogue import Foreign, Watch
from tests.support.live import until
from tests.support.netboot import (
    OURS,
    PATIENCE,
    THEIRS,
    Server,
    another_server,
    open_folder,
    plan,
    supervised,
)
from tests.support.netns import Segment, needs_root
from tests.support.tftp import ILLEGAL, TftpClient, TftpError

pytestmark = needs_root


@pytest.fixture
def segment() -> Iterator[Segment]:
    with Segment(others=("client", "other")) as segment:
        yield segment


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


# --- T027 -----------------------------------------------------------------------------------------

NAMES = [
    "/etc/passwd", "etc/passwd", "../etc/passwd", "../../../../../../etc/passwd",
    "/../../etc/passwd", "..\\..\\..\\etc\\passwd", "grub/../../hosts", "../hosts",
    "../dnsmasq.conf", "../leases/dnsmasq.leases", "hosts", "image.json", ".", "..", "/", "",
    "pxelinux.cfg/01-52-54-00-12-34-56", "grub/grub.cfg-01-52-54-00-12-34-56", "preseed.cfg",
    "proc/self/environ", "/proc/self/environ", "/dev/zero", "a" * 400, "snponly.efi/",
]  # fmt: skip


def test_t027_tftp_gives_loaders_and_nothing_else(segment: Segment, folder: Path) -> None:
    made = plan(folder)
    Server(segment, made)
    served = {
        str(p.relative_to(made.tftp_root)): p for p in made.tftp_root.rglob("*") if p.is_file()
    }
    assert set(served) == set(made.loaders)
    with segment.client.has("10.77.0.9"):
        tftp = TftpClient(segment.client, OURS)
        for name, file in served.items():
            assert tftp.reads(name).content == file.read_bytes()
        for name in NAMES:
            with pytest.raises(TftpError):
                tftp.reads(name)


def test_t027_what_lies_in_the_tftp_root_is_the_same_for_everybody_and_read_only(
    folder: Path,
) -> None:
    root = plan(folder).tftp_root
    for path in root.rglob("*"):
        assert path.stat().st_mode & 0o222 == 0, path
        assert path.stat().st_uid == 0, "dnsmasq's account cannot change it"
        assert not path.is_symlink()
    texts = [(root / "grub/grub.cfg").read_text(), (root / "pxelinux.cfg/default").read_text()]
    for text in texts:
        assert "/d/" not in text and "token" not in text.lower()


def test_t027_nobody_writes(segment: Segment, folder: Path) -> None:
    made = plan(folder)
    Server(segment, made)
    with segment.client.has("10.77.0.9"):
        for name in ("new.efi", "snponly.efi", "../new"):
            with pytest.raises(TftpError) as refused:
                TftpClient(segment.client, OURS).writes(name, b"mine")
            assert refused.value.code == ILLEGAL
    assert not list(folder.rglob("new*"))


@pytest.mark.slow
def test_t027_only_the_provisioning_interface_listens(segment: Segment, folder: Path) -> None:
    other = segment.others["other"]
    segment.server.ip("link", "add", "out0", "type", "veth", "peer", "name", "out1",
                      "netns", other.name)  # fmt: skip
    segment.server.ip("addr", "add", "192.0.2.1/24", "dev", "out0")
    segment.server.ip("link", "set", "out0", "up")
    other.ip("addr", "add", "192.0.2.2/24", "dev", "out1")
    other.ip("link", "set", "out1", "up")
    Server(segment, plan(folder))
    with segment.client.has("10.77.0.9"):
        assert TftpClient(segment.client, OURS).reads("snponly.efi").content
    with pytest.raises((TimeoutError, ConnectionError)):
        TftpClient(other, "192.0.2.1", patience=0.5).reads("snponly.efi")


@pytest.mark.parametrize(("limit", "given"), [(None, 1468), (1024, 1024), (512, None)])
def test_blocks_are_as_large_as_interface_client_and_operator_allow(
    segment: Segment, folder: Path, limit: int | None, given: int | None
) -> None:
    """dnsmasq 2.90 knows no windows (RFC 7440), so a client that asks for one is given none."""
    Server(segment, plan(folder, block_size=limit))
    with segment.client.has("10.77.0.9"):
        transfer = TftpClient(segment.client, OURS).reads(
            "snponly.efi", blksize=8192, tsize=0, windowsize=16
        )
    assert transfer.options.get("blksize") == given
    assert transfer.options["tsize"] == len(transfer.content)
    assert "windowsize" not in transfer.options


# --- T028 -----------------------------------------------------------------------------------------


def watch(mode: Mode, *allowed: str) -> Watch:
    return Watch("br0", OURS, mode, allowed, every=0.2, wait=0.3)


@pytest.mark.slow
def test_t028_a_foreign_dhcp_server_is_found_and_forgotten_when_it_has_gone(
    segment: Segment, folder: Path
) -> None:
    with supervised(segment, plan(folder), watch=watch(Mode.FULL)) as netboot:
        until(lambda: netboot.supervisor.watch._turn > 2, PATIENCE)
        assert netboot.foreign == [], "our own is not foreign"
        intruder = another_server(segment.others["other"], folder, "dhcp-boot=evil.efi")
        until(lambda: netboot.foreign, PATIENCE)
        assert netboot.foreign[0] == Foreign(THEIRS, "evil.efi", gives_addresses=True)
        assert netboot.problems() == (
            "another DHCP server, 10.77.0.2, gives addresses here, and names the boot file evil.efi"
        )
        intruder.terminate()
        until(lambda: netboot.problems() == "", PATIENCE, netboot.problems)
        assert len(netboot.foreign) == 1, "told once"


@pytest.mark.slow
def test_t028_beside_a_proxy_the_other_server_may_give_addresses_but_no_boot_file(
    segment: Segment, folder: Path
) -> None:
    other = another_server(segment.others["other"], folder)
    with supervised(segment, plan(folder, Mode.PROXY), watch=watch(Mode.PROXY)) as netboot:
        until(lambda: netboot.supervisor.watch._turn > 2, PATIENCE)
        assert netboot.foreign == []
        other.terminate()
        other.wait(5)
        segment.others["other"].ip("addr", "flush", "dev", "eth0")
        another_server(segment.others["other"], folder, "dhcp-boot=pxelinux.0", address="10.77.0.3")
        until(lambda: netboot.foreign, PATIENCE)
        assert netboot.foreign[0].file == "pxelinux.0"


@pytest.mark.slow
def test_t028_a_server_that_is_allowed_is_no_alert(segment: Segment, folder: Path) -> None:
    another_server(segment.others["other"], folder, "dhcp-boot=evil.efi")
    allowed = watch(Mode.FULL, THEIRS)
    with supervised(segment, plan(folder), watch=allowed) as netboot:
        until(lambda: allowed._turn > 3, PATIENCE)
        assert netboot.foreign == [] and netboot.problems() == ""
