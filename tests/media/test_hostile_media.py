"""Media are made by strangers: nothing of them lands outside an image, and all are plain files."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from deployer.errors import DeployerError
from deployer.media.build import workshop
from deployer.media.vendors import contents, steps
from tests.support import vendors
from tests.support.vendors import ALPINE, KERNEL, UBUNTU, anaconda, iso, take, tree

NAME = "alpine-netboot-3.22.1-x86_64.tar.gz"
ROCKY = anaconda("Rocky Linux", "9.6")


def archive(folder: Path, name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Path:
    """Alpine's archive with one more member."""
    with tarfile.open(folder / NAME, "w:gz") as tar:
        for path, content in ALPINE.items():
            if path != name:
                add(tar, path, content)
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        tar.addfile(member)
    return folder / NAME


def add(tar: tarfile.TarFile, name: str, content: str | bytes) -> None:
    content = content.encode() if isinstance(content, str) else content
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def patched(file: Path, old: bytes, new: bytes) -> Path:
    """An ISO as no program would write it."""
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))
    return file


def without(files: vendors.Files, name: str) -> vendors.Files:
    return {path: content for path, content in files.items() if path != name}


def with_link(folder: Path, target: str) -> Path:
    """Ubuntu's medium, whose initrd is a link."""
    made = tree(folder / "tree", without(UBUNTU, "casper/initrd"))
    (made / "casper/initrd").symlink_to(target)
    return made


def a_way_up(folder: Path) -> Path:
    made = iso(folder / "up.iso", {**UBUNTU, "qq/evil": b"evil"})
    # Rock Ridge's name of the folder qq (IEEE P1282, 4.1.4): length 7, version 1, no flags.
    return patched(made, b"NM\x07\x01\x00qq", b"NM\x07\x01\x00..")


def a_name_with_a_slash(folder: Path) -> Path:
    made = iso(folder / "slash.iso", {**UBUNTU, "qqqevil": b"evil"})
    return patched(made, b"NM\x0c\x01\x00qqqevil", b"NM\x0c\x01\x00../evil")


def an_initrd_without_end(folder: Path) -> Path:
    made = iso(folder / "huge.iso", {**UBUNTU, "casper/initrd": b"i" * 0x1234})
    both_ends = (0x1234).to_bytes(4, "little") + (0x1234).to_bytes(4, "big")
    return patched(made, both_ends, b"\xff" * 8)


