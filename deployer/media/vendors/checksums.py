"""Lists of checksums as vendors publish them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Algorithm = Literal["sha256", "sha512"]
_BY_LENGTH: dict[int, Algorithm] = {64: "sha256", 128: "sha512"}
_GNU = re.compile(r"^\\?([0-9a-fA-F]{64}|[0-9a-fA-F]{128}) [ *](.+)$", re.MULTILINE)
_BSD = re.compile(r"^SHA(?:256|512) ?\((.+)\) ?= ?([0-9a-fA-F]{64,128})$", re.MULTILINE)
_TREEINFO = re.compile(r"^(\S+) ?= ?sha256:([0-9a-f]{64})$", re.MULTILINE)
_ALONE = re.compile(r"^\s*([0-9a-fA-F]{64}|[0-9a-fA-F]{128})\s*$")

# What lists are called: NAME stands for the file's own.
OF_ONE = ("NAME.sha256", "NAME.sha256sum", "NAME.SHA256SUM", "NAME.CHECKSUM", "NAME.sha512",
          "NAME.DIGESTS")  # fmt: skip
OF_MANY = ("SHA256SUMS", "sha256sum.txt", "SHA256SUMS.txt", "CHECKSUM", "CHECKSUMS", "SHA256",
           "SHA512SUMS", ".treeinfo")  # fmt: skip
SIGNATURES = (".asc", ".sig", ".gpg", ".sign")


@dataclass(frozen=True)
class Checksum:
    algorithm: Algorithm
    digest: str

    def fits(self, file: Path) -> bool:
        with file.open("rb") as content:
            return hashlib.file_digest(content, self.algorithm).hexdigest() == self.digest


def read_list(text: str) -> dict[str, Checksum]:
    """{path: checksum} of a list in the style of GNU, BSD or .treeinfo."""
    text = text.replace("\r\n", "\n")
    pairs = [(name, digest) for digest, name in _GNU.findall(text)]
    pairs += [*_BSD.findall(text), *_TREEINFO.findall(text)]
    return {
        name.strip().removeprefix("./"): Checksum(algorithm, digest.lower())
        for name, digest in pairs
        if (algorithm := _BY_LENGTH.get(len(digest)))
    }


def of_the_only(text: str) -> Checksum | None:
    """The one checksum of a list that is for one file, whatever it calls it: mirrors rename."""
    alone = _ALONE.match(text)
    found = set(read_list(text).values())
    if alone:
        found.add(Checksum(_BY_LENGTH[len(alone[1])], alone[1].lower()))
    best = {each for each in found if each.algorithm == "sha512"} or found
    return best.pop() if len(best) == 1 else None
