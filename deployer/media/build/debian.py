"""A Debian root as an archive, from Debian's packages alone: what an image install unpacks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from deployer.media.build.workshop import (
    DOCS,
    SUITES,
    BuildError,
    Log,
    bootstrap,
    finish,
    kernel_package,
    need_programs,
    run,
    workspace,
)

_ROOT_PACKAGES = [
    "systemd-sysv", "systemd-resolved", "systemd-timesyncd", "dbus", "openssh-server", "curl",
    "ca-certificates", "sudo", "iproute2", "udev", "initramfs-tools", "zstd", "lvm2", "e2fsprogs",
    "dosfstools", "grub-pc-bin", "grub-efi-amd64-bin", "grub2-common", "locales", "tzdata",
    "console-setup", "less", "vim-tiny",
]  # fmt: skip


def build_debian_root(
    dest: Path, *, release: str = "12", arch: str = "x86_64", mirror: str | None = None,
    kernel: str = "generic", include: Sequence[str] = (), log: Log = print,
) -> None:  # fmt: skip
    """A Debian root as root.tar.zst: boots by BIOS and UEFI, from plain disks and LVM.

    `include`: packages that every machine of this image shall have, beside the usual ones.
    """
    need_programs()
    if release not in SUITES:
        raise BuildError(
            f"Debian {release} is not known here", f"choose one of: {', '.join(SUITES)}"
        )
    with workspace(dest) as work:
        log(f"Debian {release}: fetching and unpacking packages")
        archive = work / "root.tar"
        packages = [*_ROOT_PACKAGES, kernel_package(kernel, arch), *include]
        _bootstrap_root(work, archive, release, packages, arch, mirror)
        log(f"Debian {release}: compressing")
        image = work / "image"
        image.mkdir()
        run("zstd", "-q", "-T0", "-9", str(archive), "-o", str(image / "root.tar.zst"))
        size, packed = archive.stat().st_size, _packages(archive)
        finish(image, dest, {
            "name": f"debian-{release}-{arch}", "kind": "root-archive", "arch": arch,
            "os": "debian", "release": release, "suite": SUITES[release], "unpacked_size": size,
            # Room for ESP, boot loader and the first updates.
            "min_disk_size": size + 2 * 10**9,
            "packages": packed, "cloud_init": "cloud-init" in packed, "boots": ["bios", "uefi"],
        })  # fmt: skip
    log(f"Debian {release}: {dest} is complete")


# Runs in the new root: what must be different on every machine is made on that machine, and
# updates come from the public mirror, wherever this image was built.
_CLEAN = """\
set -eu
rm -f "$1"/etc/ssh/ssh_host_* "$1"/var/lib/dbus/machine-id "$1"/var/lib/systemd/random-seed
: > "$1/etc/machine-id"
rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/*.log
rm -f "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap
rm -f "$1/etc/hostname" "$1/etc/resolv.conf" "$1/usr/lib/udev/hwdb.bin"
cat > "$1/etc/apt/sources.list" <<'LIST'
deb http://ftp.debian.org/debian SUITE main COMPONENTS
deb http://ftp.debian.org/debian SUITE-updates main COMPONENTS
deb http://security.debian.org/debian-security SUITE-security main COMPONENTS
LIST
ln -sf ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"
chroot "$1" passwd -q -l root
"""


# dpkg keeps this file, so that updates stay as lean.
_LEAN = """\
# No documentation, and no drivers for what a server does not have. To have them after all, remove
# this file and reinstall the packages: apt-get install --reinstall linux-image-...
"""
_NO_DRIVERS = [
    "sound", "net/bluetooth", "net/mac80211", "net/wireless", "drivers/bluetooth",
    "drivers/comedi", "drivers/iio", "drivers/isdn", "drivers/media", "drivers/net/wireless",
    "drivers/staging",
]  # fmt: skip


def _left_out() -> list[str]:
    modules = ("/lib/modules", "/usr/lib/modules")  # the second from Debian 13 on
    drivers = [f"{top}/*/kernel/{name}/*" for name in _NO_DRIVERS for top in modules]
    hardware_names = ["/lib/udev/hwdb.d/*", "/usr/lib/udev/hwdb.d/*"]
    return [*(f"/usr/share/{name}/*" for name in DOCS), *drivers, *hardware_names]


def _bootstrap_root(
    work: Path, archive: Path, release: str, packages: list[str], arch: str, mirror: str | None
) -> None:
    clean = work / "clean.sh"
    components = "" if release == "11" else "non-free-firmware"
    clean.write_text(_CLEAN.replace("SUITE", SUITES[release]).replace("COMPONENTS", components))
    if release == "11":  # resolved is a package of its own from Debian 12 on
        packages = [name for name in packages if name != "systemd-resolved"]
    lean = work / "lean.cfg"
    lean.write_text(_LEAN + "".join(f"path-exclude={path}\n" for path in _left_out()))
    bootstrap(
        archive, release, arch, packages, mirror, "--variant=apt", f"--dpkgopt={lean}",
        f'--customize-hook=sh {clean} "$1"',
    )  # fmt: skip


def _packages(archive: Path) -> dict[str, str]:
    """Name and version of every package in a root archive, from dpkg's own status file."""
    status = run("tar", "-xOf", str(archive), "./var/lib/dpkg/status")
    found = re.findall(r"^Package: (\S+)$.*?^Version: (\S+)$", status, re.MULTILINE | re.DOTALL)
    return dict(found)
