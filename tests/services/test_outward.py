"""`http.request` and `webhook`: what other services are told, and what of it is kept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deployer.app import load_workflows
from deployer.drivers import tls
from deployer.drivers.power.fake import Fake
from deployer.settings import Settings
from tests.support.certificates import self_signed
from tests.support.other import Other
from tests.support.service import HOST, PROFILE, Service, ok

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
KEY = b"0123456789abcdef0123456789abcdef"
WHSEC = "whsec_" + base64.b64encode(KEY).decode()
INSTALL = """\
  queued: [{do: power.boot_once}]
  booting: [{do: power.cycle}]
  verifying: [{say: verified}]
"""


@pytest.fixture
def other() -> Iterator[Other]:
    with Other() as made:
        yield made


Follows = Callable[..., str]


@pytest.fixture
def follows(service: Service, tmp_path: Path) -> Follows:
    """A deployment, not yet begun, by a workflow with these lines under `on:`."""
    service.parts.settings.webhook_networks = "127.0.0.0/8"
    Fake.told.setdefault("outward", []).clear()

    def queued(lines: str, **profile: Any) -> str:
        (tmp_path / "mine.yaml").write_text(f"name: mine\nlabel: Mine\n'on':\n{lines}")
        service.parts.workflows.update(load_workflows(Settings(workflows=tmp_path)))
        service.knows(
            host={"power": {"driver": "fake", "name": "outward"}, "labels": {"rack": "a1"}},
            workflow="mine", **profile,
        )  # fmt: skip
        return service.queues()

    return queued


def step(do: str, **given: Any) -> str:
    return json.dumps({"do": do, "with": given})


def line(service: Service, id_: str, event: str) -> dict[str, Any]:
    found: dict[str, Any] = next(e for e in service.history(id_) if e["event"] == event)["detail"]
    return found


def becomes_ready(service: Service) -> None:
    service.work()
    machine = service.machine()
    machine.installs()
    machine.phones_home("first_boot")


# --- a request of one's own -------------------------------------------------------------------


def test_a_request_is_filled_from_host_profile_and_deployment(
    service: Service, follows: Follows, other: Other
) -> None:
    ask = step(
        "http.request", url=other.url + "/hosts/{{ host.name }}?rack={{ host.labels.rack }}",
        method="PUT", headers={"X-Profile": "{{ profile.name }}"},
        json={"state": "{{ deployment.state }}", "cpus": [4, "{{ profile.os }}"], "on": True},
    )  # fmt: skip
    id_ = follows(f"  queued: [{ask}, {{do: power.boot_once}}]\n")
    assert service.work() == ["http.request", "power.boot_once"]
    (asked,) = other.asked
    assert (asked.method, asked.path) == ("PUT", "/hosts/web01?rack=a1")
    assert asked.headers["x-profile"] == "debian-12-image"
    assert asked.headers["idempotency-key"].startswith("eff_")
    assert json.loads(asked.body) == {"state": "queued", "cpus": [4, "image"], "on": True}
    assert line(service, id_, "http.request") == {
        "effect": "http.request", "request": f"PUT {other.url}/hosts/web01", "status": 200,
    }  # fmt: skip


def test_it_is_asked_again_while_the_other_side_is_ill_by_the_same_key(
    service: Service, follows: Follows, other: Other
) -> None:
    other.statuses = [503, 429, 200]
    ask = step("http.request", url=other.url)
    id_ = follows(f"  queued: [{ask}, {{do: power.boot_once}}]\n")
    for _ in range(3):
        service.work()
        service.clock.forward(minutes=1)
    service.work()
    assert len({asked.headers["idempotency-key"] for asked in other.asked}) == 1
    assert len(other.asked) == 3 and service.state(id_) == "booting"


@pytest.mark.parametrize(
    ("given", "status", "state"),
    [
        ({}, 201, "booting"),
        ({}, 302, "failed"),
        ({}, 404, "failed"),
        ({"expect": [404]}, 404, "booting"),
        ({"expect": [201]}, 200, "failed"),
    ],
)
def test_an_answer_that_was_not_expected_fails_the_deployment(
    service: Service, follows: Follows, other: Other, given: Any, status: int, state: str
) -> None:
    other.statuses, other.headers = [status], {"Location": f"{other.url}/elsewhere"}
    ask = step("http.request", url=other.url, **given)
    id_ = follows(f"  queued: [{ask}, {{do: power.boot_once}}]\n")
    service.work()
    assert service.state(id_) == state
    assert len(other.asked) == 1, "a redirect is not followed"
    if state == "failed":
        assert f"was answered with {status}" in service.cause(id_)
    assert "nobody shows" not in str(service.history(id_))


def test_a_secret_in_a_header_arrives_and_is_shown_nowhere(
    service: Service, follows: Follows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate_file))
    tls._of_this_machine.cache_clear()
    ok(service.api.post("/api/v1/secrets", json={"name": "cmdb", "value": "Bearer s3cret-of-it"}))
    with Other(certificate) as other:
        ask = step("http.request", url=other.url, headers={"Authorization": {"secret": "cmdb"}})
        id_ = follows(f"  queued: [{ask}, {{do: power.boot_once}}]\n")
        service.work()
        assert [asked.headers["authorization"] for asked in other.asked] == ["Bearer s3cret-of-it"]
    assert service.state(id_) == "booting"
    everything = json.dumps([service.history(id_), service.row(id_).model_dump(mode="json")])
    assert "s3cret-of-it" not in everything
    tls._of_this_machine.cache_clear()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"url": "{{ host.nothing }}"}, "url: "),
        ({"url": "{{ host.power }}"}, "url: "),
        ({"url": "{{ profile.users }}"}, "url: "),
        ({"url": "ftp://other.example/"}, "is no URL that we call"),
        ({"url": "http://user:pw@other.example/"}, "is no URL that we call"),
        ({"url": "http:\\\\other.example"}, "is no URL that we call"),
        ({"url": "http://a.example", "headers": {"X": "{{ 'a' ~ '\\n' ~ 'b' }}"}}, "headers.X"),
        ({"url": "{{ ''.__class__.__mro__ }}"}, "url: "),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_so_fails_with_the_reason(
    service: Service, follows: Follows, given: Any, words: str
) -> None:
    id_ = follows(f"  queued: [{step('http.request', **given)}]\n")
    service.work()
    assert service.state(id_) == "failed" and words in service.cause(id_)


@pytest.mark.slow
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "localhost", "[::1]",
     "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "169.254.169.254"],
)  # fmt: skip
def test_t073_neither_ourselves_nor_a_clouds_metadata_are_asked(
    service: Service, follows: Follows, other: Other, host: str
) -> None:
    port = other.url.rpartition(":")[2]
    id_ = follows(f"  queued: [{step('http.request', url=f'http://{host}:{port}/')}]\n")
    service.parts.settings.webhook_networks = ""
    service.work()
    assert service.state(id_) == "failed" and other.asked == []
    assert "DEPLOYER_WEBHOOK_NETWORKS" not in service.cause(id_)
    assert "may not be connected to" in service.cause(id_)


# --- a webhook --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_webhook_can_be_checked_by_whoever_has_the_secret(
    service: Service, follows: Follows, other: Other
) -> None:
    ok(service.api.post("/api/v1/secrets", json={"name": "hook", "value": WHSEC}))
    id_ = follows(INSTALL + f"  ready: [{step('webhook', url=other.url, secret='hook')}]\n")
    becomes_ready(service)
    assert service.state(id_) == "ready" and other.asked == []
    assert service.work() == ["webhook"]
    (asked,) = other.asked
    given = asked.headers
    signed = f"{given['webhook-id']}.{given['webhook-timestamp']}.".encode() + asked.body
    wanted = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert given["webhook-signature"] == f"v1,{wanted}"
    assert int(given["webhook-timestamp"]) == int(service.clock().timestamp())
    told = json.loads(asked.body)
    assert told["type"] == "deployment.ready"
    shown = ok(service.api.get(f"/api/v1/deployments/{id_}"))
    assert {**told["data"], "logs": []} == shown
    assert line(service, id_, "webhook")["status"] == 200


@pytest.mark.slow
@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_however_it_ends_it_is_told_and_a_failure_to_tell_changes_nothing(
    service: Service, follows: Follows, other: Other, state: str
) -> None:
    other.statuses = [400]
    follows_on = step("http.request", url=other.url, json="{{ deployment.state }}")
    id_ = follows(INSTALL + f"  {state}: [{follows_on}, {follows_on}]\n")
    service.work()
    if state == "failed":
        service.machine().boots_installer()
        service.clock.forward(hours=5)
        service.expire()
    else:
        ok(service.api.post(f"/api/v1/deployments/{id_}/cancel"))
    assert service.work() == ["http.request", "http.request"]
    assert [json.loads(asked.body) for asked in other.asked] == [state] * 2
    assert service.state(id_) == state
    assert "answered with 400" in line(service, id_, "http.request")["failed"]


def test_what_was_under_way_when_it_was_cancelled_is_not_sent_any_more(
    service: Service, follows: Follows, other: Other
) -> None:
    id_ = follows(f"  queued: [{step('http.request', url=other.url)}, {{do: power.boot_once}}]\n")
    ok(service.api.post(f"/api/v1/deployments/{id_}/cancel"))
    service.work()
    assert other.asked == []


def test_a_secret_that_is_not_there_is_missed_before_anything_is_touched(
    service: Service, follows: Follows, other: Other
) -> None:
    lines = INSTALL + f"  ready: [{step('webhook', url=other.url, secret='hook')}]\n"
    with pytest.raises(AssertionError, match="names the secret hook, which is not there"):
        follows(lines)
    body = {"host": HOST["name"], "profile": PROFILE["name"]}
    answer = service.api.post("/api/v1/deployments", json=body)
    assert answer.status_code == 422 and answer.json()["field"] == "on.ready.0.with.secret"


def test_a_secret_that_a_workflow_names_is_kept(
    service: Service, follows: Follows, other: Other
) -> None:
    ok(service.api.post("/api/v1/secrets", json={"name": "hook", "value": WHSEC}))
    follows(INSTALL + f"  ready: [{step('webhook', url=other.url, secret='hook')}]\n")
    answer = service.api.delete("/api/v1/secrets/hook")
    assert answer.status_code == 409 and "the workflow mine names" in answer.json()["detail"]


def test_a_secret_that_cannot_sign_is_said(
    service: Service, follows: Follows, other: Other
) -> None:
    ok(service.api.post("/api/v1/secrets", json={"name": "hook", "value": "correct horse"}))
    id_ = follows(f"  queued: [{step('webhook', url=other.url, secret='hook')}]\n")
    service.work()
    assert "the secret hook is not whsec_" in service.cause(id_)
