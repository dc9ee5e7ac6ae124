"""What makes the new SUSE this host, in a folder that stands for its disk."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from deployer.answers import prepare
from deployer.boot import ipxe
from tests import golden
from tests.answers import test_agama, test_autoyast
from tests.contracts.test_families import HOST, HOST_FIELDS, PROFILE, PROFILE_FIELDS, STATIC

Y = test_autoyast.Y
# What would change the machine that the test runs on, and what only a SUSE has.
FAKES = """
chown() { :; }
id() { return 1; }
useradd() { echo "useradd $*" >> "$ROOT/told"; mkdir -p "$ROOT/home/${@: -1}"; }
chpasswd() { cat >> "$ROOT/told"; }
getent() { echo "$2:x:1:1::$ROOT/home/$2:/bin/bash"; }
systemctl() { echo "systemctl $*" >> "$ROOT/told"; }
firewall-offline-cmd() { [ "$1" != --query-service=ssh ] && echo "firewall $*" >> "$ROOT/told"; }
sleep() { touch "$ROOT/root/deployer.heard"; cp "$ROOT/root/deployer.said" "$ROOT/said"; }
"""


def of_autoyast(example: str, **profile: Any) -> str:
    root = ElementTree.fromstring(test_autoyast.ours(example, **profile))
    return root.findtext(f"{Y}scripts/{Y}chroot-scripts/{Y}script/{Y}source") or ""


def of_agama(example: str, **profile: Any) -> str:
    content = json.loads(test_agama.ours(example, **profile))["scripts"]["post"][0]["content"]
    assert isinstance(content, str)
    return content


def runs(script: str, root: Path) -> str:
    """What it has told whoever watches."""
    for folder in ("etc", "root", "home/root", "etc/selinux"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "etc/selinux/config").touch()
    # Each place of the new system is one in this folder, and none of the test's machine.
    places = r"(?<![\w$}./-])/(etc|root|usr/lib/deployer|var/lib/deployer)(?=/)"
    script = re.sub(places, rf"{root}/\1", script)
    (root / "root/deployer.log").touch()
    done = subprocess.run(
        ["bash"], input=f"ROOT={root}\n{FAKES}{script}", capture_output=True, text=True, timeout=20,
        check=False,
    )  # fmt: skip
    assert (root / "said").exists(), done.stderr + (root / "root/deployer.log").read_text()
    return (root / "said").read_text().strip()


@pytest.mark.parametrize("source", [of_autoyast, of_agama])
def test_it_makes_the_host_and_says_that_it_is_ready(source: Any, tmp_path: Path) -> None:
    assert runs(source("static"), tmp_path) == "ready"
    assert (tmp_path / "etc/hostname").read_text() == "db01\n"
    assert "127.0.1.1\tdb01.example.org db01\n" in (tmp_path / "etc/hosts").read_text()
    link = (tmp_path / "etc/systemd/network/10-deployer-net1.link").read_text()
    assert link == "[Match]\nPermanentMACAddress=52:54:00:12:34:57\n\n[Link]\nName=net1\n"
    unit = (tmp_path / "etc/systemd/system/deployer-first-boot.service").read_text()
    assert " sshd.service deployer-forget.service systemd-user-sessions.service\n" in unit
    forget = (tmp_path / "etc/systemd/system/deployer-forget.service").read_text()
    assert "/var/adm/autoinstall" in forget and "/var/log/agama-installation" in forget
    told = (tmp_path / "told").read_text()
    assert "firewall --add-service=ssh" in told
    assert "useradd -m -s /bin/sh -r -d /var/lib/deployer deployer" in told
    keys = tmp_path / "home/deployer/.ssh/authorized_keys"
    assert keys.read_text().startswith("restrict ssh-ed25519 ")
    assert keys.stat().st_mode & 0o777 == 0o600


def test_accounts_are_made_where_the_installer_cannot(tmp_path: Path) -> None:
    assert runs(of_agama("accounts"), tmp_path) == "ready"
    told = (tmp_path / "told").read_text()
    assert "root:$6$rounds=5000$" in told and "guest:$y$j9T$" in told
    assert "useradd -m -s /bin/zsh ops\n" in told
    keys = (tmp_path / "home/ops/.ssh/authorized_keys").read_text().splitlines()
    assert keys[1].endswith("""it's "quoted" <here> & $(there)""")
    rights = (tmp_path / "etc/sudoers.d/90-ops").read_text()
    assert rights == "ops ALL=(ALL) NOPASSWD:ALL\n"
    assert (tmp_path / "etc/selinux/.autorelabel").exists()


