"""UDF, which Windows' media are: read by 7-Zip, for nothing else reads it without mounting."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from deployer.core.text import printable
from deployer.media.build.workshop import BuildError, need, run
from deployer.media.vendors.archives import label_of
from deployer.media.vendors.contents import (
    TEXT_LIMIT,
    Contents,
    Entry,
    by_file,
    check_plan,
    decoded,
    write,
)

_BLOCK = re.compile(r"^Path = (.*)\nFolder = ([+-])\nSize = (\d*)\n", re.MULTILINE)


class Udf:
    """A `Source`: an ISO whose files are in UDF."""

    def __init__(self, file: Path, place: str = "") -> None:
        need("7zz")
        self._file = str(file.absolute())
        self.name, self.place, self.label = file.name, place or str(file), label_of(file)
        self.contents = Contents(file.name)
        for path, folder, size in _BLOCK.findall(run("7zz", "l", "-slt", "-tudf", "-ba", "--",
                                                     self._file)):  # fmt: skip
            entry = Entry("folder") if folder == "+" else Entry("file", int(size or 0))
            self.contents.add(path, entry)

    def has(self, path: str) -> bool:
        return self.contents.find(path) is not None

    def text(self, path: str) -> str | None:
        real = self.contents.find(path)
        if real is None or self.contents.entries[real].size > TEXT_LIMIT:
            return None
        command = self._extract(real)
        return decoded(subprocess.run(command, capture_output=True, check=False).stdout)

    def fetch(self, plan: Mapping[str, str], into: Path) -> None:
        check_plan(self.contents, plan, into)
        for real, targets in by_file(plan, into).items():
            what = f"{self.name}: {printable(real)}"
            with subprocess.Popen(
                self._extract(real), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as sevenzip:
                assert sevenzip.stdout is not None
                write(sevenzip.stdout, targets, self.contents.entries[real].size, what)
            if sevenzip.returncode != 0:
                raise BuildError(f"{what} cannot be read", "fetch the medium again")

    def _extract(self, path: str) -> list[str]:
        # -spd: `*` in a name is a star.
        return ["7zz", "x", "-so", "-tudf", "-spd", "--", self._file, path]
