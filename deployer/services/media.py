"""Finds a file of boot media: one that its image's manifest lists, and no other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from deployer.errors import NotFound
from deployer.services.parts import Parts
from deployer.store import images


@dataclass(frozen=True)
class MediaFile:
    """`file` is below the image's folder, and no link leads out of it."""

    file: str
    stat: os.stat_result
    sha256: str


def at_a_glance(parts: Parts, image: str, path: str) -> MediaFile | None:
    """Fast enough for the event loop; None where it is not: then ask `find`."""
    row = images.glance_at_checksum(parts.database, image, path)
    return None if row is None else _located(parts, image, path, row[0])


def find(parts: Parts, image: str, path: str) -> MediaFile:
    """NotFound tells nothing of what else there is."""
    with parts.database.reading() as session:
        return _located(parts, image, path, images.checksum(session, image, path))


def _located(parts: Parts, image: str, path: str, sha256: str | None) -> MediaFile:
    nothing = NotFound("there is nothing here")
    if sha256 is None:
        raise nothing
    # Strings, for paths take several times as long, and this runs on the event loop.
    folder = os.path.realpath(parts.settings.images_dir / image)
    file = os.path.realpath(f"{folder}/{path}")
    try:
        found = Path(file).stat()
    except OSError:
        raise nothing from None
    if not file.startswith(f"{folder}/") or not S_ISREG(found.st_mode):
        raise nothing
    return MediaFile(file, found, sha256)
