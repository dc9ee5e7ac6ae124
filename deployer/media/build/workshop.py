"""What every build needs: programs, room, a folder to work in, the mirror, the manifest.

Each build works in a folder beside its destination and is renamed there when it is complete, so
an interrupted build leaves no half image.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deployer.core.sizes import show_size

Log = Callable[[str], None]

SUITES = {"11": "bullseye", "12": "bookworm", "13": "trixie"}
DEBIAN_ARCH = {"x86_64": "amd64", "arm64": "arm64", "armhf": "armhf", "i386": "i386"}
# Those whose kernels and roots we build; of the others only single files are taken.
_BUILT = ("x86_64",)
_KERNELS = {"generic": "linux-image-{arch}", "cloud": "linux-image-cloud-{arch}"}
# Folders of /usr/share that no machine needs.
DOCS = ["doc", "man", "info", "locale", "lintian", "bug"]
_PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "zstd": "zstd",
    "cpio": "cpio",
    "depmod": "kmod",
    "grub-mkimage": "grub-common",
    "gpgv": "gpgv",
    "mksquashfs": "squashfs-tools",
    "qemu-img": "qemu-utils",
    "sfdisk": "fdisk",
    "blkid": "util-linux",
    "bsdtar": "libarchive-tools",
    "7zz": "7zip",
    "xorriso": "xorriso",
    "mformat": "mtools",
    "wimlib-imagex": "wimtools",
}
GRUB_MODULES = Path("/usr/lib/grub/x86_64-efi")
# In bytes: no file and no medium that anybody publishes comes near it.
LARGEST = 128 * 2**30


class BuildError(Exception):
    """The build cannot be done here; `remedy` says what would help."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def need_programs() -> None:
    """All that building an image takes."""
    missing_module = [] if (GRUB_MODULES / "chain.mod").exists() else ["grub-efi-amd64-bin"]
    need("mmdebstrap", "zstd", "cpio", "depmod", "grub-mkimage", packages=missing_module)
    need_root()


def need(*programs: str, packages: Sequence[str] = ()) -> None:
    """BuildError names the packages that are missing: `packages`, and those of `programs`."""
    missing = [_PROGRAMS[name] for name in programs if not shutil.which(name)] + [*packages]
    if missing:
        raise BuildError(
            f"these packages are missing: {' '.join(missing)}",
            f"apt-get install --no-install-recommends {' '.join(missing)}",
        )


def need_root() -> None:
    if os.geteuid() != 0:
        raise BuildError("images are built as root, because their files belong to root",
                         "run this command with sudo")  # fmt: skip


def check_room(folder: Path, size: int, what: str) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise BuildError(
            f"{what} needs {show_size(size)}, and {folder} has {show_size(free)} left",
            "make room there, or set DEPLOYER_DATA_DIR to a larger disk",
        )


@contextmanager
def workspace(dest: Path) -> Iterator[Path]:
    """A folder beside `dest`, removed at the end, whatever happened. BuildError when `dest` holds
    anything but an image, which a new one may replace."""
    if dest.is_dir() and any(dest.iterdir()) and not (dest / "image.json").is_file():
        raise BuildError(f"{dest} holds other things than an image", "name a new folder")
    dest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{dest.name}-", dir=dest.parent, ignore_cleanup_errors=True
    ) as name:
        # Not only for us: apt's own account must get at what is in it.
        Path(name).chmod(0o755)
        yield Path(name)


