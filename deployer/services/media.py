"""Finds a file of boot media: one that its image's manifest lists, and no other."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from deployer.errors import NotFound
from deployer.services.parts import Parts
from deployer.store import images

# For so long a manifest is believed without looking again: a vendor's tree lists thousands of
# files, and an installer asks for hundreds of them in a row.
_SECONDS = 2.0


@dataclass(frozen=True)
class MediaFile:
    """`file` is below the image's folder, and no link leads out of it."""

    file: str
    stat: os.stat_result
    sha256: str


class Library:
    """The images of one service, and what their manifests listed a moment ago."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._known: dict[str, tuple[float, dict[str, str]]] = {}

    def at_a_glance(self, image: str, path: str) -> MediaFile | None:
        """Fast enough for the event loop; None where it is not: then ask `find`."""
        listed = self._fresh(image)
        if listed is None:
            seen = images.glance_at_checksums(self.parts.database, image)
            if seen is None:
                return None
            listed = self._remember(image, seen)
        return self._located(image, path, listed)

    def find(self, image: str, path: str) -> MediaFile:
        """NotFound tells nothing of what else there is."""
        listed = self._fresh(image)
        if listed is None:
            with self.parts.database.reading() as session:
                listed = self._remember(image, images.checksums(session, image))
        return self._located(image, path, listed)

    def _fresh(self, image: str) -> dict[str, str] | None:
        until, listed = self._known.get(image, (0.0, None))
        return listed if time.monotonic() < until else None

    def _remember(self, image: str, listed: dict[str, str]) -> dict[str, str]:
        if listed:  # of names that strangers try, none is kept
            self._known[image] = time.monotonic() + _SECONDS, listed
        return listed

    def _located(self, image: str, path: str, listed: dict[str, str]) -> MediaFile:
        nothing = NotFound("there is nothing here")
        sha256 = listed.get(path)
        if sha256 is None:
            raise nothing
        # Strings, for paths take several times as long, and this runs on the event loop.
        folder = os.path.realpath(self.parts.settings.images_dir / image)
        file = os.path.realpath(f"{folder}/{path}")
        try:
            found = Path(file).stat()
        except OSError:
            raise nothing from None
        if not file.startswith(f"{folder}/") or not S_ISREG(found.st_mode):
            raise nothing
        return MediaFile(file, found, sha256)
