"""local.efi: a small GRUB that finds the loader of whatever is installed on the local disk."""

from __future__ import annotations

import tarfile
from pathlib import Path

from deployer.core.bootspec import EFI_LOADERS
from deployer.media.build.workshop import GRUB_MODULES, run

# A loader for UEFI firmware that does not go on to the disk by itself. It looks where installed
# systems put theirs, on hard disks only: (hd*), as GRUB calls them, never (cd*).
_LOADER_CONFIG = f"""\
echo "Deployer: looking for the loader on the local disk"
for part in (hd*,gpt*) (hd*,msdos*); do
  for file in {" ".join(EFI_LOADERS)}; do
    if [ -f $part$file ]; then
      echo "Deployer: starting $part$file"
      # The next loader finds its own files from the device that it was started from.
      set root=$part
      chainloader $part$file
      boot
    fi
  done
done
echo "Deployer: no loader found on any local disk, back to the firmware"
sleep 2
exit
"""
_LOADER_MODULES = [
    "memdisk", "tar", "part_gpt", "part_msdos", "fat", "chain", "boot", "echo", "normal", "test",
    "sleep", "minicmd", "regexp",
]  # fmt: skip


def make_loader(target: Path, work: Path) -> None:
    # In a memory disk, because a configuration given with -c is read by GRUB's rescue parser, which
    # knows no loops.
    config = work / "grub.cfg"
    config.write_text(_LOADER_CONFIG)
    memdisk = work / "memdisk.tar"
    with tarfile.open(memdisk, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(config, "boot/grub/grub.cfg")
    run("grub-mkimage", "-O", "x86_64-efi", "-d", str(GRUB_MODULES), "-p", "(memdisk)/boot/grub",
         "-m", str(memdisk), "-o", str(target), *_LOADER_MODULES)  # fmt: skip
