"""Virtual machines (QEMU) of Proxmox VE, over its API with a token.

A virtual machine has no boot order for one start: the network becomes the first device for good,
and we send a machine that has nothing to install to its disk.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from pydantic import Field, model_validator

from deployer.core.profiles import SecretRef
from deployer.core.text import MASK, printable
from deployer.drivers import http, tls
from deployer.drivers.power.base import (
    BootMethod,
    DriverSettings,
    PowerDriver,
    PowerState,
    Product,
)
from deployer.errors import DriverError, DriverRefused

_TOKEN_ID = r"^[A-Za-z0-9._-]{1,64}@[A-Za-z0-9-]{1,32}![A-Za-z][A-Za-z0-9._-]{0,63}$"
_STATES = {"running": PowerState.ON, "stopped": PowerState.OFF, "paused": PowerState.ON}
_TASK_SECONDS, _PAUSE = 60.0, 0.5
# Devices that a machine can boot from, as `boot: order=scsi0;net0` names them.
_NIC, _DISK = re.compile(r"net[0-9]{1,2}"), re.compile(r"(scsi|virtio|sata|ide)[0-9]{1,2}")
_DONE = re.compile(r"OK|WARNINGS: .*|.*already running|.*not running", re.DOTALL)


class ProxmoxSettings(DriverSettings):
    """`username`: the token's id, as Proxmox shows it: deployer@pve!power; `token`: its secret."""

    url: tls.Origin
    username: Annotated[str, Field(pattern=_TOKEN_ID)]
    token: SecretRef
    vmid: int = Field(ge=100, le=999_999_999)
    verify: tls.Verify = True

    @model_validator(mode="after")
    def _in_the_clear_on_purpose(self) -> ProxmoxSettings:
        tls.refuse_clear_text(self.url, self.verify)
        return self


class Proxmox(PowerDriver):
    name = "proxmox"
    Settings = ProxmoxSettings
    settings: ProxmoxSettings
    limits = http.Limits(total_seconds=150, requests=300)

    def state(self) -> PowerState:
        with self._machine() as machine:
            return machine.state()

    def _boot_once(self, method: BootMethod, url: str | None) -> str:
        with self._machine() as machine:
            config = machine.config()
            order = network_first(config, self.context.host.macs)
            machine.put("/config", boot=order, digest=str(config.get("digest", "")))
            if machine.config().get("boot") != order:
                raise DriverError(f"Proxmox took {order}, but does not show it")
            return f"Proxmox starts the machine with {order}, from its next start on"

    def cycle(self) -> str:
        """A new start, because a reset would keep the old boot order. Twice is once."""
        with self._machine() as machine:
            if machine.state() is not PowerState.OFF:
                machine.run("/status/stop")
            machine.run("/status/start")
            return f"Proxmox started {self.settings.vmid}"

    def off(self) -> str:
        with self._machine() as machine:
            if machine.state() is PowerState.OFF:
                return "it was off"
            machine.run("/status/stop")
            return f"Proxmox stopped {self.settings.vmid}"

    def product(self) -> Product:
        with self._machine() as machine:
            version = machine.api.ask("GET", "/version")
            release = version.get("version", "") if isinstance(version, dict) else ""
            kind = (
                f"{machine.config().get('machine', 'pc')} {machine.config().get('bios', 'seabios')}"
            )
            return Product("Proxmox", printable(kind, 100), printable(str(release), 100))

    @contextmanager
    def _machine(self) -> Iterator[_Machine]:
        settings = self.settings
        with http.Client(
            settings.url, settings.verify, self.context.networks, self.limits
        ) as client:
            api = _Api(client, settings.username, self.context.secret(settings.token))
            yield _Machine(api, f"/nodes/{self._node(api)}", settings.vmid)

    def _node(self, api: _Api) -> str:
        """The node that the machine is on by now; it may move."""
        listed = api.ask("GET", "/cluster/resources?type=vm")
        for each in listed if isinstance(listed, list) else []:
            if isinstance(each, dict) and each.get("vmid") == self.settings.vmid:
                if each.get("type") != "qemu":
                    break  # a container has no firmware that could boot from the network
                node = str(each.get("node"))
                if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", node):
                    return node
        raise DriverRefused(
            f"{self.settings.url} shows this token no virtual machine {self.settings.vmid}",
            field="power.vmid", value=self.settings.vmid,
            remedy="correct vmid, or give the token VM.Audit, VM.PowerMgmt and VM.Config.Options",
        )  # fmt: skip


