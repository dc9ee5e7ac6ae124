"""What a machine can be told to boot, as values; loaders only print them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from deployer.core.text import is_plain_line

# Another program than Linux has options, and a URL may follow one (mboot's `-c URL`).
_ARGUMENT_NAME = re.compile(
    r"-?[A-Za-z0-9][A-Za-z0-9._/:-]{0,99}|https?://[A-Za-z0-9._/:\[\]-]{1,400}", re.ASCII
)

# Where installed systems have their loader on an EFI system partition, the removable path first:
# every installer here writes it, and it needs no entry in the firmware.
EFI_LOADERS = (
    "/EFI/BOOT/BOOTX64.EFI",
    "/EFI/BOOT/BOOTAA64.EFI",
    "/EFI/debian/shimx64.efi",
    "/EFI/debian/grubx64.efi",
    "/EFI/ubuntu/shimx64.efi",
    "/EFI/redhat/shimx64.efi",
    "/EFI/centos/shimx64.efi",
    "/EFI/rocky/shimx64.efi",
    "/EFI/almalinux/shimx64.efi",
    "/EFI/fedora/shimx64.efi",
    "/EFI/opensuse/shim.efi",
    "/EFI/sles/shim.efi",
    "/EFI/Microsoft/Boot/bootmgfw.efi",
)


@dataclass(frozen=True)
class KernelArgument:
    """One word of a kernel command line: `quiet`, or `console=ttyS0,115200`.

    ValueError when no loader could carry it unchanged. iPXE has no quoting: it splits at blanks,
    expands `${`, and takes the words `||`, `&&` and `#` for its own.
    """

    name: str
    value: str | None = None

    def __post_init__(self) -> None:
        if not _ARGUMENT_NAME.fullmatch(self.name) and self.name != "---":
            raise ValueError(f"kernel argument name {self.name!r} holds characters that none has")
        value = self.value or ""
        if not is_plain_line(value) or not value.isascii():
            raise ValueError(f"kernel argument {self.name} has a control or non-ASCII character")
        if re.search(r"[\s\"'`\\]|\$\{|\$\(", value):
            raise ValueError(
                f"kernel argument {self.name} has a blank, quote, backslash, backtick or '${{'"
                " in its value; boot loaders cannot carry these"
            )

    @classmethod
    def parse(cls, text: str) -> KernelArgument:
        name, equals, value = text.partition("=")
        return cls(name, value if equals else None)

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value}"


@dataclass(frozen=True)
class LocalBoot:
    """Boot the own disk: the answer to everybody but a live deployment. `reason` is for us."""

    method: Literal["auto", "exit", "exit1", "sanboot", "chain"]
    firmware: Literal["bios", "uefi"]
    reason: str
    loader_url: str | None = None


@dataclass(frozen=True)
class Initrd:
    """A file that is loaded beside the kernel; `name`: what the loaded program knows it by."""

    url: str
    name: str


@dataclass(frozen=True)
class InstallerBoot:
    """Boot this kernel and these initrds with these arguments.

    `linux`: it is one, and is told its initrds' names; `loaders`: those that can start it.
    """

    title: str
    short_id: str
    kernel_url: str
    initrds: tuple[Initrd, ...]
    arguments: tuple[KernelArgument, ...]
    linux: bool = True
    loaders: tuple[str, ...] = ("ipxe", "grub")


BootDecision = LocalBoot | InstallerBoot
