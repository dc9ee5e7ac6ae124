"""The service as a process, with real images, and real machines in QEMU that it installs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deployer.media import library
from deployer.media.build import build_debian_root, import_disk_image
from deployer.settings import Settings
from deployer.store import images
from lab.machine import KERNEL_ARGS, DiskSpec, Firmware, Machine, best_accelerator, free_port
from tests.support.live import LiveService, until
from tests.support.service import ok

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
MAC = "52:54:00:12:34:56"
# Generous: two machines may share two slow cores. Nothing waits for it when all goes well.
INSTALL_SECONDS = 1800


class Lab(LiveService):
    """A service that machines in QEMU reach at 10.0.2.2, where user networking shows loopback."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        super().__init__(settings)
        self.folder = folder
        self.settings = self._placed(self.settings).model_copy(
            update={"patience_installing": 1500, "patience_first_boot": 1500}
        )
        self._import_images()
        self.start()

    def _placed(self, settings: Settings) -> Settings:
        """Where machines find us."""
        port = settings.machine_listen.rpartition(":")[2]
        return settings.model_copy(update={"machine_url": f"http://10.0.2.2:{port}"})

    def _import_images(self) -> None:
        for name in ("live-x86_64", "debian-12-x86_64"):
            self._register(CACHE / "images" / name)

    def brings_in(self, disk: Path, name: str) -> None:
        """Add a disk (qcow2) as an image, as an operator would."""
        folder = self.folder / name
        import_disk_image(folder, source=disk, name=name, log=lambda _: None)
        self._register(folder)

    def builds(self, release: str = "12", include: Sequence[str] = ()) -> None:
        """A Debian root of this release, with these packages, too."""
        folder = self.folder / f"debian-{release}"
        build_debian_root(folder, release=release, include=include, log=lambda _: None)
        self._register(folder)

    def has_installer(self, release: str = "12") -> None:
        """Debian's own installer of this release."""
        self._register(CACHE / "images" / f"debian-installer-{release}-x86_64")

    def has_loaders(self) -> None:
        """What firmware and BMCs fetch."""
        self._register(CACHE / "images/loaders")

    def _register(self, folder: Path) -> None:
        parts = self.parts()
        manifest = library.add(self.settings.images_dir, folder)
        with parts.database.writing() as session:
            images.save(session, manifest, parts.clock())
        parts.database.dispose()

    def key(self) -> Path:
        """A key pair of an operator."""
        path = self.folder / "key"
        if not path.exists():
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
            subprocess.run(command, check=True)
        return path

    def describes(self, machine: Machine, **profile: Any) -> None:
        """The host `web01`, reached through the machine's forwarded port, and its profile."""
        ssh = {"address": "127.0.0.1", "port": machine.ssh_port}
        ok(self.api.post("/api/v1/hosts", json={"name": "web01", "macs": [MAC], "ssh": ssh}))
        self.describes_profile(**profile)

    def has_interfaces(self, *interfaces: dict[str, Any]) -> None:
        """web01 has a network of these."""
        network = {"interfaces": list(interfaces)}
        ok(self.api.patch("/api/v1/hosts/web01", json={"network": network}))

    def keeps_secret(self, name: str, value: str) -> None:
        ok(self.api.post("/api/v1/secrets", json={"name": name, "value": value}))

    def describes_profile(self, **profile: Any) -> None:
        public = self.key().with_suffix(".pub").read_text().strip()
        spec = {
            "name": "debian-12-image", "os": "image", "release": "debian-12", "locale": "C.UTF-8",
            "storage": {"disk": {"min_size": "5G"}}, "kernel_args": KERNEL_ARGS,
            "users": [{"name": "ops", "sudo": True, "ssh_keys": [public]}],
            "verify": {"release": "12", "packages": ["openssh-server"]},
        }  # fmt: skip
        ok(self.api.post("/api/v1/profiles", json={**spec, **profile}))

    def a_machine(self, firmware: Firmware, *disks: DiskSpec) -> Machine:
        """Switched off; by default with one blank disk of 8 GB."""
        return Machine(
            "web01", self.folder, MAC, f"{self.settings.machine_url}/boot.ipxe", firmware,
            list(disks) or [self.disk("a")], free_port(),
            accelerator=best_accelerator(CACHE / "lab/accelerator"),
        )  # fmt: skip

    def disk(self, name: str, size: str = "8G") -> DiskSpec:
        return DiskSpec(self.folder / f"{name}.qcow2", size, f"DISK-{name.upper()}")

    def arms(self) -> str:
        """The id of a deployment of web01 that waits for its machine."""
        id_ = self.queues()
        self.waits_for(id_, "booting")
        return id_

    def becomes(
        self, id_: str, state: str, machine: Machine, seconds: float = INSTALL_SECONDS
    ) -> None:
        """Wait for a state; AssertionError that shows where it stands when it is not reached."""
        ended = {"ready", "failed", "cancelled", state}
        until(
            lambda: self.state(id_) in ended or not machine.running,
            seconds, lambda: f"{id_} {state}: {self._seen(id_, machine)}",
        )  # fmt: skip
        assert self.state(id_) == state, self._seen(id_, machine)

    def _seen(self, id_: str, machine: Machine) -> str:
        """Where a deployment and its machine stand: the cause, what was told last, the console."""
        seen = self.deployment(id_)
        told = [
            f"{line['at']} {line['by']} {line['event']} {line['detail']}"
            for line in self.history(id_)[-20:]
        ]
        console = machine.console().splitlines()[-40:]
        return "\n".join([f"{seen['state']}: {seen['cause']}", *told, *console])

    def reaches_stage(self, id_: str, stage: str, machine: Machine) -> None:
        """Wait until the installer reports this stage."""

        def there() -> bool:
            seen = self.deployment(id_)
            assert seen["state"] in ("booting", "installing"), seen["cause"]
            return (seen["progress"] or {}).get("stage") == stage

        until(there, INSTALL_SECONDS, f"stage {stage}")

    def logs_in(self, machine: Machine, command: str) -> str:
        """What `command` prints on the installed machine, as the operator's user."""
        return self._ssh([], "127.0.0.1", machine.ssh_port or 22, command)

    def _ssh(self, run_there: Sequence[str], address: str, port: int, command: str) -> str:
        """Its SSH server may be restarting just now: cloud-init does that."""
        options = {
            "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "LogLevel": "ERROR",
            "BatchMode": "yes", "ConnectTimeout": "20",
        }  # fmt: skip
        flags = [flag for name, value in options.items() for flag in ("-o", f"{name}={value}")]
        ssh = [*run_there, "ssh", "-i", str(self.key()), "-p", str(port), *flags, f"ops@{address}"]
        for _ in range(5):
            done = subprocess.run(
                [*ssh, command], capture_output=True, text=True, timeout=90, check=False
            )
            if done.returncode != 255:  # 255 is ssh's own
                break
            time.sleep(5)
        assert done.returncode == 0, done.stderr
        return done.stdout
