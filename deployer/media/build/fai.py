"""FAI's installation system (its "nfsroot") as one squashfs, from Debian's packages alone.

What fai-make-nfsroot(8) does, without NFS: dracut fetches the squashfs over HTTP and keeps it in
memory. https://fai-project.org/fai-guide/
"""

from __future__ import annotations

import shutil
from pathlib import Path

from deployer.media.build.workshop import (
    SUITES,
    BuildError,
    Log,
    bootstrap,
    finish,
    kernel_package,
    need,
    need_root,
    run,
    workspace,
)

# The list NFSROOT of fai-server, without what only NFS, CDs and people at the console need.
_PACKAGES = [
    "fai-nfsroot", "fai-client", "fai-setup-storage", "sysvinit-core", "dracut", "dracut-network",
    "dracut-live", "dracut-config-generic", "udev", "ifupdown", "isc-dhcp-client", "iproute2",
    "kmod", "curl", "ca-certificates", "gpg", "zstd", "xz-utils", "psmisc", "less", "file",
    "pciutils", "dmidecode", "fdisk", "gdisk", "parted", "dosfstools", "e2fsprogs", "xfsprogs",
    "btrfs-progs", "lvm2", "mdadm", "cryptsetup-bin", "efibootmgr", "console-setup", "kbd",
]  # fmt: skip
_FIRMWARE = [
    "firmware-bnx2",
    "firmware-bnx2x",
    "firmware-realtek",
    "firmware-misc-nonfree",
]
# As fai-make-nfsroot sets it: no systemd in the initrd, and nothing that touches disks.
_DRACUT = """\
hostonly="no"
compress="zstd"
add_dracutmodules+=" network-legacy livenet dmsquash-live "
omit_dracutmodules+=" btrfs crypt dash lvm resume usrmount modsign mdraid shutdown virtfs plymouth \
dracut-systemd systemd systemd-initrd systemd-networkd "
filesystems="squashfs overlay"
"""
# Before packages are installed: dracut's own script runs when the kernel is.
_BEFORE = """\
set -eu
mkdir -p "$1/etc/dracut.conf.d" "$1/etc/mdadm"
touch "$1/.THIS_IS_THE_FAI_NFSROOT" # else fai-nfsroot cannot be installed
cp "$2" "$1/etc/dracut.conf.d/20-deployer.conf"
echo 'AUTO -all' > "$1/etc/mdadm/mdadm.conf" # no RAID set is started that we have not made
"""
# FAI is what init runs first; see create_nfsroot in fai-make-nfsroot.
_AFTER = """\
set -eu
: > "$1/etc/fstab"
rm -f "$1/etc/hostname" "$1/etc/machine-id" "$1/etc/init.d/rcS"
: > "$1/etc/machine-id"
ln -s /usr/sbin/fai "$1/etc/init.d/rcS"
ln -sf ../proc/self/mounts "$1/etc/mtab"
printf 'iface lo inet loopback\\n' > "$1/etc/network/interfaces"
mkdir -p "$1/var/lib/fai/config" "$1/target"
echo 'LOGUSER=' > "$1/etc/fai/fai.conf" # logs go to no account on no server
# What they start would write to disks that nobody has chosen.
rm -f "$1"/usr/lib/udev/rules.d/64-md-raid-assembly.rules "$1"/usr/lib/udev/rules.d/69-*.rules
rm -f "$1"/lib/udev/rules.d/64-md-raid-assembly.rules "$1"/lib/udev/rules.d/69-*.rules
chroot "$1" passwd -q -l root
rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/usr/share/doc/* "$1"/usr/share/man/*
rm -rf "$1"/usr/share/locale/* "$1"/var/log/*.log
"""


def build_fai(
    dest: Path, *, release: str = "12", arch: str = "x86_64", mirror: str | None = None,
    log: Log = print,
) -> None:  # fmt: skip
    """vmlinuz, initrd.img and squash.img in `dest`; FAI is the version of that Debian release."""
    need("mmdebstrap", "mksquashfs")
    need_root()
    if release not in SUITES:
        raise BuildError(f"Debian {release} is not known here", f"choose: {', '.join(SUITES)}")
    with workspace(dest) as work:
        log(f"FAI on Debian {release}: fetching and unpacking packages")
        archive, tree, image = work / "fai.tar", work / "tree", work / "image"
        packages = [*_PACKAGES, kernel_package("generic", arch), *_FIRMWARE]
        scripts = {"before.sh": _BEFORE, "after.sh": _AFTER, "dracut.conf": _DRACUT}
        for name, text in scripts.items():
            (work / name).write_text(text)
        bootstrap(
            archive, release, arch, packages, mirror, "--variant=apt",
            f'--essential-hook=sh {work}/before.sh "$1" {work}/dracut.conf',
            f'--customize-hook=sh {work}/after.sh "$1"',
        )  # fmt: skip
        log(f"FAI on Debian {release}: packing")
        tree.mkdir()
        image.mkdir()
        run("tar", "-C", str(tree), "-xf", str(archive), "--exclude=./dev/*")
        kernel = next((tree / "boot").glob("vmlinuz-*"))
        version = kernel.name.removeprefix("vmlinuz-")
        shutil.copy(kernel, image / "vmlinuz")
        shutil.copy(tree / "boot" / f"initrd.img-{version}", image / "initrd.img")
        (image / "initrd.img").chmod(0o644)  # dracut makes it for root alone
        shutil.rmtree(tree / "boot")
        run("mksquashfs", str(tree), str(image / "squash.img"), "-quiet", "-no-progress",
            "-comp", "zstd", "-Xcompression-level", "12")  # fmt: skip
        fai = run("chroot", str(tree), "dpkg-query", "-Wf", "${Version}", "fai-client")
        finish(image, dest, {
            "name": f"fai-{release}-{arch}", "kind": "installer", "arch": arch, "os": "debian",
            "release": release, "kernel": version, "fai": fai, "boots": ["bios", "uefi"],
        })  # fmt: skip
    log(f"FAI on Debian {release}: {dest} is complete")
