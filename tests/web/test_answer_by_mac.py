"""Installers that can name no token, Proxmox's and OpenBSD's: they show their MACs instead."""

from __future__ import annotations

import tomllib
from typing import Any

import httpx
import pytest

from deployer.store import hosts
from tests.support.images import register_esxi, register_openbsd, register_proxmox
from tests.support.machine import FakeMachine
from tests.support.service import MAC, Service

SECOND, STRANGER = "52:54:00:12:34:57", "52:54:00:99:99:99"
UUID = "4c4c4544-0044-4810-8058-c4c04f4b3232"
HOST = {"macs": [MAC, SECOND], "uuid": UUID, "serial": "CN7016-A"}
PVE: dict[str, Any] = {
    "os": "proxmox", "release": "9", "storage": {"disk": {"serial": "S3Z9NB0K"}},
    "root": {"password_hash": "$6$abcdefgh$" + "Ab1." * 21 + "Zz"},
}  # fmt: skip


@pytest.fixture
def pve(service: Service) -> Service:
    register_proxmox(service.parts)
    service.knows(host=HOST, **PVE)
    return service


def told(*macs: str, uuid: str = UUID, serial: str = "CN7016-A") -> dict[str, Any]:
    nics = [{"link": f"eno{number}", "mac": mac} for number, mac in enumerate(macs or (MAC,))]
    return {
        "$schema": {"version": "1.0"}, "product": {"fullname": "Proxmox VE"},
        "iso": {"release": "9.0"}, "dmi": {"system": {"uuid": uuid, "serial": serial}},
        "network_interfaces": nics,
    }  # fmt: skip


def asks(machine: FakeMachine, body: Any = None) -> httpx.Response:
    return machine.http.post("/proxmox/answer", json=told() if body is None else body)


def boots(service: Service, **more: Any) -> FakeMachine:
    """A machine that was given its boot script."""
    machine = service.machine(**more)
    script = machine.asks(uuid=UUID, serial="CN7016-A")
    assert "proxmox-start-auto-installer" in script
    return machine


def test_the_machine_that_fetched_the_script_is_given_its_answer(pve: Service) -> None:
    id_, machine = pve.deploys(), boots(pve)
    answer = asks(machine)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/toml"
    assert answer.headers["cache-control"] == "no-store"
    assert tomllib.loads(answer.text)["global"]["fqdn"] == "web01.localdomain"
    assert pve.state(id_) == "installing"
    assert pve.row(id_).reported["facts"]["serial"] == "CN7016-A"
    # The script is spent, and the same machine may still ask again for the file.
    assert "proxmox" not in machine.asks(uuid=UUID, serial="CN7016-A")
    assert asks(machine).text == answer.text


def test_what_it_posts_with_a_token_is_kept_too(pve: Service) -> None:
    id_, machine = pve.deploys(), boots(pve)
    answer = asks(machine)
    url = tomllib.loads(answer.text)["first-boot"]["url"]
    path = machine.path(url.replace("first-boot.sh", "answer.toml"))
    again = machine.http.post(path, json=told(SECOND))
    assert (again.status_code, again.text) == (200, answer.text)
    assert machine.http.get(path).headers["content-type"] == "application/toml"
    assert machine.http.get(machine.path(url)).text.startswith("#!/bin/bash")
    assert pve.state(id_) == "installing"


def test_a_post_that_is_the_first_spends_the_script(pve: Service) -> None:
    id_, machine = pve.deploys(), boots(pve)
    token = pve.parts.tokens(id_)
    path = f"/d/{next(t for p, t in token.items() if p == 'answers')}/answers/answer.toml"
    assert machine.http.post(path, json=told(uuid=UUID.replace("4c4c", "5d5d"))).status_code == 404
    assert pve.state(id_) == "booting"
    assert machine.http.post(path, json=told()).status_code == 200
    assert pve.state(id_) == "installing"


# --- a MAC may narrow, never grant -------------------------------------------------------------


def refused(service: Service, machine: FakeMachine, body: Any, id_: str) -> bool:
    """Nothing was given, nothing moved, and the answer is what an unknown MAC gets."""
    answer, unknown = asks(machine, body), asks(machine, told(STRANGER))
    same = answer.status_code == unknown.status_code == 404 and answer.text == unknown.text
    return same and service.state(id_) == "booting"


