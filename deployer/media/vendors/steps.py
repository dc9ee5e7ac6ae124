"""What is done to a medium's files before machines can use them; each step is data of a family."""

from __future__ import annotations

import gzip
import lzma
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import singledispatch
from pathlib import Path
from typing import BinaryIO

from deployer.core.media import Cpio, FromWim, Gzip, Insert, Step, Unpack
from deployer.core.sizes import show_size
from deployer.media.build.workshop import BuildError, need, run
from deployer.media.vendors.contents import TEXT_LIMIT, Readable, decoded

# A few kilobytes may claim to be any size; kernels and initrds have some hundred megabytes.
_LARGEST_UNPACKED = 8 * 2**30
_PIECE = 2**20
_WIM = b"MSWIM\0\0\0"
_KEEP_ITS_BOOT_RECORDS = ["-boot_image", "any", "keep"]


@singledispatch
def do(step: Step, image: Path, fill: Callable[[str], str]) -> None:
    """Carry out a step on the files in `image`; `fill` renders a text of it."""
    raise TypeError(step)


@do.register
def _unpack(step: Unpack, image: Path, fill: Callable[[str], str]) -> None:
    with _unpacked(image / step.unpack) as content:
        if content is not None:
            _replace(image / step.unpack, content)


@do.register
def _gzip(step: Gzip, image: Path, fill: Callable[[str], str]) -> None:
    file = image / step.gzip
    if _magic(file).startswith(b"\x1f\x8b"):
        return
    with _unpacked(file) as content:
        if content is None:  # an archive that nobody compressed may be followed by others as it is
            return
        packed = file.with_name(f"{file.name}.gz")
        with packed.open("xb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as target:
            _copy(content, target, file.name)
    packed.replace(file)


@do.register
def _insert(step: Insert, image: Path, fill: Callable[[str], str]) -> None:
    need("xorriso")
    text = image.parent / "inserted"
    text.write_text(fill(step.text), encoding="utf-8")
    run(
        "xorriso", *_KEEP_ITS_BOOT_RECORDS, "-dev", str(image / step.into),
        "-map", str(text), f"/{step.insert}",
    )  # fmt: skip


@do.register
def _cpio(step: Cpio, image: Path, fill: Callable[[str], str]) -> None:
    need("cpio")
    file = image / step.of
    if file.stat().st_size >= 2**32:
        raise BuildError(
            f"{step.of} has {show_size(file.stat().st_size)}, and an initrd's archive holds files"
            " of 4 GiB at most", "take a smaller medium",
        )  # fmt: skip
    subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0", "-F", str(image / step.cpio)],
        cwd=file.parent, input=f"{file.name}\n".encode(), check=True, capture_output=True,
    )  # fmt: skip
    file.unlink()


@do.register
def _from_wim(step: FromWim, image: Path, fill: Callable[[str], str]) -> None:
    need("wimlib-imagex")
    wim = first_of(image, step.wim)
    if wim is None:
        raise BuildError(f"the medium has no {' or '.join(step.wim)}", "take the whole medium")
    taken = image.parent / "out-of-wim"
    # Split media are in several files, which refer to each other.
    parts = [f"--ref={wim.with_name(f'{wim.stem}*.swm')}"] if wim.suffix == ".swm" else []
    run("wimlib-imagex", "extract", str(wim), "1", step.take, f"--dest-dir={taken}",
        "--no-acls", "--no-attributes", *parts)  # fmt: skip
    file = taken / step.take.rpartition("/")[2]
    if file.is_symlink() or not file.is_file():
        raise BuildError(f"{step.take} in {wim.name} is no plain file", "take the vendor's medium")
    file.replace(image / step.name)
    shutil.rmtree(taken)


def first_of(image: Path, files: list[str]) -> Path | None:
    return next((image / name for name in files if (image / name).is_file()), None)


def text_of(file: Path) -> str:
    """A text file, or what the XML of a WIM says of its images."""
    if _magic(file).startswith(_WIM):
        need("wimlib-imagex")
        command = ["wimlib-imagex", "info", "--xml", str(file)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode != 0:
            raise BuildError(f"{file.name} is damaged", "fetch the medium again")
        return done.stdout.decode("utf-16", "replace")
    with file.open("rb") as raw:
        return decoded(raw.read(TEXT_LIMIT))


def _magic(file: Path) -> bytes:
    with file.open("rb") as raw:
        return raw.read(8)


@contextmanager
def _unpacked(file: Path) -> Iterator[Readable | None]:
    """The content of a compressed file, or None for one that is not."""
    magic = _magic(file)
    if magic.startswith(b"\x1f\x8b"):
        with gzip.open(file) as content:
            yield content
    elif magic.startswith(b"\xfd7zXZ"):
        with lzma.open(file) as content:
            yield content
    elif magic.startswith(b"\x28\xb5\x2f\xfd"):
        need("zstd")
        with subprocess.Popen(["zstd", "-qdc", str(file)], stdout=subprocess.PIPE) as zstd:
            yield zstd.stdout
        if zstd.returncode != 0:
            raise BuildError(f"{file.name} is damaged", "fetch the medium again")
    else:
        yield None


def _replace(file: Path, content: Readable) -> None:
    plain = file.with_name(f"{file.name}.plain")
    with plain.open("xb") as target:
        _copy(content, target, file.name)
    plain.replace(file)


def _copy(content: Readable, target: BinaryIO | gzip.GzipFile, name: str) -> None:
    size = 0
    try:
        while piece := content.read(_PIECE):
            size += len(piece)
            if size > _LARGEST_UNPACKED:
                raise BuildError(
                    f"{name} is more than {show_size(_LARGEST_UNPACKED)} unpacked",
                    "take the vendor's own medium, unchanged",
                )
            target.write(piece)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise BuildError(f"{name} cannot be unpacked: {error}", "fetch the medium again") from None
