"""A real mail server (aiosmtpd) on loopback, with TLS and accounts where a test wants them."""

from __future__ import annotations

import ssl
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Literal

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP as Protocol
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from tests.support.certificates import SelfSigned
from tests.support.postgres import free_port


class MailServer:
    """`mails` are those that it took. `answers`: what it says to a command (RCPT, or RCPT and the
    address, MAIL, DATA) instead of yes."""

    def __init__(
        self, certificate: SelfSigned | None = None, *,
        tls: Literal["starttls", "tls", "none"] = "none", login: tuple[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.mails: list[EmailMessage] = []
        self.raw: list[bytes] = []
        self.envelopes: list[Envelope] = []
        self.secured: list[bool] = []
        self.answers: dict[str, str] = {}
        self._login = login
        context = None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate_file, certificate.key_file)
        more: dict[str, Any] = {}
        if login is not None:
            more = {"authenticator": self._authenticate, "auth_required": True}
            more["auth_require_tls"] = tls == "starttls"
        if tls == "starttls":
            more |= {"tls_context": context, "require_starttls": True}
        self._controller = Controller(
            self, hostname="127.0.0.1", port=free_port(),
            ssl_context=context if tls == "tls" else None, enable_SMTPUTF8=False, **more,
        )  # fmt: skip

    @property
    def texts(self) -> list[str]:
        return [mail.get_content().replace("\r\n", "\n") for mail in self.mails]

    @property
    def port(self) -> int:
        return int(self._controller.port)

    def _authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _how: str, given: Any
    ) -> AuthResult:
        right = isinstance(given, LoginPassword) and (
            (given.login.decode(), given.password.decode()) == self._login
        )
        return AuthResult(success=right, handled=False)

    async def handle_MAIL(
        self, _server: Protocol, _session: Session, envelope: Envelope, address: str,
        options: list[str],
    ) -> str:  # fmt: skip
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(
        self, _server: Protocol, _session: Session, envelope: Envelope, address: str,
        options: list[str],
    ) -> str:  # fmt: skip
        answer = self.answers.get(f"RCPT {address}") or self.answers.get("RCPT", "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Protocol, _session: Session, envelope: Envelope) -> str:
        answer = self.answers.get("DATA", "250 OK")
        if answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            mail = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
            self.raw.append(envelope.content)
            self.envelopes.append(envelope)
            self.secured.append(server.transport.get_extra_info("ssl_object") is not None)
        return answer

    def __enter__(self) -> MailServer:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()
