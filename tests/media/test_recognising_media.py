"""Which medium is this? What is said of one that nobody knows, or that is of no use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deployer.answers.families import Catalogue
from deployer.errors import ConfigurationError, DeployerError
from deployer.media import vendors as media
from deployer.services import vendor_media
from deployer.settings import Settings
from tests import golden
from tests.support import vendors
from tests.support.vendors import COREOS, KERNEL, UBUNTU, anaconda, iso, take, tree


def test_for_a_medium_that_nobody_knows_it_is_listed_what_was_looked_for(tmp_path: Path) -> None:
    medium = iso(tmp_path / "unknown.iso", {"readme": "hello"}, "MY_DISC")
    with pytest.raises(DeployerError) as refused:
        take(tmp_path, medium)
    message = refused.value.message
    assert message.startswith(f"{medium} is no medium of these:\n")
    for line in (
        "  ubuntu, the live-server ISO: it has no .disk/info",
        "  openbsd, the folder of a release: it has no SHA256",
        "  talos, the ISO: the volume's name 'MY_DISC' does not match"
        " ^TALOS_V(?P<major>[0-9]+)_(?P<minor>[0-9]+)",
    ):
        assert f"{line}\n" in f"{message}\n"
    known = {name for name in golden.families() if golden.found(name).family.media}
    listed = {line.split(",")[0].strip() for line in message.splitlines()[1:]}
    assert listed == known - {"fai", "image", "live"}, "which are made here"


@pytest.mark.parametrize(
    ("files", "label", "remedy"),
    [
        ({".disk/info": "Debian GNU/Linux 12.9.0 \"Bookworm\" - Official amd64 NETINST"}, "D",
         "deployer image add debian-12"),
        ({".disk/info": 'Ubuntu 24.04.3 LTS "Noble Numbat" - Release amd64'}, "U", "live-server"),
        ({".alpine-release": "alpine-3.22.1 250715", "boot/vmlinuz-lts": KERNEL}, "alpine-std",
         "alpine-netboot"),
        ({"usr/freebsd-dist/MANIFEST": "base.txz"}, "14_3_RELEASE_AMD64_CD", "freebsd/family.yaml"),
        ({"7.8/amd64/SHA256": "SHA256"}, "OpenBSD/amd64   7.8 Install CD", "take the folder"),
        ({"media.1/media": "SUSE - SLE-15-SP6-Online-x86_64-Build45.2-Media\n"}, "SLE",
         "take the Full ISO"),
    ],
    ids=["debian", "ubuntu desktop", "alpine", "freebsd", "openbsd", "sles online"],
)  # fmt: skip
def test_a_medium_that_is_known_to_be_of_no_use_says_which_is(
    tmp_path: Path, files: vendors.Files, label: str, remedy: str
) -> None:
    with pytest.raises(DeployerError, match="which cannot be used") as refused:
        take(tmp_path, iso(tmp_path / "medium.iso", files, label))
    assert remedy in (refused.value.remedy or "")


@pytest.mark.parametrize(
    ("family", "version", "release"),
    [
        ("Red Hat Enterprise Linux", "9.6", "rhel-9"), ("AlmaLinux", "10.0", "alma-10"),
        ("Oracle Linux Server", "8.10", "oracle-8"), ("Rocky Linux Minimal", "8.10", "rocky-8"),
        ("CentOS Stream", "9", "stream-9"),
    ],
)  # fmt: skip
def test_kin_of_red_hat_are_told_apart(
    tmp_path: Path, family: str, version: str, release: str
) -> None:
    medium = iso(tmp_path / "dvd.iso", anaconda(family, version))
    assert take(tmp_path, medium).manifest["release"] == release


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Rocky-9-6-x86_64-boot", "rocky-9-x86_64"), ("RHEL-10-0-BaseOS-aarch64", "rhel-10-arm64"),
        ("OL-9-6-0-BaseOS-x86_64", "oracle-9-x86_64"),
        ("CentOS-Stream-9-BaseOS-x86_64", "stream-9-x86_64"),
        ("AlmaLinux-8-10-x86_64-dvd", "alma-8-x86_64"),
        ("Fedora-E-dvd-aarch64-44", "fedora-44-arm64"),
    ],
)  # fmt: skip
def test_an_iso_without_a_treeinfo_is_known_by_its_label(
    tmp_path: Path, label: str, name: str
) -> None:
    files = {path: text for path, text in anaconda("", "").items() if path != ".treeinfo"}
    assert take(tmp_path, iso(tmp_path / "netinst.iso", files, label)).manifest["name"] == name


@pytest.mark.parametrize(("number", "release"), [("3", "stable"), ("2", "testing")])
def test_streams_of_coreos_are_told_by_a_number(tmp_path: Path, number: str, release: str) -> None:
    label = f"fedora-coreos-44.20260512.{number}.1"
    image = take(tmp_path, iso(tmp_path / "live.aarch64.iso", COREOS, label))
    assert image.manifest["release"] == release
    assert image.manifest["arch"] == "arm64"
    assert image.manifest["version"] == label.removeprefix("fedora-coreos-")


def test_a_release_without_a_recipe_is_refused_with_those_that_have_one(tmp_path: Path) -> None:
    info = 'Ubuntu-Server 23.10 "Mantic Minotaur" - Release amd64 (20231016)'
    medium = iso(tmp_path / "mantic.iso", {**UBUNTU, ".disk/info": info})
    with pytest.raises(DeployerError, match=r"is ubuntu 23\.10 for x86_64, and there is no recipe"
                       ) as refused:  # fmt: skip
        take(tmp_path, medium)
    assert "20.04, 22.04, 24.04, 26.04" in (refused.value.remedy or "")
    # Who knows better may say so.
    assert take(tmp_path, medium, release="24.04").manifest["name"] == "ubuntu-24.04-x86_64"


def test_a_processor_is_asked_for_where_the_medium_does_not_say_it(tmp_path: Path) -> None:
    medium = iso(tmp_path / "live.iso", COREOS, "fedora-coreos-44.20260512.3.0")
    with pytest.raises(DeployerError, match="does not say which processor it is for") as refused:
        take(tmp_path, medium)
    assert refused.value.remedy == "say it: --arch x86_64 or arm64"
    assert take(tmp_path, medium, arch="arm64").manifest["name"] == "fedora-coreos-stable-arm64"


def test_what_firmware_would_start_tells_the_processor(tmp_path: Path) -> None:
    files = {**COREOS, "EFI/BOOT/BOOTAA64.EFI": b"MZ"}
    medium = iso(tmp_path / "live.iso", files, "fedora-coreos-44.20260512.3.0")
    assert take(tmp_path, medium).manifest["arch"] == "arm64"


def test_a_processor_that_contradicts_the_medium_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployerError, match=r"ubuntu\.iso is for x86_64, not arm64"):
        take(tmp_path, iso(tmp_path / "ubuntu.iso", UBUNTU), arch="arm64")


def test_a_processor_that_nothing_is_for_is_refused(tmp_path: Path) -> None:
    medium = iso(tmp_path / "dvd.iso", anaconda("Rocky Linux", "9.6", "ppc64le"))
    with pytest.raises(DeployerError, match=r"dvd\.iso is for ppc64le, and nothing here is"):
        take(tmp_path, medium, arch="x86_64")


def test_a_release_is_asked_for_where_the_medium_does_not_say_it(tmp_path: Path) -> None:
    folder = tree(tmp_path / "netboot", vendors.ALPINE)
    with pytest.raises(DeployerError, match="does not say which release it is") as refused:
        take(tmp_path, folder, arch="x86_64")
    assert refused.value.remedy == "say it: --release 3.20 or 3.21 or 3.22 or 3.23"
    image = take(tmp_path, folder, arch="x86_64", release="3.21")
    assert image.manifest["name"] == "alpine-3.21-x86_64"


@pytest.mark.slow
def test_a_name_that_no_recipe_looks_for_is_refused(tmp_path: Path) -> None:
    medium = iso(tmp_path / "ubuntu.iso", UBUNTU)
    with pytest.raises(DeployerError, match=r"image ubuntu-24\.04-x86_64, and would not find mine"):
        take(tmp_path, medium, name="mine")
    with pytest.raises(DeployerError, match="the image's name must begin with a letter or digit"):
        take(tmp_path, medium, name="../mine")


def test_a_medium_that_lacks_a_file_is_refused_by_its_name(tmp_path: Path) -> None:
    files = {name: text for name, text in UBUNTU.items() if name != "casper/initrd"}
    with pytest.raises(DeployerError, match="has no casper/initrd, which its recipe needs"):
        take(tmp_path, iso(tmp_path / "ubuntu.iso", files))


def test_adding_it_again_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    take(tmp_path, iso(tmp_path / "one.iso", UBUNTU))
    image = take(tmp_path, iso(tmp_path / "two.iso", {**UBUNTU, "casper/initrd": b"newer"}))
    assert (image.folder / "casper/initrd").read_bytes() == b"newer"
    assert [path.name for path in image.folder.parent.iterdir()] == ["ubuntu-24.04-x86_64"]


# --- a family of one's own --------------------------------------------------------------------

OWN = """\
label: Our appliance
installer: ignition
arches: [x86_64]
layouts: [plain]
media:
  - medium: our USB stick
    example: stick/
    recognise: [{file: APPLIANCE, find: '^version=(?P<version>[0-9]+)'}]
    release: "{{ version }}"
    files: [{path: vmlinuz, name: kernel}]
    facts: {colour: {file: kernel, find: 'colour (\\w+)'}}
