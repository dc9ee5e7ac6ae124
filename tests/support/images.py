"""Small images that stand in for real ones where nothing is booted."""

from __future__ import annotations

import hashlib
from typing import Any

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
