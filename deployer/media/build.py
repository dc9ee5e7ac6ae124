"""Builds the live system and Debian root images with mmdebstrap, from Debian's packages alone.

Each build works in a folder beside its destination and is renamed there when it is complete, so
an interrupted build leaves no half image.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deployer import resources

Log = Callable[[str], None]

SUITES = {"11": "bullseye", "12": "bookworm", "13": "trixie"}
_LIVE_RELEASE = "12"
_DEBIAN_ARCH = {"x86_64": "amd64"}
_KERNELS = {"generic": "linux-image-{arch}", "cloud": "linux-image-cloud-{arch}"}

_PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "zstd": "zstd",
    "cpio": "cpio",
    "depmod": "kmod",
    "grub-mkimage": "grub-common",
}
_GRUB_MODULES = Path("/usr/lib/grub/x86_64-efi")

_LIVE_PACKAGES = [
    "bash", "busybox-static", "ca-certificates", "coreutils", "curl", "dmsetup", "dosfstools",
    "e2fsprogs", "fdisk", "gdisk", "jq", "kmod", "lvm2", "mdadm", "mount", "pv", "tar", "udev",
    "util-linux", "xfsprogs", "zstd",
]  # fmt: skip
_ROOT_PACKAGES = [
    "systemd-sysv", "systemd-resolved", "dbus", "openssh-server", "curl", "ca-certificates",
    "sudo", "iproute2", "udev", "initramfs-tools", "zstd", "lvm2", "e2fsprogs", "dosfstools",
    "grub-pc-bin", "grub-efi-amd64-bin", "grub2-common", "locales", "tzdata", "console-setup",
    "less", "vim-tiny",
]  # fmt: skip
# What a machine may need before and while its disks are written. Everything else (sound,
# graphics, wireless, ...) would only make the download longer.
_MODULE_FOLDERS = [
    "drivers/net/ethernet", "drivers/net/phy", "drivers/net/mdio", "drivers/ata", "drivers/nvme",
    "drivers/scsi", "drivers/message/fusion", "drivers/block", "drivers/md", "drivers/virtio",
    "drivers/usb/host", "drivers/usb/storage", "drivers/hv", "drivers/char/hw_random",
    "drivers/input/keyboard", "drivers/firmware", "fs/ext4", "fs/jbd2", "fs/fat",
    "fs/nls", "fs/xfs", "fs/efivarfs", "lib", "drivers/dca", "drivers/ptp",
]  # fmt: skip
_MODULE_NAMES = [
    "virtio_net",
    "virtio_rng",
    "vmxnet3",
    "hv_netvsc",
    "net_failover",
    "failover",
    "usbhid",
    "hid-generic",
    "mii",
    "crc32c_generic",
    "crc32c-intel",
    "crct10dif-pclmul",
]
# Without these, network cards and disk controllers that need firmware stay silent.
_FIRMWARE_PACKAGES = [
    "firmware-bnx2", "firmware-bnx2x", "firmware-misc-nonfree", "firmware-myricom",
    "firmware-netxen", "firmware-qlogic", "firmware-realtek",
]  # fmt: skip
_DOCS = ["doc", "man", "info", "locale", "lintian", "bug"]


class BuildError(Exception):
    """The build cannot be done here; `remedy` says what would help."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def build_live(
    dest: Path, *, arch: str = "x86_64", mirror: str | None = None, kernel: str = "generic",
    log: Log = print,
) -> None:  # fmt: skip
    """The small system that installs images: vmlinuz, initrd.img and local.efi in `dest`."""
    _need_programs()
    with _workspace(dest) as work:
        log("live system: fetching packages")
        tree = work / "tree"
        packages = [*_LIVE_PACKAGES, _kernel_package(kernel, arch), *_FIRMWARE_PACKAGES]
        _extract(work, tree, packages, arch, mirror)
        log("live system: packing")
        image = work / "image"
        image.mkdir()
        version = _take_kernel(tree, image)
        _trim(tree, version)
        _install_agent(tree)
        _pack(tree, image / "initrd.img")
        _make_loader(image / "local.efi", work)
        _finish(image, dest, {
            "name": f"live-{arch}", "kind": "live", "arch": arch, "os": "debian",
            "release": _LIVE_RELEASE, "kernel": version, "cloud_init": False,
            "boots": ["bios", "uefi"],
        })  # fmt: skip
    log(f"live system: {dest} is complete")


