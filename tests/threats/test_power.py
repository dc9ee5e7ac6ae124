"""BMCs, their passwords, and where power drivers connect to. THREATS T073, T075, T076; F013."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deployer.core.text import MASK
from deployer.drivers import reach
from deployer.errors import DriverError, DriverRefused
from deployer.services.people import Role
from deployer.settings import Settings
from tests.support import mockups
from tests.support.bmc import PASSWORD, FaultyBmc
from tests.support.service import Service, ok

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


# --- T073: where we connect ---------------------------------------------------------------------

SPELLINGS_OF_OURSELVES = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "0.0.0.0", "localhost",
    "::1", "::", "::ffff:127.0.0.1", "::ffff:7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::",
]  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS_OF_OURSELVES)
def test_t073_however_we_are_spelled_nobody_leads_us_to_ourselves(name: str) -> None:
    with pytest.raises(DriverError, match=r"may not be connected to|has no address") as refused:
        reach.addresses(name, 443, "")
    assert isinstance(refused.value, DriverRefused) or "no address" in refused.value.message


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1", "fe80::1%1", "224.0.0.1", "ff02::1", "::ffff:a9fe:a9fe"],
)
def test_t073_nor_to_link_local_addresses_and_cloud_metadata(address: str) -> None:
    assert not reach.is_allowed(address, "")


@pytest.mark.parametrize(
    ("address", "networks", "allowed"),
    [
        ("10.0.9.1", "", True), ("192.168.1.1", "", True), ("2001:db8::1", "", True),
        ("10.0.9.1", "10.0.9.0/24", True), ("10.0.8.1", "10.0.9.0/24", False),
        ("10.0.8.1", "10.0.9.0/24, 10.0.8.0/24", True), ("2001:db8::1", "10.0.0.0/8", False),
        ("::ffff:10.0.9.1", "10.0.9.0/24", True), ("127.0.0.1", "127.0.0.0/8", True),
    ],
)  # fmt: skip
def test_t073_a_list_of_networks_is_all_that_there_is(
    address: str, networks: str, allowed: bool
) -> None:
    assert reach.is_allowed(address, networks) is allowed


def test_t073_a_name_that_changes_its_answer_is_judged_by_what_is_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The address that was checked is the one that is used: the name is looked up once."""
    lookups = []

    def look_up(host: str, port: int, **more: Any) -> list[Any]:
        lookups.append(host)
        return [(2, 1, 6, "", ("127.0.0.1" if len(lookups) > 1 else "198.51.100.7", port))]

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    assert reach.addresses("bmc.example", 443, "") == ["198.51.100.7"]
    with pytest.raises(DriverRefused):
        reach.addresses("bmc.example", 443, "")


# --- with the service -----------------------------------------------------------------------------


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"power_networks": "127.0.0.0/8"})


@pytest.fixture
def bmc() -> Iterator[FaultyBmc]:
    with FaultyBmc(mockups.dell()) as bmc:
        yield bmc


def _with_bmc(service: Service, bmc: FaultyBmc) -> None:
    ok(service.api.post("/api/v1/secrets", json={"name": "bmc", "value": PASSWORD}))
    service.knows({"power": bmc.settings})


@on_sqlite
def test_the_machine_is_restarted_through_its_bmc(service: Service, bmc: FaultyBmc) -> None:
    _with_bmc(service, bmc)
    id_ = service.deploys()
    assert service.state(id_) == "booting" and bmc.resets == ["ForceRestart"]
    told = [line["detail"].get("power", "") for line in service.history(id_)]
    assert any(said.startswith("the BMC shows Pxe for the next boot") for said in told)


@on_sqlite
def test_t075_a_bmc_that_is_not_verified_is_said_to_be_so(service: Service, bmc: FaultyBmc) -> None:
    _with_bmc(service, bmc)
    id_ = service.deploys()
    assert "verify is false" in str(service.history(id_))


@pytest.mark.slow
@on_sqlite
def test_t076_a_host_shows_the_name_of_a_secret_and_takes_it_back(
    service: Service, bmc: FaultyBmc
) -> None:
    _with_bmc(service, bmc)
    id_ = service.deploys()
    viewer = service.client(Role.VIEWER)
    seen = viewer.get("/api/v1/hosts/web01")
    assert seen.json()["power"]["password"] == {"secret": "bmc"}
    everything = seen.text + str(service.history(id_)) + viewer.get("/api/v1/hosts").text
    assert PASSWORD not in everything and MASK not in everything
    again = service.api.patch("/api/v1/hosts/web01", json={"power": seen.json()["power"]})
    assert again.status_code == 200


