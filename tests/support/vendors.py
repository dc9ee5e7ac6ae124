"""Small media like those of vendors: their layouts and texts are real, their contents are not."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from deployer.media import vendors
from deployer.services import vendor_media
from deployer.settings import Settings
from tests import golden

Files = Mapping[str, str | bytes]
MACHINE_URL = golden.BASE


def ran(*command: str | Path, cwd: Path | None = None, text: bytes = b"") -> bytes:
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, cwd=cwd, input=text).stdout


def tree(folder: Path, files: Files) -> Path:
    """`files` as a folder."""
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def iso(file: Path, files: Files | Path, label: str = "LABEL") -> Path:
    """`files` as an ISO with Rock Ridge and Joliet."""
    folder = files if isinstance(files, Path) else tree(file.with_suffix(".tree"), files)
    ran("xorriso", "-as", "mkisofs", "-quiet", "-r", "-J", "-V", label, "-o", file, folder)
    return file


def plain_iso(file: Path, files: Files, label: str) -> Path:
    """An ISO as ECMA-119 has it: names in capitals."""
    folder = tree(file.with_suffix(".tree"), files)
    ran("genisoimage", "-quiet", "-iso-level", "2", "-V", label, "-o", file, folder)
    return file


def udf(file: Path, files: Files, label: str) -> Path:
    """An ISO whose files are in UDF, and in ISO 9660 only a note that says so."""
    folder = tree(file.with_suffix(".tree"), {**files, "readme.txt": "This disc is UDF.\n"})
    hidden = [word for top in folder.iterdir() if top.is_dir() for word in ("-hide", top.name)]
    ran("genisoimage", "-quiet", "-udf", *hidden, "-V", label, "-o", file, folder)
    return file


def tar(file: Path, files: Files) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        archive.add(tree(file.with_name("unpacked"), files), ".")
    return file


def wim(file: Path, build: int, *editions: tuple[str, str]) -> bytes:
    """A WIM of Windows' shape: for each (EDITIONID, INSTALLATIONTYPE) an image with curl.exe."""
    folder = tree(file.with_suffix(".root"), {"Windows/System32/curl.exe": "MZ curl"})
    for number, (edition, kind) in enumerate(editions):
        properties = {"EDITIONID": edition, "INSTALLATIONTYPE": kind, "VERSION/BUILD": str(build)}
        options = [f"--image-property=WINDOWS/{name}={text}" for name, text in properties.items()]
        ran("wimlib-imagex", "append" if number else "capture", folder, file, edition, *options)
    return file.read_bytes()


def take(folder: Path, source: str | Path, **asked: object) -> vendors.Image:
    """The image of a medium, in the library below `folder`."""
    said = folder / "said.txt"
    settings = Settings(data_dir=folder / "data", database_url="", machine_url=MACHINE_URL)

    def log(line: str) -> None:
        said.write_text(said.read_text() + line + "\n" if said.exists() else line + "\n")

    request = vendors.Asked(str(source), **asked)  # type: ignore[arg-type]
    return vendor_media.take_in(settings, golden.CATALOGUE, request, None, log)


def said(folder: Path) -> str:
    """What was said of the medium that was taken."""
    return (folder / "said.txt").read_text()


# --- one medium of each kind ------------------------------------------------------------------

KERNEL = b"MZ kernel"
UBUNTU = {
    ".disk/info": 'Ubuntu-Server 24.04.3 LTS "Noble Numbat" - Release amd64 (20250805.1)',
    "casper/vmlinuz": KERNEL, "casper/initrd": b"initrd", "casper/hwe-vmlinuz": b"MZ other",
    "pool/main/a.deb": b"package", "boot/grub/grub.cfg": "menuentry",
}  # fmt: skip
_TREEINFO = """\
[checksums]
images/pxeboot/vmlinuz = sha256:{kernel}

[general]
; WARNING.0 = This section provides compatibility with pre-productmd treeinfos.
arch = {arch}
family = {family}
name = {family} {version}
version = {version}

[header]
type = productmd.treeinfo
version = 1.2

[stage2]
mainimage = images/install.img
"""
_CENTOS_7 = """\
[general]
name = CentOS-7
family = CentOS
timestamp = 1504618609.47
variant =
version = 7
packagedir =
arch = x86_64

[stage2]
mainimage = LiveOS/squashfs.img
"""
ESXI = {
    "boot.cfg": "bootstate=0\ntitle=Loading ESXi installer\ntimeout=5\nprefix=\nkernel=/b.b00\n"
    "kernelopt=runweasel cdromBoot\nmodules=/jumpstrt.gz --- /useropts.gz --- /k.b00 --- /s.v00\n"
    "build=8.0.3-0.0.24022510\nupdated=0\n",
    "efi/boot/bootx64.efi": b"MZ", "efi/boot/crypto64.efi": b"MZ", "efi/boot/boot.cfg": "title",
    "mboot.c32": b"c32", "b.b00": b"b", "jumpstrt.gz": b"j", "useropts.gz": b"u", "k.b00": b"k",
    "s.v00": b"s",
}  # fmt: skip