@dataclass(frozen=True)
class _Api:
    client: http.Client
    token_id: str
    secret: str = field(repr=False)

    def ask(self, method: str, path: str, **values: str) -> Any:
        """What stands under `data` in its answer."""
        headers = {"Authorization": f"PVEAPIToken={self.token_id}={self.secret}"}
        if method != "GET":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = urlencode(values).encode()
        reply = self.client.request(method, f"/api2/json{path}", headers=headers, body=body)
        try:
            answer = json.loads(reply.body)
        except (ValueError, RecursionError):
            answer = None
        if reply.status != 200:
            raise self._said(reply, answer, f"{method} {path}")
        if not isinstance(answer, dict) or "data" not in answer:
            raise DriverError(f"{self.client.origin} answers {path} as no Proxmox does")
        return answer["data"]

    def _said(self, reply: http.Reply, answer: Any, what: str) -> DriverError:
        told = answer if isinstance(answer, dict) else {}
        words = f"{told.get('message') or ''} {told.get('errors') or ''}".strip()
        said = printable(words.replace(self.secret, MASK), 300)
        message = f"{self.client.origin}: {what}: {reply.status} {said}".rstrip()
        if reply.status in (401, 403):
            return DriverRefused(
                f"{message} for the token {self.token_id}", field="power.token",
                remedy="correct username and secret; the token needs VM.Audit, VM.PowerMgmt and"
                " VM.Config.Options on the machine",
            )  # fmt: skip
        if reply.status in (400, 404, 501):
            return DriverRefused(message)
        return DriverError(message)


@dataclass(frozen=True)
class _Machine:
    """One virtual machine, on the node at the path `node`."""

    api: _Api
    node: str
    vmid: int

    def state(self) -> PowerState:
        now = self.api.ask("GET", f"{self.node}/qemu/{self.vmid}/status/current")
        return _STATES.get(str(_dict(now).get("status")), PowerState.UNKNOWN)

    def config(self) -> dict[str, Any]:
        """As it will be at the next start."""
        return _dict(self.api.ask("GET", f"{self.node}/qemu/{self.vmid}/config"))

    def put(self, path: str, **values: str) -> None:
        self.api.ask("PUT", f"{self.node}/qemu/{self.vmid}{path}", **values)

    def run(self, path: str) -> None:
        """Something that takes a while: wait for its task."""
        task = self.api.ask("POST", f"{self.node}/qemu/{self.vmid}{path}")
        if not isinstance(task, str) or not re.fullmatch(r"UPID:[A-Za-z0-9:@!._-]{1,300}", task):
            raise DriverError(f"Proxmox gave no task for {path}")
        for _ in range(int(_TASK_SECONDS / _PAUSE)):
            status = _dict(self.api.ask("GET", f"{self.node}/tasks/{quote(task, safe='')}/status"))
            if status.get("status") == "stopped":
                said = printable(str(status.get("exitstatus")), 300)
                if _DONE.fullmatch(said):
                    return
                raise DriverError(f"Proxmox: {path}: {said}")
            time.sleep(_PAUSE)
        raise DriverError(f"Proxmox: {path} does not end")


def network_first(config: dict[str, Any], macs: list[str]) -> str:
    """`order=net1;scsi0`: the host's NIC, then its disks as they are; DriverRefused without one."""
    nics = [name for name in sorted(config) if _NIC.fullmatch(name)]
    own = [n for n in nics if any(mac.upper() in str(config[n]).upper() for mac in macs)]
    if not own:
        raise DriverRefused(
            f"the virtual machine has no NIC with a MAC of the host's: {', '.join(macs)}",
            field="macs", remedy="correct the host's macs, or its `power.vmid`",
        )  # fmt: skip
    ordered = re.split("[;=]", str(config.get("boot", "")))
    disks = [
        name
        for name in sorted(config)
        if _DISK.fullmatch(name) and "media=cdrom" not in str(config[name])
    ]
    disks.sort(key=lambda name: ordered.index(name) if name in ordered else len(ordered))
    return f"order={';'.join([own[0], *disks])}"


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


DRIVER = Proxmox
