"""Who vouches for a medium: checksums given or found beside it, and signatures of known keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.errors import DeployerError
from tests.support.gpg import Keyring
from tests.support.vendors import FLATCAR, OPENBSD, UBUNTU, anaconda, iso, said, take, tree

OTHER = "0" * 64


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    (tmp_path / "isos").mkdir()
    return iso(tmp_path / "isos/ubuntu.iso", UBUNTU)


def sha256(file: Path, algorithm: str = "sha256") -> str:
    return hashlib.new(algorithm, file.read_bytes()).hexdigest()


def verified(folder: Path, source: Path, **asked: object) -> object:
    return take(folder, source, **asked).manifest["verified"]


# --- checksums --------------------------------------------------------------------------------


def test_a_checksum_that_was_given_vouches(tmp_path: Path, medium: Path) -> None:
    assert verified(tmp_path, medium, sha256=sha256(medium).upper()) == "SHA-256 as given"
    assert "nothing vouches" not in said(tmp_path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (OTHER, "ubuntu.iso has another SHA-256 than --sha256 says"),
        ("abc", "--sha256 abc is no SHA-256"),
        ("sha256:" + OTHER, "is no SHA-256"),
    ],
)
def test_a_wrong_checksum_is_refused(
    tmp_path: Path, medium: Path, given: str, words: str
) -> None:  # fmt: skip
    with pytest.raises(DeployerError, match=words):
        take(tmp_path, medium, sha256=given)
    assert list((tmp_path / "data").glob("images/*")) == []


LISTS = {
    "SHA256SUMS": "{other}  other.iso\n{sha256} *ubuntu.iso\n",
    "ubuntu.iso.sha256": "{sha256}\n",
    "ubuntu.iso.sha256sum": "{sha256}  ubuntu-24.04.3-as-the-mirror-calls-it.iso\n",
    "CHECKSUM": "# ubuntu.iso: 1 bytes\nSHA256 (ubuntu.iso) = {sha256}\n",
    "Ubuntu-24.04-CHECKSUM": "SHA256 (ubuntu.iso) = {sha256}\n",
    "ubuntu.iso.DIGESTS": "# SHA1 HASH\n{sha1}  ubuntu.iso\n# SHA512 HASH\n{sha512}  ubuntu.iso\n",
    "sha256sum.txt": "{sha256}  ./ubuntu.iso\r\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_beside_the_medium_vouches_in_whatever_style(
    tmp_path: Path, medium: Path, name: str
) -> None:
    sums = {name: sha256(medium, name) for name in ("sha1", "sha256", "sha512")}
    (medium.parent / name).write_text(LISTS[name].format(other=OTHER, **sums))
    assert verified(tmp_path, medium) == f"{name} beside it"
    (medium.parent / name).write_text(LISTS[name].format(**dict.fromkeys(sums, "f" * 64), other=""))
    if name != "ubuntu.iso.DIGESTS":  # which has only a SHA-256 as short as that
        with pytest.raises(
            DeployerError, match=rf"ubuntu\.iso has another SHA256 than {name} says"
        ):
            take(tmp_path, medium)


def test_a_list_without_the_medium_says_nothing_of_it(tmp_path: Path, medium: Path) -> None:
    (medium.parent / "SHA256SUMS").write_text(f"{OTHER}  other.iso\n")
    assert verified(tmp_path, medium) is None
    assert "nothing vouches for ubuntu.iso" in said(tmp_path)


def test_of_a_folder_each_file_is_compared(tmp_path: Path) -> None:
    folder = tree(tmp_path / "amd64", OPENBSD)
    assert verified(tmp_path, folder) == "1 of 3 files: SHA256 beside it"
    (folder / "BOOTX64.EFI").write_bytes(b"another loader")
    with pytest.raises(DeployerError, match=r"BOOTX64\.EFI has another SHA256 than SHA256 says"):
        take(tmp_path, folder)


def test_a_tree_tells_the_checksums_of_its_installer(tmp_path: Path) -> None:
    rocky = anaconda("Rocky Linux", "9.6")
    folder = tree(tmp_path / "rocky", rocky)
    assert verified(tmp_path, folder) == f"1 of {len(rocky)} files: .treeinfo beside it"
    (folder / "images/pxeboot/vmlinuz").write_bytes(b"another kernel")
    with pytest.raises(DeployerError, match=r"vmlinuz has another SHA256 than \.treeinfo says"):
        take(tmp_path, folder)


def test_a_folder_has_no_checksum_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(DeployerError, match="--sha256 is for one file, and this is a folder"):
        take(tmp_path, tree(tmp_path / "amd64", OPENBSD), sha256=OTHER)


# --- signatures -------------------------------------------------------------------------------


class Vendor:
    """A vendor's key, and one of a stranger."""

    def __init__(self, folder: Path) -> None:
        self.keys, self.stranger, self.folder = Keyring(), Keyring(), folder
        self.keys.make_key("Vendor <vendor@example.org>")
        self.stranger.make_key("Stranger <stranger@example.org>")
        self.keyring = folder / "vendor.gpg"
        self.keys.gpg("--output", str(self.keyring), "--export")
        listed = self.keys.gpg("--with-colons", "--fingerprint").splitlines()
        self.fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr"))

    def signs(self, file: Path, end: str, *, by: Keyring | None = None) -> None:
        kind = ["--clear-sign"] if end == "" else ["--detach-sign"]
        armour = ["--armor"] if end == ".asc" else []
        target = file.with_name(file.name + (end or ".new"))
        (by or self.keys).gpg("--yes", *armour, *kind, "--output", str(target), str(file))
        if end == "":
            target.replace(file)

    def close(self) -> None:
        self.keys.close()
        self.stranger.close()


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    made = Vendor(tmp_path_factory.mktemp("keys"))
    yield made
    made.close()


