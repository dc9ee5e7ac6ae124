"""Webhooks that anybody's library can check, and the same JSON without a signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deployer.drivers import tls
from deployer.drivers.chat.base import Busy
from deployer.drivers.notify.base import NotifyDriver
from deployer.drivers.notify.json import Json
from deployer.drivers.notify.webhook import Webhook
from deployer.errors import DriverError, DriverRefused
from tests.support.certificates import self_signed
from tests.support.hostile import HOSTILE, everywhere
from tests.support.notices import DATA, driver, notice
from tests.support.other import Asked, Other

KEY = b"0123456789abcdef0123456789abcdef"
WHSEC = "whsec_" + base64.b64encode(KEY).decode()


@pytest.fixture
def other() -> Iterator[Other]:
    with Other() as made:
        yield made


def webhook(other: Other, **more: Any) -> NotifyDriver:
    given = {"url": f"{other.url}/hook", "secret": {"secret": "hook"}, **more}
    return driver(Webhook, given, hook=WHSEC, url=f"{other.url}/s3cret/path?token=s3cret")


def is_signed(asked: Asked, key: bytes) -> bool:
    """As the standard has a receiver check it: https://www.standardwebhooks.com."""
    given = asked.headers
    assert abs(int(given["webhook-timestamp"]) - time.time()) < 300
    signed = f"{given['webhook-id']}.{given['webhook-timestamp']}.".encode() + asked.body
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(each, f"v1,{wanted}")
               for each in given["webhook-signature"].split())  # fmt: skip


def test_whoever_has_the_secret_can_check_it(other: Other) -> None:
    what = notice()
    assert webhook(other).send(what) == f"POST {other.url}/hook: 200"
    (asked,) = other.asked
    assert is_signed(asked, KEY) and not is_signed(asked, KEY[::-1])
    assert asked.headers["webhook-id"] == what.id
    assert asked.headers["content-type"] == "application/json"
    assert json.loads(asked.body) == {
        "type": "deployment.failed", "timestamp": "2026-03-01T12:00:00Z", "data": DATA,
    }  # fmt: skip


@pytest.mark.slow
def test_each_try_has_the_same_id_and_body_and_a_time_of_its_own(
    other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = notice()
    webhook(other).send(what)
    time.sleep(1.1)
    webhook(other).send(what)
    first, second = other.asked
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert int(first.headers["webhook-timestamp"]) < int(second.headers["webhook-timestamp"])
    assert is_signed(second, KEY)


@pytest.mark.parametrize("value", ["correct horse", "whsec_!!!", "whsec_c2hvcnQ="])
def test_a_secret_that_cannot_sign_is_said_and_not_shown(other: Other, value: str) -> None:
    given = {"url": other.url, "secret": {"secret": "hook"}}
    with pytest.raises(DriverRefused, match="the secret hook is not whsec_") as told:
        driver(Webhook, given, hook=value).send(notice())
    assert value not in str(told.value) and other.asked == []


@pytest.mark.parametrize("name", HOSTILE)
def test_t045_hostile_text_stays_within_its_string(other: Other, name: str) -> None:
    what = notice(everywhere("x"))
    what.data.update(cause=HOSTILE[name])
    driver(Json, {"url": other.url}).send(what)
    assert json.loads(other.asked[0].body)["data"]["cause"] == HOSTILE[name]


def test_headers_of_ones_own_may_be_secrets(other: Other) -> None:
    what = notice()
    given = {
        "url": other.url, "verify": False,
        "headers": {"X-Team": "ops", "Authorization": {"secret": "noc"}},
    }  # fmt: skip
    driver(Json, given, noc="Bearer s3cret").send(what)
    headers = other.asked[0].headers
    assert (headers["x-team"], headers["authorization"]) == ("ops", "Bearer s3cret")
    assert headers["idempotency-key"] == what.id and "webhook-signature" not in headers


def test_a_secret_is_not_sent_in_the_clear_whoever_names_the_url(other: Other) -> None:
    given = {"url": {"secret": "url"}, "headers": {"Authorization": {"secret": "noc"}}}
    with pytest.raises(DriverRefused, match="in the clear"):
        driver(Json, given, url=other.url, noc="Bearer s3cret").send(notice())
    assert other.asked == []
    with pytest.raises(ValidationError, match="in the clear"):
        Json.Settings.model_validate({**given, "url": other.url})
    with pytest.raises(ValidationError, match="X-Team"):
        Json.Settings.model_validate({"url": other.url, "headers": {"X-Team": "Küche"}})


@pytest.mark.parametrize("kind", ["sent", "refused", "cut", "no url"])
def test_the_path_of_a_url_that_is_a_secret_is_not_shown(other: Other, kind: str) -> None:
    notifier = webhook(other, url={"secret": "url"})
    if kind == "sent":
        assert notifier.send(notice()) == f"POST {other.url}/…: 200"
        assert other.asked[0].path == "/s3cret/path?token=s3cret"
        return
    if kind == "no url":
        notifier = driver(Json, {"url": {"secret": "url"}}, url="ftp://a.example/s3cret")
    other.statuses = [404]
    if kind == "cut":
        other.headers = {"Transfer-Encoding": "nonsense, s3cret"}
    with pytest.raises(DriverError) as told:
        notifier.send(notice())
    assert "s3cret" not in told.value.message


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("99999999999999999999", 10**6),
        ("soon", None),
        ("-5", 0),
        ("nan", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_f050_it_says_when_to_come_back(
    other: Other, status: int, header: str, seconds: int | None
) -> None:
    other.statuses, other.headers = [status], {"Retry-After": header}
    with pytest.raises(DriverError, match=f"answered with {status}") as told:
        webhook(other).send(notice())
    if seconds is None:
        assert not isinstance(told.value, Busy)
    else:
        assert isinstance(told.value, Busy) and told.value.wait == timedelta(seconds=seconds)


def test_f050_also_by_a_date(other: Other) -> None:
    other.statuses, other.headers = [429], {"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}
    with pytest.raises(Busy) as told:
        webhook(other).send(notice())
    assert told.value.wait > timedelta(days=365)
    other.headers = {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}
    with pytest.raises(Busy) as told:
        webhook(other).send(notice())
    assert told.value.wait == timedelta(0)


def test_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    tls._of_this_machine.cache_clear()
    with Other(certificate) as other:
        with pytest.raises(DriverRefused, match="not to be trusted"):
            webhook(other).send(notice())
        for verify in ({"ca": certificate.pem}, {"fingerprint": certificate.fingerprint}):
            webhook(other, verify=verify).send(notice())
        assert len(other.asked) == 2


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "localhost", "[::1]",
     "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "169.254.169.254"],
)  # fmt: skip
@pytest.mark.parametrize("kind", [Json, Webhook])
def test_t073_neither_ourselves_nor_a_clouds_metadata_are_asked(
    other: Other, kind: type[NotifyDriver], host: str
) -> None:
    url = f"http://{host}:{other.url.rpartition(':')[2]}/"
    more = {"secret": {"secret": "hook"}} if kind is Webhook else {}
    with pytest.raises(DriverRefused, match="may not be connected to") as told:
        driver(kind, {"url": url, **more}, networks="", hook=WHSEC).send(notice())
    assert other.asked == [] and "DEPLOYER_CHAT_NETWORKS" in str(told.value.remedy)
