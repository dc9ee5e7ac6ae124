"""Small media like those of vendors: the layout and the texts are real, the contents are not."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

Files = Mapping[str, str | bytes]


def tree(folder: Path, files: Files) -> Path:
    """`files` as a folder."""
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def iso(file: Path, files: Files | Path, label: str = "LABEL", *options: str) -> Path:
    """`files` as an ISO with Rock Ridge and Joliet."""
    folder = files if isinstance(files, Path) else tree(file.with_suffix(".tree"), files)
    command = ["xorriso", "-as", "mkisofs", "-quiet", "-r", "-J", "-V", label, *options]
    subprocess.run(
        [*command, "-o", str(file), str(folder)], check=True, capture_output=True
    )  # fmt: skip
    return file


UBUNTU = {
    ".disk/info": 'Ubuntu-Server 24.04.3 LTS "Noble Numbat" - Release amd64 (20250805.1)',
    "casper/vmlinuz": b"MZ kernel", "casper/initrd": b"initrd", "casper/hwe-vmlinuz": b"MZ other",
    "pool/main/a.deb": b"package", "boot/grub/grub.cfg": "menuentry",
}  # fmt: skip
