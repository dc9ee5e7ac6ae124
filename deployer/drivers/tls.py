"""How a device proves that it is itself: by a CA, or by the certificate it is known to have."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
from functools import cache
from typing import Annotated

from cryptography import x509
from pydantic import AfterValidator, BaseModel, ConfigDict


def _pem(text: str) -> str:
    try:
        x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise ValueError("must hold certificates in PEM: -----BEGIN CERTIFICATE----- …") from None
    return text


def _fingerprint(text: str) -> str:
    digits = text.replace(":", "").lower()
    if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise ValueError("must be the SHA-256 of a certificate: 64 hexadecimal digits")
    return digits


class Authority(BaseModel):
    """Signed by this CA, for the name in the URL."""

    model_config = ConfigDict(extra="forbid")
    ca: Annotated[str, AfterValidator(_pem)]


class Pin(BaseModel):
    """This very certificate, whoever signed it."""

    model_config = ConfigDict(extra="forbid")
    fingerprint: Annotated[str, AfterValidator(_fingerprint)]


def _origin(text: str) -> str:
    if not re.fullmatch(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?/?", text):
        raise ValueError("must be https://ADDRESS or https://ADDRESS:PORT, without user and path")
    return text.rstrip("/")


Origin = Annotated[str, AfterValidator(_origin)]


# True: signed by a CA that this machine knows. False: anybody, which is said in the history.
Verify = bool | Authority | Pin


def refuse_clear_text(url: str, verify: Verify) -> None:
    """ValueError unless it was said that anybody will do."""
    if url.startswith("http:") and verify is not False:
        raise ValueError(
            "an http:// URL sends the secret in the clear; write https://, or `verify: false` if"
            " that is meant"
        )


def context(verify: Verify) -> ssl.SSLContext:
    """Shared: reading a machine's CAs takes longer than a request."""
    if isinstance(verify, Authority):
        return ssl.create_default_context(cadata=verify.ca)
    return _of_this_machine() if verify is True else _of_nobody()


@cache
def _of_this_machine() -> ssl.SSLContext:
    return ssl.create_default_context()


@cache
def _of_nobody() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    # BMCs make their certificates themselves, some with keys that are short by now.
    made.set_ciphers("DEFAULT@SECLEVEL=1")
    return made


def fingerprint(certificate: bytes) -> str:
    return hashlib.sha256(certificate).hexdigest()


def shown_by(address: str, port: int, seconds: float) -> str | None:
    """Fingerprint of the certificate that is shown there; None when nobody shows one."""
    try:
        with (
            socket.create_connection((address, port), seconds) as connection,
            context(False).wrap_socket(connection) as secured,
        ):
            return fingerprint(secured.getpeercert(binary_form=True) or b"")
    except OSError:
        return None