@pytest.mark.parametrize("source", [of_autoyast, of_agama])
def test_what_fails_is_told_and_nothing_after_it_is_done(source: Any, tmp_path: Path) -> None:
    post = "echo 'the licence server is away' >&2\nfalse && true\nexit 3"
    assert runs(source("dhcp", scripts={"post": post}), tmp_path) == "the licence server is away"


@pytest.mark.parametrize("source", [of_autoyast, of_agama])
def test_a_failure_within_it_is_no_success(source: Any, tmp_path: Path) -> None:
    script = source("dhcp").replace("useradd -m", "echo no such shell; false; useradd -m")
    assert runs(script, tmp_path) == "no such shell"


def test_the_passphrase_is_typed_with_the_profiles_keyboard(tmp_path: Path) -> None:
    script = of_autoyast("encrypted", keyboard="ch").replace("dracut ", "systemctl dracut ")
    assert runs(script, tmp_path) == "ready"
    assert (tmp_path / "etc/vconsole.conf").read_text() == "KEYMAP=ch\n"
    assert "dracut --force --regenerate-all" in (tmp_path / "told").read_text()


def test_time_servers_and_a_proxy(tmp_path: Path) -> None:
    script = of_autoyast("dhcp", ntp=["ntp.example.org"], proxy="http://proxy.example.org:3142")
    assert runs(script, tmp_path) == "ready"
    assert (
        tmp_path / "etc/chrony.d/deployer.conf"
    ).read_text() == "server ntp.example.org iburst\n"
    proxy = (tmp_path / "etc/sysconfig/proxy").read_text()
    assert 'HTTP_PROXY="http://proxy.example.org:3142"\n' in proxy


# --- the contract of all families asks the newest release, which is Agama's; here AutoYaST's ---


def everything(host: dict[str, Any], profile: dict[str, Any]) -> str | None:
    """All that the machine is given, or None where it is refused by name."""
    found = golden.found("suse")
    snapshot = golden.snapshot(found, host, {**profile, "release": "sles-15-sp7"})
    if prepare.unsupported(found.family, snapshot.profile, snapshot.host):
        return None
    files, findings = golden.rendered(found, snapshot)
    assert findings == []
    boot = ipxe.script(prepare.boot(found, golden.context_of(snapshot)))
    return "\n".join([boot, *files.values()])


@pytest.mark.parametrize(("change", "mark"), PROFILE_FIELDS, ids=str)
def test_what_a_profile_asks_for_is_done_by_autoyast(
    change: dict[str, Any], mark: str | None
) -> None:
    given = everything(HOST, {**PROFILE, **change})
    if given is None:
        assert "organization" in change.get("registration", {})
        return
    assert given != everything(HOST, PROFILE) and (mark or "") in given


@pytest.mark.parametrize(("change", "mark"), HOST_FIELDS, ids=str)
def test_what_a_host_asks_for_is_done_by_autoyast(change: dict[str, Any], mark: str | None) -> None:
    before = {"network": {"interfaces": [STATIC]}} if "network" in change else {}
    given = everything({**HOST, **change}, PROFILE)
    assert given is not None and (mark or "") in given
    assert change == before or given != everything({**HOST, **before}, PROFILE)
