"""Stands in for virsh and a libvirt with one virtual machine, as virsh 9.0 words it."""

from __future__ import annotations

import sys
from pathlib import Path

DOMAIN = """<domain type='kvm'>
  <name>web01</name>
  <uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>
  <memory unit='KiB'>2097152</memory>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <boot dev='hd'/>
  </os>
  <devices>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
    <disk type='file' device='disk'>
      <source file='/srv/web01.img'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='network'>
      <mac address='52:54:00:99:99:99'/>
      <source network='other'/>
    </interface>
    <interface type='network'>
      <mac address='52:54:00:12:34:56'/>
      <source network='default'/>
    </interface>
  </devices>
</domain>
"""
_PROGRAM = """#!{python}
import sys
sys.path.insert(0, {root!r})
from tests.support.virsh import main
sys.exit(main({folder!r}, sys.argv[1:]))
"""


class Libvirt:
    """`state` is `running` or `shut off`; `live` the description that it was started with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "inactive").write_text(DOMAIN)
        (folder / "state").write_text("shut off")
        root = str(Path(__file__).parent.parent.parent)
        values = {"python": sys.executable, "root": root, "folder": str(folder)}
        (folder / "virsh").write_text(_PROGRAM.format(**values))
        (folder / "virsh").chmod(0o755)

    @property
    def state(self) -> str:
        return (self.folder / "state").read_text()

    @property
    def live(self) -> str:
        return (self.folder / "live").read_text()

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


def main(folder: str, arguments: list[str]) -> int:
    """One call of virsh."""
    at = Path(folder)
    state, inactive = at / "state", at / "inactive"
    with (at / "calls").open("a") as calls:
        calls.write(" ".join(arguments) + "\n")
    (at / "uri").write_text(arguments[2])
    act, running = arguments[3], state.read_text() == "running"
    if act != "define" and arguments[-1] != "web01":
        return _fails(f"failed to get domain '{arguments[-1]}'")
    if act == "domstate":
        print(state.read_text())
    if act == "dumpxml":
        print(inactive.read_text())
    if act == "define":
        inactive.write_text(Path(arguments[4]).read_text())
    if act == "destroy":
        if not running:
            return _fails("Requested operation is not valid: domain is not running")
        state.write_text("shut off")
    if act == "start":
        if running:
            return _fails("Domain is already active")
        (at / "live").write_text(inactive.read_text())
        state.write_text("running")
    return 0


def _fails(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1
