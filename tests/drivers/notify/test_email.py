"""Mail, as a real mail server takes it: secured, with one subject, and no stranger's header."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from deployer.core.chat import Message
from deployer.drivers.notify import email
from deployer.drivers.notify.email import Email
from deployer.errors import DriverError, DriverRefused
from tests.support.certificates import SelfSigned, self_signed
from tests.support.hostile import HOSTILE, everywhere, huge
from tests.support.notices import AT, driver, notice
from tests.support.smtp import MailServer

PASSWORD = "s3cret-of-mail"
Settings = dict[str, Any]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> SelfSigned:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server() -> Iterator[MailServer]:
    """Without TLS and accounts."""
    with MailServer() as made:
        yield made


def settings(server: MailServer, **more: Any) -> Settings:
    return {
        "server": "127.0.0.1", "port": server.port, "tls": "none",
        "from": "deployer@example.com", "to": ["ops@example.com"], **more,
    }  # fmt: skip


def sends(given: Settings, message: Message | None = None, **more: Any) -> str:
    return driver(Email, given, mail=PASSWORD, **more).send(
        notice(message) if message else notice()
    )


# --- what arrives -----------------------------------------------------------------------------


def test_a_mail_says_it_all(server: MailServer) -> None:
    what = notice()
    said = driver(Email, settings(server, to=["ops@example.com", "noc@example.com"])).send(what)
    assert said == "to ops@example.com, noc@example.com"
    (mail,), (envelope,) = server.mails, server.envelopes
    assert envelope.mail_from == "deployer@example.com"
    assert envelope.rcpt_tos == ["ops@example.com", "noc@example.com"]
    assert mail["From"] == "Deployer <deployer@example.com>"
    assert mail["To"] == "ops@example.com, noc@example.com"
    assert mail["Subject"] == "[Deployer] web01 → debian-12: failed"
    assert mail["Message-ID"] == f"<{what.id}@example.com>"
    assert mail["References"] == "<dep_01kjmma2gfyp0yz690p4cq8g14@example.com>"
    assert mail["Date"].datetime == AT and mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_type() == "text/plain"
    assert server.texts[0] == (
        "❌ web01 → debian-12: failed\n"
        "the installer did not find a disk\n"
        "  disk   was not touched\n"
        "  after  4 min\n"
        "  deployer explain web01\n"
    )
    assert server.raw[0].isascii(), "for servers without 8BITMIME"


HEADERS = {
    "subject", "from", "to", "date", "message-id", "references", "auto-submitted", "mime-version",
    "content-type", "content-transfer-encoding",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_t045_nobody_writes_a_header_or_a_second_mail(server: MailServer, name: str) -> None:
    sends(settings(server), everywhere(HOSTILE[name]))
    (mail,) = server.mails
    assert {key.lower() for key in mail} == HEADERS
    assert mail["To"] == "ops@example.com" and len(mail["Subject"]) <= 220
    (text,) = server.texts
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert "✅" not in re.findall(r"^.", text, re.MULTILINE), "no line of ours"
    assert max(len(line) for line in server.raw[0].splitlines()) <= 998


@pytest.mark.parametrize(
    "title", ["a\r\nBcc: all@example.com\r\n\r\nBody", "a\nX: y", "a\r\n.\r\nMAIL FROM:<x@y>"]
)
def test_lines_in_a_subject_become_one(server: MailServer, title: str) -> None:
    sends(settings(server), Message(title, lines=(".", "..", "MAIL FROM:<x@y.example>")))
    (mail,), (envelope,) = server.mails, server.envelopes
    assert envelope.rcpt_tos == ["ops@example.com"]
    assert {key.lower() for key in mail} == HEADERS
    assert "\n.\n..\nMAIL FROM:<x@y.example>\n" in server.texts[0]


def test_what_is_huge_is_cut(server: MailServer) -> None:
    sends(settings(server), huge())
    assert len(server.raw[0]) < 1_000_000


# --- TLS and login ----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # it has TLS anyway
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_secured_and_logged_in(certificate: SelfSigned, tls: Any) -> None:
    login = ("deployer", PASSWORD)
    with MailServer(certificate, tls=tls, login=login) as server:
        given = settings(
            server, tls=tls, verify={"ca": certificate.pem}, username="deployer",
            password={"secret": "mail"},
        )  # fmt: skip
        assert sends(given) == "to ops@example.com"
        assert len(server.mails) == 1 and server.secured == [True]
        pinned = {**given, "verify": {"fingerprint": certificate.fingerprint}}
        assert sends(pinned) == "to ops@example.com"
        with pytest.raises(DriverRefused, match="answered 535"):
            driver(Email, given, mail="another").send(notice())
        assert len(server.mails) == 2


@pytest.mark.parametrize("tls", ["starttls", "tls"])
@pytest.mark.parametrize(
    ("verify", "words"),
    [(True, "not to be trusted"), ({"fingerprint": "ab" * 32}, "another certificate")],
    ids=["unknown CA", "another pin"],
)
def test_who_shows_another_certificate_is_told_nothing(
    certificate: SelfSigned, tls: Any, verify: Any, words: str
) -> None:
    with MailServer(certificate, tls=tls) as server:
        with pytest.raises(DriverRefused, match=words):
            sends(settings(server, tls=tls, verify=verify))
        assert server.envelopes == []


def test_a_certificate_is_for_the_name_that_was_written(certificate: SelfSigned) -> None:
    with MailServer(certificate, tls="starttls") as server:
        given = settings(server, tls="starttls", verify={"ca": certificate.pem})
        with pytest.raises(DriverRefused, match="not to be trusted"):
            sends({**given, "server": "localhost"}, networks="127.0.0.0/8, ::1")


def test_without_starttls_nothing_is_sent(server: MailServer) -> None:
    with pytest.raises(DriverRefused, match="STARTTLS"):
        sends(settings(server, tls="starttls"))
    assert server.mails == []


def test_tls_where_there_is_none_is_said(server: MailServer) -> None:
    with pytest.raises(DriverRefused, match=r"is `tls` .* right"):
        sends(settings(server, tls="tls"))


# --- what a server says -----------------------------------------------------------------------


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [("450 4.2.0 greylisted", DriverError), ("550 5.1.1 no such user", DriverRefused)],
)
def test_later_is_tried_again_and_no_is_no(
    server: MailServer, command: str, answer: str, kind: type[DriverError]
) -> None:
    server.answers[command] = answer
    with pytest.raises(DriverError, match=answer) as told:
        sends(settings(server))
    assert type(told.value) is kind and server.mails == []


def test_of_many_the_one_that_is_refused_is_named(server: MailServer) -> None:
    server.answers["RCPT gone@example.com"] = "550 5.1.1 no such user"
    said = sends(settings(server, to=["gone@example.com", "ops@example.com"]))
    assert said == "to ops@example.com; not to gone@example.com: 550 5.1.1 no such user"
    assert server.envelopes[0].rcpt_tos == ["ops@example.com"]


def test_nobody_there_is_tried_again() -> None:
    with MailServer() as server:
        given = settings(server)
    with pytest.raises(DriverError, match="does not answer") as told:
        sends(given)
    assert type(told.value) is DriverError


def _answers(banner: bytes, seconds: float) -> tuple[int, threading.Thread]:
    """A port where `banner` is said every so often, to one caller."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener:
            connection, _ = listener.accept()
        with connection:
            try:
                while True:
                    connection.sendall(banner)
                    time.sleep(seconds)
            except OSError:
                pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return listener.getsockname()[1], thread