def cut_off(folder: Path) -> Path:
    made = iso(folder / "short.iso", {**UBUNTU, "casper/initrd": os.urandom(300_000)})
    made.write_bytes(made.read_bytes()[: made.stat().st_size // 2])
    return made


def a_device(folder: Path) -> Path:
    made = tree(folder / "tree", ROCKY)
    os.mkfifo(made / "images/updates.img")
    return made


def twins(folder: Path) -> Path:
    return iso(folder / "twins.iso", {**ROCKY, "readme": b"one", "README": b"two"})


def twins_in_small_letters(folder: Path) -> Path:
    return tree(folder / "tree", {**vendors.ESXI, "S.V00": b"other"})


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a way up": (lambda f: archive(f, "../evil"), r"\.\./evil must be relative"),
    "an absolute name": (lambda f: archive(f, "//etc/evil"), "etc/evil"),
    "a backslash": (lambda f: archive(f, "..\\evil"), "must be a plain path"),
    "a line break": (lambda f: archive(f, "a\nb"), "must be a plain path"),
    "a device for a kernel": (
        lambda f: archive(f, "boot/vmlinuz-lts", tarfile.CHRTYPE), "is a device"
    ),
    "a link out": (
        lambda f: archive(f, "boot/vmlinuz-lts", tarfile.SYMTYPE, "../../../etc/shadow"),
        "leads out of the medium, to ../../../etc/shadow",
    ),
    "a hard link out": (
        lambda f: archive(f, "boot/vmlinuz-lts", tarfile.LNKTYPE, "/etc/shadow"),
        "leads out of the medium, to /etc/shadow",
    ),
    "links without end": (
        lambda f: archive(f, "boot/vmlinuz-lts", tarfile.SYMTYPE, "vmlinuz-lts"), "to no end"
    ),
    "a way up in an ISO": (a_way_up, r"cannot be read|must be relative"),
    "a slash in an ISO": (a_name_with_a_slash, "must be relative"),
    "an absolute link in an ISO": (
        lambda f: iso(f / "link.iso", with_link(f, "/etc/shadow")), "leads out of the medium"
    ),
    "an absolute link in a folder": (
        lambda f: with_link(f, "/etc/shadow"), "leads out of the medium, to /etc/shadow"
    ),
    "a pipe in a tree": (a_device, "images/updates.img is a device, a pipe or a socket"),
    "more than there is": (an_initrd_without_end, "cannot be read|has not the"),
    "cut off": (cut_off, "cannot be read: it is cut off"),
    "twins": (twins, "differs from .* in the size of letters alone"),
    "twins in small letters": (twins_in_small_letters, "in the size of letters alone"),
    "no archive at all": (
        lambda f: tree(f, {NAME: b"I only have the name"}) / NAME, "cannot be read"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_t025_it_is_refused_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    make, words = HOSTILE[name]
    source = make(tmp_path)
    with pytest.raises(DeployerError, match=words) as refused:
        take(tmp_path, source)
    assert refused.value.remedy
    assert list((tmp_path / "data").glob("images/*")) == []
    assert not list(tmp_path.rglob("evil"))[1:], "only where the medium was made"


def test_t025_more_files_than_any_vendor_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    medium = iso(tmp_path / "ubuntu.iso", UBUNTU)
    for limit, most in (("MOST_FILES", 5), ("LARGEST", 20)):
        with monkeypatch.context() as patch, pytest.raises(DeployerError, match="one too many"):
            patch.setattr(contents, limit, most)
            take(tmp_path, medium)


def test_t025_a_kernel_that_unpacks_to_more_than_there_is_room_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = gzip.compress(bytes(10 * 2**20))
    medium = iso(tmp_path / "ubuntu.iso", {**UBUNTU, "casper/vmlinuz": bomb})
    monkeypatch.setattr(steps, "_LARGEST_UNPACKED", 2**20)
    with pytest.raises(DeployerError, match=r"vmlinuz is more than 1\.0 MB unpacked"):
        take(tmp_path, medium)
    assert list((tmp_path / "data").glob("images/*")) == []


def test_a_disk_without_room_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    medium = iso(tmp_path / "ubuntu.iso", UBUNTU)
    monkeypatch.setattr(workshop.shutil, "disk_usage", lambda _: SimpleNamespace(free=3))
    with pytest.raises(DeployerError, match="has 3 B left"):
        take(tmp_path, medium)


def test_a_link_within_the_medium_is_what_it_leads_to(tmp_path: Path) -> None:
    folder = with_link(tmp_path, "../boot/initrd")
    tree(folder, {"boot/initrd": b"the other"})
    (folder / "ubuntu").symlink_to(".")
    image = take(tmp_path, iso(tmp_path / "ubuntu.iso", folder))
    assert (image.folder / "casper/initrd").read_bytes() == b"the other"
    assert not (image.folder / "casper/initrd").is_symlink()


def test_a_file_that_is_looked_into_may_have_two_names(tmp_path: Path) -> None:
    folder = tree(tmp_path / "tree", without(ROCKY, ".treeinfo"))
    (folder / "treeinfo").write_text(str(ROCKY[".treeinfo"]))
    (folder / ".treeinfo").hardlink_to(folder / "treeinfo")
    image = take(tmp_path, iso(tmp_path / "rocky.iso", folder))
    assert (image.folder / ".treeinfo").read_text() == ROCKY[".treeinfo"]


def test_a_tree_may_hold_links_to_its_files_and_folders(tmp_path: Path) -> None:
    folder = tree(tmp_path / "tree", ROCKY)
    (folder / "GPL").hardlink_to(folder / ".discinfo")
    (folder / "EULA").symlink_to(".discinfo")
    (folder / "AppStream").symlink_to("BaseOS")
    image = take(tmp_path, iso(tmp_path / "rocky.iso", folder))
    files = {file["path"] for file in image.manifest["files"]}
    assert files == {*ROCKY, "GPL", "EULA"}
    assert (image.folder / "images/pxeboot/vmlinuz").read_bytes() == KERNEL
