"""Progress of an install, whatever the installer: a stage, perhaps a percentage, a message."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from deployer.core.text import Name


class Progress(BaseModel):
    """Our own progress message; text is kept as it came and escaped wherever it is shown."""

    model_config = ConfigDict(extra="ignore")

    stage: Name
    percent: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False)
    message: str = Field(default="", max_length=4000)


def translated(body: dict[str, Any]) -> dict[str, Any]:
    """Other installers' messages in our words; our own, and what nobody knows, as they are.

    Subiquity, curtin and cloud-init post `name`, `event_type` and `description`
    (cloud-init's "reporting" webhook); Proxmox posts facts of the finished system, with `fqdn`.
    """
    if "stage" in body:
        return body
    if isinstance(body.get("name"), str) and "event_type" in body:
        # "subiquity/Install/install/curthooks": the last part says what is being done.
        stage = re.sub(r"[^A-Za-z0-9._-]+", "-", body["name"].rsplit("/", 1)[-1]).strip("-._")
        text = body.get("description")
        message = text[:4000] if isinstance(text, str) else ""
        return {"stage": stage[:100] or "installing", "message": message}
    if "fqdn" in body and "disks" in body:
        return {"stage": "finishing", "message": "Proxmox has installed the system"}
    return body


def system_of(body: dict[str, Any]) -> dict[str, Any]:
    """What Proxmox's installer tells of the machine, in our words: `macs`, `uuid`, `serial`, ...

    It does so when it asks for its answer (`network_interfaces`), and when it is done, with dashes.
    """
    dmi, nics = body.get("dmi"), body.get("network_interfaces", body.get("network-interfaces"))
    system = dmi.get("system") if isinstance(dmi, dict) else None
    iso, product = body.get("iso"), body.get("product")
    told = {
        "uuid": _at(system, "uuid"),
        "serial": _at(system, "serial"),
        "product": _at(system, "name"),
        "installer": _at(product, "fullname"),
        "release": _at(iso, "release"),
        "machine_id": _at(body, "machine-id"),
        "filesystem": _at(body, "filesystem"),
    }
    macs = [_at(nic, "mac") for nic in nics[:64]] if isinstance(nics, list) else []
    found: dict[str, Any] = {name: text for name, text in told.items() if text}
    return found | ({"macs": [mac for mac in macs if mac]} if any(macs) else {})


def host_keys_of(body: dict[str, Any]) -> list[str]:
    """The SSH host keys that an installer tells, a line each; Proxmox has them by their kind."""
    keys = body.get("ssh_host_keys", body.get("ssh-public-host-keys"))
    lines = list(keys.values()) if isinstance(keys, dict) else keys
    return [line for line in lines[:16] if isinstance(line, str)] if isinstance(lines, list) else []


def _at(value: Any, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found.strip()[:200] if isinstance(found, str) else ""
