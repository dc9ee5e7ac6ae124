"""/boot.iso as a BMC fetches it: in ranges, with our address in it, and the same for everybody."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from deployer.boot import grub, ipxe
from deployer.media import boot_iso
from deployer.netboot import menus
from tests.support.images import register_loaders
from tests.support.service import Service

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture
def plain(service: Service) -> bytes:
    """The ISO as it was built."""
    return register_loaders(service.parts)


def get(service: Service, **headers: str) -> httpx.Response:
    return service.machines_know_again().http.get("/boot.iso", headers=headers)


def kept(service: Service) -> list[Path]:
    return list((service.parts.settings.data_dir / "boot-iso").iterdir())


def test_it_names_the_service_and_is_as_long_as_before(service: Service, plain: bytes) -> None:
    url = "http://10.0.0.5:8081"
    texts = ipxe.from_cd(url), menus.grub_from_cd(url, grub.unanswered())
    filled = b"".join(text.encode().ljust(boot_iso.SIZE, b"\n") for text in texts)
    assert get(service).content == b"first" + filled + b"last" * 1000
    assert len(plain) == len(get(service).content)


def test_it_is_read_in_ranges(service: Service, plain: bytes) -> None:
    """As BMCs do: the length first, then pieces, of which the file must not change meanwhile."""
    head = service.machine().http.head("/boot.iso")
    assert head.headers["content-length"] == str(len(plain)) and head.content == b""
    assert head.headers["accept-ranges"] == "bytes"
    whole, tag = get(service).content, head.headers["etag"]
    pieces = b""
    while len(pieces) < len(whole):
        asked = f"bytes={len(pieces)}-{len(pieces) + 2047}"
        piece = get(service, **{"Range": asked, "If-Range": tag})
        assert piece.status_code == 206 and piece.headers["etag"] == tag
        pieces += piece.content
    assert pieces == whole
    assert get(service, Range=f"bytes={len(whole)}-").status_code == 416
    assert get(service, **{"If-None-Match": tag}).status_code == 304
    changed = get(service, **{"Range": "bytes=0-1", "If-Range": '"another"'})
    assert changed.status_code == 200 and changed.content == whole


def test_it_is_made_once_and_again_when_image_or_address_change(
    service: Service, plain: bytes
) -> None:
    first = get(service)
    (file,) = kept(service)
    inode = file.stat().st_ino
    assert get(service).headers["etag"] == first.headers["etag"]
    assert [each.stat().st_ino for each in kept(service)] == [inode]

    service.parts.settings.machine_url = "http://10.0.0.6:8081"
    moved = get(service)
    assert b"http://10.0.0.6:8081/boot.ipxe" in moved.content
    assert b"http,10.0.0.6:8081" in moved.content and b"10.0.0.5" not in moved.content

    register_loaders(service.parts, plain + b"newer")
    newer = get(service)
    assert newer.content == moved.content + b"newer"
    assert len({each.headers["etag"] for each in (first, moved, newer)}) == 3
    assert len(kept(service)) == 1, "what nobody asks for any more is gone"


def test_without_the_image_there_is_nothing(service: Service) -> None:
    assert get(service).status_code == 404


def test_an_address_that_does_not_fit_is_named_with_the_remedy(
    service: Service, plain: bytes
) -> None:
    service.parts.settings.machine_url = "http://10.0.0.5:8081/" + "a" * boot_iso.SIZE
    answer = get(service)
    assert answer.status_code == 422
    said = answer.json()
    assert said["field"] == "DEPLOYER_MACHINE_URL" and said["remedy"] == "choose a shorter URL"
    assert said["value"] == service.parts.settings.machine_url
    assert "has room for 4096" in said["detail"]
    assert not (service.parts.settings.data_dir / "boot-iso").exists()


@pytest.mark.parametrize("places", [0, 2])
def test_an_iso_that_is_none_of_ours_is_never_served_half_filled(
    service: Service, places: int
) -> None:
    """One that was built by a later version, or by hand."""
    iso = boot_iso.slot("boot.ipxe") + boot_iso.slot("grub.cfg") * places
    register_loaders(service.parts, iso)
    answer = get(service)
    assert answer.status_code == 422
    assert "has no place for grub.cfg" in answer.json()["detail"]
