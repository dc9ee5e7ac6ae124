"""Power drivers with somebody to talk to, as the service makes them, without its database."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployer.core.inventory import Firmware, HostSpec
from deployer.drivers.power.base import Context, PowerDriver
from deployer.drivers.power.fake import Fake
from deployer.services import keys, power
from deployer.services.parts import POWER_DRIVERS
from tests.support import mockups
from tests.support.bmc import FaultyBmc
from tests.support.ipmi_sim import IpmiSim
from tests.support.linux import UefiLinux
from tests.support.proxmox import Proxmox
from tests.support.ssh_server import SshServer
from tests.support.virsh import Libvirt

MAC = "52:54:00:12:34:56"
SECRET = "s3cret-of-the-bmc"


def host(**settings: Any) -> HostSpec:
    """`driver` and its settings."""
    return HostSpec.model_validate({"name": "web01", "macs": [MAC], "power": settings})


def driver(
    settings: dict[str, Any],
    *,
    secret: str = SECRET,
    firmware: Firmware | None = None,
    networks: str = "127.0.0.0/8",
    ssh_key_file: Path | None = None,
    programs: Path | None = None,
) -> PowerDriver:
    """Every secret that is named is `secret`."""
    spec = host(**settings)
    context = Context(
        host=spec, firmware=firmware, networks=networks, programs=programs,
        secrets=dict.fromkeys(spec.secret_fields().values(), secret), ssh_key_file=ssh_key_file,
    )  # fmt: skip
    return POWER_DRIVERS[spec.power.driver](power.check(spec), context)


@dataclass(frozen=True)
class Rig:
    """A driver's settings, and what it is lent, for a counterpart that is there and behaves."""

    settings: dict[str, Any]
    lent: dict[str, Any] = field(default_factory=dict)

    def driver(self) -> PowerDriver:
        return driver(self.settings, **self.lent)


@contextmanager
def _fake(folder: Path) -> Iterator[Rig]:
    Fake.told.pop("contract", None)
    yield Rig({"driver": "fake", "name": "contract"})


@contextmanager
def _manual(folder: Path) -> Iterator[Rig]:
    yield Rig({"driver": "manual"})


@contextmanager
def _redfish(folder: Path) -> Iterator[Rig]:
    with FaultyBmc(mockups.dell()) as bmc:
        yield Rig(bmc.settings)


@contextmanager
def _ipmi(folder: Path) -> Iterator[Rig]:
    with IpmiSim(folder) as bmc:
        yield Rig(bmc.settings)


@contextmanager
def _ssh(folder: Path) -> Iterator[Rig]:
    key_file, public = keys.ssh_key(folder, bytes(range(32)))
    with SshServer(UefiLinux(), public, user="root") as server:
        settings = {
            "driver": "ssh", "address": "127.0.0.1", "port": server.port,
            "known_hosts": [server.host_key_line],
        }  # fmt: skip
        yield Rig(settings, {"ssh_key_file": key_file})


@contextmanager
def _wake_on_lan(folder: Path) -> Iterator[Rig]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as card:
        card.bind(("127.0.0.1", 0))
        port = card.getsockname()[1]
        yield Rig({"driver": "wake_on_lan", "address": "127.0.0.1", "port": port})


@contextmanager
def _command(folder: Path) -> Iterator[Rig]:
    """A program that keeps in a file whether its machine is on."""
    programs = folder / "power.d"
    programs.mkdir(mode=0o755)
    (programs / "pdu").write_text(
        f"#!/bin/sh\ncd {folder}; read -r password\n"
        'case "$1" in state) cat power 2> /dev/null || echo off ;; cycle) echo on > power ;;'
        " off) echo off > power ;; boot_once) echo set ;; *) exit 3 ;; esac\n"
    )
    (programs / "pdu").chmod(0o755)
    settings = {"driver": "command", "program": "pdu", "password": {"secret": "pdu"}}
    yield Rig(settings, {"programs": programs})


@contextmanager
def _libvirt(folder: Path) -> Iterator[Rig]:
    libvirt, path = Libvirt(folder), os.environ["PATH"]
    os.environ["PATH"] = f"{libvirt.folder}:{path}"
    try:
        yield Rig({"driver": "libvirt"})
    finally:
        os.environ["PATH"] = path


@contextmanager
def _proxmox(folder: Path) -> Iterator[Rig]:
    with Proxmox() as pve:
        yield Rig(pve.settings)


RIGS: dict[str, Callable[[Path], AbstractContextManager[Rig]]] = {
    "command": _command, "fake": _fake, "ipmi": _ipmi, "libvirt": _libvirt, "manual": _manual,
    "proxmox": _proxmox, "redfish": _redfish, "ssh": _ssh, "wake_on_lan": _wake_on_lan,
}  # fmt: skip
