"""Is this the system that was asked for? Judged from what real programs print."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deployer.core.checks import (
    COMMANDS,
    Expected,
    commands,
    judge,
    package_command,
    service_command,
)
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
    expected = Expected("web01.example.org", [disk] if disk else [])
    checks = judge({**outputs, **out}, expected, Verify.model_validate(verify or {}))
    return [str(check) for check in checks if not check.ok]


def test_a_system_as_asked_for_passes_every_check() -> None:
    outputs = {"os_release": OS_RELEASE, "hostname": "web01\n", "disks": LSBLK, "packages": DPKG}
    verify = Verify(release="12", packages=["openssh-server", "libc6"])
    checks = judge(outputs, Expected("web01", [DISK]), verify)
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
    checks = judge(outputs, Expected("web01", chosen), Verify())
    assert {check.name: check.ok for check in checks}["disk"] is ok


# --- layout, addresses, services, ports, commands ----------------------------------------------


def found(outputs: dict[str, str], expected: Expected, **verify: Any) -> dict[str, bool]:
    given = {"os_release": OS_RELEASE, "hostname": "web01\n", "disks": LSBLK, **outputs}
    return {c.name: c.ok for c in judge(given, expected, Verify.model_validate(verify))}


@pytest.mark.parametrize(
    ("layout", "disks", "ok"),
    [
        ("lvm", LSBLK, True), ("raid1", LSBLK, False), ("encrypted", LSBLK, False),
        ("raid1", MIRRORED, True), ("lvm", MIRRORED, False), ("lvm", "not JSON", False),
        ("encrypted", LSBLK.replace('"type":"lvm"', '"type":"crypt"'), True),
        ("lvm", LSBLK.replace(',"/"]', "]"), False),
    ],
)  # fmt: skip
def test_the_root_lies_in_the_layout_that_was_asked_for(layout: str, disks: str, ok: bool) -> None:
    expected = Expected("web01", [DISK], layout)
    assert found({"disks": disks}, expected)["layout"] is ok


def test_static_addresses_are_set_whatever_their_spelling() -> None:
    own = subprocess.run(
        ["ip", "-o", "address", "show"], capture_output=True, text=True, check=True
    )
    expected = Expected("web01", addresses=("127.0.0.1/8", "0:0::1/128", "192.0.2.9/24"))
    assert found({"addresses": own.stdout}, expected) == {
        "hostname": True, "address 127.0.0.1": True, "address ::1": True,
        "address 192.0.2.9": False,
    }  # fmt: skip


BSD = "em0: flags=8843<UP>\n\tinet 10.0.0.7 netmask 0xffffff00\n\tinet6 fe80::1%em0 prefixlen 64\n"


def test_the_addresses_of_a_bsd_are_read_too() -> None:
    expected = Expected("web01", addresses=("10.0.0.7/24", "10.0.0.8/24"))
    assert list(found({"addresses": BSD}, expected).values()) == [True, True, False]


@pytest.mark.parametrize(
    ("programs", "said"),
    [
        ({"systemctl": 'echo active; [ "$2" = nginx ]'}, "active"),
        ({"systemctl": "echo failed; exit 3"}, "failed"),
        ({"rc-service": '[ "$1 $2" = "nginx status" ]'}, "active"),
        ({"service": '[ "$1 $2" = "nginx status" ]'}, "active"),
        ({"rc-service": "exit 1", "service": "exit 1"}, "inactive"),
        ({}, "inactive"),
    ],
)
def test_a_service_is_asked_for_as_the_system_knows_it(
    tmp_path: Path, programs: dict[str, str], said: str
) -> None:
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", service_command("nginx")], env={"PATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == said
    wanted = found({"service nginx": done.stdout}, Expected("web01"), services=["nginx"])
    assert wanted["service nginx"] is (said == "active")


@pytest.mark.parametrize(
    ("run", "expect", "ok"),
    [
        ("true", None, True), ("false", None, False), ("echo hello", "hell", True),
        ("echo hello", "bye", False), ("echo hello >&2", "hello", True),
        ("printf no-end-of-line", "line", True), ("echo 0; exit 3", "0", False),
        ("exit 0", None, True), ("echo a # with a comment", "a", True),
    ],
)  # fmt: skip
def test_a_command_ends_well_and_prints_what_it_should(
    run: str, expect: str | None, ok: bool
) -> None:
    check = {"run": run, **({"expect": expect} if expect else {})}
    verify = Verify.model_validate({"commands": [check]})
    command = commands(verify, Expected("web01"))["command 0"]
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    judged = found({"command 0": done.stdout}, Expected("web01"), commands=[check])
    assert judged[f"command {run}"] is ok


def test_a_port_counts_when_it_answered_us() -> None:
    outputs = {"hostname": "web01\n", "disks": LSBLK, "os_release": OS_RELEASE}
    verify = Verify(ports=[80, 443])
    checks = judge(outputs, Expected("web01"), verify, open_ports=[443])
    assert [(c.name, c.found, c.ok) for c in checks][1:] == [
        ("port 80", "no answer", False), ("port 443", "open", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [{"services": ["a b"]}, {"services": ["$(x)"]}, {"ports": [0]}, {"ports": [70000]},
     {"commands": [{"run": ""}]}, {"commands": [{"run": "x", "expects": "y"}]}],
)  # fmt: skip
def test_what_cannot_be_checked_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Verify.model_validate(wrong)
