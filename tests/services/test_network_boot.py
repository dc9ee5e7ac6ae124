"""The closed loop: a machine that was restarted is seen at our door, or led there another way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployer.app import create_machine_app
from deployer.drivers.power.base import BootMethod
from deployer.drivers.power.fake import Fake
from deployer.drivers.power.redfish import Redfish
from deployer.errors import BootMethodRefused, DriverError, DriverUnclear
from deployer.media import boot_iso
from deployer.store import hosts
from tests.support.images import register_loaders, register_openbsd
from tests.support.server import RunningServer
from tests.support.service import Service, ok
from tests.support.sushy import PASSWORD, SushyEmulator

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
WAYS = [str(method) for method in BootMethod]
URL = "http://10.0.0.5:8081"


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


@pytest.mark.slow
def test_when_no_way_is_left_it_fails_with_what_became_of_each(
    service: Service, acts: list[str], booting: str
) -> None:
    register_loaders(service.parts)
    for _ in WAYS:
        nobody_comes(service)
    assert [act for act in acts if act.startswith("boot_once")] == [
        "boot_once",
        f"boot_once uefi_http {URL}/images/loaders/grub-x86_64.efi",
        f"boot_once virtual_media {URL}/boot.iso",
        "boot_once boot_next",
    ]
    assert acts.count("eject_media") == 1
    assert service.state(booting) == "booting", "for the last one the usual patience holds"
    service.clock.forward(minutes=30)
    service.expire()
    assert service.state(booting) == "failed"
    for way in WAYS:
        assert f"{way}: the machine did not come" in service.cause(booting)


@pytest.mark.slow
@on_sqlite
def test_a_way_that_the_bmc_refuses_is_passed_over_at_once(
    service: Service, acts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    register_loaders(service.parts)

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
        raise DriverUnclear("the line went dead")

    monkeypatch.setattr(Fake, "cycle", cycle)
    acts.clear()
    service.knows(host={"power": {"driver": "fake", "name": "loop"}})
    id_ = service.deploys()
    assert acts == ["boot_once", "cycle"]
    assert service.state(id_) == "booting"
    (line,) = [line for line in service.history(id_) if line["event"] == "power.cycle"]
    assert line["detail"]["unclear"] and line["detail"]["power"] == "the line went dead"


# --- virtual media ----------------------------------------------------------------------------


@pytest.fixture
def by_iso(service: Service, acts: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A deployment whose machine is restarted to boot our ISO, the only way that its BMC has."""
    register_loaders(service.parts)
    monkeypatch.setattr(Fake, "methods", (BootMethod.VIRTUAL_MEDIA,))
    acts.clear()
    service.knows(host={"power": {"driver": "fake", "name": "loop"}})
    return service.deploys()


INSERTED = [f"boot_once virtual_media {URL}/boot.iso", "cycle"]


def test_the_iso_is_taken_out_once_when_its_machine_is_at_our_door(
    service: Service, acts: list[str], by_iso: str
) -> None:
    assert acts == INSERTED
    machine = service.machine()
    machine.installs()
    assert machine.is_offered_an_installer() is False
    assert service.work() == ["power.eject_media"]
    assert acts == [*INSERTED, "eject_media"]
    machine.phones_home("first_boot")
    service.work()
    assert service.state(by_iso) == "ready"
    assert acts == [*INSERTED, "eject_media"]
    (line,) = [one for one in service.history(by_iso) if one["event"] == "power.eject_media"]
    assert line["detail"]["power"] == "eject_media done"


@pytest.mark.parametrize("end", ["cancel", "time"])
def test_it_is_taken_out_when_the_deployment_ends_without_its_machine(
    service: Service, acts: list[str], by_iso: str, end: str
) -> None:
    if end == "cancel":
        service.api.post(f"/api/v1/deployments/{by_iso}/cancel")
    else:
        service.clock.forward(hours=1)
        service.expire()
    assert service.state(by_iso) == ("cancelled" if end == "cancel" else "failed")
    service.work()
    assert acts == [*INSERTED, "eject_media"]
    assert service.events(by_iso)[-1] == "power.eject_media"


