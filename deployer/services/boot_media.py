"""What a BMC is told to fetch: the ISO for its virtual drive, or the loader for UEFI HTTP boot."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from deployer.answers.context import Snapshot
from deployer.boot import grub, ipxe
from deployer.drivers.power.base import BootMethod
from deployer.errors import BootMethodRefused, Invalid
from deployer.media import boot_iso
from deployer.netboot import menus
from deployer.netboot.loaders import CLIENTS, Loader, Offer, choose
from deployer.services.media import Library, MediaFile
from deployer.services.parts import Parts
from deployer.store import hosts, images
from deployer.store.tables import Deployment

ISO_PATH = "/boot.iso"


def url(parts: Parts, deployment: Deployment, method: BootMethod) -> str | None:
    """None where the firmware finds out by itself; BootMethodRefused where it would be led to
    nothing that this deployment can use."""
    base, snapshot = parts.settings.effective_machine_url, Snapshot.from_json(deployment.snapshot)
    with parts.database.reading() as session:
        there = images.checksums(session, boot_iso.IMAGE)
        seen = hosts.facts(session, deployment.host_id or "")
    firmware = (seen.facts if seen else {}).get("boot", {}).get("firmware")
    if method is BootMethod.VIRTUAL_MEDIA:
        if reason := _why_no_iso(parts, snapshot, boot_iso.NAME in there, firmware):
            raise BootMethodRefused(reason)
        return base + ISO_PATH
    if method is BootMethod.UEFI_HTTP and (file := _loader(parts, snapshot, set(there))):
        return f"{base}/images/{boot_iso.IMAGE}/{file}"
    return None


def _why_no_iso(parts: Parts, snapshot: Snapshot, there: bool, firmware: str | None) -> str | None:
    if not there:
        return f"there is no {boot_iso.NAME}: run `deployer image build {boot_iso.IMAGE}`"
    if snapshot.profile.arch != "x86_64":
        return f"{boot_iso.NAME} is for x86_64, and the profile for {snapshot.profile.arch}"
    if snapshot.host.secure_boot:
        return f"nobody has signed {boot_iso.NAME}, and the host is marked secure_boot"
    if firmware != "bios" and not _grub_starts(parts, snapshot):
        return f"only iPXE starts this installer, and for UEFI {boot_iso.NAME} has GRUB"
    try:
        _texts(parts)
    except Invalid as error:
        return f"{error.message}: {error.remedy}"
    return None


def _grub_starts(parts: Parts, snapshot: Snapshot) -> bool:
    found = parts.catalogue.get(snapshot.profile.os)
    return found is None or "grub" in found.family.at(snapshot.profile.release).boot.loaders


def _loader(parts: Parts, snapshot: Snapshot, available: set[str]) -> str | None:
    """GRUB where that will do: it finds us by where it came from, and iPXE needs DHCP for that."""
    want = Loader.GRUB if _grub_starts(parts, snapshot) else Loader.IPXE
    for code, client in CLIENTS.items():
        if client.http and client.arch == snapshot.profile.arch:
            chosen = choose(code, want, snapshot.host.secure_boot, available)
            return chosen.file if isinstance(chosen, Offer) else None
    return None


def _texts(parts: Parts) -> dict[str, str]:
    """What fills the ISO; Invalid when the address is too long for it."""
    base = parts.settings.effective_machine_url
    menu = menus.grub_from_cd(base, grub.unanswered())
    texts = dict(zip(boot_iso.SLOTS, (ipxe.from_cd(base), menu), strict=True))
    boot_iso.check(base, texts)
    return texts


def iso(parts: Parts, library: Library) -> MediaFile:
    """The image's ISO with our address in it, the same bytes each time; NotFound without one.

    It is made once, and again when the image or the address is another.
    """
    plain, texts = library.find(boot_iso.IMAGE, boot_iso.NAME), _texts(parts)
    digest = hashlib.sha256(repr((plain.sha256, texts)).encode()).hexdigest()
    file = parts.settings.data_dir / "boot-iso" / f"{digest}.iso"
    if not file.exists():
        _make(file, boot_iso.filled(Path(plain.file).read_bytes(), texts))
    return MediaFile(str(file), file.stat(), digest)


def _make(file: Path, content: bytes) -> None:
    """Whole or not at all, whoever else makes it at the same time."""
    file.parent.mkdir(exist_ok=True)
    before = list(file.parent.glob("*.iso"))
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        partial = Path(folder, file.name)
        partial.write_bytes(content)
        partial.replace(file)
    for other in before:
        if other != file:
            other.unlink(missing_ok=True)