boot: {image: "appliance-{{ release }}", kernel: kernel}
answers: [{path: a.ign, template: a.ign.j2, format: json}]
releases: [{version: "7"}]
"""


def own_families(folder: Path, text: str = OWN) -> Catalogue:
    tree(folder / "families", {"appliance/family.yaml": text})
    return Catalogue([folder / "families", golden.ANSWERFILES])


def test_a_family_of_ones_own_tells_of_its_media(tmp_path: Path) -> None:
    stick = tree(tmp_path / "stick", {"APPLIANCE": "name=x\nversion=7\n", "vmlinuz": "colour red"})
    image = vendor_media.take_in(
        Settings(data_dir=tmp_path / "data", database_url=""), own_families(tmp_path),
        media.Asked(str(stick)), None, lambda _: None,
    )  # fmt: skip
    assert image.manifest["name"] == "appliance-7"
    assert image.manifest["colour"] == "red"


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("(?P<version>[0-9]+)", "(?P<version>[0-9]+", "must be a regular expression"),
        ("recognise: [{", "recognise: [{label: x, ", "a sign has a file, a label, a place or any"),
        ("name: kernel}]", "name: ../kernel}]", "must be relative"),
        ("facts: {colour:", "facts: {files:", "files is not for a family to say"),
        ("    files: [{path: vmlinuz, name: kernel}]\n", "", "say what is taken from it"),
        ("    release:", "    relaese:", "Extra inputs are not permitted"),
    ],
)
def test_a_family_that_tells_nonsense_of_its_media_is_refused(
    tmp_path: Path, right: str, wrong: str, words: str
) -> None:
    assert right in OWN
    with pytest.raises(ConfigurationError, match=words) as refused:
        own_families(tmp_path, OWN.replace(right, wrong))
    assert re.search(r"appliance/family.yaml, line \d+: media.0", refused.value.message)
