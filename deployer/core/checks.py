"""Is this the system that the profile describes? Judged from what its own shell printed."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass
from typing import Any

from deployer.core.profiles import Verify
from deployer.core.sizes import show_size


@dataclass(frozen=True)
class Check:
    """One comparison; `ok` is whether what was found is what was expected."""

    name: str
    expected: str
    found: str
    ok: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.name}: {self.found or 'nothing'} (expected {self.expected})"


_LSBLK = "lsblk --json --bytes --output NAME,TYPE,SIZE,SERIAL"
# Each prints one thing; none needs more rights than any account has.
COMMANDS = {
    "os_release": "cat /etc/os-release",
    "hostname": "cat /proc/sys/kernel/hostname",
    # Before util-linux 2.37 (Debian 11), lsblk knew one mount point of each.
    "disks": f"{_LSBLK},MOUNTPOINTS 2>/dev/null || {_LSBLK},MOUNTPOINT",
}


def package_command(packages: list[str]) -> str:
    names = " ".join(shlex.quote(name) for name in packages)
    query = r"'${binary:Package} ${db:Status-Status}\n'"
    rpm = r"rpm -q --qf '%{NAME} installed\n'"
    return f"dpkg-query --show --showformat={query} {names} 2>/dev/null || {rpm} {names}"


def judge(
    outputs: dict[str, str], host_name: str, disks: list[dict[str, Any]], verify: Verify
) -> list[Check]:
    """`outputs`: what each command printed; `disks`: those chosen for the install, if any was."""
    checks = [_hostname(outputs["hostname"], host_name)]
    if verify.release is not None:
        checks.append(_release(outputs["os_release"], verify.release))
    if disks:
        checks.append(_disks(outputs["disks"], disks))
    return checks + [_package(outputs.get("packages", ""), name) for name in verify.packages]


def _hostname(output: str, expected: str) -> Check:
    found, short = output.strip(), expected.split(".")[0]
    return Check("hostname", expected, found, found in (expected, short))


def _release(output: str, expected: str) -> Check:
    facts = dict(line.partition("=")[::2] for line in output.splitlines() if "=" in line)
    found = facts.get("VERSION_ID", "").strip("\"'")
    # "12" is satisfied by 12.7; "12.7" is not satisfied by 12.
    ok = found == expected or found.startswith(expected + ".")
    return Check("release", expected, found, ok)


def _disks(output: str, expected: list[dict[str, Any]]) -> Check:
    """Root lies on these disks, all of them, and on no other."""
    wanted = "; ".join(_describe(disk.get("serial"), disk["size"]) for disk in expected)
    try:
        found = [d for d in json.loads(output)["blockdevices"] if _holds_root(d)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return Check("disk", wanted, "no list of disks", False)
    shown = "; ".join(_describe(d.get("serial"), d.get("size", 0)) for d in found)
    left = list(found)
    for disk in expected:
        match = next((d for d in left if _same_disk(disk, d)), None)
        if match is None:
            return Check("disk", wanted, shown, False)
        left.remove(match)
    return Check("disk", wanted, shown, not left)


def _same_disk(expected: dict[str, Any], found: dict[str, Any]) -> bool:
    serial = expected.get("serial")
    return found.get("size") == expected["size"] and (
        not serial or (found.get("serial") or "") == serial
    )


def _describe(serial: str | None, size: int) -> str:
    return f"{show_size(size)}, serial {serial}" if serial else show_size(size)


def _holds_root(device: dict[str, Any]) -> bool:
    """True when / is on this device or on anything within it."""
    children = device.get("children") or []
    mounted = device.get("mountpoints") or [device.get("mountpoint")]
    return "/" in mounted or any(map(_holds_root, children))


def _package(output: str, name: str) -> Check:
    # dpkg names a package of another architecture `name:arch`.
    found = [line.split() for line in output.splitlines()]
    ok = any(len(w) == 2 and w[0].split(":")[0] == name and w[1] == "installed" for w in found)
    return Check(f"package {name}", "installed", "installed" if ok else "not installed", ok)
