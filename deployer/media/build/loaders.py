"""The image `loaders`: what firmware fetches first, from Debian's packages alone.

iPXE, PXELINUX, GRUB as network boot program for every platform we know, the chains of shim and
GRUB that Microsoft's and Debian's keys have signed, and an ISO for the virtual drives of BMCs. What
a mirror lacks is left out by name.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deployer.media import boot_iso
from deployer.media.build.workshop import (
    BuildError,
    Log,
    download,
    finish,
    need,
    need_programs,
    run,
    workspace,
)

_IPXE, _SYSLINUX, _SIGNED = "usr/lib/ipxe", "usr/lib/syslinux/modules/bios", "usr/lib/grub"


@dataclass(frozen=True)
class Copied:
    """A program that a package brings as a file; releases keep it in one of these places."""

    target: str
    arch: str
    package: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Made:
    """A GRUB that we put together from the modules of a package."""

    target: str
    arch: str
    package: str
    platform: str
    modules: tuple[str, ...]
    format: str = ""
    config: str = ""  # what it reads first; unset: `_FIRST`


# What GRUB reads first is built in: it goes on to the file that the server has for everybody, by
# the way that GRUB came. With a prefix on the server, it would first ask there for lists of modules
# that are built in.
_FIRST = """\
regexp --set=1:from '^(\\([^)]*\\))' "$cmdpath"
if [ -z "$from" -a -n "$net_default_server" ]; then set from="(tftp,$net_default_server)"; fi
if [ -z "$from" -a -n "$pxe_default_server" ]; then set from="(tftp,$pxe_default_server)"; fi
for try in 1 2 3; do
  echo "Deployer: reading $from/grub/grub.cfg"
  configfile "$from/grub/grub.cfg"
  sleep 3
done
echo "Deployer: it cannot be read, back to the firmware"
sleep 5
exit
"""
# The same for a GRUB on a CD. For BIOS it has no network: it starts iPXE, which has.
_FROM_CD = """\
search --no-floppy --set=root --file /deployer/grub.cfg
if [ "$grub_platform" = pc ]; then
  linux16 /deployer/ipxe.lkrn
  initrd16 /deployer/boot.ipxe
  boot
