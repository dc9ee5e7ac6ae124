"""Every family whose boot recipe needs files has a medium that yields them under those names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from deployer.answers import prepare
from deployer.boot import ipxe
from deployer.core.inventory import Firmware
from tests import golden
from tests.contracts.test_families import HOST, usual
from tests.support import vendors

LOADER_64 = "boot/x86_64/loader"


class Case(NamedTuple):
    """A medium, what is said of it, and what it becomes: all files, and what vouches for them."""

    make: Callable[[Path], Path]
    os: str
    release: str
    files: set[str]
    arch: str = "x86_64"
    asked: dict[str, Any] | None = None


def iso(name: str, files: vendors.Files, label: str = "LABEL") -> Callable[[Path], Path]:
    return lambda folder: vendors.iso(folder / name, files, label)


def folder(name: str, files: vendors.Files) -> Callable[[Path], Path]:
    return lambda folder: vendors.tree(folder / name, files)


def netboot(folder: Path) -> Path:
    return vendors.tar(folder / "alpine-netboot-3.22.1-x86_64.tar.gz", vendors.ALPINE)


def esxi(folder: Path) -> Path:
    return vendors.plain_iso(folder / "esxi.iso", vendors.ESXI, "ESXI-8.0U3-24022510")


def server(folder: Path) -> Path:
    files = vendors.windows(folder, 20348, "Server", "ServerStandard")
    return vendors.udf(folder / "server.iso", files, "SSS_X64FREE_EN-US_DV9")


def client(folder: Path) -> Path:
    files = vendors.windows(folder, 26100, "Client", "Professional")
    own = {"drivers/nic/netkvm.inf": "inf", "wimboot": b"MZ"}
    return vendors.tree(folder / "unpacked", {**files, **own})


ALL_OF_WINDOWS = {"boot/bcd", "boot/boot.sdi", "sources/boot.wim", "sources/install.wim",
                  "curl.exe", "wimboot"}  # fmt: skip
PXEBOOT = {"images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"}
ROCKY = vendors.anaconda("Rocky Linux", "9.6")
STREAM = vendors.anaconda("CentOS Stream", "10", "aarch64")
FEDORA = vendors.anaconda("Fedora", "44")
SLES = vendors.suse_15("SLE-15-SP7-Full-x86_64-Build68.1", LOADER_64)
LEAP = vendors.suse_15("openSUSE-Leap-15.6-DVD-aarch64-Build710.3", "boot/aarch64")
ARM = {**vendors.UBUNTU, ".disk/info":
       'Ubuntu-Server 22.04.5 LTS "Jammy Jellyfish" - Release arm64 (20240911)'}  # fmt: skip
CASES = {
    "alpine": Case(netboot, "alpine", "3.22", {"boot/vmlinuz-lts", "boot/initramfs-lts",
                                               "boot/modloop-lts"}),
    "esxi": Case(esxi, "esxi", "8.0", set(vendors.ESXI)),
    "fedora": Case(iso("Fedora-Server-dvd.iso", FEDORA), "fedora", "44", set(FEDORA)),
    "fedora-coreos": Case(
        iso("coreos.x86_64.iso", vendors.COREOS, "fedora-coreos-44.20260512.3.0"),
        "fedora-coreos", "stable", {*PXEBOOT, "images/pxeboot/rootfs.img"},
    ),
    "flatcar": Case(
        folder("amd64-usr/4230.2.3", vendors.FLATCAR), "flatcar", "stable",
        set(vendors.FLATCAR) - {"version.txt", "flatcar_production_qemu_image.img"},
    ),
    "freebsd": Case(
        folder("freebsd-15", {"mfs.img": b"m", "loader.efi": b"l", "memdisk": b"d", "note": b"n"}),
        "freebsd", "15", {"mfs.img", "loader.efi", "memdisk"}, asked={"arch": "x86_64"},
    ),
    "openbsd": Case(
        folder("amd64", vendors.OPENBSD), "openbsd", "7.8", {"bootx64.efi", "pxeboot", "bsd.rd"},
    ),
    "proxmox": Case(
        lambda folder: vendors.proxmox(folder / "proxmox-ve_9.0-1.iso"), "proxmox", "9",
        {"linux26", "initrd.img", "iso.cpio"},
    ),
    "redhat": Case(iso("Rocky-9.6-x86_64-dvd.iso", ROCKY), "redhat", "rocky-9", set(ROCKY)),
    "redhat, arm64": Case(folder("stream", STREAM), "redhat", "stream-10", set(STREAM), "arm64"),
    "redhat, CentOS 7": Case(
        iso("centos.iso", vendors.centos_7()), "redhat", "centos-7", set(vendors.centos_7())
    ),
    "suse": Case(iso("SLE-15-SP7.iso", SLES), "suse", "sles-15-sp7", set(SLES)),
    "suse, arm64": Case(iso("leap.iso", LEAP), "suse", "leap-15.6", set(LEAP), "arm64"),
    "suse, 16": Case(
        iso("Leap-16.0-offline-installer-x86_64.install.iso", vendors.SUSE_16), "suse",
        "leap-16.0", set(vendors.SUSE_16),
    ),
    "talos": Case(
        iso("metal-amd64.iso", vendors.TALOS, "TALOS_V1_12_4"), "talos", "1.12",
        {"vmlinuz-amd64", "initramfs-amd64.xz"},
    ),
    "talos, arm64": Case(
        folder("v1.13.0", vendors.TALOS_FOLDER), "talos", "1.13",
        {"vmlinuz-arm64", "initramfs-arm64.xz"}, "arm64", {"arch": "arm64"},
    ),
    "ubuntu": Case(
        iso("ubuntu-24.04.3-live-server-amd64.iso", vendors.UBUNTU), "ubuntu", "24.04",
        {"casper/vmlinuz", "casper/initrd", "ubuntu.iso"},
    ),
    "ubuntu, arm64": Case(
        iso("arm64.iso", ARM), "ubuntu", "22.04",
        {"casper/vmlinuz", "casper/initrd", "ubuntu.iso"}, "arm64",
    ),
    "windows": Case(server, "windows", "server-2022", ALL_OF_WINDOWS),
    "windows, a folder": Case(
        client, "windows", "11", {*ALL_OF_WINDOWS, "drivers/nic/netkvm.inf"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_medium_yields_the_files_that_its_recipe_names(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    wimboot = vendors.tree(tmp_path, {"wimboot": b"MZ"}) / "wimboot"
    asked = {"beside": [wimboot]} if name == "windows" else case.asked
    manifest = vendors.take(tmp_path, case.make(tmp_path), **(asked or {})).manifest
    assert (manifest["os"], manifest["arch"]) == (case.os, case.arch)
    assert {file["path"] for file in manifest["files"]} == case.files
    for firmware in firmwares(case):
        for path in named(case, manifest, firmware):
            assert path in case.files or any(f.startswith(f"{path}/") for f in case.files), path


def firmwares(case: Case) -> list[Firmware]:
    return ["uefi"] if case.arch == "arm64" else ["bios", "uefi"]


def named(case: Case, manifest: dict[str, Any], firmware: Firmware) -> set[str]:
    """Files and folders of the image that a machine is told of. Its answer files are valid."""
    found = golden.found(case.os)
    chosen = {"release": case.release, "arch": case.arch}
    usually = golden.snapshot(found, HOST, {**usual(case.os), **chosen})
    name = usually.boot_image["name"]
    assert name == manifest["name"]
    snapshot = replace(usually, image=usually.image and manifest, boot_image=manifest)
    files, findings = golden.rendered(found, snapshot, firmware)
    assert findings == []
    boot = prepare.boot(found, golden.context_of(snapshot, firmware))
    text = "\n".join([ipxe.script(boot), *files.values()])
    told = set(re.findall(rf"{golden.BASE}/images/{re.escape(name)}/([\w./-]+)", text))
    assert told >= {boot.kernel_url.rpartition(f"/{name}/")[2]}
    return told


def test_every_family_says_where_its_media_come_from() -> None:
    for name in golden.families():
        media = golden.found(name).family.media
        assert media, name
        ours = all(medium.made_by or medium.refuse for medium in media)
        assert ours or name in {case.os for case in CASES.values()}, name
