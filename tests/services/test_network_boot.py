"""The closed loop: a machine that was restarted is seen at our door, or led there another way."""

from __future__ import annotations

from typing import Any

import pytest

from deployer.drivers.power.base import BootMethod
from deployer.drivers.power.fake import Fake
from deployer.errors import BootMethodRefused, PowerUnclear
from tests.support.service import Service

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
WAYS = [str(method) for method in BootMethod]


@pytest.fixture
def acts() -> list[str]:
    """What the fake switch of web01 was told."""
    return Fake.told.setdefault("loop", [])


@pytest.fixture
def booting(service: Service, acts: list[str]) -> str:
    """A deployment whose machine was restarted once and has not come."""
    acts.clear()
    service.knows(host={"power": {"driver": "fake", "name": "loop"}})
    return service.deploys()


def nobody_comes(service: Service) -> None:
    service.clock.forward(minutes=10, seconds=1)
    service.expire()
    service.work()


def methods(service: Service, id_: str) -> list[Any]:
    return [
        (line["event"], line["detail"]["method"])
        for line in service.history(id_)
        if "method" in line["detail"]
    ]


def test_a_machine_that_does_not_come_is_led_here_another_way(
    service: Service, acts: list[str], booting: str
) -> None:
    assert acts == ["boot_once", "cycle"]
    nobody_comes(service)
    assert acts == ["boot_once", "cycle", "boot_once uefi_http", "cycle"]
    assert service.state(booting) == "booting"
    assert methods(service, booting) == [
        ("start", "pxe"), ("boot_not_seen", "pxe"), ("power.boot_once", "uefi_http"),
    ]  # fmt: skip
    assert service.machine().is_offered_an_installer()


def test_one_that_comes_in_time_is_left_alone(
    service: Service, acts: list[str], booting: str
) -> None:
    service.clock.forward(minutes=9)
    assert service.machine().is_offered_an_installer()
    nobody_comes(service)
    assert acts == ["boot_once", "cycle"]


def test_one_that_comes_while_it_is_about_to_be_restarted_is_not(
    service: Service, acts: list[str], booting: str
) -> None:
    service.clock.forward(minutes=10, seconds=1)
    service.expire()
    assert service.machine().is_offered_an_installer()
    assert service.work() == ["power.boot_once"]
    assert acts == ["boot_once", "cycle", "boot_once uefi_http"]


def test_what_is_already_ordered_is_dropped_when_the_machine_comes(
    service: Service, acts: list[str]
) -> None:
    acts.clear()
    service.knows(host={"power": {"driver": "fake", "name": "loop"}})
    service.queues()
    assert service.work(1) == ["power.boot_once"]
    assert service.machine().is_offered_an_installer(), "somebody has pressed the button"
    service.work()
    assert acts == ["boot_once"], "a restart now would cost it its installer"


def test_when_no_way_is_left_it_fails_with_what_became_of_each(
    service: Service, acts: list[str], booting: str
) -> None:
    for _ in WAYS:
        nobody_comes(service)
    assert [act for act in acts if act.startswith("boot_once")] == [
        "boot_once", *(f"boot_once {way}" for way in WAYS[1:]),
    ]  # fmt: skip
    assert service.state(booting) == "booting", "for the last one the usual patience holds"
    service.clock.forward(minutes=30)
    service.expire()
    assert service.state(booting) == "failed"
    for way in WAYS:
        assert f"{way}: the machine did not come" in service.cause(booting)


@on_sqlite
def test_a_way_that_the_bmc_refuses_is_passed_over_at_once(
    service: Service, acts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_http(self: Fake, method: BootMethod, url: str | None) -> str:
        if method is not BootMethod.UEFI_HTTP:
            raise BootMethodRefused(f"no {method} here")
        return self._act(method)

    monkeypatch.setattr(Fake, "_boot_once", only_http)
    acts.clear()
    service.knows(host={"power": {"driver": "fake", "name": "loop"}})
    id_ = service.deploys()
    assert acts == ["uefi_http", "cycle"]
    (start,) = [line for line in service.history(id_) if line["event"] == "start"]
    assert start["detail"]["refused"] == "pxe: no pxe here"
    nobody_comes(service)
    assert service.state(id_) == "failed"
    assert service.cause(id_).endswith(
        "pxe: no pxe here; uefi_http: the machine did not come;"
        " virtual_media: no virtual_media here; boot_next: no boot_next here"
    )


@on_sqlite
def test_what_worked_is_tried_first_on_the_next_machine_of_its_kind(
    service: Service, acts: list[str], booting: str
) -> None:
    nobody_comes(service)
    assert service.machine().is_offered_an_installer()
    power = {"driver": "fake", "name": "loop"}
    service.knows_host(name="web02", macs=["52:54:00:12:34:99"], power=power)
    acts.clear()
    service.deploys(host="web02")
    assert acts == ["boot_once uefi_http", "cycle"]


@on_sqlite
def test_a_restart_that_may_have_happened_is_not_asked_for_again(
    service: Service, acts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cycle(self: Fake) -> str:
        self._act("cycle")
        raise PowerUnclear("the line went dead")

    monkeypatch.setattr(Fake, "cycle", cycle)
    acts.clear()
    service.knows(host={"power": {"driver": "fake", "name": "loop"}})
    id_ = service.deploys()
    assert acts == ["boot_once", "cycle"]
    assert service.state(id_) == "booting"
    (line,) = [line for line in service.history(id_) if line["event"] == "power.cycle"]
    assert line["detail"]["unclear"] and line["detail"]["power"] == "the line went dead"