@on_sqlite
@pytest.mark.parametrize(
    "power",
    [
        {"driver": "redfish", "url": "https://10.0.9.1", "username": "root", "password": PASSWORD},
        {"driver": "redfish", "url": f"https://root:{PASSWORD}@10.0.9.1", "username": "root",
         "password": {"secret": "bmc"}},
        {"driver": "ipmi", "address": "10.0.9.1", "username": "root",
         "password": {"secret": "bmc", "value": PASSWORD}},
        {"driver": "libvirt", "uri": f"qemu+ssh://root:{PASSWORD}@kvm1/system"},
    ],
)  # fmt: skip
def test_t076_a_password_in_the_host_is_refused_and_not_repeated(
    service: Service, power: dict[str, Any]
) -> None:
    answer = service.api.post(
        "/api/v1/hosts", json={"name": "web01", "macs": ["52:54:00:12:34:56"], "power": power}
    )
    assert answer.status_code == 422 and PASSWORD not in answer.text
    problem = answer.json()
    assert problem["field"].startswith("power.") and "docs/power.md" in problem["remedy"]


@on_sqlite
def test_a_bad_setting_is_answered_with_field_value_and_remedy(service: Service) -> None:
    power = {"driver": "ipmi", "address": "10.0.9.1", "username": "root", "port": 70000,
             "password": {"secret": "bmc"}}  # fmt: skip
    body = {"name": "web01", "macs": ["52:54:00:12:34:56"], "power": power}
    problem = service.api.post("/api/v1/hosts", json=body).json()
    assert (problem["field"], problem["value"]) == ("power.port", 70000)
    assert problem["remedy"] == "correct this setting; docs/power.md has an example for ipmi"


def test_a_host_may_be_written_before_its_secret_but_not_deployed(
    service: Service, bmc: FaultyBmc
) -> None:
    service.knows({"power": bmc.settings})
    body = {"host": "web01", "profile": "debian-12-image"}
    answer = service.api.post("/api/v1/deployments", json=body)
    assert answer.status_code == 422
    (finding,) = answer.json()["findings"]
    assert (finding["field"], finding["value"]) == ("power.password", "bmc")
    assert "deployer secret set bmc" in finding["remedy"]


def test_a_secret_that_is_gone_fails_the_deployment_by_its_name(
    service: Service, bmc: FaultyBmc
) -> None:
    _with_bmc(service, bmc)
    id_ = service.queues()
    ok(service.api.patch("/api/v1/hosts/web01", json={"power": {"driver": "manual"}}))
    ok(service.api.delete("/api/v1/secrets/bmc"))
    service.work()
    assert service.state(id_) == "failed"
    assert "the host web01 names the secret bmc, which is not there" in service.cause(id_)


def test_a_secret_that_a_host_names_is_not_deleted(service: Service, bmc: FaultyBmc) -> None:
    _with_bmc(service, bmc)
    answer = service.api.delete("/api/v1/secrets/bmc")
    assert answer.status_code == 409 and "host web01" in answer.json()["detail"]


@pytest.mark.slow
@on_sqlite
def test_a_wrong_password_fails_the_deployment_at_once(service: Service, bmc: FaultyBmc) -> None:
    _with_bmc(service, bmc)
    ok(service.api.post("/api/v1/secrets", json={"name": "bmc", "value": "not-the-password"}))
    id_ = service.queues()
    service.work()
    assert service.state(id_) == "failed" and "401" in service.cause(id_)
    assert "not-the-password" not in service.cause(id_)
    assert bmc.resets == []


@pytest.mark.slow
@on_sqlite
def test_f013_a_reset_whose_answer_was_lost_is_not_asked_again(
    service: Service, bmc: FaultyBmc
) -> None:
    _with_bmc(service, bmc)
    del bmc.system["LastResetTime"]
    bmc.fault("POST", "Reset", "do_and_drop")
    id_ = service.deploys()
    service.work()
    assert bmc.resets == ["ForceRestart"]
    assert service.state(id_) == "booting"  # the machine shows whether it was done
    lost = next(line for line in service.history(id_) if line["event"] == "power.cycle")
    assert (
        lost["detail"]["unclear"] is True and "broke the connection off" in lost["detail"]["power"]
    )