def test_t003_nobody_is_given_it_before_the_script_was_fetched(pve: Service) -> None:
    id_ = pve.deploys()
    assert refused(pve, pve.machine(), told(), id_)


def test_t013_another_address_is_refused_and_written_down_even_where_addresses_are_not_strict(
    pve: Service,
) -> None:
    pve.parts.settings.strict_address = False
    id_, machine = pve.deploys(), boots(pve)
    thief = pve.machine(address="10.0.0.66")
    assert refused(pve, thief, told(), id_)
    assert "second_reader" in pve.events(id_)
    assert asks(machine).status_code == 200
    assert asks(thief).status_code == 404


def test_t004_the_window_closes(pve: Service) -> None:
    id_, machine = pve.deploys(), boots(pve)
    pve.clock.forward(seconds=pve.parts.settings.boot_window)
    assert refused(pve, machine, told(), id_)


@pytest.mark.parametrize(
    "body",
    [
        told(STRANGER),
        told(SECOND),  # the host's, and not the NIC that asked for the script
        {}, {"network_interfaces": []}, {"network_interfaces": [{"mac": "*"}]},
        told(uuid="5d5d4544-0044-4810-8058-c4c04f4b3232"),
        told(serial="CN7016-B"),
    ],
    ids=["stranger", "other NIC", "nothing", "no NIC", "glob", "uuid", "serial"],
)  # fmt: skip
def test_t120_a_machine_that_shows_something_else_is_refused(pve: Service, body: Any) -> None:
    id_, machine = pve.deploys(), boots(pve)
    assert refused(pve, machine, body, id_)


def test_t030_macs_of_two_hosts_are_refused(pve: Service) -> None:
    other = {"name": "web02", "macs": [STRANGER]}
    assert pve.api.post("/api/v1/hosts", json=other).status_code == 201
    id_, machine = pve.deploys(), boots(pve)
    assert asks(machine, told(MAC, STRANGER)).status_code == 404
    assert pve.state(id_) == "booting"
    assert asks(machine, told(MAC, SECOND, "52:54:00:77:77:77")).status_code == 200


def test_t012_it_is_gone_once_the_installer_has_said_more(pve: Service) -> None:
    id_, machine = pve.deploys(), boots(pve)
    answer = tomllib.loads(asks(machine).text)
    done = machine.path(answer["post-installation-webhook"]["url"])
    assert machine.http.post(done, json=WEBHOOK).status_code == 200
    assert asks(machine).status_code == 404
    assert pve.state(id_) == "first_boot"


def test_t011_a_deployment_that_has_ended_gives_nothing(pve: Service) -> None:
    id_, machine = pve.deploys(), boots(pve)
    assert pve.api.post(f"/api/v1/deployments/{id_}/cancel").status_code == 200
    assert asks(machine).status_code == 404


def test_t112_a_protected_host_is_given_nothing(pve: Service) -> None:
    id_, machine = pve.deploys(), boots(pve)
    with pve.parts.database.writing() as session:
        host = hosts.by_name(session, "web01")
        assert host is not None
        host.protected = True
        session.add(host)
    assert refused(pve, machine, told(), id_)


def test_t007_files_of_other_installers_are_found_by_token_alone(service: Service) -> None:
    register_esxi(service.parts)
    service.knows(host=HOST, os="esxi", release="8.0")
    id_, machine = service.deploys(), service.machine()
    assert "mboot.c32" in machine.asks(uuid=UUID, serial="CN7016-A")
    assert refused(service, machine, told(), id_)


# --- OpenBSD: its kernel takes no arguments, and asks by GET -------------------------------------

BSD: dict[str, Any] = {
    "os": "openbsd", "release": "7.8", "verify": False, "storage": {"disk": {"path": "/dev/sd0"}},
}  # fmt: skip


@pytest.fixture
def bsd(service: Service) -> Service:
    register_openbsd(service.parts)
    service.knows(host=HOST, **BSD)
    return service


def asks_openbsd(machine: FakeMachine, name: str = MAC) -> httpx.Response:
    return machine.http.get(f"/{name}-install.conf")


