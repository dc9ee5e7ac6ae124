"""Debian's own installer for the network: its kernel and initrd, from a package or a mirror.

The package `debian-installer-<release>-netboot-<arch>` holds the very files that a mirror has under
`dists/<suite>/main/installer-<arch>/`; not every mirror has both. Either way the archive's
signature is checked: apt does it for the package, `gpgv` for the mirror's list of checksums.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import httpx

from deployer.media.build.fetch import client, download, shown
from deployer.media.build.keyring import Keyring
from deployer.media.build.workshop import (
    DEBIAN_ARCH,
    SUITES,
    BuildError,
    Log,
    bootstrap,
    finish,
    mirror_or_host_mirror,
    need,
    need_root,
    run,
    sha256,
    workspace,
)

ARCHIVE_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PACKAGED = "usr/lib/debian-installer/images/{release}/{arch}/text/debian-installer/{arch}"
_PUBLISHED = "./netboot/debian-installer/{arch}/{name}"
# armhf's kernel has another name; with us all have one.
_KERNEL = {"armhf": "vmlinuz"}


def fetch_debian_installer(
    dest: Path, *, release: str = "12", arch: str = "x86_64", mirror: str | None = None,
    keys: Path = ARCHIVE_KEYS, log: Log = print,
) -> None:  # fmt: skip
    """`linux` and `initrd.gz` of Debian's installer (text, network) in `dest`."""
    if release not in SUITES or arch not in DEBIAN_ARCH or (release, arch) == ("13", "i386"):
        raise BuildError(
            f"there is no installer for Debian {release} on {arch}",
            f"releases: {', '.join(SUITES)}; i386 until 12",
        )
    with workspace(dest) as work:
        image = work / "image"
        image.mkdir()
        source = _fetch(image, work, release, arch, mirror, keys, log)
        finish(image, dest, {
            "name": installer_name(release, arch), "kind": "netboot", "arch": arch, "os": "debian",
            "release": release, "suite": SUITES[release], "source": source,
        })  # fmt: skip
    log(f"Debian {release} installer: {dest} is complete")


def installer_name(release: str, arch: str) -> str:
    return f"debian-installer-{release}-{arch}"


def _fetch(
    image: Path, work: Path, release: str, arch: str, mirror: str | None, keys: Path, log: Log
) -> str:
    """Where it came from. The package first: apt knows proxies, and caches."""
    package = f"debian-installer-{release}-netboot-{DEBIAN_ARCH[arch]}"
    try:
        log(f"Debian {release} installer: fetching the package {package}")
        need("mmdebstrap")
        need_root()
        return _from_package(image, work, package, release, arch, mirror)
    except BuildError as no_package:
        log(f"Debian {release} installer: no such package to be had; asking the mirror itself")
        try:
            return _from_mirror(image, work, release, arch, mirror, Keyring(keys), log)
        except BuildError as no_files:
            raise BuildError(
                f"neither the package {package} nor the mirror's own files can be had.\n"
                f"package: {no_package}\nmirror: {no_files}",
                "name a complete mirror with --mirror",
            ) from None


def _from_package(
    image: Path, work: Path, package: str, release: str, arch: str, mirror: str | None
) -> str:
    archive, tree = work / "package.tar", work / "tree"
    # Architecture `all`: what this machine is does not matter.
    bootstrap(archive, release, "x86_64", [package], mirror, "--variant=extract")
    folder = _PACKAGED.format(release=release, arch=DEBIAN_ARCH[arch])
    tree.mkdir()
    run("tar", "-C", str(tree), "-xf", str(archive), f"./{folder}")
    shutil.copy(tree / folder / _KERNEL.get(arch, "linux"), image / "linux")
    shutil.copy(tree / folder / "initrd.gz", image / "initrd.gz")
    return package


# --- from a mirror's own files ----------------------------------------------------------------


def _from_mirror(
    image: Path, work: Path, release: str, arch: str, mirror: str | None, keys: Keyring, log: Log
) -> str:
    base = f"{mirror_or_host_mirror(mirror)}/dists/{SUITES[release]}"
    signed = work / "InRelease"
    with client() as http:
        download(http, f"{base}/InRelease", signed, log)
        _, release_file = keys.signed_text(signed, work)
        path, checksum = _checksums_file(release_file, DEBIAN_ARCH[arch])
        sums = work / "SHA256SUMS"
        _download(http, f"{base}/{path}", sums, checksum, log)
        folder = f"{base}/{path.removesuffix('/SHA256SUMS')}"
        for name, kept in ((_KERNEL.get(arch, "linux"), "linux"), ("initrd.gz", "initrd.gz")):
            published = _PUBLISHED.format(arch=DEBIAN_ARCH[arch], name=name)
            wanted = _listed(sums.read_text(), published)
            _download(http, f"{folder}/{published.removeprefix('./')}", image / kept, wanted, log)
    return path.removesuffix("/images/SHA256SUMS")


def _download(http: httpx.Client, url: str, target: Path, checksum: str, log: Log) -> None:
    download(http, url, target, log)
    if (found := sha256(target)) != checksum:
        raise BuildError(
            f"{shown(url)} has SHA-256 {found}, not {checksum}",
            "the mirror is being updated; try later",
        )


def _checksums_file(release: str, arch: str) -> tuple[str, str]:
    """(path below dists/SUITE, SHA-256) of the newest installer's own list of checksums."""
    listed = release.partition("\nSHA256:")[2]
    pattern = rf"^ ([0-9a-f]{{64}}) +\d+ (main/installer-{arch}/[0-9][^/\s]*/images/SHA256SUMS)$"
    found = re.findall(pattern, listed, re.MULTILINE)
    if not found:
        raise BuildError(f"the mirror publishes no installer for {arch}", "choose another mirror")
    checksum, path = max(found, key=lambda entry: entry[1])
    return path, checksum


def _listed(sums: str, name: str) -> str:
    wanted = next((line.split()[0] for line in sums.splitlines() if line.split()[1:] == [name]), "")
    if not wanted:
        raise BuildError(f"the mirror's list of checksums lacks {name}", "choose another mirror")
    return wanted
