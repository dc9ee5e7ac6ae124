"""What machines are told and tell: never cached, kept within limits, shown to people."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.service import Service, ok

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def deployed(service: Service, **profile: Any) -> tuple[str, Any]:
    """(id, machine) of a deployment whose machine has fetched its plan."""
    service.knows(**profile)
    id_, machine = service.deploys(), service.machine()
    machine.boots_installer()
    return id_, machine


def deployment(service: Service, id_: str) -> dict[str, Any]:
    return ok(service.api.get(f"/api/v1/deployments/{id_}"))


def test_no_script_answer_or_callback_may_be_kept_by_anybody(service: Service) -> None:
    _, machine = deployed(service)
    answers = [
        machine.http.get("/boot.ipxe"),
        machine.http.get("/boot/ipxe?mac=52-54-00-12-34-56"),
        machine.http.get("/boot/grub?mac=52-54-00-12-34-56"),
        machine.http.get("/boot/ipxe?mac=nonsense"),
        machine.http.get(machine.plan_url),
        machine.phones_home("installer_started"),
        machine.reports_disks(),
        machine.progresses("writing", 1),
        machine.sends_log(b"x"),
        machine.http.get("/d/wrong/answers/plan.json"),
        machine.http.post("/d/wrong/phone-home/first_boot"),
    ]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store", answer.url
        assert not {"etag", "last-modified"} & set(answer.headers), answer.url


def test_scripts_are_plain_text_for_any_loader(service: Service) -> None:
    http = service.machine().http
    for path in ("/boot.ipxe", "/boot/ipxe?mac=x", "/boot/grub?mac=x"):
        assert http.get(path).headers["content-type"] == "text/plain; charset=utf-8"
    assert http.head("/boot.ipxe").headers["content-length"] == str(
        len(http.get("/boot.ipxe").text)
    )


# --- logs -------------------------------------------------------------------------------------


def read_log(service: Service, id_: str, name: str = "agent.log") -> Any:
    return service.api.get(f"/api/v1/deployments/{id_}/logs/{name}")


def test_a_log_is_read_back_as_it_was_sent(service: Service) -> None:
    id_, machine = deployed(service)
    text = "Deployer: fetching the plan\ngrün ✓\n" * 500
    assert machine.sends_log(text.encode()).status_code == 200
    answer = read_log(service, id_)
    assert answer.text == text
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert deployment(service, id_)["logs"] == ["agent.log"]


def test_a_log_sent_again_replaces_the_one_before(service: Service) -> None:
    id_, machine = deployed(service)
    machine.sends_log(b"first")
    machine.sends_log(b"second")
    assert read_log(service, id_).text == "second"


def test_a_log_full_of_control_characters_is_shown_harmless_and_to_its_end(
    service: Service,
) -> None:
    id_, machine = deployed(service)
    machine.sends_log(b"\x1b[31m\r\t\x00\xff" * 1000 + b"\nthe end")
    shown = read_log(service, id_).text
    assert "\x1b" not in shown and "\\x1b[31m" in shown
    assert shown.endswith("\nthe end")


@pytest.mark.slow
def test_logs_have_limits_in_size_number_and_name(service: Service) -> None:
    _, machine = deployed(service)
    assert machine.sends_log(b"x" * 1024 * 1024).status_code == 200
    assert machine.sends_log(b"x" * (1024 * 1024 + 1)).status_code == 413
    for number in range(15):
        assert machine.sends_log(b"x", f"log{number}").status_code == 200
    assert machine.sends_log(b"x", "one-more").status_code == 413
    assert machine.sends_log(b"y", "log1").status_code == 200
    for name in ("..%2fetc%2fcron.d%2fx", "a%00", "-rf", "a b", "x" * 65):
        assert machine.sends_log(b"x", name).status_code in (404, 422), name


def test_a_log_that_was_not_sent_is_not_there(service: Service) -> None:
    id_, _ = deployed(service)
    answer = read_log(service, id_, "other.log")
    assert answer.status_code == 404
    assert answer.json()["remedy"] == "GET the deployment; `logs` lists the names"


# --- time -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_progress_gives_more_time_but_not_without_end(service: Service) -> None:
    id_, machine = deployed(service)
    began = service.row(id_).state_since
    for minute in range(50, 240, 50):
        service.clock.forward(minutes=50)
        assert machine.progresses("writing", minute / 3).status_code == 200
        assert service.expire() == 0, minute
    row = service.row(id_)
    assert row.deadline is not None and (row.deadline - began).total_seconds() == 4 * 3600
    service.clock.forward(minutes=41)
    assert service.expire() == 1
    assert service.state(id_) == "failed"


@pytest.mark.slow
def test_without_progress_the_patience_of_the_state_is_all_there_is(service: Service) -> None:
    id_, machine = deployed(service)
    service.clock.forward(minutes=59)
    assert service.expire() == 0
    service.clock.forward(minutes=2)
    assert service.expire() == 1
    cause = service.cause(id_)
    assert cause.startswith("no sign of life in installing within the time allowed. Last seen: ")
    assert "Expected next: installer_finished or first_boot. Likely: (1) the installer" in cause
    assert machine.progresses("writing", 99).status_code == 404


def test_progress_is_shown_as_it_was_told_last(service: Service) -> None:
    id_, machine = deployed(service)
    machine.progresses("writing", 10, "a\x1b[2J")
    machine.progresses("writing", 42.5, "half")
    progress = deployment(service, id_)["progress"]
    assert (progress["stage"], progress["percent"], progress["message"]) == (
        "writing",
        42.5,
        "half",
    )
    stages = [e["detail"] for e in service.history(id_) if e["event"] == "progress"]
    assert stages == [{"stage": "writing", "percent": 10.0, "message": "a\\x1b[2J"}]


def test_a_step_too_small_to_tell_of_is_a_sign_of_life_all_the_same(service: Service) -> None:
    id_, machine = deployed(service)
    machine.progresses("writing", 10, "half")
    before, deadline = deployment(service, id_)["progress"], service.row(id_).deadline
    service.clock.forward(minutes=5)
    step = {"name": "subiquity/Meta/status_GET", "event_type": "start", "description": ""}
    assert machine.http.post(machine.url("progress"), json=step).status_code == 200
    after = deployment(service, id_)["progress"]
    assert {**after, "at": None} == {**before, "at": None} and after["at"] > before["at"]
    later = service.row(id_).deadline
    assert later is not None and deadline is not None and later > deadline
    assert len([e for e in service.history(id_) if e["event"] == "progress"]) == 1


def test_progress_that_is_none_is_refused_by_field(service: Service) -> None:
    _, machine = deployed(service)
    url = machine.url("progress")
    for body, field in [
        ({}, "stage"),
        ({"stage": "a b"}, "stage"),
        ({"stage": "writing", "percent": 101}, "percent"),
        ({"stage": "writing", "percent": "much"}, "percent"),
        ({"stage": "writing", "message": "x" * 4001}, "message"),
    ]:
        answer = machine.http.post(url, json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field)


@pytest.mark.slow
def test_how_long_each_state_usually_takes_is_learned_from_successes(service: Service) -> None:
    service.knows()
    assert ok(service.api.get("/api/v1/profiles/debian-12-image/usual")) == {"seconds": {}}
    for minutes in (10, 30, 20):
        service.deploys()
        machine = service.machine()
        service.clock.forward(minutes=1)
        machine.boots_installer()
        service.clock.forward(minutes=minutes)
        machine.phones_home("installer_finished")
        service.clock.forward(minutes=2)
        machine.phones_home("first_boot")
    failed = service.deploys()
    service.clock.forward(hours=5)
    service.expire()
    assert service.state(failed) == "failed"
    usual = ok(service.api.get("/api/v1/profiles/debian-12-image/usual"))["seconds"]
    assert {state: round(seconds) for state, seconds in usual.items()} == {
        "queued": 0, "booting": 60, "installing": 1200, "first_boot": 120, "verifying": 0,
    }  # fmt: skip


# --- why does it not move? --------------------------------------------------------------------


def explained(service: Service, id_: str) -> dict[str, Any]:
    return ok(service.api.get(f"/api/v1/deployments/{id_}/explain"))


def test_a_deployment_is_explained_at_every_point(service: Service) -> None:
    service.knows()
    id_, machine = service.deploys(), service.machine()
    why = explained(service, id_)
    assert (why["state"], why["cause"]) == ("booting", None)
    assert why["expected"].startswith("answers_fetched or installer_started")
    assert "not switched on" in why["likely"][0]
    machine.asks()
    why = explained(service, id_)
    assert why["last_seen"].startswith("boot_script") and "kernel or initrd" in why["likely"][0]
    machine.fetches_plan()
    machine.phones_home("installer_failed", {"message": "no space left", "stage": "writing"})
    why = explained(service, id_)
    assert (why["state"], why["cause"]) == ("failed", "no space left (while writing)")
    assert why["expected"] == "nothing; it has ended"


@pytest.mark.slow
def test_a_machine_that_was_refused_for_its_identity_is_not_said_to_be_off(
    service: Service,
) -> None:
    service.knows(host={"uuid": "4c4c4544-0044-4810-8058-c4c04f4b3232"})
    id_ = service.deploys()
    service.machine().asks(uuid="4c4c4544-0044-4810-8058-c4c04f4b9999")
    assert "was refused" in explained(service, id_)["likely"][0]


@pytest.mark.slow
def test_a_machine_with_an_odd_serial_gets_its_installer(service: Service) -> None:
    service.knows()
    service.deploys()
    for serial in ("S 1", 'S"1', "S\\1", "Ü"):
        assert service.machine().is_offered_an_installer(serial=serial), serial
