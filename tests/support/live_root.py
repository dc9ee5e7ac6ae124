"""The live system, unpacked: its own programs in a chroot, and the agent as it is in this folder.

What the kernel would tell (/sys, the list of disks) are plain files that a test writes, and so are
the disks.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deployer import resources
from tests.support.netns import needs_root

CACHE = Path(__file__).resolve().parents[2] / ".cache/images"
TASKS = ("agent", "wipe", "rescue", "burn-in")
MIB = 2**20

_RECORDER = '#!/bin/bash\necho "$*" >> /tmp/{name}.told\n'
_STAND_INS = {
    "lsblk": '#!/bin/bash\n[[ "$*" != *--json* ]] || cat /tmp/disks.json\n',
    "blockdev": "#!/bin/bash\nstat -c %s \"${@: -1}\"\n",
    # Zeros where the kernel would write them; a discard is not supported.
    "blkdiscard": """\
#!/bin/bash
[ "$1" = --zeroout ] || exit 1
exec dd if=/dev/zero of="$6" bs="$5" count=1 seek="$3" oflag=seek_bytes conv=notrunc status=none
""",
    **{
        name: _RECORDER.format(name=name)
        for name in ("reboot", "poweroff", "hwclock", "date", "modprobe")
    },
}  # fmt: skip


def unpack(folder: Path) -> Path:
    """What several `LiveRoot`s may share, two hundred megabytes."""
    initrd = CACHE / "live-x86_64/initrd.img"
    unpacked = f"zstd -dcq '{initrd}' | cpio --quiet -idm --no-absolute-filenames"
    subprocess.run(["bash", "-c", unpacked], cwd=folder, check=True, capture_output=True)
    return folder


class LiveRoot:
    """One machine that has booted the live system; `folder` is made."""

    def __init__(self, unpacked: Path, folder: Path, mac: str) -> None:
        self.root = folder
        # Hard links: whoever changes a file puts another one in its place.
        subprocess.run(["cp", "-al", str(unpacked), str(folder)], check=True)
        for task in TASKS:
            self.program(f"usr/lib/deployer/{task}", (resources.folder("live") / task).read_text())
        for name, text in _STAND_INS.items():
            self.program(f"usr/bin/{name}", text)
            (folder / "usr/sbin" / name).unlink(missing_ok=True)
        self.write("sys/class/net/eth0/address", f"{mac}\n")
        self.write("sys/class/tty/console/active", "\n")
        self.disks: list[dict[str, Any]] = []

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_text(text)

    def program(self, path: str, text: str) -> None:
        self.write(path, text)
        (self.root / path).chmod(0o755)

    def changes(self, task: str, before: str, after: str) -> None:
        """Another constant, so that a small disk does for a large one."""
        file = self.root / "usr/lib/deployer" / task
        text = file.read_text()
        assert before in text
        file.write_text(text.replace(before, after))

    def has_disk(self, name: str, content: bytes, **facts: Any) -> Path:
        """A disk that holds `content`, as /dev/NAME."""
        path = self.root / "dev" / name
        path.write_bytes(content)
        self.disks.append({
            "name": name, "path": f"/dev/{name}", "type": "disk", "size": len(content),
            "serial": f"S-{name}", "wwn": None, "model": "ACME", "rota": False, "tran": "sata",
            "rm": False, "ro": False, "fstype": None, "pttype": "gpt", **facts,
        })  # fmt: skip
        self.write("tmp/disks.json", json.dumps({"blockdevices": self.disks}))
        return path

    def starts(self, plan_url: str) -> subprocess.Popen[str]:
        """The agent, in namespaces of its own: what it leaves behind goes with it."""
        devices = "for d in null:3 zero:5 random:8 urandom:9; do"
        inside = (
            f"mount -t proc proc {self.root}/proc && cd {self.root}/dev &&"
            f" {devices} mknod ${{d%:*}} c 1 ${{d#*:}}; done; ln -s /proc/self/fd fd;"
            f" exec chroot {self.root} /usr/lib/deployer/agent"
        )
        return subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", inside],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEPLOYER_PLAN": plan_url},
        )  # fmt: skip

    def log(self) -> str:
        return (self.root / "run/agent.log").read_text()

    def told(self, name: str) -> list[str]:
        """The arguments with which a recorder was called, a line a call."""
        file = self.root / "tmp" / f"{name}.told"
        return file.read_text().splitlines() if file.exists() else []


needs_live_root = [needs_root, pytest.mark.slow]
