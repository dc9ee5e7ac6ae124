"""What different installers say of their progress, in our words."""

from __future__ import annotations

from typing import Any

import pytest

from deployer.core.progress import Progress, host_keys_of, system_of, translated


@pytest.mark.parametrize(
    ("body", "stage", "message"),
    [
        ({"stage": "writing", "percent": 40, "message": "x"}, "writing", "x"),
        (
            {"name": "subiquity/Install/install/curthooks", "event_type": "start",
             "description": "final system configuration", "origin": "curtin", "level": "INFO"},
            "curthooks", "final system configuration",
        ),
        (
            {"name": "modules-final/config-ssh keys", "event_type": "finish", "result": "SUCCESS"},
            "config-ssh-keys", "",
        ),
        ({"name": "///", "event_type": "start", "description": 7}, "installing", ""),
        ({"fqdn": "pve1.example", "disks": [], "boot-info": {}}, "finishing",
         "Proxmox has installed the system"),
    ],
)  # fmt: skip
def test_an_installers_message_has_a_stage(body: dict[str, Any], stage: str, message: str) -> None:
    progress = Progress.model_validate(translated(body))
    assert (progress.stage, progress.message) == (stage, message)


def test_what_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="stage"):
        Progress.model_validate(translated({"state": "fine"}))


SYSTEM = {
    "$schema": {"version": "1.0"},
    "product": {"fullname": "Proxmox VE", "product": "pve", "enable_btrfs": True},
    "iso": {"release": "9.0", "isorelease": "1"},
    "dmi": {"system": {"uuid": "4c4c4544-0044-4810-8058-c4c04f4b3232", "serial": "CN7016-A ",
                       "name": "PowerEdge"}, "baseboard": {}, "chassis": {}},
    "network_interfaces": [{"link": "eno1", "mac": "52:54:00:12:34:56"}, {"link": "lo"}, 7],
}  # fmt: skip


def test_what_proxmox_tells_of_a_machine_is_kept_by_known_names() -> None:
    assert system_of(SYSTEM) == {
        "uuid": "4c4c4544-0044-4810-8058-c4c04f4b3232", "serial": "CN7016-A",
        "product": "PowerEdge", "installer": "Proxmox VE", "release": "9.0",
        "macs": ["52:54:00:12:34:56"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [{}, {"dmi": 7}, {"dmi": {"system": []}}, {"network_interfaces": {"mac": "x"}},
     {"network_interfaces": [[], None, {"mac": 7}]}, {"iso": None, "product": "x"}],
)  # fmt: skip
def test_what_is_malformed_tells_nothing(body: dict[str, Any]) -> None:
    assert system_of(body) == {}


def test_what_a_machine_tells_is_bounded() -> None:
    many = {"network_interfaces": [{"mac": "x" * 10_000}] * 1000, "machine-id": "y" * 10_000}
    told = system_of(many)
    assert len(told["macs"]) == 64 and {len(text) for text in told["macs"]} == {200}
    assert len(told["machine_id"]) == 200


def test_host_keys_are_read_in_either_form() -> None:
    by_kind = {"ecdsa": "ecdsa-sha2-nistp256 AA", "ed25519": "ssh-ed25519 BB", "rsa": 7}
    assert host_keys_of({"ssh-public-host-keys": by_kind}) == [
        "ecdsa-sha2-nistp256 AA", "ssh-ed25519 BB",
    ]  # fmt: skip
    assert host_keys_of({"ssh_host_keys": ["ssh-ed25519 BB"]}) == ["ssh-ed25519 BB"]
    assert host_keys_of({"ssh_host_keys": "ssh-ed25519 BB"}) == []
