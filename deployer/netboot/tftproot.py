"""The TFTP root: the image `loaders` and two constant menus, nothing else, read-only.

There is no file per host and no secret in it: whoever can reach UDP port 69 can read all of it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deployer.media import library


def build(root: Path, image: Path, menus: Mapping[str, str]) -> dict[str, int]:
    """Make `root` anew from the image's folder, all or nothing; size of each file by its path.

    `root` becomes a link to the new folder, so that whoever reads now sees the old or the new one.
    Invalid when a file of the image is not what its manifest says.
    """
    manifest = library.read_manifest(image)
    library.verify(image, manifest)
    root.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f"{root.name}-", dir=root.parent))
    try:
        sizes = _fill(made, image, manifest, menus)
        _point(root, made)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    for other in root.parent.glob(f"{root.name}-*"):
        if other != made and other.is_dir():
            shutil.rmtree(other)
    return sizes


def _fill(
    made: Path, image: Path, manifest: dict[str, Any], menus: Mapping[str, str]
) -> dict[str, int]:
    for entry in manifest["files"]:
        target = made / entry["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image / entry["path"], target)
    for name, text in menus.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    sizes = {}
    for path in sorted(made.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
        if path.is_file():
            sizes[str(path.relative_to(made))] = path.stat().st_size
    made.chmod(0o755)
    return sizes


def _point(root: Path, made: Path) -> None:
    link = root.parent / f".{root.name}-link"
    link.unlink(missing_ok=True)
    link.symlink_to(made.name)
    link.replace(root)