def build_debian_root(
    dest: Path, *, release: str = "12", arch: str = "x86_64", mirror: str | None = None,
    kernel: str = "generic", log: Log = print,
) -> None:  # fmt: skip
    """A Debian root as root.tar.zst: boots by BIOS and UEFI, from plain disks and LVM."""
    _need_programs()
    if release not in SUITES:
        raise BuildError(
            f"Debian {release} is not known here", f"choose one of: {', '.join(SUITES)}"
        )
    with _workspace(dest) as work:
        log(f"Debian {release}: fetching and unpacking packages")
        archive = work / "root.tar"
        _bootstrap_root(
            work, archive, release, [*_ROOT_PACKAGES, _kernel_package(kernel, arch)], arch, mirror
        )
        log(f"Debian {release}: compressing")
        image = work / "image"
        image.mkdir()
        _run("zstd", "-q", "-T0", "-9", str(archive), "-o", str(image / "root.tar.zst"))
        size = archive.stat().st_size
        _finish(image, dest, {
            "name": f"debian-{release}-{arch}", "kind": "root-archive", "arch": arch,
            "os": "debian", "release": release, "unpacked_size": size,
            # Room for ESP, boot loader and the first updates.
            "min_disk_size": size + 2 * 10**9,
            "packages": _packages(archive), "cloud_init": False, "boots": ["bios", "uefi"],
        })  # fmt: skip
    log(f"Debian {release}: {dest} is complete")


# --- programs, folders, mirrors ---------------------------------------------------------------


def _need_programs() -> None:
    missing = [package for program, package in _PROGRAMS.items() if not shutil.which(program)]
    if not (_GRUB_MODULES / "chain.mod").exists():
        missing.append("grub-efi-amd64-bin")
    if missing:
        raise BuildError(
            f"these packages are missing: {' '.join(missing)}",
            f"apt-get install --no-install-recommends {' '.join(missing)}",
        )
    if os.geteuid() != 0:
        raise BuildError("images are built as root, because their files belong to root",
                         "run this command with sudo")  # fmt: skip


class _workspace:
    """A folder beside `dest`, removed at the end, whatever happened."""

    def __init__(self, dest: Path) -> None:
        dest.parent.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix=f".{dest.name}-", dir=dest.parent))

    def __enter__(self) -> Path:
        # Not only for us: apt's own account must get at what is in it.
        self.path.chmod(0o755)
        return self.path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def _run(*command: str, cwd: Path | None = None) -> str:
    """Output of a program; BuildError holds the end of what it said when it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise BuildError(f"{command[0]} failed:\n{tail}", "see its message above")
    return done.stdout


def _kernel_package(kernel: str, arch: str) -> str:
    if arch not in _DEBIAN_ARCH:
        raise BuildError(f"there is no recipe for {arch}", f"choose: {', '.join(_DEBIAN_ARCH)}")
    return _KERNELS[kernel].format(arch=_DEBIAN_ARCH[arch])


def _sources(release: str, mirror: str | None) -> list[str]:
    """One-line sources for `release`: the given mirror, or the one that the host's apt uses."""
    suite = SUITES[release]
    components = "main" if release == "11" else "main non-free-firmware"
    if mirror is None:
        mirror = _host_mirror() or "http://ftp.debian.org/debian"
    lines = [f"deb {mirror} {suite} {components}", f"deb {mirror} {suite}-updates {components}"]
    security = _host_mirror("-security") if mirror == _host_mirror() else None
    if security:
        lines.append(f"deb {security} {suite}-security {components}")
    return lines


def _host_mirror(suffix: str = "") -> str | None:
    """The base URL that apt on this host fetches Debian from."""
    if not shutil.which("apt-get"):
        return None
    targets = _run(
        "apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(CODENAME) $(ORIGIN)"
    )
    for line in targets.splitlines():
        site, names = line.split(" ", 1)
        if "Debian" in names and bool(suffix) == ("-security" in names):
            return site.rstrip("/")
    return None


def _apt_options() -> list[str]:
    """How apt on this host reaches its mirror (proxy, certificates) holds inside the build too."""
    dump = _run("apt-config", "dump") if shutil.which("apt-config") else ""
    kept = re.findall(r'^(Acquire::(?:https?|Retries|Check-)[^\s"]* ".*");$', dump, re.MULTILINE)
    return [f"--aptopt={line}" for line in ['Apt::Install-Recommends "false"', *kept]]


# --- the live system --------------------------------------------------------------------------


