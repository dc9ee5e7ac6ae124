"""T050: what installers send does not grow for ever."""

from __future__ import annotations

from deployer.services import housekeeping
from deployer.store import deployments as store
from tests.support.machine import FakeMachine
from tests.support.service import MAC, Service, ok

SECOND = "52:54:00:00:02:02"


def _installing(service: Service, host: str, mac: str) -> tuple[str, FakeMachine]:
    id_ = service.deploys(host=host)
    machine = service.machine(mac)
    machine.boots_installer()
    return id_, machine


def _logs(service: Service, id_: str) -> dict[str, int]:
    with service.parts.database.reading() as session:
        return store.log_sizes(session, id_)


def test_beyond_the_total_the_oldest_logs_go_first_and_those_of_who_goes_on_last(
    service: Service,
) -> None:
    service.knows()
    service.knows_host(name="web02", macs=[SECOND])
    goes_on, first = _installing(service, "web01", MAC)
    first.sends_log(b"x" * 400, "syslog")
    ended, second = _installing(service, "web02", SECOND)
    for name in ("a", "b", "c"):
        service.clock.forward(minutes=1)
        second.sends_log(b"x" * 200, name)
    ok(service.api.post(f"/api/v1/deployments/{ended}/cancel"))

    service.parts.settings.logs_total = 1000
    housekeeping.tidy(service.parts)
    assert set(_logs(service, ended)) == {"a", "b", "c"}, "a thousand bytes are there"
    service.parts.settings.logs_total = 999
    housekeeping.tidy(service.parts)
    assert set(_logs(service, ended)) == {"b", "c"}
    service.parts.settings.logs_total = 400
    housekeeping.tidy(service.parts)
    assert _logs(service, ended) == {} and _logs(service, goes_on) == {"syslog": 400}
    service.parts.settings.logs_total = 0
    housekeeping.tidy(service.parts)
    assert _logs(service, goes_on) == {}


def test_a_log_that_was_sent_again_meanwhile_stays(service: Service) -> None:
    service.knows()
    id_, machine = _installing(service, "web01", MAC)
    machine.sends_log(b"first")
    with service.parts.database.reading() as session:
        beyond = store.logs_beyond(session, 0)
    service.clock.forward(seconds=1)
    machine.sends_log(b"second")
    with service.parts.database.writing() as session:
        store.forget_logs(session, beyond)
    assert _logs(service, id_) == {"agent.log": 6}
