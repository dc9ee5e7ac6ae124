"""The keys that whoever publishes something signs it with, and what they have signed."""

from __future__ import annotations

import re
from pathlib import Path

from deployer.core.text import printable
from deployer.media.build.workshop import BuildError, need, run

_INLINE = b"-----BEGIN PGP SIGNED MESSAGE-----"
_ARMOURED_KEYS = b"-----BEGIN PGP PUBLIC KEY"


class Keyring:
    """Keys, as `gpg --export` writes them."""

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
