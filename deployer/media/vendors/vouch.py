"""Who vouches for a medium: a checksum that was given, a list beside it, a vendor's signature."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deployer.core.text import printable
from deployer.media.build.keyring import Keyring, is_signed_inline
from deployer.media.build.workshop import BuildError
from deployer.media.vendors.checksums import (
    OF_MANY,
    OF_ONE,
    SIGNATURES,
    Checksum,
    of_the_only,
    read_list,
)
from deployer.media.vendors.contents import decoded

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_FETCH_AGAIN = "fetch it again; if that does not help, ask where it came from"


class Beside(Protocol):
    """The folder, here or on a web server, that a medium lies in."""

    def get(self, name: str) -> bytes | None:
        """A small file, or None."""

    def lists(self) -> list[str]:
        """Lists of checksums with names that nobody could guess."""


@dataclass(frozen=True)
class Terms:
    """What the operator knows of a medium; `work` is a folder for what is fetched."""

    sha256: str | None
    keyring: Path | None
    work: Path

    def checksum(self) -> Checksum | None:
        if self.sha256 is None:
            return None
        if not _HEX.fullmatch(self.sha256):
            raise BuildError(
                f"--sha256 {printable(self.sha256, 100)} is no SHA-256",
                "give 64 hexadecimal digits",
            )
        return Checksum("sha256", self.sha256.lower())

    def keys(self) -> Keyring | None:
        return Keyring(self.keyring) if self.keyring else None


def for_file(file: Path, beside: Beside, terms: Terms) -> str | None:
    """What vouches for `file`, in words, or None; BuildError when it is not what it should be."""
    given, keys = terms.checksum(), terms.keys()
    if given is not None and not given.fits(file):
        raise BuildError(f"{file.name} has another SHA-256 than --sha256 says", _FETCH_AGAIN)
    lists = _Lists(beside, keys, terms.work)
    if keys is None and given is not None:
        return "SHA-256 as given"
    own = lists.own_signature(file.name, file)
    listed = own or lists.vouches(file.name, file, every=True)
    if listed is None and keys is not None:
        raise _unsigned(file.name)
    return listed


def for_folder(
    beside: Beside, terms: Terms, image: Path, plan: Mapping[str, str], named: Iterable[str]
) -> str | None:
    """The same for files out of a folder: `plan` as it was taken, `named` are those of it that
    the family names, and that must be signed where there is a keyring."""
    if terms.sha256 is not None:
        raise BuildError(
            "--sha256 is for one file, and this is a folder", "leave it out, or give the ISO"
        )
    lists = _Lists(beside, terms.keys(), terms.work)
    named = set(named)
    said: dict[str, int] = {}
    files = {name: real for name, real in plan.items() if not _signs(real, plan)}
    for name, real in files.items():
        words = None
        if name in named:
            words = lists.own_signature(real, image / name)
        words = words or lists.vouches(real, image / name, every=name in named)
        if words is None and name in named and terms.keyring:
            raise _unsigned(real)
        if words is not None:
            said[words] = said.get(words, 0) + 1
    if not said:
        return None
    return "; ".join(f"{count} of {len(files)} files: {words}" for words, count in said.items())


def _signs(path: str, plan: Mapping[str, str]) -> bool:
    """Whether it is the signature of another file, which needs none of its own."""
    return any(path.endswith(end) and path.removesuffix(end) in plan.values() for end in SIGNATURES)


def _unsigned(name: str) -> BuildError:
    lists = ", ".join(each for each in (*OF_ONE, *OF_MANY))
    return BuildError(
        f"--keyring was given, and nothing beside {printable(name)} is signed by it",
        f"put the vendor's signature ({' '.join(f'NAME{end}' for end in SIGNATURES)}) there, or its"
        f" signed list of checksums ({lists}); or leave --keyring out",
    )


class _Lists:
    """The lists of checksums in a folder; with keys, those alone that are signed."""

    def __init__(self, beside: Beside, keys: Keyring | None, work: Path) -> None:
        self.beside, self.keys, self.work = beside, keys, work
        self._read: dict[str, tuple[str, str] | None] = {}

    def own_signature(self, name: str, file: Path) -> str | None:
        """A signature of the very file."""
        if self.keys is None:
            return None
        for end in SIGNATURES:
            content = self.beside.get(name + end)
            if content is not None and not is_signed_inline(content):
                return f"signed by {self.keys.signer(self._kept(name + end, content), file)}"
        return None

    def vouches(self, name: str, file: Path, *, every: bool) -> str | None:
        """The first list that has it; BuildError when the file is another."""
        own = [each.replace("NAME", name) for each in OF_ONE] if every else []
        for called in (*own, *OF_MANY, *self.beside.lists()):
            found = self._list(called)
            if found is None:
                continue
            text, words = found
            wanted = of_the_only(text) if called in own else None
            wanted = wanted or read_list(text).get(name)
            if wanted is None:
                continue
            if not wanted.fits(file):
                raise BuildError(
                    f"{printable(name)} has another {wanted.algorithm.upper()} than {called} says",
                    _FETCH_AGAIN,
                )
            return words
        return None

    def _list(self, called: str) -> tuple[str, str] | None:
        """(its text, what is to be said of it); None where there is none, or nobody has signed it
        though somebody should have."""
        if called not in self._read:
            self._read[called] = self._fetched(called)
        return self._read[called]

    def _fetched(self, called: str) -> tuple[str, str] | None:
        content = self.beside.get(called)
        if content is None:
            return None
        if self.keys is None:
            return decoded(content), f"{called} beside it"
        kept = self._kept(called, content)
        if is_signed_inline(content):
            signer, text = self.keys.signed_text(kept, self.work)
            return text, f"{called}, signed by {signer}"
        for end in SIGNATURES:
            signature = self.beside.get(called + end)
            if signature is not None:
                signer = self.keys.signer(self._kept(called + end, signature), kept)
                return decoded(content), f"{called}, signed by {signer}"
        return None

    def _kept(self, name: str, content: bytes) -> Path:
        file = self.work / "beside" / name.rpartition("/")[2]
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        return file