def listed(medium: Path) -> Path:
    sums = medium.parent / "SHA256SUMS"
    sums.write_text(f"{sha256(medium)} *{medium.name}\n")
    return sums


@pytest.mark.slow
@pytest.mark.parametrize("end", ["", ".gpg", ".asc", ".sig"])
def test_a_list_that_is_signed_vouches(
    tmp_path: Path, medium: Path, vendor: Vendor, end: str
) -> None:
    vendor.signs(listed(medium), end)
    words = f"SHA256SUMS, signed by {vendor.fingerprint}"
    assert verified(tmp_path, medium, keyring=vendor.keyring) == words
    assert verified(tmp_path, medium, keyring=vendor.keyring, sha256=sha256(medium)) == words
    # Without a keyring it is a list like any other.
    assert verified(tmp_path, medium) == "SHA256SUMS beside it"


def test_a_signature_of_the_medium_itself_vouches(
    tmp_path: Path, medium: Path, vendor: Vendor
) -> None:
    vendor.signs(medium, ".sig")
    assert verified(tmp_path, medium, keyring=vendor.keyring) == f"signed by {vendor.fingerprint}"
    with medium.open("ab") as file:
        file.write(b"one byte more")
    with pytest.raises(DeployerError, match=r"no key of .*vendor\.gpg has signed it"):
        take(tmp_path, medium, keyring=vendor.keyring)


def test_with_a_keyring_nothing_else_will_do(tmp_path: Path, medium: Path, vendor: Vendor) -> None:
    sums = listed(medium)
    for keep in (sums.read_text(), ""):
        sums.write_text(keep)
        with pytest.raises(DeployerError, match=r"nothing beside ubuntu\.iso is signed by it"):
            take(tmp_path, medium, keyring=vendor.keyring, sha256=sha256(medium))
    assert list((tmp_path / "data").glob("images/*")) == []


def test_a_strangers_signature_is_refused(tmp_path: Path, medium: Path, vendor: Vendor) -> None:
    for end in (".gpg", ""):
        vendor.signs(listed(medium), end, by=vendor.stranger)
        with pytest.raises(DeployerError, match=r"no key of .*vendor\.gpg has signed it"):
            take(tmp_path, medium, keyring=vendor.keyring)


def test_what_stands_beside_the_signed_text_does_not_count(
    tmp_path: Path, medium: Path, vendor: Vendor
) -> None:
    sums = medium.parent / "SHA256SUMS"
    sums.write_text(f"{OTHER}  other.iso\n")
    vendor.signs(sums, "")
    sums.write_text(sums.read_text() + f"\n{sha256(medium)}  ubuntu.iso\n")
    with pytest.raises(DeployerError):
        take(tmp_path, medium, keyring=vendor.keyring)


def test_keys_that_gpgv_cannot_read_are_told_how_to_be_made_so(
    tmp_path: Path, medium: Path, vendor: Vendor
) -> None:
    armoured = tmp_path / "vendor.asc"
    vendor.keys.gpg("--armor", "--output", str(armoured), "--export")
    with pytest.raises(DeployerError, match="is armoured") as refused:
        take(tmp_path, medium, keyring=armoured)
    assert "gpg --dearmor" in (refused.value.remedy or "")
    with pytest.raises(DeployerError, match=r"none\.gpg cannot be read"):
        take(tmp_path, medium, keyring=tmp_path / "none.gpg")


def test_of_a_folder_every_file_that_machines_start_must_be_signed(
    tmp_path: Path, vendor: Vendor
) -> None:
    folder = tree(tmp_path / "amd64-usr/current", FLATCAR)
    files = [name for name in FLATCAR if not name.endswith(".sig")]
    for name in files:
        vendor.signs(folder / name, ".sig")
    words = f"3 of 3 files: signed by {vendor.fingerprint}"
    assert verified(tmp_path, folder, keyring=vendor.keyring) == words
    (folder / "flatcar_production_pxe.vmlinuz.sig").unlink()
    with pytest.raises(DeployerError, match=r"nothing beside .*pxe\.vmlinuz is signed"):
        take(tmp_path, folder, keyring=vendor.keyring)
