"""An image of a whole disk, as distributions publish it (qcow2 or raw), made one of ours.

What is in the file decides, not its name: many a `.img` is qcow2. https://www.qemu.org/docs/master/
interop/qcow2.html
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deployer.core.sizes import show_size
from deployer.media.build.workshop import BuildError, Log, finish, need, run, workspace

_QCOW2 = b"QFI\xfb"
_PACKED = {b"\x1f\x8b": "gzip", b"\xfd7zX": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2"}
# A few kilobytes of qcow2 may claim to be any size. No distribution's image comes near this.
_LARGEST = 256 * 2**30
_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
# The live system can grow these, and make them this host's.
_ROOTS = ("ext4", "xfs")


def import_disk_image(
    dest: Path, *, source: Path, name: str, arch: str = "x86_64", log: Log = print
) -> None:
    """`source` as disk.raw.zst in `dest`; BuildError when the live system could not install it."""
    need("qemu-img", "sfdisk", "blkid", "zstd")
    kind = _kind(source)
    with workspace(dest) as work:
        raw = source
        if kind == "qcow2":
            _check_qcow2(source)
            log(f"{name}: unpacking {source.name}")
            raw = work / "disk.raw"
            # -f: what it is was decided above; guessed, it could be told otherwise by its content.
            run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(source), str(raw))
        facts = _inspect(raw)
        log(f"{name}: compressing {show_size(raw.stat().st_size)}")
        image = work / "image"
        image.mkdir()
        run("zstd", "-q", "-T0", "-9", str(raw), "-o", str(image / "disk.raw.zst"))
        size = raw.stat().st_size
        finish(image, dest, {
            "name": name, "kind": "raw-zst", "arch": arch, "unpacked_size": size,
            "min_disk_size": size, "made_of": source.name, **facts,
        })  # fmt: skip
    log(f"{name}: {dest} is complete")


def _kind(source: Path) -> str:
    """`qcow2` or `raw`."""
    with source.open("rb") as file:
        start = file.read(1024)
    if start.startswith(_QCOW2):
        return "qcow2"
    for magic, program in _PACKED.items():
        if start.startswith(magic):
            raise BuildError(f"{source} is packed with {program}", "unpack it first")
    if start[512:520] != b"EFI PART":
        raise BuildError(
            f"{source} is neither qcow2 nor a raw disk with a GPT",
            "name the image for servers, or convert it: `qemu-img convert -O qcow2`",
        )
    return "raw"


def _check_qcow2(source: Path) -> None:
    """It must not lead to other files of this machine, nor claim more than a disk holds."""
    seen: dict[str, Any] = json.loads(
        run("qemu-img", "info", "--output=json", "-f", "qcow2", str(source))
    )
    own = (seen.get("format-specific") or {}).get("data") or {}
    other = (
        seen.get("backing-filename") or seen.get("full-backing-filename") or own.get("data-file")
    )
    if other:
        raise BuildError(
            f"{source} needs another file ({other}), which is not read",
            "flatten it where it was made: `qemu-img convert -O qcow2 OLD NEW`",
        )
    if seen.get("encrypted"):
        raise BuildError(f"{source} is encrypted", "decrypt it where it was made")
    if seen["virtual-size"] > _LARGEST:
        raise BuildError(
            f"{source} is a disk of {show_size(seen['virtual-size'])}",
            f"shrink it: images may have {show_size(_LARGEST)}",
        )
    run("qemu-img", "check", "-q", "-f", "qcow2", str(source))


def _inspect(raw: Path) -> dict[str, Any]:
    """What starts it, and its root; BuildError when the live system could do nothing with it."""
    table = json.loads(run("sfdisk", "--json", str(raw)))["partitiontable"]
    if table["label"] != "gpt":
        raise BuildError(f"the image has a partition table {table['label']}", "use one with a GPT")
    types = {part["type"].upper() for part in table["partitions"]}
    boots = [name for name, kind in {"bios": _BIOS_BOOT, "uefi": _ESP}.items() if kind in types]
    if not boots:
        raise BuildError("the image has neither an ESP nor a BIOS boot partition",
                         "use an image that starts on machines")  # fmt: skip
    kinds = [_file_system(raw, part["start"], part["size"]) for part in table["partitions"]]
    if not any(kind in _ROOTS for kind in kinds):
        shown = ", ".join(kind for kind in kinds if kind) or "none"
        raise BuildError(
            f"the image has no root of {' or '.join(_ROOTS)}; its file systems: {shown}",
            "the live system cannot make another one this host; use an image with ext4 or XFS",
        )
    return {"boots": boots}


def _file_system(raw: Path, start: int, size: int) -> str:
    """What blkid sees in a partition, empty when it sees nothing. Nothing is mounted."""
    place = ["--offset", str(start * 512), "--size", str(size * 512)]
    try:
        found = run(
            "blkid", "--probe", "--match-tag", "TYPE", "--output", "value", *place, str(raw)
        )
    except BuildError:  # it ends with 2 when there is nothing
        return ""
    return found.strip()
