"""What is in a medium: names, sizes and links, all checked before anything is written.

A medium is made by strangers. Nothing of it may land outside its image, and what an image holds are
plain files alone: machines are given them over HTTP.
"""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from deployer.core.media import check_file_path
from deployer.core.sizes import show_size
from deployer.core.text import printable
from deployer.media.build.workshop import LARGEST, BuildError, check_room

# No vendor's medium comes near this.
MOST_FILES = 200_000
TEXT_LIMIT = 2**20
_MOST_LINKS = 8
_PIECE = 2**20
_CORRECT = "take the vendor's own medium, unchanged"


@dataclass(frozen=True)
class Entry:
    """`target`: where a link leads, from its own folder."""

    kind: Literal["file", "folder", "link", "other"]
    size: int = 0
    target: str = ""


class Source(Protocol):
    """A medium that can be read.

    `place` is its path or URL, `name` the last part of it, `label` the volume's name or empty.
    `contents` is None where nothing can be listed, as on a web server.
    """

    name: str
    place: str
    label: str

    @property
    def contents(self) -> Contents | None: ...

    def has(self, path: str) -> bool: ...

    def text(self, path: str) -> str | None:
        """A small file; None when there is none, or it is large."""

    def fetch(self, plan: Mapping[str, str], into: Path) -> None:
        """{name in `into`: file of the medium}; whole files, or BuildError."""


class Contents:
    """The entries of a medium by path; BuildError for one that no honest medium has."""

    def __init__(self, medium: str) -> None:
        self.medium, self.entries = medium, dict[str, Entry]()
        self._size = 0
        self._folded: dict[str, list[str]] = {}

    def add(self, path: str, entry: Entry) -> None:
        path = path.removeprefix("./").rstrip("/")
        if path in ("", "."):
            return
        try:
            check_file_path(path)
        except ValueError as error:
            raise self.refused(path, str(error)) from None
        self._size += entry.size
        if len(self.entries) >= MOST_FILES or self._size > LARGEST:
            raise self.refused(
                path, f"is one too many: there may be {MOST_FILES} of {show_size(LARGEST)} in all"
            )
        self.entries[path] = entry
        self._folded.setdefault(path.lower(), []).append(path)

    def refused(self, path: str, problem: str) -> BuildError:
        shown = printable(path, 200).replace("\n", "\\n")
        return BuildError(f"{self.medium}: {shown} {problem}", _CORRECT)

    def find(self, path: str) -> str | None:
        """The plain file that `path` is, or leads to; in letters of another size where it is
        the only one: not every file system keeps them."""
        if path not in self.entries:
            others = self._folded.get(path.lower(), [])
            if len(others) != 1:
                return None
            path = others[0]
        return self._real(path)

    def matching(self, pattern: str) -> dict[str, str]:
        """{path: plain file} of those that match; `*` stands for any text without a slash, and
        `FOLDER/**` for all that is in it."""
        pattern, depth = pattern.lower(), pattern.count("/")
        found = {
            path: self._real(path)
            for path in self.entries
            if (path.count("/") == depth or pattern.endswith("/**"))
            and fnmatch.fnmatchcase(path.lower(), pattern)
        }
        return {path: real for path, real in found.items() if real}

    def files(self) -> Iterator[tuple[str, str]]:
        """(path, plain file) of everything; a link to a folder, or to nothing, is left out."""
        for path, entry in self.entries.items():
            if entry.kind == "other":
                raise self.refused(path, "is a device, a pipe or a socket")
            if entry.kind != "folder" and (real := self._real(path)):
                yield path, real

    def _real(self, path: str) -> str | None:
        seen = path
        for _ in range(_MOST_LINKS):
            entry = self.entries.get(seen)
            if entry is None or entry.kind == "folder":
                return None
            if entry.kind == "other":
                raise self.refused(path, "is a device, a pipe or a socket")
            if entry.kind == "file":
                return seen
            seen = posixpath.normpath(posixpath.join(posixpath.dirname(seen), entry.target))
            if entry.target.startswith("/") or seen.startswith("../") or seen == "..":
                raise self.refused(path, f"leads out of the medium, to {entry.target}")
        raise self.refused(path, "is a link that leads to links, and to no end")


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def check_plan(contents: Contents, plan: Mapping[str, str], into: Path) -> None:
    """BuildError when two files would be one somewhere, or there is no room for all."""
    seen: dict[str, str] = {}
    for name in plan:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise contents.refused(name, f"differs from {other} in the size of letters alone")
    size = sum(contents.entries[real].size for real in plan.values())
    check_room(into, size, contents.medium)


def by_file(plan: Mapping[str, str], into: Path) -> dict[str, list[Path]]:
    """{file of the medium: where it goes}; every target's folder is made."""
    wanted: dict[str, list[Path]] = {}
    for name, real in plan.items():
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        wanted.setdefault(real, []).append(target)
    return wanted


def write(reader: Readable, targets: list[Path], size: int, what: str) -> None:
    """Exactly `size` bytes of `reader` into the first target; the others are the same file."""
    left = size
    with targets[0].open("xb") as file:
        while piece := reader.read(min(_PIECE, left + 1)):
            left -= len(piece)
            if left < 0:
                break
            file.write(piece)
    if left:
        raise BuildError(f"{what} has not the {size} bytes that it should", "fetch it again")
    for other in targets[1:]:
        other.hardlink_to(targets[0])


def decoded(content: bytes) -> str:
    """A text of a medium; what is no UTF-8 in it matches nothing."""
    return content.decode("utf-8", "replace").replace("\r\n", "\n")