@pytest.mark.slow
@on_sqlite
def test_a_bmc_that_does_not_give_it_back_costs_a_line_and_no_deployment(
    service: Service, by_iso: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(self: Fake) -> str:
        raise DriverError("the tray is stuck")

    monkeypatch.setattr(Fake, "eject_media", stuck)
    machine = service.machine()
    machine.installs()
    for _ in range(6):
        service.work()
        service.clock.forward(minutes=1)
    machine.phones_home("first_boot")
    service.work()
    assert service.state(by_iso) == "ready"
    (line,) = [one for one in service.history(by_iso) if one["event"] == "power.eject_media"]
    assert line["detail"]["failed"] == "power.eject_media: the tray is stuck (after 6 tries)"


@on_sqlite
def test_it_stays_in_for_a_later_deployment_that_boots_from_it(
    service: Service, acts: list[str], by_iso: str
) -> None:
    service.api.post(f"/api/v1/deployments/{by_iso}/cancel")
    (eject,) = [one.name for one in service.waiting()]
    service.clock.forward(seconds=1)
    later = service.queues()
    assert service.work() == [eject, "power.boot_once", "power.cycle"]
    assert acts == INSERTED * 2
    assert later in service.history(by_iso)[-1]["detail"]["power"]


@on_sqlite
def test_what_went_in_before_the_override_failed_comes_out_at_once(
    service: Service, acts: list[str], by_iso: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(self: Fake, method: BootMethod, url: str | None) -> str:
        self._act("insert_media")
        raise BootMethodRefused("the BMC offers no CD to boot from")

    service.api.post(f"/api/v1/deployments/{by_iso}/cancel")
    service.work()
    acts.clear()
    monkeypatch.setattr(Fake, "_boot_once", half)
    id_ = service.deploys()
    assert acts == ["insert_media", "eject_media"]
    assert service.state(id_) == "failed"
    assert "virtual_media: the BMC offers no CD to boot from" in service.cause(id_)


def refused(service: Service, **host: Any) -> str:
    """Why the ISO was passed over."""
    service.knows(host={"power": {"driver": "fake", "name": "loop"}, **host})
    id_ = service.deploys()
    assert service.state(id_) == "failed"
    return service.cause(id_)


@pytest.fixture
def only_iso(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fake, "methods", (BootMethod.VIRTUAL_MEDIA,))


@on_sqlite
@pytest.mark.usefixtures("only_iso")
def test_without_an_iso_virtual_media_is_passed_over(service: Service) -> None:
    assert "there is no boot.iso: run `deployer image build loaders`" in refused(service)


@on_sqlite
@pytest.mark.usefixtures("only_iso")
def test_a_machine_with_secure_boot_is_not_shown_what_it_would_refuse(service: Service) -> None:
    register_loaders(service.parts)
    assert "nobody has signed boot.iso" in refused(service, secure_boot=True)


@on_sqlite
@pytest.mark.usefixtures("only_iso")
def test_an_address_that_does_not_fit_into_the_iso_is_said(service: Service) -> None:
    register_loaders(service.parts)
    service.parts.settings.machine_url = f"{URL}/" + "a" * boot_iso.SIZE
    assert "boot.iso has room for 4096: choose a shorter URL" in refused(service)


@on_sqlite
@pytest.mark.parametrize(
    ("firmware", "offered"),
    [
        (None, f"boot_once uefi_http {URL}/images/loaders/snponly.efi"),
        ("uefi", f"boot_once uefi_http {URL}/images/loaders/snponly.efi"),
        ("bios", f"boot_once virtual_media {URL}/boot.iso"),
    ],
)
def test_an_installer_that_ipxe_alone_starts_is_not_led_to_grub(
    service: Service, acts: list[str], monkeypatch: pytest.MonkeyPatch,
    firmware: str | None, offered: str,
) -> None:  # fmt: skip
    """For UEFI the ISO has GRUB, for BIOS iPXE."""
    register_openbsd(service.parts)
    register_loaders(service.parts)
    monkeypatch.setattr(Fake, "methods", (BootMethod.VIRTUAL_MEDIA, BootMethod.UEFI_HTTP))
    service.knows(
        host={"power": {"driver": "fake", "name": "loop"}},
        name="bsd", os="openbsd", release="7.8", storage={"disk": {"path": "/dev/sd0"}},
    )  # fmt: skip
    with service.parts.database.writing() as session:
        host = hosts.by_name(session, "web01")
        if host and firmware:
            hosts.learn(session, host.id, service.clock(), boot={"firmware": firmware})
    acts.clear()
    service.deploys(profile="bsd")
    assert acts == [offered, "cycle"]


@pytest.mark.slow
@on_sqlite
def test_a_bmc_fetches_the_iso_into_its_drive_and_gives_it_back(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenStack's emulator, and our machine side over HTTP."""
    monkeypatch.setattr(Redfish, "methods", (BootMethod.VIRTUAL_MEDIA,))
    register_loaders(service.parts)
    settings = service.parts.settings
    folder = tmp_path / "bmc"
    folder.mkdir()
    with RunningServer(create_machine_app(service.parts)) as server, SushyEmulator(folder) as bmc:
        settings.machine_url = f"http://127.0.0.1:{server.port}"
        settings.power_networks = "127.0.0.0/8"
        ok(service.api.post("/api/v1/secrets", json={"name": "bmc", "value": PASSWORD}))
        service.knows(host={"power": bmc.settings})
        id_ = service.deploys()
        assert service.state(id_) == "booting", service.cause(id_)
        assert bmc.boot["BootSourceOverrideTarget"] == "Cd"
        cd = bmc.machine.cd
        assert cd and cd.read_bytes() == service.machine().http.get("/boot.iso").content
        assert settings.machine_url.encode() in cd.read_bytes()
        assert service.machine().is_offered_an_installer()
        service.work()
        assert bmc.machine.cd is None and not cd.exists()
