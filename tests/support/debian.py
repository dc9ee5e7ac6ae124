"""The installer's own initrd, unpacked: its busybox, wget and debconf's surroundings, in a chroot.

What the kernel would tell (/sys, /proc) are plain files that a test writes.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache/images"

_RECORDER = """\
#!/bin/sh
printf '%s\\n' "$*" >> /tmp/{name}
"""


def in_chroot(root: Path, *command: str) -> list[str]:
    """A command in namespaces of its own: `reboot`, and what it leaves behind, cannot reach us."""
    return ["unshare", "--pid", "--fork", "--kill-child", "chroot", str(root), *command]


class InstallerRoot:
    """One machine's installer environment in `folder`."""

    def __init__(self, folder: Path, release: str = "12") -> None:
        self.root = folder
        initrd = CACHE / f"debian-installer-{release}-x86_64" / "initrd.gz"
        folder.mkdir()
        unpack = f"gzip -dc '{initrd}' | cpio --quiet -idm --no-absolute-filenames"
        subprocess.run(["bash", "-c", unpack], cwd=folder, check=True, capture_output=True)
        self.write("proc/meminfo", "MemTotal:        1500000 kB\n")
        self.write("var/log/syslog", "")
        self.write("dev/null", "")
        # What these would do to the machine, we only want to hear of.
        for name in ("bin/debconf-set", "bin/in-target", "sbin/reboot"):
            self.write(name, _RECORDER.format(name=Path(name).name))
            (self.root / name).chmod(0o755)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_text(text)

    def told(self, name: str) -> list[str]:
        """The arguments with which a recorder was called, a line a call."""
        file = self.root / "tmp" / name
        return file.read_text().splitlines() if file.exists() else []

    def has_nic(self, mac: str) -> None:
        self.write("sys/class/net/eth0/address", f"{mac}\n")

    def is_called(self, *, serial: str, uuid: str) -> None:
        """What its firmware says of itself."""
        self.write("sys/class/dmi/id/product_serial", f"{serial}\n")
        self.write("sys/class/dmi/id/product_uuid", f"{uuid}\n")

    def boots_by_uefi(self) -> None:
        (self.root / "sys/firmware/efi").mkdir(parents=True)

    def has_disk(self, name: str, size: int, serial: str, *, removable: bool = False) -> None:
        facts = {
            "size": size // 512, "serial": serial, "removable": int(removable), "ro": 0,
            "queue/rotational": 0, "device/model": f"Model of {name}",
        }  # fmt: skip
        for fact, value in facts.items():
            self.write(f"sys/block/{name}/{fact}", f"{value}\n")

    def starts(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            in_chroot(self.root, *command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )  # fmt: skip

    def runs(self, *command: str, seconds: float = 30) -> str:
        """What it says; AssertionError when it does not end well."""
        process = self.starts(*command)
        try:
            said, _ = process.communicate(timeout=seconds)
        finally:
            self.stops(process)
        assert process.returncode == 0, said
        return said

    def stops(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
