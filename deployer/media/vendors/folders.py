"""A medium that is mounted or unpacked, and what lies beside a file of ours."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from deployer.media.build.workshop import BuildError
from deployer.media.vendors.contents import (
    TEXT_LIMIT,
    Contents,
    Entry,
    by_file,
    check_plan,
    decoded,
    write,
)


class Folder:
    """A `Source`, and what lies beside itself."""

    label = ""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self.name, self.place = self._folder.name, str(folder)
        self.contents = Contents(str(folder))
        # Links to folders are not followed.
        for parent, folders, files in os.walk(self._folder, onerror=_refuse):
            for name in (*folders, *files):
                path = Path(parent, name)
                self.contents.add(str(path.relative_to(self._folder)), _entry(path))

    def has(self, path: str) -> bool:
        return self.contents.find(path) is not None

    def text(self, path: str) -> str | None:
        content = self.get(path)
        return None if content is None else decoded(content)

    def get(self, name: str) -> bytes | None:
        real = self.contents.find(name)
        return None if real is None else _small(self._folder / real)

    def lists(self) -> list[str]:
        return [path for path in self.contents.entries if path.endswith("-CHECKSUM")]

    def fetch(self, plan: Mapping[str, str], into: Path) -> None:
        check_plan(self.contents, plan, into)
        for real, targets in by_file(plan, into).items():
            size = self.contents.entries[real].size
            with _opened(self._folder / real) as content:
                write(content, targets, size, str(self._folder / real))


class BesideFile:
    """The folder that a file lies in."""

    def __init__(self, file: Path) -> None:
        self._folder = file.absolute().parent

    def get(self, name: str) -> bytes | None:
        file = self._folder / name
        return _small(file) if file.is_file() else None

    def lists(self) -> list[str]:
        return sorted(file.name for file in self._folder.glob("*-CHECKSUM"))


def _entry(path: Path) -> Entry:
    seen = path.lstat()
    if stat.S_ISREG(seen.st_mode):
        return Entry("file", seen.st_size)
    if stat.S_ISDIR(seen.st_mode):
        return Entry("folder")
    if stat.S_ISLNK(seen.st_mode):
        return Entry("link", target=str(path.readlink()))
    return Entry("other")


def _refuse(error: OSError) -> None:
    raise BuildError(
        f"{error.filename}: {error.strerror}", "make it readable, or take the ISO"
    ) from None


def _opened(file: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW), "rb")
    except OSError as error:
        raise BuildError(f"{file}: {error.strerror}", "make it readable, or take the ISO") from None


def _small(file: Path) -> bytes | None:
    if file.stat().st_size > TEXT_LIMIT:
        return None
    return file.read_bytes()