@pytest.mark.slow
def test_f050_one_that_never_comes_to_an_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email, "_IN_ALL_SECONDS", 0.5)
    port, thread = _answers(b"220-still here\r\n", 0.05)
    began = time.monotonic()
    with pytest.raises(DriverError, match=r"hung up|does not answer"):
        driver(Email, {
            "server": "127.0.0.1", "port": port, "tls": "none", "from": "a@b.example",
            "to": ["c@d.example"],
        }).send(notice())  # fmt: skip
    assert time.monotonic() - began < 3
    thread.join(5)


def test_t073_what_is_no_mail_server_is_not_quoted() -> None:
    port, _ = _answers(b"-ERR unknown; the password is hunter2\r\n", 1)
    with pytest.raises(DriverError) as told:
        driver(Email, {
            "server": "127.0.0.1", "port": port, "tls": "none", "from": "a@b.example",
            "to": ["c@d.example"],
        }).send(notice())  # fmt: skip
    assert "hunter2" not in str(told.value) and "in no SMTP" in str(told.value)


def test_t073_neither_ourselves_nor_a_clouds_metadata_are_asked(server: MailServer) -> None:
    for host in ("127.0.0.1", "localhost", "127.1", "2130706433", "169.254.169.254"):
        with pytest.raises(DriverRefused, match="may not be connected to"):
            sends({**settings(server), "server": host}, networks="")
    assert server.envelopes == []


# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"to": []}, "at least 1"),
        ({"to": ["Ops <ops@example.com>"]}, "and nothing else"),
        ({"to": ["ops@example.com\r\nBcc: x@example.com"]}, "and nothing else"),
        ({"to": ["ops@example.com>"]}, "and nothing else"),
        ({"from": "ops"}, "and nothing else"),
        ({"username": "a"}, "belong together"),
        ({"username": "a", "password": {"secret": "mail"}}, "in the clear"),
        ({"server": "-oProxy"}, "String should match"),
    ],
)
def test_what_would_not_work_is_refused_when_it_is_written(
    server: MailServer, change: Settings, words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        Email.Settings.model_validate({**settings(server), **change})


def test_the_usual_ports() -> None:
    given = {"server": "mail.example", "from": "a@b.example", "to": ["c@d.example"]}
    ports = {tls: email._port(email.EmailSettings.model_validate({**given, "tls": tls}))
             for tls in ("starttls", "tls", "none")}  # fmt: skip
    assert ports == {"starttls": 587, "tls": 465, "none": 25}
