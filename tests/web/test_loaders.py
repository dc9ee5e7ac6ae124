"""What loaders fetch over HTTP: themselves, and how they find us."""

from __future__ import annotations

import pytest

from deployer.app import create_machine_app
from deployer.media import library
from deployer.store import images
from tests.support.netboot import loaders_image
from tests.support.server import RunningServer, read_all
from tests.support.service import Service

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def test_uefi_http_boot_fetches_its_loader_from_the_image(service: Service) -> None:
    """EDK2 asks for the length by HEAD first."""
    folder = loaders_image(service.parts.settings.data_dir)
    library.add(service.parts.settings.images_dir, folder)
    with service.parts.database.writing() as session:
        images.save(session, library.read_manifest(folder), service.clock())
    http = service.machine().http
    size = (folder / "snponly.efi").stat().st_size
    assert http.head("/images/loaders/snponly.efi").headers["content-length"] == str(size)
    assert http.get("/images/loaders/snponly.efi").content == (folder / "snponly.efi").read_bytes()


def test_grub_that_came_over_http_finds_the_same_menu_for_everybody(service: Service) -> None:
    machine = service.machine().http.get("/grub/grub.cfg")
    assert "set server='http,10.0.0.5:8081'" in machine.text
    assert machine.text == service.machine("52:54:00:aa:bb:cc").http.get("/grub/grub.cfg").text
    assert machine.headers["cache-control"] == "no-store"


def answer(server: RunningServer, path: str) -> bytes:
    """Everything, by the letter; however slow this machine is just now."""
    with server.connection() as connection:
        lines = (f"GET {path} HTTP/1.1", "Host: x", "Connection: close", "", "")
        connection.sendall("\r\n".join(lines).encode())
        return read_all(connection, patience=20)


def test_lengths_are_spelled_as_grub_reads_them(service: Service) -> None:
    """GRUB 2.06 compares by the letter; without a length it loads no kernel."""
    with RunningServer(create_machine_app(service.parts)) as server:
        for path in ("/boot/grub?mac=52-54-00-12-34-56", "/images/live-x86_64/vmlinuz", "/nothing"):
            head = answer(server, path).split(b"\r\n\r\n")[0]
            assert b"\r\nContent-Length: " in head, path
            assert b"content-length" not in head


def test_a_file_that_looks_like_a_head_is_left_as_it_is(service: Service) -> None:
    text = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx: y\r\nEnd"
    (service.parts.settings.images_dir / "live-x86_64" / "vmlinuz").write_bytes(text)
    with RunningServer(create_machine_app(service.parts)) as server:
        assert answer(server, "/images/live-x86_64/vmlinuz").endswith(text)


def test_debians_installer_does_not_take_the_entry_script_for_its_preseed(service: Service) -> None:
    """A DHCP server that names it to everybody: d-i loads whatever URL it finds there."""
    machine = service.machine()
    text = machine.http.get("/boot.ipxe", headers={"User-Agent": "debian-installer"}).text
    assert all(line.startswith("#") for line in text.splitlines())
    for agent in ("iPXE/1.0.0+", "Wget/1.21", "curl/8"):
        answer = machine.http.get("/boot.ipxe", headers={"User-Agent": agent})
        assert answer.text.startswith("#!ipxe\n")
