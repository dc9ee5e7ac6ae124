"""A machine is queued, boots, is installed, boots its disk and is ready."""

from __future__ import annotations

from tests.support.service import Service


def test_a_machine_goes_from_queued_to_ready(service: Service) -> None:
    service.knows()
    machine = service.machine()
    id_ = service.queues()
    assert not machine.is_offered_an_installer(), "nothing is offered before it is `booting`"
    assert service.work() == ["power.boot_once", "power.cycle"]
    machine.installs()
    assert service.state(id_) == "first_boot"
    assert not machine.is_offered_an_installer()
    machine.phones_home("first_boot")
    assert service.state(id_) == "ready"
    moves = [(line["from"], line["to"]) for line in service.history(id_) if line["to"]]
    assert moves == [
        (None, "queued"),
        ("queued", "booting"),
        ("booting", "installing"),
        ("installing", "first_boot"),
        ("first_boot", "verifying"),
        ("verifying", "ready"),
    ]
