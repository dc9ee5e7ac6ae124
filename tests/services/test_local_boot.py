"""The way to a machine's own disk is learned from what its firmware makes of each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.machine import FakeMachine
from tests.support.service import Service, ok

SHOWN = {"manufacturer": "HPE", "product": "ProLiant DL360 Gen10"}
# What the scripts of each way hold, and no other way's do.
EXIT, SANBOOT, EXIT_1 = "exit", "sanboot", "exit 1"


def way(script: str) -> str:
    """The first command that may leave the loader."""
    lines = script.splitlines()
    if "iseq ${platform} efi && goto uefi ||" in lines:
        return "auto"
    return next(line.split(" --")[0] for line in lines if line.startswith(("exit", "sanboot")))


@pytest.fixture
def home(service: Service) -> Callable[[], FakeMachine]:
    """A machine whose installer has finished, and that is to start its new system."""

    def installed() -> FakeMachine:
        service.deploys()
        machine = service.machine()
        machine.installs()
        return machine

    service.knows()
    return installed


def comes_back(service: Service, machine: FakeMachine) -> str:
    service.clock.forward(minutes=3)
    return way(machine.asks(**SHOWN))


def test_a_machine_that_comes_back_is_given_the_next_way(
    service: Service, home: Callable[[], FakeMachine]
) -> None:
    machine = home()
    assert [comes_back(service, machine) for _ in range(4)] == [EXIT, SANBOOT, EXIT_1, EXIT]
    (deployment,) = ok(service.api.get("/api/v1/deployments"))["items"]
    ways = [e["detail"] for e in service.history(deployment["id"]) if e["event"] == "local_boot"]
    assert [each["way"] for each in ways] == ["exit", "sanboot", "exit1", "exit"]


def test_within_one_start_it_is_given_the_same(
    service: Service, home: Callable[[], FakeMachine]
) -> None:
    machine = home()
    first = comes_back(service, machine)
    service.clock.forward(seconds=20)
    assert way(machine.asks(**SHOWN)) == first


def test_what_led_home_is_the_first_for_the_next_of_its_kind_and_for_idle_ones(
    service: Service, home: Callable[[], FakeMachine]
) -> None:
    machine = home()
    comes_back(service, machine)
    assert comes_back(service, machine) == SANBOOT
    assert machine.phones_home("first_boot").status_code == 200
    machine = service.machines_know_again()
    assert way(machine.asks(**SHOWN)) == SANBOOT, "idle"
    stranger = service.machine(mac="52:54:00:99:99:99", address="10.0.0.9")
    assert way(stranger.asks(**SHOWN)) == SANBOOT, "and alike for whom we do not know"
    assert way(machine.asks(manufacturer="Dell", product="R640")) == "auto"
    assert way(machine.asks()) == "auto", "it does not say what it is"
    assert comes_back(service, home()) == SANBOOT


def test_the_hosts_own_word_counts_more(service: Service) -> None:
    service.knows(host={"local_boot": "exit1"})
    service.deploys()
    machine = service.machine()
    machine.installs()
    assert [comes_back(service, machine) for _ in range(2)] == [EXIT_1, EXIT_1]


def test_a_machine_that_never_comes_back_teaches_nothing(
    service: Service, home: Callable[[], FakeMachine]
) -> None:
    machine = home()
    assert machine.phones_home("first_boot").status_code == 200
    assert way(service.machines_know_again().asks(**SHOWN)) == "auto"


def test_for_uefi_the_loader_comes_first(service: Service, home: Callable[[], FakeMachine]) -> None:
    machine = home()
    given = []
    for _ in range(3):
        service.clock.forward(minutes=3)
        given.append(machine.asks(platform="efi", **SHOWN))
    assert ["chain " in script for script in given] == [True, False, False]
    assert [way(script) for script in given] == [EXIT_1, EXIT_1, EXIT]
