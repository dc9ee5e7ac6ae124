"""What a Linux machine with UEFI answers to the commands of the ssh driver."""

from __future__ import annotations

import re

# As QEMU's OVMF and efibootmgr 17 print it.
ENTRIES = (
    "Boot0000* UiApp\tFvVol(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(462caa21)\n"
    "Boot0001* debian\tHD(1,GPT,4d0a,0x800,0x100000)/File(\\EFI\\debian\\shimx64.efi)\n"
    "Boot0002* UEFI PXEv4 (MAC:525400999999)\tPciRoot(0x0)/Pci(0x2,0x0)/MAC(525400999999,1)"
    "/IPv4(0.0.0.00.0.0.0,0,0)N.....YM....R,Y.\n"
    "Boot0003* UEFI HTTPv4 (MAC:525400123456)\tPciRoot(0x0)/Pci(0x3,0x0)/MAC(525400123456,1)"
    "/IPv4(0.0.0.00.0.0.0,0,0)/Uri()N.....YM....R,Y.\n"
    "Boot0004  UEFI PXEv4 (MAC:525400123456)\tPciRoot(0x0)/Pci(0x3,0x0)/MAC(525400123456,1)"
    "/IPv4(0.0.0.00.0.0.0,0,0)N.....YM....R,Y.\n"
    "Boot000A* UEFI PXEv4 (MAC:525400123456)\tPciRoot(0x0)/Pci(0x3,0x0)/MAC(525400123456,1)"
    "/IPv4(0.0.0.00.0.0.0,0,0)N.....YM....R,Y.\n"
)


class UefiLinux:
    """Called with a command; `boot_next` is the firmware's variable, `reboots` are counted."""

    def __init__(self, *, entries: str = ENTRIES, keeps_boot_next: bool = True) -> None:
        self.entries, self.keeps_boot_next = entries, keeps_boot_next
        self.boot_next: str | None = None
        self.reboots = 0

    def __call__(self, command: str) -> str | tuple[str, int | None]:
        command = command.removeprefix("sudo -n ").removesuffix(" 2>&1")
        if command == "reboot":
            self.reboots += 1
            return "", None
        if chosen := re.fullmatch(r"efibootmgr -n ([0-9A-F]{4})", command):
            self.boot_next = chosen[1] if self.keeps_boot_next else None
            return self._listed()
        if command in ("efibootmgr", "efibootmgr -v"):
            return self._listed()
        if command.startswith("head -qn1 /sys/class/dmi/id/"):
            return "QEMU\nStandard PC (Q35 + ICH9, 2009)\n2024.02-2\n"
        return f"sh: {command}: not found", 127

    def _listed(self) -> str:
        following = f"BootNext: {self.boot_next}\n" if self.boot_next else ""
        return f"{following}BootCurrent: 0001\nTimeout: 3 seconds\n{self.entries}"
