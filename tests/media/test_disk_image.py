"""Images of disks: what is taken in, and what is refused before any machine could get it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deployer.errors import DeployerError
from deployer.media import library
from deployer.media.build import BuildError, import_disk_image

pytestmark = pytest.mark.slow

MIB = 2**20


def ran(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def a_disk(folder: Path, fs: str = "ext4", *, boot: str = "ef00", label: str = "gpt") -> Path:
    """A raw disk of 64 MiB: a partition that starts it, and one with a file system."""
    raw = folder / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(64 * MIB)
    if label == "dos":
        subprocess.run(["sfdisk", "-q", str(raw)], input=b"8192,,L\n", check=True)
        return raw
    ran("sgdisk", "-n1:2048:+1M", f"-t1:{boot}", "-n2:8192:0", raw)
    if fs == "ext4":
        ran("mkfs.ext4", "-q", "-E", f"offset={8192 * 512}", raw, "40M")
    elif fs == "swap":
        part = folder / "part"
        part.write_bytes(bytes(MIB))
        ran("mkswap", part)
        with raw.open("r+b") as file:
            file.seek(8192 * 512)
            file.write(part.read_bytes())
    return raw


def qcow2(raw: Path, *options: str) -> Path:
    made = raw.with_name("cloud.img")  # as many are called
    ran("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, made)
    return made


def taken_in(folder: Path, source: Path) -> dict[str, object]:
    import_disk_image(folder / "golden", source=source, name="golden", log=lambda _: None)
    return library.add(folder / "library", folder / "golden")


@pytest.mark.parametrize("packed", [True, False], ids=["qcow2", "raw"])
def test_a_disk_arrives_as_it_is_and_is_kept_compressed(tmp_path: Path, packed: bool) -> None:
    raw = a_disk(tmp_path)
    manifest = taken_in(tmp_path, qcow2(raw, "-c") if packed else raw)
    assert manifest["kind"] == "raw-zst" and manifest["boots"] == ["uefi"]
    assert manifest["unpacked_size"] == manifest["min_disk_size"] == 64 * MIB
    kept = tmp_path / "library/golden/disk.raw.zst"
    shown = subprocess.run(["zstd", "-dc", str(kept)], capture_output=True, check=True)
    assert shown.stdout == raw.read_bytes()
    assert raw.exists(), "what was given is left alone"


def test_a_bios_boot_partition_will_do(tmp_path: Path) -> None:
    assert taken_in(tmp_path, a_disk(tmp_path, boot="ef02"))["boots"] == ["bios"]


def backed(folder: Path) -> Path:
    made = folder / "top.qcow2"
    ran("qemu-img", "create", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", made, "1M")
    return made


def with_data_elsewhere(folder: Path) -> Path:
    made = folder / "top.qcow2"
    ran("qemu-img", "create", "-f", "qcow2", "-o", f"data_file={folder}/data", made, "1M")
    return made


def enormous(folder: Path) -> Path:
    made = folder / "top.qcow2"
    ran("qemu-img", "create", "-f", "qcow2", made, "100T")
    return made


def damaged(folder: Path) -> Path:
    made = qcow2(a_disk(folder))
    with made.open("r+b") as file:
        file.seek(65536)
        file.write(b"\xff" * 65536)  # the reference counts
    return made


def text(folder: Path) -> Path:
    made = folder / "disk.qcow2"
    made.write_text("I only have the name of a qcow2\n" * 64)
    return made


def compressed(folder: Path) -> Path:
    raw = a_disk(folder)
    ran("zstd", "-q", raw)
    return raw.with_name("disk.raw.zst")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (backed, r"needs another file \(/etc/passwd\)"),
        (with_data_elsewhere, "needs another file"),
        (enormous, "is a disk of"),
        (damaged, "qemu-img failed"),
        (text, "neither qcow2 nor a raw disk with a GPT"),
        (compressed, "is packed with zstd"),
        (lambda folder: qcow2(a_disk(folder, label="dos")), "has a partition table dos"),
        (lambda folder: a_disk(folder, boot="8300"), "neither an ESP nor a BIOS boot partition"),
        (lambda folder: a_disk(folder, "swap"), "its file systems: swap"),
        (lambda folder: a_disk(folder, "nothing"), "its file systems: none"),
    ],
    ids=[
        "backed", "data elsewhere", "enormous", "damaged", "text", "compressed", "MBR", "no boot",
        "no root", "empty",
    ],
)  # fmt: skip
def test_what_no_machine_could_use_or_would_read_our_files_is_refused(
    tmp_path: Path, make: object, words: str
) -> None:
    source = make(tmp_path)  # type: ignore[operator]
    with pytest.raises((BuildError, DeployerError), match=words):
        taken_in(tmp_path, source)
    assert not (tmp_path / "golden").exists() and not (tmp_path / "library").exists()
