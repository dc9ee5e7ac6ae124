"""A GnuPG home of a test's own, with its agent, gone at the end."""

from __future__ import annotations

import subprocess
import tempfile


class Keyring:
    """`close()` stops the agent and removes the keys."""

    def __init__(self) -> None:
        # Not in a test's folder: the path of gpg's socket must be short.
        self._home = tempfile.TemporaryDirectory(prefix="gpg-")

    def gpg(self, *arguments: str) -> str:
        """What it prints; an error when it fails."""
        command = ["gpg", "--homedir", self._home.name, "--batch", "--quiet", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def make_key(self, signer: str) -> None:
        """A key that signs, without a passphrase."""
        self.gpg("--passphrase", "", "--quick-generate-key", signer, "rsa2048", "sign", "never")

    def close(self) -> None:
        stop = ["gpgconf", "--homedir", self._home.name, "--kill", "gpg-agent"]
        subprocess.run(stop, check=False, capture_output=True)
        self._home.cleanup()
