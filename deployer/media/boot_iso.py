"""boot.iso: the room that is left in it for what only a service knows, its own address.

It is built with two files that say nothing yet. They are filled when it is served.
"""

from __future__ import annotations

from collections.abc import Mapping

from deployer.errors import Invalid

IMAGE, NAME = "loaders", "boot.iso"
# What iPXE runs (BIOS), and what GRUB reads (UEFI); below /deployer of the ISO.
SLOTS = ("boot.ipxe", "grub.cfg")
SIZE = 4096


def slot(name: str) -> bytes:
    """Such a file as it is built."""
    return f"# Deployer writes here, when it serves this ISO: {name}\n".encode().ljust(SIZE, b"\n")


def check(address: str, texts: Mapping[str, str]) -> None:
    """Invalid when a text, with the service's address in it, is too long for its slot."""
    for name, text in texts.items():
        if (length := len(text.encode())) > SIZE:
            raise Invalid(
                f"with this address {name} has {length} bytes, and {NAME} has room for {SIZE}",
                field="DEPLOYER_MACHINE_URL", value=address, remedy="choose a shorter URL",
            )  # fmt: skip


def filled(iso: bytes, texts: Mapping[str, str]) -> bytes:
    """`iso` with the text of every slot in its place; all of them fit (`check`)."""
    for name in SLOTS:
        if iso.count(slot(name)) != 1:
            raise Invalid(
                f"{NAME} of the image {IMAGE} has no place for {name}", field=NAME,
                remedy=f"run `deployer image build {IMAGE}` on the server",
            )  # fmt: skip
        iso = iso.replace(slot(name), texts[name].encode().ljust(SIZE, b"\n"))
    return iso
