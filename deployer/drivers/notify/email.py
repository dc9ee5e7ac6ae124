"""Mail by somebody's SMTP server, over TLS unless it was said otherwise."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.headerregistry import Address as Mailbox
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from threading import Timer
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from deployer.core.chat import fit, plain_text
from deployer.core.profiles import Port, SecretRef
from deployer.core.text import Line, printable
from deployer.drivers import reach
from deployer.drivers.chat.base import ChatSettings
from deployer.drivers.notify.base import Notice, NotifyDriver, in_lines
from deployer.drivers.power.base import Address
from deployer.drivers.tls import Pin, Verify, context, fingerprint
from deployer.errors import DriverError, DriverRefused

_MAILBOX = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*",
    re.ASCII,
)
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_ANSWER_SECONDS, _IN_ALL_SECONDS = 15, 60
_SUBJECT_CHARACTERS, _LINE_CHARACTERS, _TEXT_CHARACTERS = 200, 2000, 50_000


def _mailbox(text: str) -> str:
    if len(text) > 254 or not _MAILBOX.fullmatch(text):
        raise ValueError("must be an address such as ops@example.com, and nothing else")
    return text


MailAddress = Annotated[str, AfterValidator(_mailbox)]


class EmailSettings(ChatSettings):
    """`tls` is none where the server has no TLS, and then there is no login."""

    model_config = ConfigDict(populate_by_name=True)

    server: Address
    port: Port | None = None
    tls: Literal["starttls", "tls", "none"] = "starttls"
    verify: Verify = True
    username: Annotated[Line, Field(min_length=1)] | None = None
    password: SecretRef | None = None
    from_: MailAddress = Field(alias="from")
    to: Annotated[list[MailAddress], Field(min_length=1, max_length=50)]

    @model_validator(mode="after")
    def _login_is_whole_and_not_in_the_clear(self) -> EmailSettings:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together; write both, or neither")
        if self.password is not None and self.tls == "none":
            raise ValueError("without TLS the password would be sent in the clear")
        return self

    @property
    def domain(self) -> str:
        return self.from_.rpartition("@")[2]


class Email(NotifyDriver):
    name = "email"
    Settings = EmailSettings
    settings: EmailSettings

    def send(self, notice: Notice) -> str:
        """What a server does not take now (4xx) it may take later. Where it takes it for some, it
        is sent, and the others are named."""
        settings = self.settings
        with _talk(settings, self.context.networks) as server:
            if settings.username is not None and settings.password is not None:
                server.login(settings.username, self.context.secret(settings.password))
            refused = server.send_message(_message(settings, notice), settings.from_, settings.to)
        taken = ", ".join(each for each in settings.to if each not in refused)
        without = [f"not to {who}: {_answer(*why)}" for who, why in refused.items()]
        return "; ".join([f"to {taken}", *without])


def _message(settings: EmailSettings, notice: Notice) -> EmailMessage:
    """Nothing of a notice gets into a header but as one line of the subject."""
    message = in_lines(notice.message, _LINE_CHARACTERS)
    made = EmailMessage(policy=SMTP_POLICY)
    made["From"] = Mailbox("Deployer", addr_spec=settings.from_)
    made["To"] = [Mailbox(addr_spec=each) for each in settings.to]
    made["Subject"] = f"[Deployer] {fit(message.title, _SUBJECT_CHARACTERS)}"
    made["Date"] = notice.at
    made["Message-ID"] = f"<{notice.id}@{settings.domain}>"
    # Mail programs show what belongs to one deployment together.
    made["References"] = f"<{notice.data['id']}@{settings.domain}>"
    made["Auto-Submitted"] = "auto-generated"
    text = fit(plain_text(message), _TEXT_CHARACTERS)
    made.set_content(f"{text}\n", cte="quoted-printable")
    return made


@contextmanager
def _talk(settings: EmailSettings, networks: str) -> Iterator[smtplib.SMTP]:
    """Greeted and secured; what goes wrong is a DriverError, or DriverRefused."""
    where = f"{settings.server}:{_port(settings)}"
    server = _Server(settings, networks)
    try:
        server.begin()
        yield server
        # It has it; how we part changes nothing.
        with suppress(OSError, smtplib.SMTPException):
            server.quit()
    except smtplib.SMTPRecipientsRefused as error:
        raise _refusal(where, *min(error.recipients.values())) from None
    except smtplib.SMTPResponseException as error:
        raise _refusal(where, error.smtp_code, error.smtp_error) from None
    except ssl.SSLCertVerificationError as error:
        problem = f"a certificate that is not to be trusted: {error.verify_message}"
        raise DriverRefused(f"{where} shows {problem}") from None
    except ssl.SSLError as error:
        hint = "is `tls` (starttls on 587, tls on 465) right?"
        raise DriverRefused(f"{where} speaks no TLS that we do: {error.reason}; {hint}") from None
    except smtplib.SMTPServerDisconnected as error:
        raise DriverError(f"{where} hung up: {error}") from None
    except smtplib.SMTPException as error:
        raise DriverRefused(f"{where}: {error}") from None
    except OSError as error:
        raise DriverError(f"{where} does not answer: {error}") from None
    finally:
        server.end()


class _Server(smtplib.SMTP):
    """Connects to allowed addresses alone, and is given a minute for all that it has to say."""

    def __init__(self, settings: EmailSettings, networks: str) -> None:
        # Without a host it does not connect; with no name of ours it would ask DNS for one.
        super().__init__(local_hostname=settings.domain, timeout=_ANSWER_SECONDS)
        self._host, self._settings, self._networks = settings.server, settings, networks
        self._same: socket.socket | None = None
        self._limit = Timer(_IN_ALL_SECONDS, self._cut)
        self._limit.daemon = True

    def begin(self) -> None:
        self._limit.start()
        settings = self._settings
        code, said = self.connect(settings.server, _port(settings))
        if code != 220:
            raise smtplib.SMTPConnectError(code, said)
        if settings.tls == "starttls":
            self.starttls(context=context(settings.verify))
        if settings.tls != "none" and isinstance(settings.verify, Pin):
            self._check(settings.verify)

    def end(self) -> None:
        self._limit.cancel()
        self.close()
        if self._same is not None:
            self._same.close()

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        """As smtplib's own, which would look the name up by itself."""
        allowed = reach.addresses(host, port, self._networks, reach.RECEIVERS)
        connection = _connected(allowed, port, timeout)
        self._same = connection.dup()  # TLS takes the other one over
        if self._settings.tls != "tls":
            return connection
        return context(self._settings.verify).wrap_socket(connection, server_hostname=host)

    def _check(self, pin: Pin) -> None:
        assert isinstance(self.sock, ssl.SSLSocket)
        shown = fingerprint(self.sock.getpeercert(binary_form=True) or b"")
        if shown != pin.fingerprint:
            raise DriverRefused(
                f"{self._settings.server} shows another certificate than that of SHA-256"
                f" {pin.fingerprint}: that of {shown}"
            )

    def _cut(self) -> None:
        """From another thread: whoever reads there finds the end."""
        if self._same is not None:
            with suppress(OSError):
                self._same.shutdown(socket.SHUT_RDWR)


def _port(settings: EmailSettings) -> int:
    return settings.port or _PORTS[settings.tls]


def _connected(addresses: list[str], port: int, timeout: float) -> socket.socket:
    for address in addresses[:-1]:
        with suppress(OSError):
            return socket.create_connection((address, port), min(timeout, 5))
    return socket.create_connection((addresses[-1], port), timeout)


def _refusal(where: str, code: int, said: bytes | str) -> DriverError:
    kind = DriverRefused if code >= 500 else DriverError
    return kind(f"{where} answered {_answer(code, said)}")


def _answer(code: int, said: bytes | str) -> str:
    """What is no SMTP is not repeated: it may be somebody else's secret."""
    if not 200 <= code < 600:
        return "in no SMTP"
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return f"{code} {printable(' '.join(text.split()), 200)}"


DRIVER = Email
