"""The one table: which program a machine's firmware is given first, or why it is given none.

The numbers are DHCP option 93, "Processor Architecture Types" of IANA's list "Dynamic Host
Configuration Protocol for IPv6 (DHCPv6)", first written down in RFC 4578, section 2.1.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from deployer.core.inventory import Firmware
from deployer.core.profiles import Arch


class Loader(StrEnum):
    """What a site wants its machines to load first."""

    IPXE = "ipxe"
    GRUB = "grub"
    PXELINUX = "pxelinux"


@dataclass(frozen=True)
class Client:
    """Firmware that asks for a boot program. `http`: by UEFI HTTP boot, not by TFTP."""

    code: int
    label: str
    arch: Arch
    firmware: Firmware
    http: bool = False


CLIENTS = {
    client.code: client
    for client in (
        Client(0, "x86 BIOS", "x86_64", "bios"),
        Client(6, "UEFI x86, 32 bit", "i386", "uefi"),
        Client(7, "UEFI x86_64", "x86_64", "uefi"),
        # By the letter of IANA's list 9 is x86_64 and 7 is EFI byte code; nearly all firmware
        # sends 7, some sends 9.
        Client(9, "UEFI x86_64 (9)", "x86_64", "uefi"),
        Client(10, "UEFI ARM, 32 bit", "armhf", "uefi"),
        Client(11, "UEFI ARM, 64 bit", "arm64", "uefi"),
        Client(15, "UEFI HTTP boot, x86, 32 bit", "i386", "uefi", http=True),
        Client(16, "UEFI HTTP boot, x86_64", "x86_64", "uefi", http=True),
        Client(18, "UEFI HTTP boot, ARM, 32 bit", "armhf", "uefi", http=True),
        Client(19, "UEFI HTTP boot, ARM, 64 bit", "arm64", "uefi", http=True),
    )
}

_REFUSED = {
    1: "NEC PC-98", 2: "Itanium", 3: "DEC Alpha", 4: "Arc x86", 5: "Intel Lean Client",
    8: "XScale", 17: "HTTP boot of EFI byte code", 20: "HTTP boot of a BIOS",
    21: "ARM, 32 bit, U-Boot", 22: "ARM, 64 bit, U-Boot", 23: "HTTP boot of ARM, 32 bit, U-Boot",
    24: "HTTP boot of ARM, 64 bit, U-Boot", 25: "RISC-V, 32 bit", 26: "HTTP boot of RISC-V, 32 bit",
    27: "RISC-V, 64 bit", 28: "HTTP boot of RISC-V, 64 bit", 29: "RISC-V, 128 bit",
    30: "HTTP boot of RISC-V, 128 bit", 31: "s390", 37: "LoongArch, 32 bit",
    39: "LoongArch, 64 bit",
}  # fmt: skip

Kind = tuple[Arch, Firmware]

# The first one that is in the image `loaders`. Debian 12's iPXE is for x86 alone; Debian 13's has
# arm64. Everybody else is given GRUB, which asks the same questions.
_IPXE: dict[Kind, tuple[str, ...]] = {
    ("x86_64", "bios"): ("undionly.kpxe",),
    # With the firmware's own network driver. OVMF of 2022.11 starts both; ipxe.efi is five times
    # as large and fails on cards that it has no driver for.
    ("x86_64", "uefi"): ("snponly.efi", "ipxe.efi"),
    ("i386", "uefi"): ("grub-i386.efi",),
    ("arm64", "uefi"): ("ipxe-arm64.efi", "grub-arm64.efi"),
    ("armhf", "uefi"): ("grub-arm.efi",),
}
_GRUB: dict[Kind, tuple[str, ...]] = {
    ("x86_64", "bios"): ("grub-i386-pc.0",),
    ("x86_64", "uefi"): ("grub-x86_64.efi",),
    ("i386", "uefi"): ("grub-i386.efi",),
    ("arm64", "uefi"): ("grub-arm64.efi",),
    ("armhf", "uefi"): ("grub-arm.efi",),
}
LOADERS: dict[Loader, dict[Kind, tuple[str, ...]]] = {
    Loader.IPXE: _IPXE,
    Loader.GRUB: _GRUB,
    # What PXELINUX starts is ipxe.lkrn, which is for BIOS; UEFI can start iPXE itself.
    Loader.PXELINUX: {**_IPXE, ("x86_64", "bios"): ("lpxelinux.0", "pxelinux.0")},
}
# Signed by Microsoft (shim) and Debian (GRUB).
SIGNED: dict[Kind, tuple[str, ...]] = {
    ("x86_64", "uefi"): ("shimx64.efi",),
    ("arm64", "uefi"): ("shimaa64.efi",),
}
_NEWER = {"ipxe-arm64.efi"}
# What a loader fetches next, from the same folder; without these it is of no use.
NEEDS = {
    "shimx64.efi": ("grubx64.efi",),
    "shimaa64.efi": ("grubaa64.efi",),
    "lpxelinux.0": ("ldlinux.c32", "ipxe.lkrn"),
    "pxelinux.0": ("ldlinux.c32", "ipxe.lkrn"),
}


@dataclass(frozen=True)
class Offer:
    """This file, from the TFTP root or from the image by HTTP."""

    client: Client
    file: str


@dataclass(frozen=True)
class Refusal:
    """No loader. `reason` says whose fault it is and what would help."""

    code: int
    reason: str


def choose(code: int, want: Loader, secure: bool, available: Collection[str]) -> Offer | Refusal:
    """For firmware that sends `code`; `secure`: it enforces Secure Boot, so unsigned is no use.

    `available`: the files of the image `loaders`.
    """
    client = CLIENTS.get(code)
    if client is None:
        name = _REFUSED.get(code, "not known here")
        return Refusal(code, f"there is no loader for client architecture {code} ({name})")
    kind: Kind = (client.arch, client.firmware)
    wanted = SIGNED.get(kind, ()) if secure else LOADERS[want].get(kind, ())
    if not wanted:
        return Refusal(code, _unsigned(client))
    for file in wanted:
        if file in available and all(other in available for other in NEEDS.get(file, ())):
            return Offer(client, file)
    return Refusal(
        code,
        f"the image loaders holds no {' or '.join(wanted)} for {client.label}: see what"
        " `deployer image show loaders` lists under left_out",
    )


def _unsigned(client: Client) -> str:
    if client.firmware == "bios":
        return (
            "the host is marked secure_boot, and BIOS firmware asks: a BIOS knows no Secure Boot;"
            " set the machine to UEFI, or correct secure_boot"
        )
    return f"nobody signs a loader for {client.label}, and the host is marked secure_boot"


def offers(want: Loader, secure: bool, available: Collection[str]) -> list[Offer]:
    """For every firmware that gets a loader, by number."""
    found = (choose(code, want, secure, available) for code in CLIENTS)
    return [one for one in found if isinstance(one, Offer)]


def standard() -> frozenset[str]:
    """The files of an image that lacks nothing of what Debian 12 has."""
    every = {file for table in (*LOADERS.values(), SIGNED) for files in table.values()
             for file in files}  # fmt: skip
    return frozenset(every | {other for needs in NEEDS.values() for other in needs}) - _NEWER
