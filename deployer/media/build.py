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
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deployer import resources

Log = Callable[[str], None]

SUITES = {"11": "bullseye", "12": "bookworm", "13": "trixie"}
_DEBIAN_ARCH = {"x86_64": "amd64", "arm64": "arm64"}
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
    "sudo", "iproute2", "udev", "initramfs-tools", "zstd", "lvm2", "grub-pc-bin",
    "grub-efi-amd64-bin", "grub2-common", "locales", "console-setup", "less", "vim-tiny",
]  # fmt: skip
# What a machine may need before and while its disks are written. Everything else (sound,
# graphics, wireless, ...) would only make the download longer.
_MODULE_FOLDERS = [
    "drivers/net/ethernet", "drivers/net/phy", "drivers/net/mdio", "drivers/ata", "drivers/nvme",
    "drivers/scsi", "drivers/message/fusion", "drivers/block", "drivers/md", "drivers/virtio",
    "drivers/usb/host", "drivers/usb/storage", "drivers/hv", "drivers/char/hw_random",
    "drivers/input/keyboard", "drivers/firmware", "fs/ext4", "fs/jbd2", "fs/fat",
    "fs/nls", "fs/xfs", "fs/efivarfs", "crypto", "lib", "arch/x86/crypto", "drivers/dca",
    "drivers/ptp",
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
]
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
        _extract(work, tree, [*_LIVE_PACKAGES, _kernel_package(kernel, arch)], arch, mirror)
        log("live system: packing")
        image = work / "image"
        image.mkdir()
        version = _take_kernel(tree, image)
        _trim(tree, version)
        _install_agent(tree)
        _pack(tree, image / "initrd.img")
        _make_loader(image / "local.efi", work)
        _finish(
            image, dest, {"name": f"live-{arch}", "kind": "live", "arch": arch, "kernel": version}
        )
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
        _run("zstd", "-q", "-T0", "-6", str(archive), "-o", str(image / "root.tar.zst"))
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
    kept = re.findall(r'^(Acquire::(?:https?|Retries)[^\s"]* ".*");$', dump, re.MULTILINE)
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
        f"--include={','.join(packages)}", SUITES["12"], str(archive), *_sources("12", mirror),
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
]  # fmt: skip


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
# systems put theirs; the removable path comes first, because our installers write it.
_LOADER_CONFIG = """\
serial --unit=0 --speed=115200
terminal_output console serial
echo "Deployer: looking for the loader on the local disk"
for file in /EFI/BOOT/BOOTX64.EFI /EFI/debian/shimx64.efi /EFI/debian/grubx64.efi \
    /EFI/ubuntu/shimx64.efi /EFI/redhat/shimx64.efi /EFI/rocky/shimx64.efi \
    /EFI/Microsoft/Boot/bootmgfw.efi; do
  if search --no-floppy --set=root --file $file --hint hd0; then
    echo "Deployer: starting $file on $root"
    chainloader $file
    boot
  fi
done
echo "Deployer: no loader found on any local disk, back to the firmware"
sleep 2
exit
"""
_LOADER_MODULES = [
    "part_gpt", "part_msdos", "fat", "search", "search_fs_file", "chain", "boot", "echo",
    "serial", "terminal", "normal", "test", "sleep", "minicmd",
]  # fmt: skip


def _make_loader(target: Path, work: Path) -> None:
    config = work / "local.cfg"
    config.write_text(_LOADER_CONFIG)
    _run("grub-mkimage", "-O", "x86_64-efi", "-d", str(_GRUB_MODULES), "-p", "/boot/grub",
         "-c", str(config), "-o", str(target), *_LOADER_MODULES)  # fmt: skip


# --- a Debian root ----------------------------------------------------------------------------

# Runs in the new root: what must be different on every machine is made on that machine, and
# updates come from the public mirror, wherever this image was built.
_CLEAN = """\
set -eu
rm -f "$1"/etc/ssh/ssh_host_* "$1"/var/lib/dbus/machine-id "$1"/var/lib/systemd/random-seed
: > "$1/etc/machine-id"
rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/*.log
rm -f "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap
rm -f "$1/etc/hostname" "$1/etc/resolv.conf"
cat > "$1/etc/apt/sources.list" <<'LIST'
deb http://ftp.debian.org/debian SUITE main COMPONENTS
deb http://ftp.debian.org/debian SUITE-updates main COMPONENTS
deb http://security.debian.org/debian-security SUITE-security main COMPONENTS
LIST
ln -sf ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"
chroot "$1" passwd -q -l root
"""


def _bootstrap_root(
    work: Path, archive: Path, release: str, packages: list[str], arch: str, mirror: str | None
) -> None:
    clean = work / "clean.sh"
    components = "" if release == "11" else "non-free-firmware"
    clean.write_text(_CLEAN.replace("SUITE", SUITES[release]).replace("COMPONENTS", components))
    if release == "11":  # resolved is a package of its own from Debian 12 on
        packages = [name for name in packages if name != "systemd-resolved"]
    excludes = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _DOCS]
    _run(
        "mmdebstrap", "--quiet", "--mode=root", "--variant=apt", "--format=tar",
        f"--architectures={_DEBIAN_ARCH[arch]}", *_apt_options(), *excludes,
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
    shutil.rmtree(dest, ignore_errors=True)
    image.rename(dest)
