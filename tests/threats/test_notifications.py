"""What receivers hold and are told stays with them. THREATS T045, T073, T098."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlmodel import select

from deployer.core.text import is_plain_line
from deployer.store.tables import AuditEntry, Delivery, Receiver
from tests.support.hostile import HOSTILE
from tests.support.ntfy import Ntfy
from tests.support.other import Other
from tests.support.service import Service, ok
from tests.support.smtp import MailServer

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
MARK = "m4rk3r-of-a-secret"
WHSEC = "whsec_" + base64.b64encode(f"{MARK}-{'0' * 20}".encode()).decode()


@pytest.fixture
def other(service: Service) -> Iterator[Other]:
    service.parts.settings.chat_networks = "127.0.0.0/8"
    with Other() as made:
        yield made


def knows(
    service: Service, name: str, type_: str, events: list[str] | None = None, **settings: Any
) -> None:
    when = {"events": events or ["queued"]}
    spec = {"name": name, "type": type_, "settings": settings, "when": when}
    ok(service.api.post("/api/v1/receivers", json=spec))


@pytest.mark.slow
@on_sqlite
@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_receivers_secrets_are_shown_nowhere(
    service: Service, other: Other, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    values = {"url": f"{other.url}/{MARK}?t={MARK}", "token": f"Bearer {MARK}", "key": WHSEC,
              "topic": MARK, "bad": f"ftp://{MARK}.example/"}  # fmt: skip
    for name, value in values.items():
        ok(service.api.post("/api/v1/secrets", json={"name": name, "value": value}))
    headers = {"X-Key": {"secret": "token"}}
    knows(service, "a", "json", url={"secret": "url"}, headers=headers, verify=False)
    knows(service, "b", "webhook", url={"secret": "url"}, secret={"secret": "key"})
    knows(service, "c", "ntfy", server=other.url, topic={"secret": "topic"})
    knows(service, "d", "json", url={"secret": "bad"})
    knows(service, "e", "webhook", url=other.url, secret={"secret": "token"})
    other.statuses = [status]
    service.knows()
    id_ = service.queues()
    assert service.tells() == 5 and len(other.asked) == 3
    for name in "abcde":
        ok(service.api.post(f"/api/v1/receivers/{name}/test"))
    paths = ("receivers", "deliveries", "audit", f"deployments/{id_}/events")
    shown = [service.api.get(f"/api/v1/{path}").text for path in paths]
    with service.parts.database.reading() as session:
        rows = [row.model_dump(mode="json") for table in (Receiver, Delivery, AuditEntry)
                for row in session.exec(select(table)).all()]  # fmt: skip
    for text in (*shown, json.dumps(rows), *capfd.readouterr()):
        assert MARK not in text and WHSEC not in text


@pytest.mark.slow
@on_sqlite
def test_t045_what_a_machine_says_is_told_as_text_on_every_way(
    service: Service, other: Other
) -> None:
    service.knows()
    with MailServer() as mail, Ntfy() as ntfy:
        knows(service, "a", "json", ["failed"], url=other.url)
        knows(service, "b", "ntfy", ["failed"], server=ntfy.url, topic="deployer")
        knows(service, "c", "email", ["failed"], server="127.0.0.1", port=mail.port, tls="none",
              **{"from": "deployer@example.com", "to": ["ops@example.com"]})  # fmt: skip
        payloads = [text for name, text in HOSTILE.items() if name != "surrogate"]
        for payload in payloads:
            service.deploys()
            machine = service.machine()
            machine.boots_installer()
            answer = machine.phones_home("installer_failed", {"message": payload})
            assert answer.status_code == 200
        assert service.tells() == 3 * len(payloads)
        rows = ok(service.api.get("/api/v1/deliveries", params={"outcome": "sent"}))["items"]
        assert len(rows) == 3 * len(payloads), "nobody is stopped by it"
        causes = [json.loads(asked.body)["data"]["cause"] for asked in other.asked]
        texts = [message["title"] + message["message"] for message in ntfy.messages]
    assert len(causes) == len(texts) == len(mail.texts) == len(payloads)
    for text in (*causes, *texts, *mail.texts):
        assert is_plain_line(text.replace("\n", "")), ascii(text)


@on_sqlite
def test_t098_a_receiver_is_not_led_elsewhere(service: Service, other: Other) -> None:
    with Other() as elsewhere:
        knows(service, "a", "json", url=other.url)
        other.statuses, other.headers = [307], {"Location": elsewhere.url}
        service.knows()
        service.queues()
        assert service.tells() == 1
        (row,) = ok(service.api.get("/api/v1/deliveries"))["items"]
        assert row["outcome"] == "refused" and elsewhere.asked == []


@on_sqlite
def test_t073_an_answers_body_is_not_shown(service: Service, other: Other) -> None:
    knows(service, "a", "json", url=other.url)
    other.statuses = [400]
    tried = service.api.post("/api/v1/receivers/a/test").text
    assert "answered with 400" in tried and "nobody shows" not in tried
