"""ISO 9660 and tar, read by bsdtar: it knows Rock Ridge and Joliet, and gives tar on its output.

It writes nothing: what comes out is judged and written here. UDF it does not know; see `udf`.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from deployer.core.text import printable
from deployer.media.build.workshop import BuildError, need
from deployer.media.vendors.contents import (
    TEXT_LIMIT,
    Contents,
    Entry,
    by_file,
    check_plan,
    decoded,
    write,
)

_SECTOR = 2048
_FIRST = 16  # where an ISO's volume descriptors begin, in sectors
_PACKED_TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".tar.bz2")


def descriptors(file: Path) -> set[bytes]:
    """What the volume says that it is: CD001 (ISO 9660), NSR02 or NSR03 (UDF)."""
    found = set()
    with file.open("rb") as raw:
        raw.seek(_FIRST * _SECTOR)
        for _ in range(32):
            sector = raw.read(_SECTOR)
            if sector[1:6] in (b"CD001", b"NSR02", b"NSR03"):
                found.add(sector[1:6])
    return found


def is_tar(name: str) -> bool:
    return name.lower().endswith(_PACKED_TARS)


def label_of(file: Path) -> str:
    """The name of an ISO's volume (ECMA-119, 8.4.7), or empty."""
    with file.open("rb") as raw:
        raw.seek(_FIRST * _SECTOR)
        sector = raw.read(_SECTOR)
    if sector[:6] != b"\x01CD001":
        return ""
    return sector[40:72].decode("ascii", "replace").rstrip(" \0")


class Archive:
    """A `Source`: an ISO or a tar archive. `texts`: files that will be asked for as text."""

    def __init__(self, file: Path, texts: set[str], place: str = "") -> None:
        need("bsdtar")
        self._file = file.absolute()
        self.name, self.place, self.label = file.name, place or str(file), label_of(file)
        self.contents = Contents(file.name)
        self._texts: dict[str, bytes] = {}
        wanted = {path.lower() for path in texts}

        def list_it(member: tarfile.TarInfo, members: tarfile.TarFile) -> bool:
            path = member.name.removeprefix("./")
            self.contents.add(path, _entry(member))
            if member.isreg() and member.size <= TEXT_LIMIT and path.lower() in wanted:
                reader = members.extractfile(member)
                self._texts[path] = reader.read() if reader else b""
            return False

        self._walk(list_it)

    def has(self, path: str) -> bool:
        return self.contents.find(path) is not None

    def text(self, path: str) -> str | None:
        real = self.contents.find(path)
        if real is None or self.contents.entries[real].size > TEXT_LIMIT:
            return None
        if real not in self._texts:  # a link's target: nobody knew of it when it went by
            with tempfile.TemporaryDirectory() as folder:
                self.fetch({"text": real}, Path(folder))
                self._texts[real] = (Path(folder) / "text").read_bytes()
        return decoded(self._texts[real])

    def fetch(self, plan: Mapping[str, str], into: Path) -> None:
        check_plan(self.contents, plan, into)
        wanted = by_file(plan, into)

        def take(member: tarfile.TarInfo, members: tarfile.TarFile) -> bool:
            path = member.name.removeprefix("./")
            targets = wanted.pop(path, None) if member.isreg() else None
            reader = members.extractfile(member) if targets else None
            if targets and reader:
                write(reader, targets, member.size, f"{self.name}: {path}")
            return not wanted

        self._walk(take)
        if wanted:
            raise self.contents.refused(next(iter(wanted)), "could not be read again")

    def _walk(self, visit: Callable[[tarfile.TarInfo, tarfile.TarFile], bool]) -> None:
        """Show `visit` each member, in the order that they lie in, until it has enough."""
        command = ["bsdtar", "-cf", "-", "--format=pax", f"@{self._file}"]
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=said, env=_environment()
            ) as bsdtar,
        ):
            try:
                with tarfile.open(fileobj=bsdtar.stdout, mode="r|") as members:
                    if any(visit(member, members) for member in members):
                        bsdtar.kill()
                        return
            except tarfile.TarError as error:
                raise self._damaged(said, str(error)) from None
            if bsdtar.wait() != 0:
                raise self._damaged(said, "bsdtar failed")

    def _damaged(self, said: IO[bytes], error: str) -> BuildError:
        said.seek(0)
        told = said.read(4096).decode("utf-8", "replace").replace("bsdtar: (null)", "it is cut off")
        told = printable(told).strip() or error
        return BuildError(f"{self.name} cannot be read: {told}", "fetch it again")


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8"}  # names in UTF-8, messages in English


def _entry(member: tarfile.TarInfo) -> Entry:
    if member.isreg():
        return Entry("file", member.size)
    if member.isdir():
        return Entry("folder")
    if member.issym():
        return Entry("link", target=member.linkname)
    if member.islnk():  # from the top of the medium, not from its own folder
        up = "../" * member.name.removeprefix("./").count("/")
        own = member.linkname.removeprefix("./")
        return Entry("link", target=own if own.startswith("/") else up + own)
    return Entry("other")
