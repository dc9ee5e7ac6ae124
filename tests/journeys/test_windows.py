"""A machine that becomes Windows: files for wimboot, calls of Windows PE and of the new system."""

from __future__ import annotations

import re
from typing import Any

import pytest

from deployer.store import images
from tests.support.service import Service, ok
from tests.support.windows_pe import NODE, PROCEED, calls, play

pytestmark = pytest.mark.slow

IMAGE = "windows-server-2025-x86_64"
PROFILE: dict[str, Any] = {
    "name": "windows", "os": "windows", "release": "server-2025",
    "vars": {"admin_password": {"secret": "admin"}},
}  # fmt: skip


def knows_windows(service: Service) -> None:
    file = {"path": "sources/install.wim", "size": 4700000000, "sha256": "5a" * 32}
    manifest = {"name": IMAGE, "kind": "windows", "arch": "x86_64", "files": [file]}
    with service.parts.database.writing() as session:
        images.save(session, manifest, service.parts.clock())
    secret = {"name": "admin", "value": "of-this-example-1"}
    ok(service.api.post("/api/v1/secrets", json=secret))
    service.knows(**PROFILE)


def test_a_machine_fetches_all_of_windows_pe_in_one_go_and_tells_how_far_it_is(
    service: Service,
) -> None:
    knows_windows(service)
    machine = service.machine()
    id_ = service.deploys(profile="windows")
    script = machine.asks()
    urls = re.findall(r"--name (\S+) \S+?(/d/\S+)", script)
    assert [name for name, _ in urls] == [
        "winpeshl.ini", "startnet.cmd", "deployer.js", "unattend.xml", "deployer.ps1",
        "SetupComplete.cmd", "ErrorHandler.cmd",
    ]  # fmt: skip
    files = {name: machine.http.get(url) for name, url in urls}
    assert {answer.status_code for answer in files.values()} == {200}
    assert not machine.is_offered_an_installer() and service.state(id_) == "installing"
    assert "of-this-example-1" in files["deployer.ps1"].text
    where = dict(
        re.findall(r'(?m)^var ([A-Z_]+) = "http://[^/]+([^"]+)";', files["deployer.js"].text)
    )
    assert machine.http.post(where["PHONE_HOME"] + "/installer_started", json={}).is_success
    assert {machine.http.get(url).status_code for _, url in urls} == {404}, "secrets are gone"
    disk = {"name": "PhysicalDrive1", "path": "PhysicalDrive1", "size": 10**11, "serial": "S1"}
    chosen = machine.http.post(where["ASK_DISKS"], json={"disks": [disk]})
    if NODE:  # deployer.js reads the very answer of the server
        done = play(answers={"disks": [200, chosen.text]})
        assert done["scripts"]["diskpart"][0] == "select disk 1"
    assert machine.http.post(
        where["PROGRESS"], json={"stage": "writing", "percent": 50, "message": ""}
    ).is_success
    assert machine.http.post(where["PHONE_HOME"] + "/installer_finished", json={}).is_success
    assert service.state(id_) == "first_boot"
    assert machine.http.post(
        where["PHONE_HOME"] + "/first_boot", json={"ssh_host_keys": []}
    ).is_success
    assert service.state(id_) == "ready", "the example is not verified"


@pytest.mark.skipif(NODE is None, reason="Node.js plays Windows PE; it is not here")
def test_an_answer_that_refuses_every_disk_leaves_them_as_they_are(service: Service) -> None:
    knows_windows(service)
    machine = service.machine()
    id_ = service.deploys(profile="windows")
    url = re.findall(r"(/d/\S+/deployer\.js)", machine.asks())[0]
    text = machine.http.get(url).text
    asks = re.findall(r'ASK_DISKS = "http://[^/]+([^"]+)"', text)[0]
    stick = {"name": "PhysicalDrive0", "path": "PhysicalDrive0", "size": 10**11, "removable": True}
    refused = machine.http.post(asks, json={"disks": [stick]})
    done = play(answers={"disks": [200, refused.text]})
    assert "diskpart" not in done["scripts"] and calls(done)[-1] == "disks"
    assert service.state(id_) == "failed" and "removable" in service.cause(id_)
    assert PROCEED not in refused.text