def test_openbsds_installer_is_given_its_answers_by_its_mac(bsd: Service) -> None:
    id_, machine = bsd.deploys(), bsd.machine()
    assert asks_openbsd(machine).status_code == 404, "it has not fetched the script"
    kept = bsd.row(id_).snapshot["boot_image"]
    assert kept["name"] == "openbsd-7.8-x86_64" and "files" not in kept, "a tree has thousands"
    assert "pxeboot" in machine.asks(uuid=UUID, serial="CN7016-A")
    answer = asks_openbsd(machine)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "System hostname = web01\n" in answer.text
    assert bsd.state(id_) == "installing"
    assert asks_openbsd(machine).text == answer.text
    assert "pxeboot" not in machine.asks(uuid=UUID, serial="CN7016-A"), "the script is spent"


@pytest.mark.slow
@pytest.mark.parametrize("name", [STRANGER, SECOND, "web01", "*", "..%2f..%2fkeys", "x" * 3000])
def test_openbsds_other_names_are_told_nothing(bsd: Service, name: str) -> None:
    id_, machine = bsd.deploys(), bsd.machine()
    machine.asks(uuid=UUID, serial="CN7016-A")
    answer = asks_openbsd(machine, name)
    assert answer.status_code == 404
    assert machine.http.get("/install.conf").status_code == 404
    assert bsd.state(id_) == "booting"


def test_t013_openbsds_answers_are_for_the_address_of_the_script(bsd: Service) -> None:
    id_, machine = bsd.deploys(), bsd.machine()
    machine.asks(uuid=UUID, serial="CN7016-A")
    assert asks_openbsd(bsd.machine(address="10.0.0.66")).status_code == 404
    assert "second_reader" in bsd.events(id_)
    assert asks_openbsd(machine).status_code == 200


def test_each_installer_asks_in_its_own_way_alone(bsd: Service) -> None:
    id_, machine = bsd.deploys(), bsd.machine()
    machine.asks(uuid=UUID, serial="CN7016-A")
    assert asks(machine).status_code == 404
    assert bsd.state(id_) == "booting"


# --- when it is done ----------------------------------------------------------------------------

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy0c2y6s7k5p1gk0wU"
WEBHOOK: dict[str, Any] = {
    "schema": {"version": "1.2"}, "product": {"fullname": "Proxmox VE", "short": "pve"},
    "iso": {"release": "9.0", "isorelease": "1"}, "debian-version": "13.0",
    "kernel-version": {"release": "6.14.8-2-pve"}, "boot-info": {"mode": "efi"}, "cpu-info": {},
    "dmi": {"system": {"uuid": UUID, "serial": "CN7016-A"}}, "filesystem": "ext4",
    "fqdn": "web01.localdomain", "machine-id": "0123456789abcdef0123456789abcdef", "disks": [],
    "network-interfaces": [{"name": "eno1", "mac": MAC, "is-management": True}],
    "ssh-public-host-keys": {
        "ecdsa": "ecdsa-sha2-nistp256 AAAAE2VjZHNh root@web01", "ed25519": f"{ED25519} root@web01",
        "rsa": "nonsense",
    },
}  # fmt: skip


def test_the_webhook_pins_the_new_systems_host_keys(pve: Service) -> None:
    id_, machine = pve.deploys(), boots(pve)
    done = machine.path(tomllib.loads(asks(machine).text)["post-installation-webhook"]["url"])
    assert machine.http.post(done, json=WEBHOOK).status_code == 200
    reported = pve.row(id_).reported
    assert f"{ED25519} root@web01" in reported["ssh_host_keys"]
    assert len(reported["ssh_host_keys"]) == 2
    assert reported["facts"]["machine_id"] == "0123456789abcdef0123456789abcdef"
    assert pve.state(id_) == "first_boot"


# --- ESXi: nobody can log in to it as we do ------------------------------------------------------


def test_a_system_that_cannot_be_verified_is_ready_when_it_has_called(service: Service) -> None:
    register_esxi(service.parts)
    service.knows(os="esxi", release="8.0", verify={})
    id_, machine = service.deploys(), service.machine()
    machine.asks()
    tokens = {str(purpose): token for purpose, token in service.parts.tokens(id_).items()}
    assert machine.http.get(f"/d/{tokens['answers']}/answers/boot.cfg").status_code == 200
    home = f"/d/{tokens['phone-home']}/phone-home"
    for event in ("installer_started", "installer_finished", "first_boot"):
        assert machine.http.post(f"{home}/{event}", json={}).status_code == 200
    assert service.work() == []
    assert service.state(id_) == "ready"
