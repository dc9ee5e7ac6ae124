"""A provisioning network with everything real: the service, `deployer netboot`, and machines.

All of it lives in network namespaces that are gone when the test ends.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import httpx

from deployer.settings import Settings
from lab.machine import Cable, Firmware, Machine, best_accelerator
from tests.support.lab import CACHE, MAC, ROOT, Lab
from tests.support.live import LiveService, until
from tests.support.netns import Namespace, Segment
from tests.support.service import ok

ADDRESS = "10.77.0.1"
RANGE = "10.77.0.100,10.77.0.200"


class _Inside(httpx.BaseTransport):
    """HTTP from a thread that lives in a namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self._transport = httpx.HTTPTransport()
        self._pool = ThreadPoolExecutor(1, initializer=lambda: namespace.enter(lambda: None))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        def ask() -> httpx.Response:
            answer = self._transport.handle_request(request)
            answer.read()
            return answer

        return self._pool.submit(ask).result()

    def close(self) -> None:
        self._transport.close()
        self._pool.shutdown()


class _Enter:
    """What a process of ours does first, to live in the namespace of this name."""

    def __init__(self, name: str) -> None:
        self.namespace = Namespace.existing(name)

    def __call__(self) -> None:
        self.namespace.enter(lambda: None)


class NetLab(Lab):
    """`deployer serve` and `deployer netboot` at 10.77.0.1, on a bridge that machines plug into."""

    def __init__(self, settings: Settings, folder: Path, segment: Segment) -> None:
        self.segment = segment
        self.machine_address = f"{ADDRESS}:8081"
        super().__init__(settings, folder)
        self.has_loaders()

    def _placed(self, settings: Settings) -> Settings:
        return settings.model_copy(
            update={
                "machine_listen": self.machine_address,
                "machine_url": f"http://{self.machine_address}",
                # Beside the data, whose folder is closed to dnsmasq's account.
                "netboot_dir": self.folder / "netboot",
            }
        )

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(
            base_url=self.url, headers=headers, timeout=15,
            transport=_Inside(self.segment.server),
        )  # fmt: skip

    def is_ready(self) -> bool:
        try:
            return self.api.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def launch(self, fault: Callable[[], None] | None = None) -> LiveService:
        assert fault is None
        return super().launch(_Enter(self.segment.server.name))

    def netboots(self, *options: str) -> subprocess.Popen[Any]:
        """`deployer netboot`, once it serves."""
        environment = {
            "PATH": os.environ["PATH"],
            "DEPLOYER_DATA_DIR": str(self.settings.data_dir),
            "DEPLOYER_MACHINE_URL": str(self.settings.machine_url),
            "DEPLOYER_NETBOOT_DIR": str(self.settings.netboot_dir),
        }
        said = self.folder / "netboot.log"
        with said.open("wb") as log:
            process = self.segment.server.start(
                str(ROOT / ".venv/bin/deployer"), "netboot", "--interface", "br0", *options,
                env=environment, stdout=log, stderr=log, cwd=self.folder,
            )  # fmt: skip
        until(
            lambda: "netboot_started" in said.read_text() or process.poll() is not None,
            30, said.read_text,
        )  # fmt: skip
        assert process.poll() is None, said.read_text()
        return process

    def plugs_in(
        self, firmware: Firmware, boots: Literal["pxe", "http"] | None, disk: str = "a"
    ) -> Machine:
        """A machine with a blank disk on our network, switched off."""
        server = self.segment.server
        server.ip("tuntap", "add", "tap0", "mode", "tap")
        server.ip("link", "set", "tap0", "master", "br0")
        server.ip("link", "set", "tap0", "up")
        return Machine(
            "web01", self.folder, MAC, "", firmware, [self.disk(disk)],
            cable=Cable("tap0", tuple(server.command()), boots),
            accelerator=best_accelerator(CACHE / "lab/accelerator"),
        )  # fmt: skip

    def describes(self, machine: Machine, **profile: Any) -> None:
        """The host `web01` and its profile; where it can be reached, it tells itself."""
        ok(self.api.post("/api/v1/hosts", json={"name": "web01", "macs": [MAC]}))
        self.describes_profile(**profile)

    def logs_in(self, machine: Machine, command: str) -> str:
        return self._ssh(self.segment.server.command(), self.address_of_web01(), 22, command)

    def address_of_web01(self) -> str:
        lines = ok(self.api.get("/api/v1/deployments"))["items"]
        events = ok(self.api.get(f"/api/v1/deployments/{lines[0]['id']}/events"))["items"]
        first_boot = next(event for event in events if event["event"] == "first_boot")
        return str(first_boot["by"].split()[1])

    def history(self, id_: str) -> Sequence[dict[str, Any]]:
        lines: list[dict[str, Any]] = ok(self.api.get(f"/api/v1/deployments/{id_}/events"))["items"]
        return lines
