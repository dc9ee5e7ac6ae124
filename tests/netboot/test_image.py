"""The image `loaders`: complete or honest about what it lacks, and signed where it says so."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

import pytest

from deployer.media import boot_iso, library
from deployer.media.build import BuildError, loaders
from deployer.netboot.loaders import SIGNED
from tests.support.netns import needs_root

EVERY = {file.target for file in loaders.FILES} | {boot_iso.NAME}
BUILT = Path(__file__).parents[2] / ".cache" / "images" / "loaders"
# https://learn.microsoft.com/en-us/windows/win32/debug/pe-format#machine-types
MACHINES = {0x8664: "x86_64", 0x14C: "i386", 0xAA64: "arm64", 0x1C2: "armhf"}
EFI = {
    "snponly.efi": "x86_64", "ipxe.efi": "x86_64", "shimx64.efi": "x86_64",
    "grubx64.efi": "x86_64", "grub-x86_64.efi": "x86_64", "grub-i386.efi": "i386",
    "ipxe-arm64.efi": "arm64", "shimaa64.efi": "arm64", "grubaa64.efi": "arm64",
    "grub-arm64.efi": "arm64", "grub-arm.efi": "armhf",
}  # fmt: skip


def fake_download(
    folder: Path, release: str, arch: str, packages: list[str], mirror: str | None
) -> dict[str, str]:
    """A mirror without arm64 and without PXELINUX."""
    if arch == "arm64":
        raise BuildError("mmdebstrap failed:\nE: no arm64 here\nE: more", "see above")
    for file in loaders.FILES:
        if isinstance(file, loaders.Copied) and file.arch == arch:
            source = folder / "files" / file.sources[0]
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(file.target.encode())
    return {name: "1.0" for name in packages if name != "pxelinux"}


@needs_root
def test_what_a_mirror_lacks_is_left_out_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaders, "download", fake_download)
    monkeypatch.setattr(loaders, "_make", lambda file, _, target: target.write_bytes(b"GRUB" * 999))
    said: list[str] = []
    loaders.build_loaders(tmp_path / "loaders", log=said.append)
    manifest = library.read_manifest(tmp_path / "loaders")
    library.verify(tmp_path / "loaders", manifest)
    there = {file["path"] for file in manifest["files"]}
    assert there | set(manifest["left_out"]) == EVERY
    assert there & set(manifest["left_out"]) == set()
    assert manifest["left_out"]["lpxelinux.0"] == "this mirror has no package pxelinux for x86_64"
    assert manifest["left_out"]["grub-arm64.efi"] == (
        "this mirror gave no packages for arm64 (E: no arm64 here)"
    )
    for name in manifest["left_out"]:
        assert any(f"{name} is left out" in line for line in said)


@needs_root
def test_without_the_loaders_of_x86_there_is_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> dict[str, str]:
        raise BuildError("the mirror does not answer", "try later")

    monkeypatch.setattr(loaders, "download", unreachable)
    with pytest.raises(BuildError, match="does not answer"):
        loaders.build_loaders(tmp_path / "loaders", log=lambda _: None)
    assert list(tmp_path.iterdir()) == []


def _pe(content: bytes) -> tuple[str, bool]:
    """(processor, is it signed?) of an EFI program."""
    assert content[:2] == b"MZ"
    at = struct.unpack_from("<I", content, 0x3C)[0]
    assert content[at : at + 4] == b"PE\0\0"
    machine = struct.unpack_from("<H", content, at + 4)[0]
    large = struct.unpack_from("<H", content, at + 24)[0] == 0x20B
    certificates = struct.unpack_from("<II", content, at + 24 + (112 if large else 96) + 4 * 8)
    return MACHINES[machine], certificates[1] > 0


@pytest.mark.slow
def test_t029_the_built_loaders_are_for_their_processor_and_signed_where_they_must_be() -> None:
    """Needs `make media`, as `make test` does it."""
    manifest = json.loads((BUILT / "image.json").read_text())
    library.verify(BUILT, manifest)
    there = {file["path"] for file in manifest["files"]}
    assert there | set(manifest["left_out"]) == EVERY
    assert {"undionly.kpxe", "snponly.efi", "shimx64.efi", "grubx64.efi"} <= there
    signed = {name for names in SIGNED.values() for name in names} | {"grubx64.efi", "grubaa64.efi"}
    for name in sorted(there & set(EFI)):
        assert _pe((BUILT / name).read_bytes()) == (EFI[name], name in signed), name


@pytest.mark.slow
def test_the_built_iso_boots_bios_and_uefi_and_has_room_for_our_address() -> None:
    """That it does boot, the journeys show."""
    iso = (BUILT / boot_iso.NAME).read_bytes()
    assert [iso.count(boot_iso.slot(name)) for name in boot_iso.SLOTS] == [1, 1]
    command = ["xorriso", "-indev", BUILT / boot_iso.NAME, "-report_el_torito", "plain"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    images = [line.split() for line in told.splitlines() if line.startswith("El Torito boot img")]
    assert [(words[6], words[7]) for words in images] == [("BIOS", "y"), ("UEFI", "y")]
