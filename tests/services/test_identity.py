"""Promise 7: a host that answers as another system than was verified last is left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deployer.core.checks import COMMANDS
from deployer.drivers import ssh
from deployer.drivers.power.fake import Fake
from tests.support.machine import DISK
from tests.support.postgres import free_port
from tests.support.service import PROFILE, Service, ok
from tests.support.ssh_server import SshServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("backend", ["sqlite"], indirect=True),
]
ID, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2
ROOT = {"name": "vda3", "type": "part", "size": 1, "mountpoints": ["/"]}
LSBLK = {"blockdevices": [{**DISK, "type": "disk", "mountpoints": [None], "children": [ROOT]}]}


class Web01:
    """A machine that the service has installed and verified; `says` is what its shell prints."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.acts = Fake.told.setdefault("identity", [])
        self.machine_id = ID
        self.drained: str | tuple[str, int] = ""
        self.server = SshServer(self.says, service.parts.ssh_public_key)

    def says(self, command: str) -> str | tuple[str, int | None]:
        if "drain" in command:
            return self.drained
        return {
            COMMANDS["machine_id"]: f"{self.machine_id}\n",
            COMMANDS["hostname"]: "web01\n",
            COMMANDS["disks"]: json.dumps(LSBLK),
        }.get(command, "")

    def is_verified(self) -> None:
        self.service.knows(
            host={"ssh": {"address": "127.0.0.1", "port": self.server.port},
                  "power": {"driver": "fake", "name": "identity"}}, verify={},
        )  # fmt: skip
        self.installs(self.service.deploys())
        assert self.installed["machine_id"] == ID
        self.acts.clear()

    def installs(self, id_: str) -> None:
        machine = self.service.machine()
        machine.boots_installer()
        machine.reports_disks()
        machine.phones_home("installer_finished", {"ssh_host_keys": [self.server.host_key_line]})
        machine.phones_home("first_boot")
        self.service.work()
        assert self.service.state(id_) == "ready", self.service.cause(id_)

    @property
    def installed(self) -> dict[str, Any]:
        found: dict[str, Any] = ok(self.service.api.get("/api/v1/hosts/web01"))["facts"]
        return found.get("installed", {})

    def reinstalls(self, **profile: Any) -> str:
        """The id of a deployment whose first effects have been carried out."""
        given = {**PROFILE, "name": "again", "workflow": "reinstall", "verify": {}, **profile}
        ok(self.service.api.post("/api/v1/profiles", json=given))
        id_ = self.service.queues(profile="again")
        self.service.work()
        return id_

    def event(self, id_: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(
            line["detail"] for line in self.service.history(id_) if line["event"] == name
        )
        return found


@pytest.fixture
def web01(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web01]:
    monkeypatch.setattr(ssh, "_CONNECT_SECONDS", 1)
    made = Web01(service)
    with made.server:
        made.is_verified()
        yield made


def test_what_was_verified_is_kept_with_the_host(web01: Web01, service: Service) -> None:
    assert web01.installed == {
        "machine_id": ID, "address": "127.0.0.1", "host_keys": [web01.server.host_key_line],
        "deployment": web01.installed["deployment"], "at": web01.installed["at"],
    }  # fmt: skip


def test_the_same_system_is_reinstalled_and_then_recorded_anew(web01: Web01) -> None:
    id_ = web01.reinstalls()
    assert web01.event(id_, "ssh.identity")["found"] == "it is the system that was verified last"
    assert web01.acts == ["boot_once", "cycle"]
    web01.machine_id = OTHER
    web01.installs(id_)
    assert web01.installed["machine_id"] == OTHER


def test_another_machine_id_is_refused_before_anything_is_touched(
    web01: Web01, service: Service
) -> None:
    web01.machine_id = OTHER
    id_ = web01.reinstalls()
    assert service.state(id_) == "failed" and web01.acts == []
    cause = service.cause(id_)
    assert f"answers with the machine-id {OTHER}, and {ID} was recorded" in cause
    assert "by the workflow install" in cause


def test_another_host_key_is_refused(web01: Web01, service: Service) -> None:
    with SshServer(web01.says, service.parts.ssh_public_key) as another:
        at = {"address": "127.0.0.1", "port": another.port}
        ok(service.api.patch("/api/v1/hosts/web01", json={"ssh": at}))
        id_ = web01.reinstalls()
        assert another.commands == []
    assert service.state(id_) == "failed" and web01.acts == []
    assert "shows another SSH host key" in service.cause(id_)


def test_who_does_not_answer_is_reinstalled(web01: Web01, service: Service) -> None:
    at = {"address": "127.0.0.1", "port": free_port()}
    ok(service.api.patch("/api/v1/hosts/web01", json={"ssh": at}))
    id_ = web01.reinstalls(vars={"drain": "drain --all"})
    assert web01.event(id_, "ssh.identity")["found"].startswith("it does not answer")
    assert "not_run" in web01.event(id_, "ssh.run")
    assert web01.acts == ["boot_once", "cycle"]


def test_who_knows_nobody_any_more_is_known_by_its_host_key(web01: Web01, service: Service) -> None:
    web01.server.authorized = "another key"
    id_ = web01.reinstalls()
    assert "our account is gone" in web01.event(id_, "ssh.identity")["found"]
    assert web01.acts == ["boot_once", "cycle"]


def test_it_is_drained_first_and_a_drain_that_fails_stops_it(
    web01: Web01, service: Service
) -> None:
    web01.drained = "evicted 7\n"
    id_ = web01.reinstalls(vars={"drain": "drain --all"})
    assert web01.event(id_, "ssh.run")["output"].strip() == "evicted 7"
    assert web01.acts == ["boot_once", "cycle"]
    ok(service.api.post(f"/api/v1/deployments/{id_}/cancel"))
    web01.acts.clear()
    web01.drained = ("a volume is in use\n", 1)
    id_ = service.queues(profile="again")
    service.work()
    assert service.state(id_) == "failed" and web01.acts == []
    assert "a volume is in use" in service.cause(id_)


@pytest.mark.parametrize("drain", [["a", "list"], 7, True])
def test_a_drain_that_is_no_command_is_said(web01: Web01, service: Service, drain: Any) -> None:
    id_ = web01.reinstalls(vars={"drain": drain})
    assert service.state(id_) == "failed" and "must be a command" in service.cause(id_)


def test_what_is_overwritten_is_forgotten_even_when_nobody_verifies_it(
    web01: Web01, service: Service
) -> None:
    id_ = web01.reinstalls(verify=False)
    assert web01.installed["machine_id"] == ID
    machine = service.machine()
    machine.boots_installer()
    assert web01.installed["machine_id"] == ID, "its disk has not been touched"
    machine.reports_disks()
    assert web01.installed == {}
    machine.phones_home("installer_finished")
    machine.phones_home("first_boot")
    assert service.state(id_) == "ready" and web01.installed == {}


def test_a_rescue_forgets_nothing(web01: Web01, service: Service) -> None:
    rescue = {"name": "rescue", "os": "live", "release": "rescue", "workflow": "rescue",
              "users": [{"name": "ops", "ssh_keys": PROFILE["users"][0]["ssh_keys"]}]}  # fmt: skip
    ok(service.api.post("/api/v1/profiles", json=rescue))
    service.queues(profile="rescue")
    service.work()
    machine = service.machine()
    machine.boots_installer()
    machine.phones_home("installer_finished")
    assert web01.installed["machine_id"] == ID
