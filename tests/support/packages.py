"""Debian packages that are fetched once and unpacked for what is in them, and never installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache"


def unpacked(*names: str) -> Path | None:
    """The folder with the files of these packages; None when apt cannot fetch them."""
    folder = CACHE / names[0]
    if not folder.is_dir():
        _fetch(names, folder)
    return folder if folder.is_dir() else None


def _fetch(names: tuple[str, ...], folder: Path) -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        here = Path(temporary)
        download = ["apt-get", "-q", "download", *names]
        done = subprocess.run(download, cwd=here, capture_output=True, timeout=120, check=False)
        if done.returncode != 0:
            return
        for package in here.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(here / "tree")], check=True)
        if not folder.exists():  # another process may have been faster
            (here / "tree").rename(folder)


def cloud_init_schemas() -> Path | None:
    """cloud-init's own JSON schemas."""
    folder = unpacked("cloud-init")
    return folder and folder / "usr/lib/python3/dist-packages/cloudinit/config/schemas"
