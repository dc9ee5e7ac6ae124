"""Progress of an install, whatever the installer: a stage, perhaps a percentage, a message."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from deployer.core.text import Name


class Progress(BaseModel):
    """Our own progress message; text is kept as it came and escaped wherever it is shown.

    Without a stage it says no more than that the installer is alive.
    """

    model_config = ConfigDict(extra="ignore")

    stage: Name | None
    percent: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False)
    message: str = Field(default="", max_length=4000)


# What Subiquity and curtin begin, by the end of the event's name, in the order of a run. Names out
# of logs of 20.04 to 26.04; `run_user_supplied` and `run_curtin_step` came with 24.04.
# https://github.com/canonical/subiquity, subiquity/server/controllers; curtin/commands/curthooks.py
_BEGINNINGS: list[tuple[str, str, float]] = [
    (r"Early/run(_user_supplied)?", "start", 2),
    (r"install/configure_apt", "retrieving", 8),
    (r"install/curtin_install", "partitioning", 10),
    (r"stage-partitioning", "partitioning", 11),
    (r"stage-extract", "writing", 20),
    (r"cmd-extract", "writing", 22),
    (r"stage-curthooks", "configuring", 45),
    (r"cmd-curthooks/installing-kernel", "configuring", 52),
    (r"cmd-curthooks/setting-up-swap", "configuring", 60),
    (r"cmd-curthooks/apply-networking-config", "configuring", 62),
    (r"cmd-curthooks/configuring-bootloader", "bootloader", 66),
    (r"cmd-curthooks/install-grub", "bootloader", 68),
    (r"stage-hook", "configuring", 72),
    (r"install/postinstall", "configuring", 74),
    (r"postinstall/configure_cloud_init", "configuring", 75),
    (r"postinstall/install_[^/]+", "configuring", 78),
    (r"postinstall/ubuntu-drivers-install", "configuring", 82),
    (r"postinstall/run_unattended_upgrades", "configuring", 84),
    (r"postinstall/restore_apt_config", "configuring", 90),
    (r"Late/run(_user_supplied)?", "finishing", 92),
    (r"Shutdown/copy_logs_to_target", "finishing", 97),
    (r"Shutdown/shutdown", "finishing", 99),
]
_BY_END = [(re.compile(rf"(?:.*/)?{end}"), stage, percent) for end, stage, percent in _BEGINNINGS]
_WITHIN = [
    (re.compile(rf"(?:.*/)?{end}(?:/.*)?"), stage) for end, stage, _ in reversed(_BEGINNINGS)
]
# They fail because something in them has failed, which has been said already.
_CONTAINERS = re.compile(
    r"(?:.*/)?(install|curtin_install|run_curtin_step|run|run_user_supplied|cmd-install|builtin"
    r"|stage-[a-z]+|cmd-[a-z-]+|postinstall)"
)
# Its description is the command itself, perhaps with a token of ours in a URL.
_COMMAND = re.compile(r"(?:.*/)?(Early|Late|Error)/[a-z_]+/command_(\d+)")
_LONGEST = 500


def translated(body: dict[str, Any]) -> dict[str, Any]:
    """Other installers' messages in our words; our own, and what nobody knows, as they are.

    Subiquity, curtin and cloud-init post `name`, `event_type` and `description`
    (cloud-init's "reporting" webhook); Proxmox posts facts of the finished system, with `fqdn`.
    """
    if "stage" in body:
        return body
    name = body.get("name")
    if isinstance(name, str) and "event_type" in body:
        return _event(name[:1000], body)
    if "fqdn" in body and "disks" in body:
        return {"stage": "finishing", "message": "Proxmox has installed the system"}
    return body


def _event(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Only what begins moves us on; most events are steps so small that they say nothing."""
    if body.get("event_type") == "finish" and body.get("result") == "FAIL":
        return _failure(name, body)
    if body.get("event_type") == "start":
        for end, stage, percent in _BY_END:
            if end.fullmatch(name):
                return {"stage": stage, "percent": percent, "message": _described(name, body)}
    return {"stage": None}


def _failure(name: str, body: dict[str, Any]) -> dict[str, Any]:
    if _CONTAINERS.fullmatch(name):
        return {"stage": None}
    stage = next((stage for within, stage in _WITHIN if within.fullmatch(name)), "installing")
    return {"stage": stage, "message": f"failed: {_described(name, body)}"}


def _described(name: str, body: dict[str, Any]) -> str:
    if command := _COMMAND.fullmatch(name):
        return f"{command[1].lower()}-commands, number {int(command[2]) + 1}"
    text = body.get("description")
    text = text if isinstance(text, str) and text else name.rsplit("/", 1)[-1]
    return re.sub(r"/d/[^/\s]+/", "/d/.../", text)[:_LONGEST]


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
