"""Is this the system that the profile describes? Judged from what its own shell printed."""

from __future__ import annotations

import ipaddress
import json
import shlex
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from deployer.core.profiles import CommandCheck, Verify
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
    "machine_id": "cat /etc/machine-id 2>/dev/null",
    # Before util-linux 2.37 (Debian 11), lsblk knew one mount point of each.
    "disks": f"{_LSBLK},MOUNTPOINTS 2>/dev/null || {_LSBLK},MOUNTPOINT",
}


@dataclass(frozen=True)
class Expected:
    """What must hold whatever the profile says: `disks` are those chosen for the install."""

    host_name: str
    disks: list[dict[str, Any]] = field(default_factory=list)
    layout: str = "plain"
    addresses: tuple[str, ...] = ()


def commands(wanted: Verify, expected: Expected) -> dict[str, str]:
    """What is run there, by the names that `judge` looks for."""
    asked = dict(COMMANDS)
    if wanted.packages:
        asked["packages"] = package_command(wanted.packages)
    if expected.addresses:
        asked["addresses"] = "ip -o address show 2>/dev/null || ifconfig"
    for name in wanted.services:
        asked[f"service {name}"] = service_command(name)
    for number, check in enumerate(wanted.commands):
        # Its status is the last line; what it prints may end without one.
        asked[f"command {number}"] = f"({check.run}\n) 2>&1; printf '\\n%s' $?"
    return asked


def service_command(name: str) -> str:
    """Prints `active` by systemd, OpenRC or the BSDs' rc."""
    quoted = shlex.quote(name)
    return (
        f"if command -v systemctl > /dev/null; then systemctl is-active {quoted};"
        f" elif rc-service {quoted} status > /dev/null 2>&1 || service {quoted} status"
        " > /dev/null 2>&1; then echo active; else echo inactive; fi"
    )


def package_command(packages: list[str]) -> str:
    names = " ".join(shlex.quote(name) for name in packages)
    query = r"'${binary:Package} ${db:Status-Status}\n'"
    rpm = r"rpm -q --qf '%{NAME} installed\n'"
    return f"dpkg-query --show --showformat={query} {names} 2>/dev/null || {rpm} {names}"


def judge(
    outputs: dict[str, str], expected: Expected, wanted: Verify, open_ports: Collection[int] = ()
) -> list[Check]:
    """`outputs`: what each of `commands` printed; `open_ports`: those that answered us."""
    checks = [_hostname(outputs["hostname"], expected.host_name)]
    if wanted.release is not None:
        checks.append(_release(outputs["os_release"], wanted.release))
    if expected.disks:
        checks.append(_disks(outputs["disks"], expected.disks))
        if expected.layout in _LAYOUTS:
            checks.append(_layout(outputs["disks"], expected.layout))
    if expected.addresses:
        checks += _addresses(outputs.get("addresses", ""), expected.addresses)
    checks += [_package(outputs.get("packages", ""), name) for name in wanted.packages]
    for name in wanted.services:
        found = outputs.get(f"service {name}", "").strip()
        checks.append(Check(f"service {name}", "active", found, found == "active"))
    for port in wanted.ports:
        found = "open" if port in open_ports else "no answer"
        checks.append(Check(f"port {port}", "open", found, port in open_ports))
    for number, check in enumerate(wanted.commands):
        checks.append(_command(outputs.get(f"command {number}", ""), check))
    return checks


# What lsblk calls the devices under such a root.
_LAYOUTS = {"lvm": "lvm", "raid1": "raid1", "encrypted": "crypt"}


def _layout(output: str, layout: str) -> Check:
    try:
        kinds = {kind for disk in json.loads(output)["blockdevices"] for kind in _under_root(disk)}
    except (ValueError, KeyError, TypeError, AttributeError):
        kinds = set()
    return Check("layout", layout, ", ".join(sorted(kinds)), _LAYOUTS[layout] in kinds)


def _under_root(device: dict[str, Any]) -> set[str]:
    """The kinds of devices from this one to the root that is on it; none when it is elsewhere."""
    if not _holds_root(device):
        return set()
    inner = [_under_root(child) for child in device.get("children") or []]
    return {str(device.get("type"))}.union(*inner)


def _addresses(output: str, wanted: Iterable[str]) -> list[Check]:
    found = {_address(word) for word in output.split()} - {None}
    checks = []
    for text in wanted:
        address = _address(text)
        shown = "set" if address in found else "not set"
        checks.append(Check(f"address {address}", "set", shown, address in found))
    return checks


def _address(text: str) -> str | None:
    """In its shortest spelling, without the length of its network; None where it is none."""
    try:
        return str(ipaddress.ip_interface(text.split("%")[0]).ip)
    except ValueError:
        return None


def _command(output: str, check: CommandCheck) -> Check:
    text, _, status = output.rpartition("\n")
    told = text.strip()[-200:]
    wanted = "exit 0" if check.expect is None else f"exit 0, {check.expect!r}"
    ok = status == "0" and (check.expect is None or check.expect in text)
    return Check(f"command {check.run.strip()[:60]}", wanted, f"exit {status or '?'}, {told!r}", ok)


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
