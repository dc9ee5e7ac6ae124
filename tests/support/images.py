"""Small images that stand in for real ones where nothing is booted."""

from __future__ import annotations

import hashlib
from typing import Any

from deployer.media import boot_iso
from deployer.services.parts import Parts
from deployer.store import images

KERNEL = b"kernel " * 1000
INITRD = b"initrd " * 2000
ROOT = b"root archive " * 5000


def _write(parts: Parts, manifest: dict[str, Any], files: dict[str, bytes]) -> None:
    folder = parts.settings.images_dir / manifest["name"]
    folder.mkdir(parents=True, exist_ok=True)
    manifest["files"] = []
    for name, content in files.items():
        (folder / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        manifest["files"].append({"path": name, "size": len(content), "sha256": digest})
    with parts.database.writing() as session:
        images.save(session, manifest, parts.clock())


def register_images(parts: Parts) -> None:
    """A live system and a Debian 12 root, as `deployer image build` would register them."""
    live = {"name": "live-x86_64", "kind": "live", "arch": "x86_64"}
    _write(parts, live, {"vmlinuz": KERNEL, "initrd.img": INITRD, "local.efi": b"MZ loader"})
    root = {
        "name": "debian-12-x86_64", "kind": "root-archive", "arch": "x86_64", "os": "debian",
        "release": "12", "unpacked_size": 10**9, "min_disk_size": 2 * 10**9,
        "packages": {"openssh-server": "1:9.2p1"}, "cloud_init": False, "boots": ["bios", "uefi"],
    }  # fmt: skip
    _write(parts, root, {"root.tar.zst": ROOT})


def register_installer(parts: Parts) -> None:
    """Debian 12's own installer, as `deployer image add debian-12` would register it."""
    installer = {
        "name": "debian-installer-12-x86_64", "kind": "netboot", "arch": "x86_64", "os": "debian",
        "release": "12", "suite": "bookworm",
    }  # fmt: skip
    _write(parts, installer, {"linux": KERNEL, "initrd.gz": INITRD})


def register_proxmox(parts: Parts) -> None:
    """Proxmox VE 9's installer, prepared, as `deployer image add` would register it."""
    installer = {
        "name": "proxmox-ve-9-x86_64", "kind": "proxmox", "arch": "x86_64", "release": "9.0",
    }  # fmt: skip
    files = {"linux26": KERNEL, "initrd.img": INITRD, "iso.cpio": ROOT}
    _write(parts, installer, files)


def register_esxi(parts: Parts) -> None:
    """ESXi 8.0's medium, as `deployer image add` would register it."""
    medium = {
        "name": "esxi-8.0-x86_64", "kind": "esxi", "arch": "x86_64", "min_disk_size": 32 * 2**30,
        "boot_cfg": {"kernel": "b.b00", "modules": ["k.b00", "s.v00"], "build": "8.0.3-0.0.1"},
    }  # fmt: skip
    _write(parts, medium, dict.fromkeys(("mboot.c32", "b.b00", "k.b00", "s.v00"), KERNEL))


def register_openbsd(parts: Parts) -> None:
    """OpenBSD 7.8's loaders and bsd.rd, as `deployer image add` would register them."""
    medium = {"name": "openbsd-7.8-x86_64", "kind": "medium", "arch": "x86_64", "release": "7.8"}
    _write(parts, medium, dict.fromkeys(("pxeboot", "bootx64.efi", "bsd.rd"), KERNEL))


def register_loaders(parts: Parts, iso: bytes | None = None) -> bytes:
    """The image `loaders` with the loaders of UEFI and a boot.iso, which is returned."""
    iso = iso or b"first" + b"".join(map(boot_iso.slot, boot_iso.SLOTS)) + b"last" * 1000
    files = dict.fromkeys(("snponly.efi", "grub-x86_64.efi"), b"MZ loader")
    facts = {"name": "loaders", "kind": "loaders", "arch": "all", "release": "12"}
    _write(parts, facts, {**files, boot_iso.NAME: iso})
    return iso
