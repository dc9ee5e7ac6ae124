"""Lists of checksums as vendors publish them, and signatures of them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deployer.core.text import printable
from deployer.media.build.workshop import BuildError, need, run

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
_INLINE = b"-----BEGIN PGP SIGNED MESSAGE-----"
_ARMOURED_KEYS = b"-----BEGIN PGP PUBLIC KEY"


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


class Keyring:
    """The keys that a vendor signs with, as `gpg --export` writes them."""

    def __init__(self, file: Path) -> None:
        need("gpgv")
        try:
            start = file.read_bytes()[:200]
        except OSError as error:
            raise BuildError(f"{file} cannot be read: {error.strerror}", "name a keyring") from None
        if _ARMOURED_KEYS in start:
            raise BuildError(
                f"{file} is armoured, and gpgv reads it only without",
                f"gpg --dearmor < {file} > keyring.gpg, and name that",
            )
        self.file = file.absolute()

    def signer(self, signature: Path, content: Path) -> str:
        """The fingerprint of the key that has signed `content`; BuildError when none has."""
        return self._run(signature, str(signature), str(content))

    def signed_text(self, signed: Path, work: Path) -> tuple[str, str]:
        """(fingerprint, what it has signed) of a text with its signature in it: nothing else that
        stands in the file counts."""
        plain = work / "signed-text"
        plain.unlink(missing_ok=True)
        signer = self._run(signed, "--output", str(plain), str(signed))
        return signer, plain.read_text(encoding="utf-8", errors="replace")

    def _run(self, what: Path, *arguments: str) -> str:
        try:
            said = run("gpgv", "--status-fd", "1", "--keyring", str(self.file), *arguments)
        except BuildError as error:
            told = printable(str(error)).partition("\n")[2]
            raise BuildError(
                f"{what.name}: no key of {self.file} has signed it:\n{told}",
                "fetch it again; or the keyring is another vendor's, or an old one",
            ) from None
        found = re.search(r"^\[GNUPG:\] VALIDSIG (\S+)", said, re.MULTILINE)
        if found is None:
            raise BuildError(f"{what.name} is not signed", "name the vendor's keyring")
        return found[1]


def is_signed_inline(content: bytes) -> bool:
    return content.lstrip().startswith(_INLINE)
