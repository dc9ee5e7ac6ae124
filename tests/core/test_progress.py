"""What different installers say of their progress, in our words."""

from __future__ import annotations

from typing import Any

import pytest

from deployer.core.progress import Progress, host_keys_of, system_of, translated


def event(name: str, description: Any = "", kind: str = "start", **more: str) -> Progress:
    body = {"name": name, "description": description, "event_type": kind, "level": "INFO", **more}
    return Progress.model_validate(translated(body))


def failure(name: str, description: str = "") -> Progress:
    return event(name, description, "finish", result="FAIL")


@pytest.mark.parametrize(
    ("body", "stage", "message"),
    [
        ({"stage": "writing", "percent": 40, "message": "x"}, "writing", "x"),
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


# --- Subiquity, curtin, cloud-init: events of real runs, in their order ---------------------------

IN = "subiquity/Install/install"
CURTHOOKS = "stage-curthooks/builtin/cmd-curthooks"


def run(curtin: str, commands: str) -> list[str]:
    """Names as they began; `curtin`: what stands before curtin's own, which changed over time."""
    return [
        "init-local/check-cache", "init-network/config-users-groups", "modules-final/config-ssh",
        "subiquity/load_cloud_config", f"subiquity/Early/{commands}",
        f"subiquity/Early/{commands}/command_0", "subiquity/Reporting/load_autoinstall_data",
        "subiquity/Network/apply_autoinstall_config", "subiquity/Filesystem/_probe",
        "subiquity/Meta/status_GET", IN, f"{IN}/configure_apt", f"{IN}/curtin_install",
        f"{IN}/{curtin}/cmd-install", f"{IN}/{curtin}/cmd-install/stage-partitioning",
        f"{IN}/{curtin}/cmd-install/stage-partitioning/builtin/cmd-block-meta",
        f"{IN}/{curtin}/cmd-install/stage-extract",
        f"{IN}/{curtin}/cmd-install/stage-extract/builtin",
        f"{IN}/{curtin}/cmd-install/stage-extract/builtin/cmd-extract",
        "subiquity/Meta/status_GET", f"{IN}/{curtin}/cmd-install/stage-curthooks",
        f"{IN}/{curtin}/cmd-install/{CURTHOOKS}/configuring-mdadm-service",
        f"{IN}/{curtin}/cmd-install/{CURTHOOKS}/installing-kernel",
        f"{IN}/{curtin}/cmd-install/{CURTHOOKS}/setting-up-swap",
        f"{IN}/{curtin}/cmd-install/{CURTHOOKS}/apply-networking-config",
        f"{IN}/{curtin}/cmd-install/{CURTHOOKS}/configuring-bootloader",
        f"{IN}/{curtin}/cmd-install/{CURTHOOKS}/install-grub",
        f"{IN}/{curtin}/cmd-install/stage-hook", f"{IN}/postinstall",
        f"{IN}/postinstall/get_target_packages", f"{IN}/postinstall/configure_cloud_init",
        f"{IN}/postinstall/install_openssh-server",
        f"{IN}/postinstall/install_openssh-server/retrieving",
        f"{IN}/postinstall/install_openssh-server/unpacking/cmd-system-install",
        f"{IN}/postinstall/install_curl", f"{IN}/postinstall/run_unattended_upgrades",
        f"{IN}/postinstall/run_unattended_upgrades/cmd-in-target",
        f"{IN}/postinstall/restore_apt_config", f"subiquity/Late/{commands}",
        f"subiquity/Late/{commands}/command_0", "subiquity/Shutdown/copy_logs_to_target",
        "subiquity/Shutdown/shutdown",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("curtin", "commands"),
    [
        ("curtin_install", "run"),
        ("curtin_install/run_curtin_step", "run"),
        ("curtin_install/run_curtin_step/run", "run_user_supplied"),
    ],
    ids=["20.04", "22.04", "24.04"],
)
def test_a_run_of_subiquity_never_goes_back(curtin: str, commands: str) -> None:
    told = [event(name) for name in run(curtin, commands)]
    percents = [each.percent for each in told if each.percent is not None]
    assert percents == sorted(percents) and percents[0] == 2 and percents[-1] == 99
    assert all((each.percent is None) == (each.stage is None) for each in told)
    stages = list(dict.fromkeys(each.stage for each in told if each.stage))
    assert stages == [
        "start", "retrieving", "partitioning", "writing", "configuring", "bootloader", "finishing",
    ]  # fmt: skip


def test_each_beginning_has_its_words() -> None:
    extract = f"{IN}/curtin_install/cmd-install/stage-extract"
    told = event(extract, "writing install sources to disk")
    assert (told.stage, told.percent, told.message) == (
        "writing", 20, "writing install sources to disk",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["///", "", "subiquity/Meta/status_GET", "stage-extract/more"])
def test_what_says_nothing_of_the_stage_is_a_sign_of_life(name: str) -> None:
    assert event(name, 7).stage is None


def test_what_has_ended_well_is_no_news() -> None:
    ended = event(f"{IN}/curtin_install", "installing system", "finish", result="SUCCESS")
    assert ended.stage is None


def test_a_failure_is_kept_as_message_and_not_covered_by_what_it_is_part_of() -> None:
    """Out of a log of 22.04 in which GRUB could not be installed."""
    before = f"{IN}/curtin_install/cmd-install"
    told = [
        failure(f"{before}/{CURTHOOKS}/install-grub", "installing grub to target devices"),
        failure(f"{before}/{CURTHOOKS}/configuring-bootloader", "configuring target's bootloader"),
        failure(f"{before}/stage-curthooks/builtin", "running 'curtin curthooks'"),
        failure(f"{before}/stage-curthooks", "configuring installed system"),
        failure(before, "curtin command install"),
        failure(f"{IN}/curtin_install", "Command '[...]' returned non-zero exit status 3."),
        failure(IN, "Command '[...]' returned non-zero exit status 3."),
    ]
    assert [(each.stage, each.message) for each in told if each.stage] == [
        ("bootloader", "failed: installing grub to target devices"),
        ("bootloader", "failed: configuring target's bootloader"),
    ]


def test_a_failure_nobody_knows_has_a_message_too() -> None:
    told = failure("subiquity/Filesystem/apply_autoinstall_config", "matched no disk")
    assert (told.stage, told.message) == ("installing", "failed: matched no disk")


def test_a_command_is_told_by_its_number_and_never_by_its_text() -> None:
    """It may hold a URL with a token."""
    told = failure("subiquity/Late/run_user_supplied/command_2", "curl http://x/d/SECRET/y failed")
    assert (told.stage, told.message) == ("finishing", "failed: late-commands, number 3")
    told = failure("subiquity/Source/x", "http://x/d/SECRET/answers/user-data is gone")
    assert told.message == "failed: http://x/d/.../answers/user-data is gone"


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
