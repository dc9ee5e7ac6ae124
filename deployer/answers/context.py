"""Everything that a template can see: plain values, from this documented list and no other.

| name | holds |
| --- | --- |
| `host` | the host as its operator wrote it, defaults filled in |
| `profile` | the profile, defaults filled in |
| `vars` | the profile's, then the host's, then the request's variables; the later one wins |
| `image` | the manifest of the image that is installed, or none |
| `deployment` | `id`, `short_id` |
| `urls` | `base`, `answers`, `phone_home`, `progress`, `disks`, `logs`, `image`, `boot_image` |
| `service` | `ssh_key`: the public key with which we log in to verify |
| `secrets` | the values of the secrets that the profile names, by name; answer files only |
| `storage` | `volumes`: `mount`, `name`, `size_mib` or none (the rest), `fs` or none; `swap_mib` |
| `boot_nic` | a static NIC that is installed from: `address`, `netmask`, `gateway`, `dns` |
| `release` | `version` and what the family knows of it (`facts` in family.yaml) |
| `machine` | `mac` (and `bootif`), `uuid`, `serial`, `firmware` as it showed them, or none |

In answer files a field or a variable of the profile that names a secret (`passphrase: {secret:
disk}`) holds its value.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from itertools import count
from typing import Any

from deployer.core.ids import short
from deployer.core.inventory import Firmware, HostSpec
from deployer.core.profiles import ProfileSpec
from deployer.core.tokens import Purpose


@dataclass(frozen=True)
class Machine:
    """What a machine said of itself when it asked for its boot script."""

    mac: str | None = None
    uuid: str | None = None
    serial: str | None = None
    firmware: Firmware = "bios"


@dataclass(frozen=True)
class Snapshot:
    """What was checked when a deployment was accepted, and is rendered from until it ends."""

    host: HostSpec
    profile: ProfileSpec
    image: dict[str, Any] | None
    boot_image: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "host": self.host.model_dump(mode="json", exclude_none=True),
            "profile": self.profile.model_dump(mode="json", exclude_none=True),
            "image": self.image,
            "boot_image": self.boot_image,
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Snapshot:
        return cls(
            HostSpec.model_validate(stored["host"]),
            ProfileSpec.model_validate(stored["profile"]),
            stored["image"],
            stored["boot_image"],
        )


def urls(base: str, tokens: dict[Purpose, str], snapshot: Snapshot) -> dict[str, str]:
    """The addresses that a machine is told; all of them from MACHINE_URL, none from a request."""
    own = f"{base}/d/{tokens[Purpose.PHONE_HOME]}"
    return {
        "base": base,
        "answers": f"{base}/d/{tokens[Purpose.ANSWERS]}/answers",
        "phone_home": f"{own}/phone-home",
        "progress": f"{own}/progress",
        "disks": f"{own}/disks",
        "logs": f"{base}/d/{tokens[Purpose.LOGS]}/logs",
        "image": f"{base}/images/{snapshot.image['name']}" if snapshot.image else "",
        "boot_image": f"{base}/images/{snapshot.boot_image['name']}",
    }


def build(
    snapshot: Snapshot,
    *,
    deployment_id: str,
    addresses: dict[str, str],
    ssh_key: str,
    extra_vars: dict[str, Any],
    machine: Machine,
    secrets: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The context of every template of one deployment."""
    host, profile = snapshot.host, snapshot.profile
    bootif = "01-" + machine.mac.replace(":", "-") if machine.mac else None
    return {
        "host": host.model_dump(mode="json"),
        "profile": _with_values(profile.model_dump(mode="json"), secrets or {}),
        "vars": {
            name: _with_values(value, secrets or {})
            for name, value in {**profile.vars, **host.vars, **extra_vars}.items()
        },
        "image": snapshot.image,
        "deployment": {"id": deployment_id, "short_id": short(deployment_id)},
        "urls": addresses,
        "service": {"ssh_key": ssh_key},
        "secrets": secrets or {},
        "release": {"version": profile.release},
        "storage": _storage(profile),
        "boot_nic": _boot_nic(host, machine),
        "machine": {
            "mac": machine.mac,
            "bootif": bootif,
            "uuid": machine.uuid,
            "serial": machine.serial,
            "firmware": machine.firmware,
        },
    }


def _with_values(given: Any, secrets: dict[str, str]) -> Any:
    """`given` with each secret that it names in its place, as far as it is known."""
    if isinstance(given, list):
        return [_with_values(each, secrets) for each in given]
    if not isinstance(given, dict):
        return given
    if list(given) == ["secret"]:
        return secrets.get(given["secret"], given)
    return {name: _with_values(each, secrets) for name, each in given.items()}


def _storage(profile: ProfileSpec) -> dict[str, Any]:
    """Sizes as installers take them; they are rounded down, so that they still fit."""
    names = {"swap"}
    volumes = []
    for volume in profile.storage.file_systems():
        names.add(name := _volume_name(volume.mount, names))
        size = volume.size // 2**20 if volume.size else None
        volumes.append({"mount": volume.mount, "name": name, "size_mib": size, "fs": volume.fs})
    swap = profile.storage.swap
    return {"volumes": volumes, "swap_mib": None if swap is None else swap // 2**20}


# lvm(8): names that begin or go on like this are for its own use.
_OF_LVM = re.compile(
    r"(snapshot|pvmove)|.*_(cdata|cmeta|corig|cpool|cvol|wcorig|mimage|mlog|pmspare|rimage|rmeta|tdata"
    r"|tmeta|vdata|vorigin)"
)


def _volume_name(mount: str, taken: set[str]) -> str:
    """`var_log` of /var/log: what a partition (36 letters) or logical volume can be called."""
    name = mount.strip("/").replace("/", "_") or "root"
    if name in taken or len(name) > 32 or _OF_LVM.match(name):
        return next(f"volume{n}" for n in count(1) if f"volume{n}" not in taken)
    return name


def _boot_nic(host: HostSpec, machine: Machine) -> dict[str, Any]:
    """How the NIC that the machine boots from has its address; all none when by DHCP.

    An installer takes one address while it installs: IPv4 when there is one.
    """
    mac = machine.mac or host.macs[0]
    nics = [
        nic
        for nic in host.network.interfaces
        if not nic.uses_dhcp
        and (nic.mac in (mac, None) if nic.is_nic else mac in nic.nics())
        and nic.vlan is None
    ]
    found = [ipaddress.ip_interface(text) for nic in nics for text in nic.addresses]
    chosen = min(found, key=lambda address: address.version, default=None)
    if chosen is None:
        return {"address": None, "netmask": None, "gateway": None, "dns": []}
    own = [ip for ip in nics[0].dns if ipaddress.ip_address(ip).version == chosen.version]
    gateway = nics[0].gateway
    fits = gateway and ipaddress.ip_address(gateway).version == chosen.version
    ipv4 = chosen.version == 4
    return {
        "address": str(chosen.ip) if ipv4 else str(chosen),
        "netmask": str(chosen.netmask) if ipv4 else None,
        "gateway": gateway if fits else None,
        "dns": own,
    }
