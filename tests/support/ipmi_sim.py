"""OpenIPMI's simulator of a BMC on a loopback port, and a machine that it switches."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

from tests.support.live import until

USER, PASSWORD = "lab", "s3cret-of-the-bmc"

# Called with `get power`, `set power 0` and the like; keeps each in a file, and writes down all.
_CHASSIS = """#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >> calls
case "$1 $2" in
  "get power") echo "power:$(cat power)" ;;
  "get boot") echo "boot:$(cat boot)" ;;
  "set power") echo "$3" > power ;;
  "set boot") echo "$3" > boot ;;
esac
"""
_LAN = """name "bmc"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{folder}/chassis"
  user 1 true "" "" user 10 none md2 md5 straight
  user 2 true "{user}" "{password}" admin 10 none md2 md5 straight
"""
_EMULATION = """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class IpmiSim:
    """Context manager. `power` and `boot` are the machine's; `calls` what was done to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_udp_port()

    def __enter__(self) -> IpmiSim:
        self.power, self.boot = False, "default"
        values = {"port": self.port, "folder": self.folder, "user": USER, "password": PASSWORD}
        (self.folder / "lan.conf").write_text(_LAN.format(**values))
        (self.folder / "sim.emu").write_text(_EMULATION)
        chassis = self.folder / "chassis"
        chassis.write_text(_CHASSIS)
        chassis.chmod(chassis.stat().st_mode | stat.S_IXUSR)
        self._log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(
            ["ipmi_sim", "-c", self.folder / "lan.conf", "-f", self.folder / "sim.emu",
             "-s", self.folder / "state", "-n"],
            stdout=self._log, stderr=self._log, stdin=subprocess.PIPE,
        )  # fmt: skip
        until(self._listens, 10, "ipmi_sim")
        return self

    def _listens(self) -> bool:
        entry = f"0100007F:{self.port:04X}"
        return entry in Path("/proc/net/udp").read_text()

    def __exit__(self, *_: object) -> None:
        os.kill(self.process.pid, signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._log.close()

    def freeze(self) -> None:
        """From now on it answers nobody."""
        self.process.send_signal(signal.SIGSTOP)

    @property
    def power(self) -> bool:
        return (self.folder / "power").read_text().strip() == "1"

    @power.setter
    def power(self, on: bool) -> None:
        (self.folder / "power").write_text(f"{int(on)}\n")

    @property
    def boot(self) -> str:
        return (self.folder / "boot").read_text().strip()

    @boot.setter
    def boot(self, device: str) -> None:
        (self.folder / "boot").write_text(f"{device}\n")

    @property
    def calls(self) -> list[str]:
        """What changed something."""
        lines = (self.folder / "calls").read_text().splitlines()
        return [line for line in lines if line.startswith("set ")]

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "driver": "ipmi", "address": "127.0.0.1", "port": self.port, "username": USER,
            "password": {"secret": "bmc"},
        }  # fmt: skip
