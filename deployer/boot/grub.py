"""The boot decision as a grub.cfg, for sites whose chain is shim and GRUB (Secure Boot).

https://www.gnu.org/software/grub/manual/grub/grub.html#Shell_002dlike-scripting
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from deployer.core.bootspec import (
    EFI_LOADERS,
    BootDecision,
    InstallerBoot,
    KernelArgument,
    LocalBoot,
)


def quoted(text: str) -> str:
    """One word for GRUB's shell, whatever `text` holds."""
    return "'" + text.replace("'", "'\\''") + "'"


def arguments(args: Sequence[KernelArgument]) -> str:
    """Arguments as GRUB takes them: each one quoted, so that `;`, `&` and `{` are plain."""
    return " ".join(quoted(str(argument)) for argument in args)


def path(url: str) -> str:
    """A URL as GRUB names files: (http,host:port)/path."""
    parts = urlsplit(url)
    return f"({parts.scheme},{parts.netloc}){parts.path}"


def script(decision: BootDecision) -> str:
    """What this machine boots."""
    return _installer(decision) if isinstance(decision, InstallerBoot) else _local(decision)


def unanswered() -> str:
    """The commands that boot the own disk, for a menu that has asked us in vain."""
    return _local(LocalBoot("auto", "uefi", "no answer"))


def _installer(boot: InstallerBoot) -> str:
    me = f"Deployer {boot.short_id}:"
    if "grub" not in boot.loaders:
        needed = f"{me} GRUB cannot start this installer, {' or '.join(boot.loaders)} is needed"
        return f"echo {quoted(needed)}\nsleep 10\n" + unanswered()
    initrds = " ".join(quoted(path(each.url)) for each in boot.initrds)
    return "\n".join(
        [
            f"echo {quoted(f'{me} {boot.title}')}",
            "for try in 1 2 3 4 5; do",
            f"  if linux {quoted(path(boot.kernel_url))} {arguments(boot.arguments)}; then",
            f"    if initrd {initrds}; then boot; fi",
            "  fi",
            f"  echo {quoted(f'{me} could not load, waiting before the next try')}",
            "  sleep 5",
            "done",
            f"echo {quoted(f'{me} giving up, booting the local disk')}",
            "exit",
            "",
        ]
    )


def _local(boot: LocalBoot) -> str:
    """BIOS goes on to the next device after `exit`; UEFI is shown the disk's own loader."""
    if boot.method in ("exit", "exit1"):
        return "exit\n"
    return "\n".join(
        [
            'if [ "$grub_platform" = efi ]; then',
            f"  for file in {' '.join(EFI_LOADERS)}; do",
            "    if search --no-floppy --set=root --file $file; then chainloader $file; boot; fi",
            "  done",
            "fi",
            "exit",
            "",
        ]
    )
