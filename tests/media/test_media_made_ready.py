"""What is done to media so that machines can use them, and what their manifests say of them."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from deployer.errors import DeployerError
from tests.support import vendors
from tests.support.vendors import KERNEL, UBUNTU, iso, ran, said, take, tree, udf, windows

ARM = 'Ubuntu-Server 22.04.5 LTS "Jammy Jellyfish" - Release arm64 (20240911)'


# --- Proxmox ----------------------------------------------------------------------------------


def test_proxmoxs_iso_is_told_where_its_answers_are_and_wrapped(tmp_path: Path) -> None:
    medium = vendors.proxmox(tmp_path / "proxmox-ve_9.0-1.iso")
    before = medium.read_bytes()
    image = take(tmp_path, medium)
    assert medium.read_bytes() == before, "what was given is left alone"
    assert image.manifest["release"] == "9.0", "which spelling of the answer it knows"
    archive = (image.folder / "iso.cpio").read_bytes()
    assert ran("cpio", "-it", "--quiet", text=archive) == b"proxmox.iso\n"
    ran("cpio", "-i", "--quiet", cwd=tmp_path, text=archive)
    mode = ran("bsdtar", "-xOf", tmp_path / "proxmox.iso", "auto-installer-mode.toml")
    assert mode.decode() == (
        f'mode = "http"\n[http]\nurl = "{vendors.MACHINE_URL}/proxmox/answer"\n'
    )
    kept = ran("bsdtar", "-xOf", tmp_path / "proxmox.iso", "pve-base.squashfs")
    assert kept == b"system"


def test_an_initrd_that_others_follow_is_gzip(tmp_path: Path) -> None:
    image = take(tmp_path, vendors.proxmox(tmp_path / "pve.iso"))
    assert gzip.decompress((image.folder / "initrd.img").read_bytes()) == b"070701 an archive"


@pytest.mark.slow
def test_a_damaged_initrd_is_named(tmp_path: Path) -> None:
    medium = vendors.proxmox(tmp_path / "pve.iso")
    folder = tmp_path / "pve.tree"
    (folder / "boot/initrd.img").write_bytes((folder / "boot/initrd.img").read_bytes()[:-6])
    iso(medium, folder)
    with pytest.raises(DeployerError, match=r"initrd\.img is damaged"):
        take(tmp_path, medium)


@pytest.mark.parametrize("version", ["8.1", "7.4"])
def test_a_proxmox_that_is_too_old_is_told_from_one_that_is_not(
    tmp_path: Path, version: str
) -> None:
    folder = tree(tmp_path / "pve", {".cd-info": f"RELEASE='{version}'\nPRODUCT='pve'\n"})
    with pytest.raises(DeployerError, match=f"has line '{version}', not one of"):
        take(tmp_path, iso(tmp_path / "pve.iso", folder))


def test_a_mounted_medium_is_not_enough_where_the_iso_itself_is_sent(tmp_path: Path) -> None:
    with pytest.raises(DeployerError, match="is needed itself") as refused:
        take(tmp_path, tree(tmp_path / "mnt", UBUNTU))
    assert refused.value.remedy == "give the ISO, or its URL"


# --- Ubuntu, ESXi -----------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [KERNEL, gzip.compress(KERNEL)], ids=["plain", "gzip"])
def test_a_kernel_lies_there_unpacked(tmp_path: Path, kernel: bytes) -> None:
    files = {**UBUNTU, ".disk/info": ARM, "casper/vmlinuz": kernel}
    image = take(tmp_path, iso(tmp_path / "arm.iso", files))
    assert (image.folder / "casper/vmlinuz").read_bytes() == KERNEL


def test_esxis_boot_cfg_stands_in_the_manifest(tmp_path: Path) -> None:
    medium = vendors.plain_iso(tmp_path / "esxi.iso", vendors.ESXI, "ESXI-8.0U3")
    manifest = take(tmp_path, medium).manifest
    assert manifest["boot_cfg"] == {
        "kernel": "b.b00", "modules": ["jumpstrt.gz", "useropts.gz", "k.b00", "s.v00"],
        "build": "8.0.3-0.0.24022510",
    }  # fmt: skip
    assert manifest["min_disk_size"] == 32 * 2**30


def test_a_server_makers_image_has_a_name_of_its_own(tmp_path: Path) -> None:
    medium = vendors.plain_iso(tmp_path / "esxi.iso", vendors.ESXI, "ESXI-8.0U3")
    image = take(tmp_path, medium, name="esxi-8-from-the-maker")
    assert image.manifest["name"] == "esxi-8-from-the-maker"
    assert image.profile == {
        "os": "esxi", "release": "8.0", "arch": "x86_64",
        "vars": {"image": "esxi-8-from-the-maker"},
    }  # fmt: skip


# --- Windows ----------------------------------------------------------------------------------


@pytest.fixture
def wimboot(tmp_path: Path) -> Path:
    return tree(tmp_path, {"wimboot": b"MZ wimboot"}) / "wimboot"


@pytest.mark.parametrize(
    ("build", "kind", "edition", "release"),
    [
        (17763, "Server Core", "ServerStandard", "server-2019"),
        (20348, "Server", "ServerDatacenter", "server-2022"),
        (26100, "Server", "ServerStandard", "server-2025"),
        (19041, "Client", "Professional", "10"),
        (26100, "Client", "Professional", "11"),
    ],
)
def test_windows_is_known_by_what_its_installation_image_says(
    tmp_path: Path, wimboot: Path, build: int, kind: str, edition: str, release: str
) -> None:
    medium = udf(tmp_path / "w.iso", windows(tmp_path, build, kind, edition), "CCCOMA_X64FRE")
    image = take(tmp_path, medium, beside=[wimboot])
    assert image.manifest["release"] == release
    assert image.manifest["editions"] == [[edition, kind], [f"{edition}Eval", kind]]
    assert (image.folder / "curl.exe").read_bytes() == b"MZ curl"
    assert (image.folder / "wimboot").read_bytes() == b"MZ wimboot"


def test_a_windows_that_nobody_knows_is_refused_by_its_build(tmp_path: Path, wimboot: Path) -> None:
    medium = udf(tmp_path / "w.iso", windows(tmp_path, 14393, "Server", "ServerStandard"), "W")
    with pytest.raises(DeployerError, match="windows server-build-14393 for x86_64"):
        take(tmp_path, medium, beside=[wimboot])
    assert list((tmp_path / "data").glob("images/*")) == []


def test_what_no_medium_has_is_asked_for(tmp_path: Path, wimboot: Path) -> None:
    medium = udf(tmp_path / "w.iso", windows(tmp_path, 20348, "Server", "ServerStandard"), "W")
    with pytest.raises(DeployerError, match="its recipe needs wimboot") as refused:
        take(tmp_path, medium)
    assert refused.value.remedy == (
        "get it from https://github.com/ipxe/wimboot/releases, and give it too: --with wimboot"
    )
    with pytest.raises(DeployerError, match="recipe needs no said"):
        take(tmp_path, medium, beside=[wimboot, tmp_path / "said"])
    with pytest.raises(DeployerError, match="there is no such file"):
        take(tmp_path, medium, beside=[tmp_path / "none" / "wimboot"])


def test_drivers_come_as_a_folder(tmp_path: Path, wimboot: Path) -> None:
    drivers = tree(tmp_path / "drivers", {"nic/netkvm.inf": "inf", "nic/netkvm.sys": b"sys"})
    medium = udf(tmp_path / "w.iso", windows(tmp_path, 20348, "Server", "ServerStandard"), "W")
    image = take(tmp_path, medium, beside=[wimboot, drivers])
    assert (image.folder / "drivers/nic/netkvm.sys").read_bytes() == b"sys"


@pytest.mark.slow
def test_split_media_keep_their_parts(tmp_path: Path, wimboot: Path) -> None:
    files = dict(windows(tmp_path, 20348, "Server", "ServerStandard"))
    del files["sources/install.wim"]
    # Two parts, because a file that is too large for one has a part of its own.
    tree(tmp_path / "install.root", {"Windows/large": os.urandom(3 * 2**20)})
    ran("wimlib-imagex", "append", tmp_path / "install.root", tmp_path / "install.wim", "more")
    ran("wimlib-imagex", "split", tmp_path / "install.wim", tmp_path / "install.swm", "1")
    parts = {f"sources/{part.name}": part.read_bytes() for part in tmp_path.glob("install*.swm")}
    assert len(parts) > 1
    image = take(tmp_path, udf(tmp_path / "w.iso", {**files, **parts}, "W"), beside=[wimboot])
    assert image.manifest["release"] == "server-2022"
    assert {path for path in parts if (image.folder / path).is_file()} == set(parts)
    assert (image.folder / "curl.exe").read_bytes() == b"MZ curl"


def test_an_edition_file_of_media_creation_is_one_image_among_others(
    tmp_path: Path, wimboot: Path
) -> None:
    files = dict(windows(tmp_path, 22631, "Client", "Core"))
    files["sources/install.esd"] = files.pop("sources/install.wim")
    image = take(tmp_path, udf(tmp_path / "w.iso", files, "W"), beside=[wimboot])
    assert image.manifest["release"] == "11"
    assert (image.folder / "sources/install.esd").is_file()


# --- what is said -----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_medium_without_packages_is_taken_and_said_to_be(tmp_path: Path) -> None:
    rocky = vendors.anaconda("Rocky Linux", "9.6")
    boot = {name: text for name, text in rocky.items() if not name.startswith("BaseOS")}
    take(tmp_path, iso(tmp_path / "Rocky-9.6-x86_64-boot.iso", boot))
    assert "it has no packages: profiles name a mirror" in said(tmp_path)


def test_programs_that_are_missing_are_named_as_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    medium = iso(tmp_path / "ubuntu.iso", UBUNTU)
    windows_medium = udf(tmp_path / "w.iso", {"sources/boot.wim": b""}, "W")
    monkeypatch.setenv("PATH", "/nowhere")
    for source, package in ((medium, "libarchive-tools"), (windows_medium, "7zip")):
        with pytest.raises(DeployerError, match=f"packages are missing: {package}"):
            take(tmp_path, source)
