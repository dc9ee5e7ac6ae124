"""The live system: kernel, initrd and small EFI loader, from Debian's packages alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from deployer import resources
from deployer.media.build.loader import make_loader
from deployer.media.build.workshop import (
    DOCS,
    BuildError,
    Log,
    bootstrap,
    finish,
    kernel_package,
    need_programs,
    run,
    workspace,
)

_LIVE_RELEASE = "12"
_LIVE_PACKAGES = [
    "bash", "btrfs-progs", "busybox-static", "ca-certificates", "coreutils", "cryptsetup-bin",
    "curl", "dmsetup", "dosfstools", "dropbear-bin", "e2fsprogs", "fdisk", "gdisk", "jq", "kmod",
    "lvm2", "mdadm", "mount", "pv", "smartmontools", "stressapptest", "tar", "udev", "util-linux",
    "xfsprogs", "zstd",
]  # fmt: skip
# What a machine may need before and while its disks are written. Everything else (sound,
# graphics, wireless, ...) would only make the download longer.
_MODULE_FOLDERS = [
    "drivers/net/ethernet", "drivers/net/phy", "drivers/net/mdio", "drivers/ata", "drivers/nvme",
    "drivers/scsi", "drivers/message/fusion", "drivers/block", "drivers/md", "drivers/virtio",
    "drivers/usb/host", "drivers/usb/storage", "drivers/hv", "drivers/char/hw_random",
    "drivers/input/keyboard", "drivers/firmware", "drivers/edac", "fs/ext4", "fs/jbd2", "fs/fat",
    "fs/nls", "fs/xfs", "fs/btrfs", "fs/efivarfs", "lib", "drivers/dca", "drivers/ptp",
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
    # How hot they are.
    "coretemp",
    "k10temp",
    "drivetemp",
    "jc42",
    # LUKS: dm-crypt and cryptsetup ask for these by name, so nothing depends on them.
    "algif_hash",
    "algif_skcipher",
    "aesni-intel",
    "aes_generic",
    "xts",
    "sha256_generic",
    "sha512_generic",
    # Btrfs, likewise.
    "blake2b_generic",
    "xxhash_generic",
]
# Without these, network cards and disk controllers that need firmware stay silent.
_FIRMWARE_PACKAGES = [
    "firmware-bnx2", "firmware-bnx2x", "firmware-misc-nonfree", "firmware-myricom",
    "firmware-netxen", "firmware-qlogic", "firmware-realtek",
]  # fmt: skip


def build_live(
    dest: Path, *, arch: str = "x86_64", mirror: str | None = None, kernel: str = "generic",
    log: Log = print,
) -> None:  # fmt: skip
    """The small system that installs images: vmlinuz, initrd.img and local.efi in `dest`."""
    need_programs()
    with workspace(dest) as work:
        log("live system: fetching packages")
        tree = work / "tree"
        packages = [*_LIVE_PACKAGES, kernel_package(kernel, arch), *_FIRMWARE_PACKAGES]
        _extract(work, tree, packages, arch, mirror)
        log("live system: packing")
        image = work / "image"
        image.mkdir()
        version = _take_kernel(tree, image)
        _trim(tree, version)
        _install_agent(tree)
        _pack(tree, image / "initrd.img")
        make_loader(image / "local.efi", work)
        finish(image, dest, {
            "name": f"live-{arch}", "kind": "live", "arch": arch, "os": "debian",
            "release": _LIVE_RELEASE, "kernel": version, "cloud_init": False,
            "boots": ["bios", "uefi"],
        })  # fmt: skip
    log(f"live system: {dest} is complete")


def _extract(work: Path, tree: Path, packages: list[str], arch: str, mirror: str | None) -> None:
    """Only the files of the packages; no maintainer script runs, so nothing is generated."""
    links = (
        'mkdir -p "$1/usr/bin" "$1/usr/sbin" "$1/usr/lib" "$1/usr/lib64";'
        ' for d in bin sbin lib lib64; do ln -s "usr/$d" "$1/$d"; done'
    )
    archive = work / "live.tar"
    bootstrap(
        archive, _LIVE_RELEASE, arch, packages, mirror, "--variant=extract",
        f"--setup-hook={links}",
    )  # fmt: skip
    tree.mkdir()
    run("tar", "-C", str(tree), "-xf", str(archive), "--exclude=./dev/*",
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
    run("depmod", "-b", str(tree), version)
    wanted |= _needed_by(modules, wanted)
    for module in modules.rglob("*.ko*"):
        if module not in wanted:
            module.unlink()
    run("depmod", "-b", str(tree), version)
    _trim_firmware(tree, wanted)
    for name in DOCS:
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
    # It has udevd read a partition table again whenever somebody has written to the disk, and the
    # partitions disappear for a moment, under the hands of the agent.
    "usr/lib/udev/rules.d/60-block.rules",
]  # fmt: skip


def _trim_firmware(tree: Path, modules: set[Path]) -> None:
    """Keep the firmware that one of the modules may ask for."""
    asked = run("modinfo", "-F", "firmware", *map(str, sorted(modules))).split()
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
    own = {name: f"usr/lib/deployer/{name}" for name in ("agent", "wipe", "rescue", "burn-in")}
    (tree / "usr/lib/deployer").mkdir()
    for name, target in {"init": "init", "udhcpc.sh": "usr/bin/udhcpc.sh", **own}.items():
        shutil.copy(source / name, tree / target)
        (tree / target).chmod(0o755)
    for folder in ("proc", "sys", "dev", "run", "mnt", "tmp", "root"):
        (tree / folder).mkdir(exist_ok=True)
    _link_busybox(tree)


def _link_busybox(tree: Path) -> None:
    """Busybox fills in what the packages did not bring; it never replaces what they did."""
    there = {path.name for folder in ("bin", "sbin") for path in (tree / "usr" / folder).iterdir()}
    for applet in run(str(tree / "usr/bin/busybox"), "--list").split():
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
