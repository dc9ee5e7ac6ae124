"""The server's own secrets: the key that tokens are derived from, and our SSH key."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from deployer.errors import ConfigurationError

_KEY_BYTES = 32


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_suffix(f".partial{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def create_server_key(path: Path) -> None:
    write_private(path, secrets.token_hex(_KEY_BYTES).encode() + b"\n")


def read_server_key(path: Path) -> bytes:
    """The key; ConfigurationError when it is missing, unreadable, empty, short or too regular."""

    def refuse(problem: str, remedy: str) -> ConfigurationError:
        return ConfigurationError(
            f"the server's key {path} {problem}",
            field="DEPLOYER_SERVER_KEY_FILE",
            value=str(path),
            remedy=remedy,
        )

    restore = "restore it from a backup; without it, tokens of running deployments are dead"
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise refuse("is missing", restore) from None
    except (OSError, UnicodeDecodeError) as error:
        raise refuse(f"cannot be read: {error}", "make it readable for this user") from None
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise refuse("is not hexadecimal", restore) from None
    if len(key) < _KEY_BYTES:
        raise refuse(f"has {len(key)} bytes; {_KEY_BYTES} are needed", restore)
    # All zeros, or one pattern repeated, is somebody's default and no secret.
    if len(set(key)) < 16:
        raise refuse("is no random key", "remove it before the first start; one will be made")
    return key


def fingerprint(key: bytes) -> str:
    """Tells two keys apart without telling either."""
    return hashlib.sha256(b"deployer key fingerprint\n" + key).hexdigest()[:16]


def ssh_key(folder: Path, server_key: bytes) -> tuple[Path, str]:
    """(private key file, public key line) with which we log in to verify.

    When it is missing it is made from the server's key, so that one replica gets in where another
    has put its public key.
    """
    path = folder / "ssh_ed25519"
    if not path.exists():
        seed = HKDF(SHA256(), length=32, salt=None, info=b"deployer ssh 1").derive(server_key)
        key = Ed25519PrivateKey.from_private_bytes(seed)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        write_private(path, pem)
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        path.with_suffix(".pub").write_bytes(public + b" deployer\n")
    return path, path.with_suffix(".pub").read_text(encoding="ascii").strip()