fi
configfile /deployer/grub.cfg
echo "Deployer: this ISO names no service, take /boot.iso from yours"
sleep 10
exit
"""
_GRUB = (
    "memdisk", "tar",
    "normal", "configfile", "linux", "search", "search_fs_file", "search_label", "search_fs_uuid",
    "chain", "boot", "echo", "test", "true", "sleep", "regexp", "minicmd", "ls", "cat", "reboot",
    "halt", "part_gpt", "part_msdos", "fat", "ext2", "gzio", "net", "tftp", "http",
)  # fmt: skip
_EFI = (*_GRUB, "efinet", "all_video")
_X86 = ("serial", "smbios")

FILES: tuple[Copied | Made, ...] = (
    Copied("undionly.kpxe", "x86_64", "ipxe", (f"{_IPXE}/undionly.kpxe",)),
    Copied("snponly.efi", "x86_64", "ipxe", (f"{_IPXE}/snponly.efi",)),
    Copied("ipxe.efi", "x86_64", "ipxe", (f"{_IPXE}/ipxe-amd64.efi", "boot/ipxe.efi")),
    Copied("ipxe.lkrn", "x86_64", "ipxe", ("boot/ipxe.lkrn", f"{_IPXE}/ipxe.lkrn")),
    # From Debian 13 on; before, machines with ARM processors are given GRUB.
    Copied("ipxe-arm64.efi", "x86_64", "ipxe", (f"{_IPXE}/ipxe-arm64.efi",)),
    Copied("pxelinux.0", "x86_64", "pxelinux", ("usr/lib/PXELINUX/pxelinux.0",)),
    Copied("lpxelinux.0", "x86_64", "pxelinux", ("usr/lib/PXELINUX/lpxelinux.0",)),
    Copied("ldlinux.c32", "x86_64", "syslinux-common", (f"{_SYSLINUX}/ldlinux.c32",)),
    Copied("shimx64.efi", "x86_64", "shim-signed", ("usr/lib/shim/shimx64.efi.signed",)),
    Copied("grubx64.efi", "x86_64", "grub-efi-amd64-signed",
           (f"{_SIGNED}/x86_64-efi-signed/grubnetx64.efi.signed",)),
    Copied("shimaa64.efi", "arm64", "shim-signed", ("usr/lib/shim/shimaa64.efi.signed",)),
    Copied("grubaa64.efi", "arm64", "grub-efi-arm64-signed",
           (f"{_SIGNED}/arm64-efi-signed/grubnetaa64.efi.signed",)),
    Made("grub-i386-pc.0", "x86_64", "grub-pc-bin", "i386-pc",
         (*_GRUB, *_X86, "pxe", "biosdisk", "vbe"), "i386-pc-pxe"),
    Made("grub-x86_64.efi", "x86_64", "grub-efi-amd64-bin", "x86_64-efi", (*_EFI, *_X86)),
    Made("grub-i386.efi", "x86_64", "grub-efi-ia32-bin", "i386-efi", (*_EFI, *_X86)),
    Made("grub-arm64.efi", "arm64", "grub-efi-arm64-bin", "arm64-efi", (*_EFI, "smbios")),
    Made("grub-arm.efi", "armhf", "grub-efi-arm-bin", "arm-efi", _EFI),
)  # fmt: skip

_CD_BIOS = Made("boot.img", "x86_64", "grub-pc-bin", "i386-pc",
                (*_GRUB, *_X86, "biosdisk", "iso9660", "linux16"), "i386-pc-eltorito",
                _FROM_CD)  # fmt: skip
_CD_UEFI = Made("BOOTX64.EFI", "x86_64", "grub-efi-amd64-bin", "x86_64-efi",
                (*_EFI, *_X86, "iso9660"), config=_FROM_CD)  # fmt: skip

# GRUB's modules and the grub-mkimage that joins them must be of one version.
_GRUB_RELEASES = {"2.06": "12", "2.12": "13"}


def build_loaders(
    dest: Path, *, release: str = "12", mirror: str | None = None, log: Log = print
) -> None:
    """Every loader of `FILES` that the mirror has; the manifest names those that it has not."""
    need_programs()
    need("xorriso", "mformat")
    with workspace(dest) as work:
        image = work / "image"
        image.mkdir()
        order = _Order(work, image, mirror, log)
        grub = _grub_release()
        groups = [(grub if isinstance(file, Made) else release, file.arch) for file in FILES]
        for from_, arch in dict.fromkeys(groups):
            files = [f for f, group in zip(FILES, groups, strict=True) if group == (from_, arch)]
            order.fill(from_, arch, files)
        order.make_iso(work / f"{grub}-x86_64" / "files")
        for name, reason in order.missing.items():
            log(f"loaders: {name} is left out: {reason}")
        finish(image, dest, {
            "name": "loaders", "kind": "loaders", "arch": "all", "os": "debian",
            "release": release, "packages": order.versions, "left_out": order.missing,
        })  # fmt: skip
    log(f"loaders: {dest} is complete")


def _grub_release() -> str:
    """The Debian release whose GRUB is of the version that is here."""
    version = run("grub-mkimage", "--version")
    for known, release in _GRUB_RELEASES.items():
        if known in version:
            return release
    raise BuildError(
        f"grub-mkimage is of no version that is known here: {version.strip()}",
        f"use a machine with GRUB {' or '.join(_GRUB_RELEASES)}, such as Debian 12",
    )


@dataclass
class _Order:
    """What has been put into the image so far, and what could not be."""

    work: Path
    image: Path
    mirror: str | None
    log: Log
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def fill(self, release: str, arch: str, files: Sequence[Copied | Made]) -> None:
        self.log(f"loaders: fetching packages of Debian {release} for {arch}")
        folder = self.work / f"{release}-{arch}"
        packages = sorted({file.package for file in files})
        try:
            found = download(folder, release, arch, packages, self.mirror)
        except BuildError as error:
            if arch == "x86_64":
                raise
            why = f"this mirror gave no packages for {arch} ({_first_error(str(error))})"
            self.missing |= {file.target: why for file in files}
            return
        self.versions |= {f"{name}:{arch}": version for name, version in found.items()}
        for file in files:
            if problem := _take(file, found, folder, self.image / file.target):
                self.missing[file.target] = problem

    def make_iso(self, packages: Path) -> None:
        """boot.iso, from the files of the packages for x86_64."""
        ipxe = self.image / "ipxe.lkrn"
        if not ipxe.exists():
            self.missing[boot_iso.NAME] = f"it needs {ipxe.name}"
            return
        made = self.work / "iso"
        made.mkdir()
        for file in (_CD_BIOS, _CD_UEFI):
            _make(file, packages, made / file.target)
        _write_iso(made, ipxe, self.image / boot_iso.NAME)


def _write_iso(made: Path, ipxe: Path, target: Path) -> None:
    """El Torito with an image for BIOS and one for UEFI, which is a file system of 2.88 MB."""
    tree, fat = made / "tree", made / "tree" / "efi.img"
    (tree / "deployer").mkdir(parents=True)
    run("mformat", "-C", "-f", "2880", "-i", str(fat), "::")
    run("mmd", "-i", str(fat), "::/EFI", "::/EFI/BOOT")
    run("mcopy", "-i", str(fat), str(made / _CD_UEFI.target), "::/EFI/BOOT/")
    shutil.copy(made / _CD_BIOS.target, tree)
    shutil.copy(ipxe, tree / "deployer")
    for name in boot_iso.SLOTS:
        (tree / "deployer" / name).write_bytes(boot_iso.slot(name))
    run(
        "xorriso", "-as", "mkisofs", "-quiet", "-V", "DEPLOYER", "-o", str(target),
        "-b", _CD_BIOS.target, "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
        "--grub2-boot-info", "-eltorito-alt-boot", "-e", fat.name, "-no-emul-boot", str(tree),
    )  # fmt: skip


def _first_error(text: str) -> str:
    """Of a long complaint of apt, the line that says what it began with."""
    return next((line for line in text.splitlines() if line.startswith("E:")), text).strip()


def _take(file: Copied | Made, packages: dict[str, str], folder: Path, target: Path) -> str | None:
    """Put one loader into the image, or say why there is none."""
    if file.package not in packages:
        return f"this mirror has no package {file.package} for {file.arch}"
    if isinstance(file, Made):
        _make(file, folder / "files", target)
        return None
    source = _first(folder / "files", file.sources)
    if source is None:
        return f"{file.package} {packages[file.package]} does not hold it"
    shutil.copyfile(source, target)
    return None


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    """The first plain file: some releases keep links to where the others have the file."""
    places = [folder / name for name in names]
    return next((p for p in places if p.is_file() and not p.is_symlink()), None)


def _make(file: Made, folder: Path, target: Path) -> None:
    config, memdisk = folder / "grub.cfg", folder / "memdisk.tar"
    config.write_text(file.config or _FIRST)
    with tarfile.open(memdisk, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(config, "boot/grub/grub.cfg")
    run(
        "grub-mkimage", "-O", file.format or file.platform, "-p", "(memdisk)/boot/grub",
        "-m", str(memdisk), "-d", str(folder / "usr/lib/grub" / file.platform),
        "-o", str(target), *file.modules,
    )  # fmt: skip