def anaconda(family: str, version: str, arch: str = "x86_64") -> dict[str, str | bytes]:
    info = _TREEINFO.format(
        family=family, version=version, arch=arch, kernel=hashlib.sha256(KERNEL).hexdigest()
    )
    return {
        ".treeinfo": info, ".discinfo": "1\n9\nx86_64\n",
        "images/pxeboot/vmlinuz": KERNEL, "images/pxeboot/initrd.img": b"initrd",
        "images/install.img": b"stage2", "BaseOS/repodata/repomd.xml": "<repomd/>", "empty": "",
        "BaseOS/Packages/l/libstdc++-11.5.0-2.el9~1^2.x86_64.rpm": b"package",
    }  # fmt: skip


def centos_7() -> dict[str, str | bytes]:
    return {
        ".treeinfo": _CENTOS_7, "images/pxeboot/vmlinuz": KERNEL,
        "images/pxeboot/initrd.img": b"initrd", "LiveOS/squashfs.img": b"stage2",
        "repodata/repomd.xml": "<repomd/>",
    }  # fmt: skip


def suse_15(build: str, boot: str) -> dict[str, str | bytes]:
    return {
        "media.1/media": f"SUSE - {build}-Media\n{build}\n1\n", f"{boot}/linux": KERNEL,
        f"{boot}/initrd": b"initrd", "boot/x86_64/root": b"installer",
        "Module-Basesystem/repodata/repomd.xml": "<repomd/>",
    }  # fmt: skip


SUSE_16 = {
    "LiveOS/squashfs.img": b"installer", "boot/x86_64/loader/linux": KERNEL,
    "boot/x86_64/loader/initrd": b"initrd", "install/repodata/repomd.xml": "<repomd/>",
}  # fmt: skip
COREOS = {
    "images/pxeboot/vmlinuz": KERNEL, "images/pxeboot/initrd.img": b"initrd",
    "images/pxeboot/rootfs.img": b"root", "coreos/features.json": "{}",
}  # fmt: skip
FLATCAR = {
    "version.txt": "FLATCAR_BUILD=4230\nFLATCAR_VERSION=4230.2.3\nFLATCAR_BUILD_ID=\"\"\n",
    "flatcar_production_pxe.vmlinuz": KERNEL, "flatcar_production_pxe_image.cpio.gz": b"initrd",
    "flatcar_production_image.bin.bz2": b"image", "flatcar_production_image.bin.bz2.sig": b"sig",
    "flatcar_production_qemu_image.img": b"other",
}  # fmt: skip
ALPINE = {
    "boot/vmlinuz-lts": KERNEL, "boot/initramfs-lts": b"initrd", "boot/modloop-lts": b"modules",
    "boot/config-6.12.41-0-lts": "CONFIG_64BIT=y",
}  # fmt: skip
_OPENBSD_SHA256 = """\
SHA256 (BOOTX64.EFI) = {0}
SHA256 (INSTALL.amd64) = {0}
SHA256 (base78.tgz) = {0}
"""
OPENBSD = {
    "SHA256": _OPENBSD_SHA256.format(hashlib.sha256(KERNEL).hexdigest()),
    "BOOTX64.EFI": KERNEL, "pxeboot": b"pxe", "bsd.rd": b"kernel", "base78.tgz": b"set",
}  # fmt: skip
TALOS = {"boot/vmlinuz": KERNEL, "boot/initramfs.xz": b"initrd"}
TALOS_FOLDER = {
    "vmlinuz-amd64": KERNEL, "initramfs-amd64.xz": b"initrd", "vmlinuz-arm64": b"arm",
    "initramfs-arm64.xz": b"arm",
}  # fmt: skip


def proxmox(file: Path) -> Path:
    initrd = ran("zstd", "-qc", text=b"070701 an archive")
    return iso(file, {
        ".cd-info": "RELEASE='9.0'\nISORELEASE='1'\nISONAME='proxmox-ve'\nPRODUCT='pve'\n",
        "boot/linux26": KERNEL, "boot/initrd.img": initrd, "pve-base.squashfs": b"system",
    }, "PVE")  # fmt: skip


def windows(folder: Path, build: int, kind: str, edition: str, **more: bytes) -> Files:
    """`more`: other parts than install.wim, by their name without `sources/`."""
    install = wim(folder / "install.wim", build, (edition, kind), (f"{edition}Eval", kind))
    return {
        "boot/bcd": b"bcd", "boot/boot.sdi": b"sdi", "sources/boot.wim": b"MSWIM\0\0\0 setup",
        "sources/install.wim": install, "sources/setup.exe": b"MZ", "efi/boot/bootx64.efi": b"MZ",
        **{f"sources/{name}": content for name, content in more.items()},
    }  # fmt: skip
