"""What an operator does: a token, images, a host, a profile, a deployment, the power button."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deployer.cli.client import Client
from deployer.core.lifecycle import RESTING, State
from lab.demo.places import FOLDER, HOST, KEY, MAC, ROOT, DemoError
from lab.demo.service import Service
from lab.machine import DiskSpec, Firmware, Machine, best_accelerator

_BOOTING_SECONDS = 15

Json = dict[str, Any]


def new_token(service: Service) -> str:
    """A token for this run; that of the run before is revoked, if there was one."""
    with contextlib.suppress(DemoError):
        service.command("token", "revoke", "demo")
    return service.command("token", "create", "--name", "demo", "--role", "admin")


def import_images(api: Client, service: Service, folders: list[Path]) -> Iterator[str]:
    """The images that the service did not have yet, exactly as they are now."""
    for folder in folders:
        if not (folder / "image.json").exists():
            raise DemoError(f"{folder} is not there; `make media` builds it")
        files = json.loads((folder / "image.json").read_text())["files"]
        known = api.find(f"/images/{folder.name}")
        if known is None or known["files"] != files:
            service.command("image", "add", str(folder))
            yield folder.name


def public_key() -> str:
    if not KEY.exists():
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f", str(KEY)]
        subprocess.run(command, check=True)
    return KEY.with_suffix(".pub").read_text().strip()


def describe(api: Client, ssh_port: int, profile: Json) -> None:
    """Host and profile as they must be now, whatever a run before left."""
    host = {
        "macs": [MAC], "power": {"driver": "manual"}, "protected": False,
        "ssh": {"address": "127.0.0.1", "port": ssh_port},
    }  # fmt: skip
    if api.find(f"/hosts/{HOST}"):
        api.send("PATCH", f"/hosts/{HOST}", host)
    else:
        api.send("POST", "/hosts", {"name": HOST, **host})
    if api.find(f"/profiles/{profile['name']}"):
        api.send("PUT", f"/profiles/{profile['name']}", profile)
    else:
        api.send("POST", "/profiles", profile)


def request_deployment(api: Client, profile: str) -> str:
    """The id of a new deployment that waits for its machine; an unfinished one is cancelled."""
    for old in api.items("/deployments", {"host": HOST}):
        if old["state"] not in RESTING:
            api.send("POST", f"/deployments/{old['id']}/cancel")
    id_: str = api.send("POST", "/deployments", {"host": HOST, "profile": profile})["id"]
    end = time.monotonic() + _BOOTING_SECONDS
    while api.get(f"/deployments/{id_}")["state"] == State.QUEUED:
        if time.monotonic() > end:
            raise DemoError(f"the deployment is still queued after {_BOOTING_SECONDS} s")
        time.sleep(0.1)
    return id_


def blank_machine(firmware: Firmware, service: Service, ssh_port: int) -> Machine:
    """A machine with an empty disk, whose DHCP server names our boot script."""
    folder = FOLDER / "machine"
    shutil.rmtree(folder, ignore_errors=True)
    return Machine(
        HOST, folder, MAC, f"{service.machine_url}/boot.ipxe", firmware,
        [DiskSpec(folder / "disk.qcow2", "8G", "DEMO-DISK-1")], ssh_port,
        accelerator=best_accelerator(ROOT / ".cache/lab/accelerator"),
    )  # fmt: skip
