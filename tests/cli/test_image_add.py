"""`deployer image add`: what is said of a vendor's medium, and what is registered."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run, Server
from tests.support.vendors import UBUNTU, iso


def test_an_iso_becomes_the_image_that_profiles_look_for(
    server: Server, run: Run, tmp_path: Path
) -> None:  # fmt: skip
    medium = iso(tmp_path / "ubuntu-24.04.3-live-server-amd64.iso", UBUNTU)
    said = run("image", "add", medium)
    assert said.out == (
        "ubuntu-24.04-x86_64 is registered\n"
        'profiles install it with:\n  os: "ubuntu"\n  release: "24.04"\n  arch: "x86_64"\n'
    )
    assert "nothing vouches for ubuntu-24.04.3-live-server-amd64.iso" in said.err
    image = server.parts.settings.images_dir / "ubuntu-24.04-x86_64"
    assert (image / "ubuntu.iso").read_bytes() == medium.read_bytes()
    assert (image / "casper/vmlinuz").read_bytes() == b"MZ kernel"
    manifest = json.loads((image / "image.json").read_text())
    assert [file["path"] for file in manifest["files"]] == [
        "casper/initrd", "casper/vmlinuz", "ubuntu.iso",
    ]  # fmt: skip