def _extract(work: Path, tree: Path, packages: list[str], arch: str, mirror: str | None) -> None:
    """Only the files of the packages; no maintainer script runs, so nothing is generated."""
    links = (
        'mkdir -p "$1/usr/bin" "$1/usr/sbin" "$1/usr/lib" "$1/usr/lib64";'
        ' for d in bin sbin lib lib64; do ln -s "usr/$d" "$1/$d"; done'
    )
    archive = work / "live.tar"
    _run(
        "mmdebstrap", "--quiet", "--mode=root", "--variant=extract", "--format=tar",
        f"--architectures={_DEBIAN_ARCH[arch]}", *_apt_options(), f"--setup-hook={links}",
        f"--include={','.join(packages)}", SUITES[_LIVE_RELEASE], str(archive),
        *_sources(_LIVE_RELEASE, mirror),
    )  # fmt: skip
    tree.mkdir()
    _run("tar", "-C", str(tree), "-xf", str(archive), "--exclude=./dev/*",
         "--exclude=./var/lib/apt/*", "--exclude=./var/cache/*")  # fmt: skip
    archive.unlink()


def _take_kernel(tree: Path, image: Path) -> str:
    kernel = next((tree / "boot").glob("vmlinuz-*"))
    shutil.copy(kernel, image / "vmlinuz")
    shutil.rmtree(tree / "boot")
    return kernel.name.removeprefix("vmlinuz-")


def _trim(tree: Path, version: str) -> None:
    """Keep the modules that an install may need, and no documentation."""
    modules = tree / "usr/lib/modules" / version
    keep = [modules / "kernel" / folder for folder in _MODULE_FOLDERS]
    names = {name.replace("-", "_") for name in _MODULE_NAMES}
    wanted = {m for m in modules.rglob("*.ko*") if any(folder in m.parents for folder in keep)}
    wanted |= {m for m in modules.rglob("*.ko*") if m.name.split(".")[0].replace("-", "_") in names}
    _run("depmod", "-b", str(tree), version)
    wanted |= _needed_by(modules, wanted)
    for module in modules.rglob("*.ko*"):
        if module not in wanted:
            module.unlink()
    _run("depmod", "-b", str(tree), version)
    _trim_firmware(tree, wanted)
    for name in _DOCS:
        shutil.rmtree(tree / "usr/share" / name, ignore_errors=True)
    for pattern in _USELESS:
        for path in tree.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


_USELESS = [
    "usr/lib/*-linux-gnu/perl*", "usr/lib/*-linux-gnu/libperl*", "usr/lib/*-linux-gnu/gconv",
    "usr/share/perl*", "usr/bin/perl*", "usr/lib/python3*", "usr/share/python3*",
    "usr/lib/valgrind",
    # xfs_scrub alone needs ICU, half of all libraries by size.
    "usr/lib/*-linux-gnu/libicu*", "usr/sbin/xfs_scrub*", "usr/lib/xfsprogs", "usr/share/gcc",
    "usr/share/zoneinfo", "usr/share/i18n", "var/lib/dpkg", "var/lib/apt", "usr/lib/udev/hwdb*",
    "usr/share/bash-completion", "usr/share/initramfs-tools", "usr/lib/systemd/system/*",
    "usr/bin/python3*", "usr/bin/dpkg*", "usr/lib/apt", "usr/bin/pzstd", "usr/include", "usr/src",
    # What they start would write to disks that nobody has chosen.
    "usr/lib/udev/rules.d/64-md-raid-assembly.rules", "usr/lib/udev/rules.d/69-*.rules",
    "usr/lib/udev/rules.d/85-hwclock.rules", "usr/lib/udev/rules.d/96-e2scrub.rules",
]  # fmt: skip


def _trim_firmware(tree: Path, modules: set[Path]) -> None:
    """Keep the firmware that one of the modules may ask for."""
    asked = _run("modinfo", "-F", "firmware", *map(str, sorted(modules))).split()
    folder = tree / "usr/lib/firmware"
    keep = {folder / name for name in asked}
    keep |= {link.resolve() for link in keep if link.is_symlink()}
    for path in folder.rglob("*"):
        if path not in keep and (path.is_symlink() or path.is_file()):
            path.unlink()


def _needed_by(modules: Path, wanted: set[Path]) -> set[Path]:
    """Everything that `wanted` depends on, from depmod's own list (it is transitive already)."""
    needed = set()
    for line in (modules / "modules.dep").read_text().splitlines():
        name, _, rest = line.partition(":")
        if modules / name in wanted:
            needed |= {modules / other for other in rest.split()}
    return needed


def _install_agent(tree: Path) -> None:
    source = resources.folder("live")
    for name, target in {
        "init": "init",
        "agent": "usr/bin/agent",
        "udhcpc.sh": "usr/bin/udhcpc.sh",
    }.items():
        shutil.copy(source / name, tree / target)
        (tree / target).chmod(0o755)
    for folder in ("proc", "sys", "dev", "run", "mnt", "tmp", "root"):
        (tree / folder).mkdir(exist_ok=True)
    _link_busybox(tree)


