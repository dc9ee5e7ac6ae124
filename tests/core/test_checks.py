"""Is this the system that was asked for? Judged from what real programs print."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deployer.core.checks import COMMANDS, judge, package_command
from deployer.core.profiles import Verify

OS_RELEASE = """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
ID=debian
HOME_URL="https://www.debian.org/"
"""

# lsblk 2.38 of a machine installed with the layout lvm, beside a disk with data of its own.
LSBLK = """\
{"blockdevices": [
  {"name":"sda","type":"disk","size":8589934592,"serial":"DISK-1","mountpoints":[null],
   "children":[
     {"name":"sda1","type":"part","size":1048576,"serial":null,"mountpoints":[null]},
     {"name":"sda2","type":"part","size":536870912,"serial":null,"mountpoints":["/boot/efi"]},
     {"name":"sda3","type":"part","size":1073741824,"serial":null,"mountpoints":["/boot"]},
     {"name":"sda4","type":"part","size":6977224704,"serial":null,"mountpoints":[null],
      "children":[
        {"name":"vg0-root","type":"lvm","size":6975127552,"serial":null,
         "mountpoints":["/var/lib/docker","/"]}]}]},
  {"name":"sdb","type":"disk","size":1000204886016,"serial":"DATA-1","mountpoints":["/srv"]},
  {"name":"sr0","type":"rom","size":1073741312,"serial":"QM00003","mountpoints":[null]}
]}
"""
DPKG = "openssh-server installed\nlibc6:amd64 installed\nlibc6:i386 installed\nnginx config-files\n"
RPM = "openssh-server installed\npackage nginx is not installed\n"
DISK = {"name": "sda", "path": "/dev/sda", "size": 8589934592, "serial": "DISK-1"}


def wrong(
    disk: dict[str, Any] | None = DISK, verify: dict[str, Any] | None = None, **out: str
) -> list[str]:
    """What does not hold, in words."""
    outputs = {"os_release": OS_RELEASE, "hostname": "web01\n", "disks": LSBLK, "packages": DPKG}
    checks = judge(
        {**outputs, **out}, "web01.example.org", [disk] if disk else [],
        Verify.model_validate(verify or {}),
    )  # fmt: skip
    return [str(check) for check in checks if not check.ok]


def test_a_system_as_asked_for_passes_every_check() -> None:
    outputs = {"os_release": OS_RELEASE, "hostname": "web01\n", "disks": LSBLK, "packages": DPKG}
    verify = Verify(release="12", packages=["openssh-server", "libc6"])
    checks = judge(outputs, "web01", [DISK], verify)
    assert [(check.name, check.found, check.ok) for check in checks] == [
        ("hostname", "web01", True),
        ("release", "12", True),
        ("disk", "8.6 GB, serial DISK-1", True),
        ("package openssh-server", "installed", True),
        ("package libc6", "installed", True),
    ]


@pytest.mark.parametrize(
    ("hostname", "problem"),
    [
        ("web01\n", []),
        ("web01.example.org\n", []),
        ("web02\n", ["hostname: web02 (expected web01.example.org)"]),
        ("web01.example.com\n", ["hostname: web01.example.com (expected web01.example.org)"]),
        ("", ["hostname: nothing (expected web01.example.org)"]),
    ],
)
def test_the_host_name_is_the_short_or_the_long_one(hostname: str, problem: list[str]) -> None:
    assert wrong(hostname=hostname) == problem


@pytest.mark.parametrize(
    ("wanted", "version", "problem"),
    [
        ("12", 'VERSION_ID="12"', []),
        ("12", "VERSION_ID=12.7", []),
        ("9", "VERSION_ID='9.4'", []),
        ("12.7", 'VERSION_ID="12"', ["release: 12 (expected 12.7)"]),
        ("1", 'VERSION_ID="12"', ["release: 12 (expected 1)"]),
        ("12", "ID=debian", ["release: nothing (expected 12)"]),
    ],
)
def test_a_release_is_satisfied_by_its_point_releases(
    wanted: str, version: str, problem: list[str]
) -> None:
    assert wrong(verify={"release": wanted}, os_release=version) == problem


def edited(**change: Any) -> str:
    """The list of disks with its first disk changed."""
    listing = json.loads(LSBLK)
    listing["blockdevices"][0].update(change)
    return json.dumps(listing)


def test_an_old_lsblk_that_knows_one_mount_point_of_each_is_asked_for_that(tmp_path: Path) -> None:
    """util-linux 2.36 of Debian 11: the command is run by a real shell, lsblk is a stand-in."""
    part = {"name": "sda1", "type": "part", "size": 1, "serial": None, "mountpoint": "/"}
    disk = {**DISK, "type": "disk", "mountpoint": None, "children": [part]}
    program = tmp_path / "lsblk"
    program.write_text(
        "#!/bin/sh\ncase $* in *MOUNTPOINTS*) echo 'lsblk: unknown column' >&2; exit 1;; esac\n"
        f"cat <<'END'\n{json.dumps({'blockdevices': [disk]})}\nEND\n"
    )
    program.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", COMMANDS["disks"]], env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert wrong(disks=done.stdout) == []


@pytest.mark.parametrize(
    ("disk", "listing", "problem"),
    [
        (DISK, LSBLK, []),
        ({**DISK, "serial": None}, LSBLK, []),
        (None, "no JSON", []),
        (DISK, edited(serial="X-1"), ["disk: 8.6 GB, serial X-1 (expected 8.6 GB, serial DISK-1)"]),
        (DISK, edited(serial=None), ["disk: 8.6 GB (expected 8.6 GB, serial DISK-1)"]),
        (
            DISK, edited(size=9 * 10**9),
            ["disk: 9.0 GB, serial DISK-1 (expected 8.6 GB, serial DISK-1)"],
        ),
        (DISK, edited(children=[]), ["disk: nothing (expected 8.6 GB, serial DISK-1)"]),
        (DISK, "", ["disk: no list of disks (expected 8.6 GB, serial DISK-1)"]),
        (DISK, "[]", ["disk: no list of disks (expected 8.6 GB, serial DISK-1)"]),
        (
            DISK, '{"blockdevices": [7]}',
            ["disk: no list of disks (expected 8.6 GB, serial DISK-1)"],
        ),
    ],
    ids=["as chosen", "serial unknown", "nothing chosen", "other serial", "no serial", "other size",
         "root elsewhere", "empty", "list", "rubbish"],
)  # fmt: skip
def test_the_root_lies_on_the_disk_that_was_chosen(
    disk: dict[str, Any] | None, listing: str, problem: list[str]
) -> None:
    assert wrong(disk=disk, disks=listing) == problem


def test_a_root_on_two_disks_is_not_the_one_that_was_chosen() -> None:
    listing = json.loads(LSBLK)
    listing["blockdevices"][1]["mountpoints"] = ["/"]
    assert wrong(disks=json.dumps(listing)) == [
        "disk: 8.6 GB, serial DISK-1; 1.0 TB, serial DATA-1 (expected 8.6 GB, serial DISK-1)"
    ]


@pytest.mark.parametrize(
    ("name", "output", "ok"),
    [
        ("openssh-server", DPKG, True),
        ("libc6", DPKG, True),
        ("nginx", DPKG, False),
        ("openssh", DPKG, False),
        ("openssh-server", RPM, True),
        ("nginx", RPM, False),
        ("openssh", RPM, False),
        ("package", RPM, False),
        ("nginx", "", False),
    ],
)
def test_a_package_counts_when_it_is_installed_under_its_own_name(
    name: str, output: str, ok: bool
) -> None:
    problem = [] if ok else [f"package {name}: not installed (expected installed)"]
    assert wrong(verify={"packages": [name]}, packages=output) == problem


def test_the_command_for_packages_is_one_that_a_shell_accepts() -> None:
    command = package_command(["g++", "libc6:i386"])
    assert subprocess.run(["sh", "-n"], input=command, text=True, check=False).returncode == 0
    assert command == (
        "dpkg-query --show --showformat='${binary:Package} ${db:Status-Status}\\n' g++ libc6:i386"
        " 2>/dev/null || rpm -q --qf '%{NAME} installed\\n' g++ libc6:i386"
    )


# lsblk 2.38 of a machine with RAID 1, beside a third disk.
MIRRORED = """\
{"blockdevices": [
  {"name":"sda","type":"disk","size":8589934592,"serial":"DISK-1","mountpoints":[null],
   "children":[{"name":"sda2","type":"part","size":8588886016,"serial":null,"mountpoints":[null],
     "children":[{"name":"md0","type":"raid1","size":8586788864,"mountpoints":["/"]}]}]},
  {"name":"sdb","type":"disk","size":8589934592,"serial":"DISK-2","mountpoints":[null],
   "children":[{"name":"sdb2","type":"part","size":8588886016,"serial":null,"mountpoints":[null],
     "children":[{"name":"md0","type":"raid1","size":8586788864,"mountpoints":["/"]}]}]},
  {"name":"sdc","type":"disk","size":8589934592,"serial":"DISK-3","mountpoints":[null]}
]}
"""


@pytest.mark.parametrize(
    ("serials", "ok"),
    [(["DISK-1", "DISK-2"], True), (["DISK-1"], False), (["DISK-1", "DISK-3"], False)],
    ids=str,
)
def test_a_mirror_lies_on_both_its_disks_and_on_no_other(serials: list[str], ok: bool) -> None:
    chosen = [{**DISK, "serial": serial} for serial in serials]
    outputs = {"os_release": OS_RELEASE, "hostname": "web01\n", "disks": MIRRORED}
    checks = judge(outputs, "web01", chosen, Verify())
    assert {check.name: check.ok for check in checks}["disk"] is ok
