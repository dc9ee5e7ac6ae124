"""A real machine in QEMU: firmware, a NIC that boots from the network, disks, a CD, a console.

User networking shows the host's 127.0.0.1 as 10.0.2.2 and hands out the boot file, so no network
needs to be set up; with a cable into a network namespace the machine meets a real DHCP server.
TCG unless a probe has shown that KVM boots our firmware: /dev/kvm alone proves nothing (under some
clouds it opens, and then fails at the first real-mode instruction).
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Firmware = Literal["bios", "uefi"]

OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1bc")
_PROBE_SECONDS = 12

TCG = "tcg,thread=multi,tb-size=192"
# For the profiles that are installed here. Where a program lies at another address each time, TCG
# translates it anew each time it starts: that takes three times as long.
KERNEL_ARGS = ("console=tty0", "console=ttyS0,115200n8", "norandmaps")
_RESETS = {"guest-reset", "host-qmp-system-reset"}


@dataclass(frozen=True)
class DiskSpec:
    """A virtio disk; an existing file is taken as it is, a missing one is made."""

    path: Path
    size: str = "8G"
    serial: str | None = None


@dataclass(frozen=True)
class Cable:
    """A machine's NIC in a network of its own: a tap, and what runs commands where that is.

    `firmware_boots`: by the firmware's own PXE or HTTP boot; else by the iPXE in the NIC's ROM,
    which a BIOS of QEMU has instead.
    """

    tap: str
    run_there: tuple[str, ...]
    firmware_boots: Literal["pxe", "http"] | None = None


@dataclass
class Machine:
    """One machine. `boot_url` is what DHCP names as boot file; `ssh_port` leads to its port 22.

    With a `cable` it has neither: there are a DHCP server and an address. `cd` is booted before all
    else, until it is ejected.

    Each restart is a QEMU of its own. In one that goes on, TCG keeps what it translated before, and
    throws it away piece by piece while the guest loads what it runs now: minutes, each time.
    """

    name: str
    folder: Path
    mac: str
    boot_url: str
    firmware: Firmware = "bios"
    disks: list[DiskSpec] = field(default_factory=list)
    ssh_port: int | None = None
    cable: Cable | None = None
    cd: Path | None = None
    memory_mib: int = 1536
    network_first: bool = True  # as with a boot override; else the disks come first
    accelerator: str = TCG
    process: subprocess.Popen[bytes] | None = None
    _on: bool = field(default=False, init=False)
    _follower: threading.Thread | None = field(default=None, init=False, repr=False)
    _guard: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def console_file(self) -> Path:
        return self.folder / f"{self.name}.console"

    @property
    def _keyboard(self) -> Path:
        return self.folder / f"{self.name}.serial"

    @property
    def _control(self) -> Path:
        return self.folder / f"{self.name}.qmp"

    @property
    def _events(self) -> Path:
        return self.folder / f"{self.name}.events"

    def start(self) -> None:
        """Switch on. The firmware tries the network and then the disks, or the disks first."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for disk in self.disks:
            if not disk.path.exists():
                _make_disk(disk)
        self._on = True
        self._begin()
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self._follower.start()

    def _begin(self) -> None:
        for path in (self._control, self._keyboard, self._events):
            path.unlink(missing_ok=True)
        with (self.folder / f"{self.name}.qemu.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _follow(self) -> None:
        """Begin anew at each reset, until the machine is switched off."""
        while True:
            again = self._ends_by_reset()
            self._process.wait()
            with self._guard:
                if not (again and self._on):
                    self._on = False
                    return
                self._begin()

    def _ends_by_reset(self) -> bool:
        """Returns when QEMU ends: whether by a restart of its machine, not by switching off."""
        by_reset = False
        with socket.socket(socket.AF_UNIX) as events, suppress(ConnectionError):
            if not self._reach(events):
                return False
            stream = events.makefile("rw")
            stream.write('{"execute": "qmp_capabilities"}\n')
            stream.flush()
            for line in stream:
                told = json.loads(line)
                if told.get("event") == "SHUTDOWN":
                    by_reset = told["data"]["reason"] in _RESETS
        return by_reset

    def _reach(self, events: socket.socket) -> bool:
        """Connect, as soon as QEMU listens; False when it ends before."""
        while self._process.poll() is None:
            try:
                events.connect(str(self._events))
                return True
            except OSError:
                time.sleep(0.02)
        return False

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "it was not switched on"
        return self.process

    def _command(self) -> list[str]:
        return [
            *(self.cable.run_there if self.cable else ()),
            # Without ERMS: with it the kernel copies by `rep movsb`, which TCG does byte by byte.
            "qemu-system-x86_64", "-accel", self.accelerator, "-cpu", "max,-erms",
            "-M", "q35,graphics=off" if self.firmware == "bios" else "q35",
            "-m", str(self.memory_mib), "-smp", "2",
            "-display", "none", "-nodefaults", "-monitor", "none",
            "-chardev", f"socket,id=console,path={self._keyboard},server=on,wait=off,"
            f"logfile={self.console_file},logappend=on",
            "-serial", "chardev:console",
            "-qmp", f"unix:{self._control},server=on,wait=off",
            "-qmp", f"unix:{self._events},server=on,wait=off", "-action", "reboot=shutdown",
            "-device", "virtio-rng-pci",
            *self._firmware(), *self._disks(), *self._cd(), *self._network(),
        ]  # fmt: skip

    def _network(self) -> list[str]:
        place = 1 if self.network_first else len(self.disks) + 2
        nic = f"virtio-net-pci,netdev=n0,mac={self.mac},bootindex={place}"
        if self.cable is None:
            boot_file = f",bootfile={self.boot_url}" if self.boot_url else ""
            forward = f",hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22" if self.ssh_port else ""
            return ["-netdev", f"user,id=n0{boot_file}{forward}", "-device", nic]
        tap = f"tap,id=n0,ifname={self.cable.tap},script=no,downscript=no"
        no_rom = ",romfile=" if self.cable.firmware_boots else ""
        return ["-netdev", tap, "-device", nic + no_rom, *self._without_pxe()]

    def _without_pxe(self) -> list[str]:
        """OVMF tries PXE before HTTP, and would wait for a minute."""
        if self.cable is None or self.cable.firmware_boots != "http":
            return []
        names = [f"opt/org.tianocore/IPv{version}PXESupport" for version in (4, 6)]
        return [word for name in names for word in ("-fw_cfg", f"name={name},string=no")]

    def _firmware(self) -> list[str]:
        if self.firmware == "bios":
            return []
        variables = self.folder / f"{self.name}.vars"
        if not variables.exists():
            shutil.copy(OVMF_VARS, variables)
        return [
            "-drive", f"if=pflash,format=raw,readonly=on,file={OVMF_CODE}",
            "-drive", f"if=pflash,format=raw,file={variables}",
        ]  # fmt: skip

    def _disks(self) -> list[str]:
        options = []
        for number, disk in enumerate(self.disks):
            serial = f",serial={disk.serial}" if disk.serial else ""
            options += [
                "-drive", f"file={disk.path},if=none,id=d{number},cache=unsafe,discard=unmap,"
                f"format={_format(disk.path)}",
                "-device", f"virtio-blk-pci,drive=d{number},bootindex={number + 2}{serial}",
            ]  # fmt: skip
        return options

    def _cd(self) -> list[str]:
        if self.cd is None:
            return []
        drive = f"file={self.cd},if=none,id=cd,media=cdrom,readonly=on,format=raw"
        return ["-drive", drive, "-device", "ide-cd,drive=cd,id=cd-drive,bootindex=0"]

    @property
    def running(self) -> bool:
        return self._on

    def stop(self) -> None:
        """Pull the plug. What the disk has is kept."""
        with self._guard:
            was_on, self._on = self._on, False
            if was_on:
                self._process.kill()
        if self._follower is not None:
            self._follower.join()

    def reset(self) -> None:
        """Press the reset button."""
        self._tell("system_reset")

    def power_down(self) -> None:
        """Press the power button briefly: the system shuts down by itself."""
        self._tell("system_powerdown")

    def eject(self) -> None:
        """Take the CD out, locked or not."""
        if self.cd is not None and self.running:
            self._tell("eject", id="cd-drive", force=True)
        self.cd = None

    def types(self, text: str) -> None:
        """Type at the serial console, as a person would."""
        with socket.socket(socket.AF_UNIX) as serial:
            serial.connect(str(self._keyboard))
            for letter in text:
                serial.sendall(letter.encode())
                time.sleep(0.02)  # the port holds 16 of them

    def _tell(self, command: str, **arguments: Any) -> None:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect(str(self._control))
            stream = control.makefile("rw")
            stream.readline()
            for name, given in (("qmp_capabilities", {}), (command, arguments)):
                stream.write(json.dumps({"execute": name, "arguments": given}) + "\n")
                stream.flush()
                stream.readline()

    def console(self) -> str:
        """What the serial console has shown so far, without escape codes."""
        raw = self.console_file.read_bytes() if self.console_file.exists() else b""
        return _ESCAPES.sub("", raw.decode("utf-8", "replace")).replace("\r", "")

    def wait_for_console(self, pattern: str, seconds: float, *, after: int = 0) -> re.Match[str]:
        """The first match at or after position `after`; AssertionError with the last lines."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if match := re.compile(pattern).search(self.console(), after):
                return match
            if not self.running:
                break
            time.sleep(0.3)
        tail = "\n".join(self.console().splitlines()[-30:])
        raise AssertionError(f"{self.name}: no {pattern!r} within {seconds} s; last lines:\n{tail}")

    def __enter__(self) -> Machine:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _format(path: Path) -> str:
    return "raw" if path.suffix in (".raw", ".img") else "qcow2"


def _make_disk(disk: DiskSpec) -> None:
    command = ["qemu-img", "create", "-q", "-f", _format(disk.path), str(disk.path), disk.size]
    subprocess.run(command, check=True)


def free_port() -> int:
    """A loopback port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def best_accelerator(cache: Path) -> str:
    """`kvm` when it really boots our firmware, else TCG; asked once, remembered in `cache`."""
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text("kvm" if _kvm_boots(cache.parent) else "tcg")
    return "kvm" if cache.read_text().strip() == "kvm" else TCG


def _kvm_boots(folder: Path) -> bool:
    if not Path("/dev/kvm").exists():
        return False
    probe = Machine("kvm-probe", folder, "52:54:00:00:00:fe", "", accelerator="kvm", memory_mib=256)
    with probe:
        try:
            probe.wait_for_console("iPXE initialising devices", _PROBE_SECONDS)
            return True
        except AssertionError:
            return False
