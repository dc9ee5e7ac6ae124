"""A config space for FAI: judged by setup-storage and by us, and rendered from anything valid."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from deployer.answers import prepare
from deployer.answers.installers import fai
from deployer.core.families import Answer
from tests import golden
from tests.answers import strategies

HOST = {"name": "web01", "macs": ["52:54:00:12:34:56"]}
FOUND = golden.found("fai")
UEFI = "config.tar.gz/disk_config/UEFI"
GOOD = golden.golden("fai", "lvm")[UEFI]


def judged(text: str, member: str = "disk_config/UEFI", format_: str = "text") -> list[str]:
    answer = Answer.model_validate(
        {"path": f"config.tar.gz/{member}", "template": "x.j2", "format": format_}
    )
    snapshot = golden.snapshot(
        FOUND, {"name": "web01", "macs": ["52:54:00:12:34:56"]}, {"name": "p"}
    )
    found = fai.INSTALLER.check(answer, text, golden.context_of(snapshot))
    return [finding.message for finding in found]


def test_setup_storage_is_here_to_judge() -> None:
    assert shutil.which("setup-storage", path="/usr/sbin:/usr/bin")
    assert judged(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("disk1.3", "disk1.4", "line 8: disk1 has no partition 4"),
        ("vg0-root / ", "vg0-root /srv ", "nothing is mounted at /"),
        ("primary /boot ", "primary / ", "/ is mounted in line 4 already"),
        (
            "align-at:1M",
            "align-at:1M preserve_always:1",
            "preserve would keep what lay on the disk",
        ),
        ("disklabel:gpt", "disklabel:nonsense", "disk_config/UEFI"),
        ("vg vg0", "volumegroup vg0", "disk_config/UEFI"),
        ("512MiB", "much", "disk_config/UEFI"),
    ],
)
def test_what_is_wrong_with_a_disk_config_is_found(old: str, new: str, words: str) -> None:
    assert old in GOOD
    findings = judged(GOOD.replace(old, new, 1))
    assert any(words in finding for finding in findings), findings


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("curl\n", "line 1: curl stands before any PACKAGES line"),
        ("PACKAGES install web-01\ncurl\n", "line 1: web-01 is no class"),
        ("# a comment\n\nPACKAGES install\ncurl # why\n", None),
    ],
)
def test_package_lists(text: str, words: str | None) -> None:
    findings = judged(text, "package_config/DEPLOYER")
    assert findings == [] if words is None else words in findings[0]


def test_shell_is_parsed_with_its_line() -> None:
    (finding,) = judged("#!/bin/bash\nif true\n", "hooks/setup.DEFAULT", "shell")
    assert "hooks/setup.DEFAULT" in finding


@pytest.mark.parametrize("firmware", ["BIOS", "UEFI"])
@pytest.mark.parametrize("layout", ["plain", "lvm", "raid1"])
def test_each_layout_has_a_place_for_everything(layout: str, firmware: str) -> None:
    volumes = [
        {"mount": "/var/log", "size": "2GiB"},
        {"mount": "/srv", "size": "3GiB", "fs": "xfs"},
    ]
    profile = {"name": "p", "storage": {"layout": layout, "volumes": volumes, "swap": "1GiB"}}
    files, findings = golden.rendered(FOUND, golden.snapshot(FOUND, HOST, profile))
    assert findings == []
    text = files[f"config.tar.gz/disk_config/{firmware}"]
    places = {words[1] for line in text.splitlines() if len(words := line.split()) > 3}
    assert {"/", "/var/log", "/srv", "swap"} <= places
    assert ("/boot/efi" in places) is (firmware == "UEFI")
    assert text.count("2GiB- ") == (2 if layout == "raid1" else 1 if layout == "plain" else 2)


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(host=strategies.hosts(), profile=strategies.PROFILES)
@pytest.mark.slow
def test_whatever_is_described_becomes_a_config_space_that_says_the_same(
    host: dict[str, Any], profile: dict[str, Any]
) -> None:
    snapshot = golden.snapshot(FOUND, host, {**profile, "scripts": {}})
    if prepare.unsupported(FOUND.family, snapshot.profile, snapshot.host):
        return
    context = golden.context_of(snapshot)
    files = prepare.answers(FOUND, context)
    assert prepare.findings(FOUND, context, files) == []
    # A shell that reads the variables has the values, and does nothing else.
    script = (
        files["config.tar.gz/class/DEPLOYER.var"] + 'printf "%s|%s" "$TIMEZONE" "$STOP_ON_ERROR"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{snapshot.profile.timezone}|0"
    asked = files["config.tar.gz/package_config/DEPLOYER"].split("PACKAGES install\n")[1].split()
    assert set(snapshot.profile.packages) <= set(asked)