def _link_busybox(tree: Path) -> None:
    """Busybox fills in what the packages did not bring; it never replaces what they did."""
    there = {path.name for folder in ("bin", "sbin") for path in (tree / "usr" / folder).iterdir()}
    for applet in _run(str(tree / "usr/bin/busybox"), "--list").split():
        if applet not in there:
            (tree / "usr/bin" / applet).symlink_to("busybox")


def _pack(tree: Path, target: Path) -> None:
    """A cpio archive, compressed with zstd (the kernel has CONFIG_RD_ZSTD)."""
    names = "\n".join([".", *sorted(str(p.relative_to(tree)) for p in tree.rglob("*"))]) + "\n"
    with target.open("wb") as file:
        cpio = subprocess.Popen(
            ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=tree, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        zstd = subprocess.Popen(["zstd", "-q", "-T0", "-12"], stdin=cpio.stdout, stdout=file)
        assert cpio.stdin is not None
        cpio.stdin.write(names.encode())
        cpio.stdin.close()
        if cpio.wait() or zstd.wait():
            raise BuildError("packing the initrd failed", "is the disk full?")


# A loader for UEFI firmware that does not go on to the disk by itself. It looks where installed
# systems put theirs, on hard disks only: (hd*), as GRUB calls them, never (cd*). The removable
# path comes first, because our installers write it.
_LOADER_CONFIG = """\
echo "Deployer: looking for the loader on the local disk"
for part in (hd*,gpt*) (hd*,msdos*); do
  for file in /EFI/BOOT/BOOTX64.EFI /EFI/debian/shimx64.efi /EFI/debian/grubx64.efi \\
      /EFI/ubuntu/shimx64.efi /EFI/redhat/shimx64.efi /EFI/centos/shimx64.efi \\
      /EFI/rocky/shimx64.efi /EFI/almalinux/shimx64.efi /EFI/fedora/shimx64.efi \\
      /EFI/opensuse/shim.efi /EFI/sles/shim.efi /EFI/Microsoft/Boot/bootmgfw.efi; do
    if [ -f $part$file ]; then
      echo "Deployer: starting $part$file"
      # The next loader finds its own files from the device that it was started from.
      set root=$part
      chainloader $part$file
      boot
    fi
  done
done
echo "Deployer: no loader found on any local disk, back to the firmware"
sleep 2
exit
"""
_LOADER_MODULES = [
    "memdisk", "tar", "part_gpt", "part_msdos", "fat", "chain", "boot", "echo", "normal", "test",
    "sleep", "minicmd", "regexp",
]  # fmt: skip


def _make_loader(target: Path, work: Path) -> None:
    # In a memory disk, because a configuration given with -c is read by GRUB's rescue parser, which
    # knows no loops.
    config = work / "grub.cfg"
    config.write_text(_LOADER_CONFIG)
    memdisk = work / "memdisk.tar"
    with tarfile.open(memdisk, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(config, "boot/grub/grub.cfg")
    _run("grub-mkimage", "-O", "x86_64-efi", "-d", str(_GRUB_MODULES), "-p", "(memdisk)/boot/grub",
         "-m", str(memdisk), "-o", str(target), *_LOADER_MODULES)  # fmt: skip


# --- a Debian root ----------------------------------------------------------------------------

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
    return [*(f"/usr/share/{name}/*" for name in _DOCS), *drivers, *hardware_names]


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
    _run(
        "mmdebstrap", "--quiet", "--mode=root", "--variant=apt", "--format=tar",
        f"--architectures={_DEBIAN_ARCH[arch]}", *_apt_options(), f"--dpkgopt={lean}",
        f'--customize-hook=sh {clean} "$1"', f"--include={','.join(packages)}",
        SUITES[release], str(archive), *_sources(release, mirror),
    )  # fmt: skip


def _packages(archive: Path) -> dict[str, str]:
    """Name and version of every package in a root archive, from dpkg's own status file."""
    status = _run("tar", "-xOf", str(archive), "./var/lib/dpkg/status")
    found = re.findall(r"^Package: (\S+)$.*?^Version: (\S+)$", status, re.MULTILINE | re.DOTALL)
    return dict(found)


# --- the finished image -----------------------------------------------------------------------


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _finish(image: Path, dest: Path, facts: dict[str, Any]) -> None:
    files = [
        {"path": str(p.relative_to(image)), "size": p.stat().st_size, "sha256": sha256(p)}
        for p in sorted(image.rglob("*"))
        if p.is_file()
    ]
    manifest = {**facts, "built_at": datetime.now(UTC).isoformat(), "files": files}
    (image / "image.json").write_text(json.dumps(manifest, indent=1) + "\n")
    image.chmod(0o755)
    if dest.exists():  # into the work folder, which is removed in the end
        dest.rename(image.parent / "before")
    image.rename(dest)