def run(*command: str, cwd: Path | None = None) -> str:
    """Output of a program; BuildError holds the end of what it said when it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise BuildError(f"{command[0]} failed:\n{tail}", "see its message above")
    return done.stdout


def kernel_package(kernel: str, arch: str) -> str:
    if arch not in _BUILT:
        raise BuildError(f"there is no recipe for {arch}", f"choose: {', '.join(_BUILT)}")
    return _KERNELS[kernel].format(arch=DEBIAN_ARCH[arch])


def _sources(release: str, mirror: str | None) -> list[str]:
    """One-line sources for `release`: the given mirror, or the one that the host's apt uses."""
    suite = SUITES[release]
    components = "main" if release == "11" else "main non-free-firmware"
    mirror = mirror_or_host_mirror(mirror)
    lines = [f"deb {mirror} {suite} {components}", f"deb {mirror} {suite}-updates {components}"]
    security = _host_mirror("-security") if mirror == _host_mirror() else None
    if security:
        lines.append(f"deb {security} {suite}-security {components}")
    return lines


def mirror_or_host_mirror(mirror: str | None) -> str:
    """The mirror that was named, else the one that apt on this host uses, else the public one."""
    return (mirror or _host_mirror() or "http://ftp.debian.org/debian").rstrip("/")


def _host_mirror(suffix: str = "") -> str | None:
    """The base URL that apt on this host fetches Debian from."""
    if not shutil.which("apt-get"):
        return None
    targets = run("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(CODENAME) $(ORIGIN)")
    for line in targets.splitlines():
        site, names = line.split(" ", 1)
        if "Debian" in names and bool(suffix) == ("-security" in names):
            return site.rstrip("/")
    return None


def bootstrap(
    archive: Path, release: str, arch: str, packages: list[str], mirror: str | None, *options: str
) -> None:
    """`packages` and all that they need, as a tar archive made by mmdebstrap with `options`."""
    run(
        "mmdebstrap", "--quiet", "--mode=root", "--format=tar",
        f"--architectures={DEBIAN_ARCH[arch]}", *_apt_options(), *options,
        f"--include={','.join(packages)}", SUITES[release], str(archive),
        *_sources(release, mirror),
    )  # fmt: skip


# Runs while mmdebstrap has a mirror's signed lists at hand: $1 is where packages go, then names.
# apt checks each package against those lists.
_DOWNLOAD = """\
set -eu
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
cd "$1"
shift
for name in "$@"; do
  if [ -n "$(apt-cache madison "$name")" ]; then apt-get -q download "$name"; fi
done
"""


def download(
    folder: Path, release: str, arch: str, packages: list[str], mirror: str | None
) -> dict[str, str]:
    """The files of `packages` alone in `folder`/files, nothing that they depend on.

    Name and version of those that the mirror has; they may be for a foreign processor.
    """
    (folder / "files").mkdir(parents=True)
    script = folder / "download.sh"
    script.write_text(_DOWNLOAD)
    run(
        "mmdebstrap", "--quiet", "--mode=root", "--variant=custom", "--format=tar",
        "--skip=check/qemu", f"--architectures={DEBIAN_ARCH[arch]}", *_apt_options(),
        # apt would rather download as an account that may not write here.
        "--aptopt=APT::Sandbox::User \"root\"",
        f"--customize-hook=sh {shlex.quote(str(script))} {shlex.quote(str(folder))}"
        f" {shlex.join(packages)}",
        SUITES[release], str(folder / "empty.tar"), *_sources(release, mirror),
    )  # fmt: skip
    found = {}
    for package in sorted(folder.glob("*.deb")):
        name, version = run("dpkg-deb", "-W", str(package)).split()
        run("dpkg-deb", "-x", str(package), str(folder / "files"))
        found[name] = version
    return found


def _apt_options() -> list[str]:
    """How apt on this host reaches its mirror (proxy, certificates) holds inside the build too."""
    dump = run("apt-config", "dump") if shutil.which("apt-config") else ""
    kept = re.findall(r'^(Acquire::(?:https?|Retries|Check-)[^\s"]* ".*");$', dump, re.MULTILINE)
    return [f"--aptopt={line}" for line in ['Apt::Install-Recommends "false"', *kept]]


# --- the finished image -----------------------------------------------------------------------


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finish(image: Path, dest: Path, facts: dict[str, Any]) -> None:
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
