"""`deployer image add`: what is said of a vendor's medium, and what is registered."""

from __future__ import annotations

import json
import os
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Run, Server
from tests.support.vendors import ESXI, UBUNTU, iso, plain_iso, proxmox, tree

NAME = "ubuntu-24.04.3-live-server-amd64.iso"


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    return iso(tmp_path / NAME, UBUNTU)


def test_an_iso_becomes_the_image_that_profiles_look_for(
    server: Server, run: Run, medium: Path
) -> None:
    said = run("image", "add", medium)
    assert said.out == (
        "ubuntu-24.04-x86_64 is registered\n"
        "profiles install it with:\nos: ubuntu\nrelease: '24.04'\narch: x86_64\n"
    )
    assert said.err == (
        f"looking into {NAME}\n"
        f"{NAME} is Ubuntu Server: the live-server ISO\n"
        f"nothing vouches for {NAME}: no --sha256 was given, and no list of checksums lies beside"
        " it\n"
    )
    image = server.parts.settings.images_dir / "ubuntu-24.04-x86_64"
    assert (image / "ubuntu.iso").read_bytes() == medium.read_bytes()
    shown = json.loads(run("image", "show", "ubuntu-24.04-x86_64", "--json").out)
    assert [file["path"] for file in shown["files"]] == [
        "casper/initrd", "casper/vmlinuz", "ubuntu.iso",
    ]  # fmt: skip
    assert (shown["made_of"], shown["verified"]) == (NAME, None)


def test_a_profile_of_it_is_accepted_and_its_boot_script_names_its_files(
    server: Server, run: Run, medium: Path, folder: Path
) -> None:
    run("image", "add", medium)
    tree(folder, {"fleet/all.yaml": "kind: host\nname: web01\nmacs: ['52:54:00:12:34:56']\n---\n"
                  "kind: profile\nname: noble\nos: ubuntu\nrelease: '24.04'\nverify: false\n"
                  "users: [{name: ops, sudo: true}]\n"})  # fmt: skip
    assert run("apply", "-f", "fleet").code == 0
    planned = httpx.post(
        f"{server.url}/api/v1/deployments?dry_run=true", trust_env=False,
        json={"host": "web01", "profile": "noble"},
        headers={"Authorization": f"Bearer {os.environ['DEPLOYER_TOKEN']}"},
    ).json()  # fmt: skip
    assert planned["findings"] == []
    script = planned["boot"]["ipxe"]
    for file in ("casper/vmlinuz", "casper/initrd", "ubuntu.iso"):
        assert f"http://10.0.0.5:8081/images/ubuntu-24.04-x86_64/{file}" in script


def test_an_image_with_a_name_of_its_own_is_named_in_vars(run: Run, tmp_path: Path) -> None:
    medium = plain_iso(tmp_path / "esxi.iso", ESXI, "ESXI-8.0U3")
    assert run("image", "add", medium, "--name", "esxi-maker").out == (
        "esxi-maker is registered\n"
        "profiles install it with:\nos: esxi\nrelease: '8.0'\narch: x86_64\nvars:\n"
        "  image: esxi-maker\n"
    )


@pytest.mark.slow
def test_what_a_manifest_calls_a_release_may_be_more_than_what_profiles_do(
    server: Server, run: Run, tmp_path: Path
) -> None:
    said = run("image", "add", proxmox(tmp_path / "proxmox-ve_9.0-1.iso")).out
    assert "release: '9'\n" in said
    shown = run("image", "show", "proxmox-ve-9-x86_64", "--json").out
    assert json.loads(shown)["release"] == "9.0"


def test_an_image_may_be_made_in_a_folder_and_added_from_there(
    server: Server, run: Run, medium: Path, folder: Path
) -> None:
    made = run("image", "add", medium, "--dir", "made")
    assert made.out == "add it with: deployer image add made\n"
    assert "ubuntu" not in run("image", "list").out
    assert run("image", "add", "made").out == "ubuntu-24.04-x86_64 is registered\n"
    assert (server.parts.settings.images_dir / "ubuntu-24.04-x86_64/ubuntu.iso").exists()


def test_a_folder_with_other_things_in_it_is_left_alone(
    run: Run, medium: Path, folder: Path
) -> None:
    tree(folder, {"mine/thesis.txt": "years of work"})
    refused = run("image", "add", medium, "--dir", "mine")
    assert "mine holds other things than an image" in refused.err
    assert (folder / "mine/thesis.txt").read_text() == "years of work"


def test_a_medium_that_is_refused_is_not_registered(server: Server, run: Run, medium: Path) -> None:
    refused = run("image", "add", medium, "--sha256", "0" * 64)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        f"error: {NAME} has another SHA-256 than --sha256 says\n"
        "  remedy: fetch it again; if that does not help, ask where it came from\n"
    )
    listed = run("image", "list").out
    assert "live-x86_64" in listed and "ubuntu" not in listed


def test_a_folder_of_one_s_own_families_is_asked_first(
    run: Run, medium: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(folder, {"own/ubuntu/family.yaml": """\
label: Our Ubuntu
installer: subiquity
arches: [x86_64]
layouts: [plain]
media:
  - medium: our ISO
    example: our.iso
    recognise: [{file: .disk/info}]
    release: "1"
    files: [casper/initrd]
boot: {image: ours, kernel: casper/initrd}
answers: [{path: user-data, template: user-data.j2, format: yaml}]
releases: [{version: "1"}]
"""})  # fmt: skip
    monkeypatch.setenv("DEPLOYER_ANSWERFILES", str(folder / "own"))
    assert run("image", "add", medium).out.startswith("ours is registered\n")


@pytest.mark.parametrize(
    ("source", "arguments", "words"),
    [
        ("debian-12", ["--sha256", "0" * 64], "--sha256 is for vendors' media, and debian-12 is"),
        ("disk.raw", ["--release", "9"], "--release is for vendors' media, and disk.raw is none"),
        ("disk.raw", ["--with", "wimboot"], "--with is for vendors' media, and disk.raw is none"),
        ("disk.raw", ["--sha256", "0" * 64], "disk.raw has another SHA-256 than --sha256 says"),
        ("disk.raw", ["--arch", "sparc"], "there is no arch 'sparc'"),
    ],
)
def test_what_means_nothing_or_is_wrong_is_refused(
    run: Run, folder: Path, source: str, arguments: list[str], words: str
) -> None:
    (folder / "disk.raw").write_bytes(bytes(2**20))
    refused = run("image", "add", source, *arguments)
    assert refused.code != 0
    assert words in refused.err
