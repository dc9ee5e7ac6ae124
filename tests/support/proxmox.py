"""The few calls of Proxmox VE's API that the driver makes, as PVE 8 answers them."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote

TOKEN_ID, TOKEN = "deployer@pve!power", "s3cret-of-the-bmc"
_NODE, _VMID = "pve2", 104
_TASK = "UPID:pve2:0003A2F1:01D8A3B2:65F0C0DE:{}:104:deployer@pve!power:"


class Proxmox:
    """Context manager. `running` and `config` are the machine's; `boots` what it started with."""

    def __init__(self) -> None:
        self.running = False
        self.kind, self.forgets = "qemu", False
        self.config: dict[str, Any] = {
            "boot": "order=scsi0;ide2;net1", "digest": "3bd7cd4d", "machine": "q35", "bios": "ovmf",
            "ide2": "local:iso/debian.iso,media=cdrom", "scsi0": "local-lvm:vm-104-disk-0,size=32G",
            "scsi1": "local-lvm:vm-104-disk-1,size=8G", "scsihw": "virtio-scsi-pci",
            "net0": "virtio=52:54:00:99:99:99,bridge=vmbr1",
            "net1": "virtio=52:54:00:12:34:56,bridge=vmbr0",
        }  # fmt: skip
        self.boots: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self.failing: dict[str, tuple[int, Any]] = {}  # end of a path → status and body
        self.exits: dict[str, str] = {}  # task → how it ended
        self._polls: dict[str, int] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Proxmox:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "driver": "proxmox", "url": self.url, "username": TOKEN_ID, "token": {"secret": "pve"},
            "vmid": _VMID, "verify": False,
        }  # fmt: skip

    def answer(self, method: str, path: str, values: dict[str, str]) -> Any:
        self.asked.append((method, path))
        at = f"/api2/json/nodes/{_NODE}/qemu/{_VMID}"
        match method, path:
            case "GET", "/api2/json/cluster/resources?type=vm":
                return [{"vmid": 100, "type": "lxc", "node": "pve1"},
                        {"vmid": _VMID, "type": self.kind, "node": _NODE}]  # fmt: skip
            case "GET", "/api2/json/version":
                return {"version": "8.2.4", "release": "8.2"}
            case "GET", p if p == f"{at}/status/current":
                return {"status": "running" if self.running else "stopped", "vmid": _VMID}
            case "GET", p if p == f"{at}/config":
                return self.config
            case "PUT", p if p == f"{at}/config":
                assert values.pop("digest") == self.config["digest"]
                self.config |= {} if self.forgets else values
                return None
            case "POST", p if p.startswith(f"{at}/status/"):
                return self._task(p.rpartition("/")[2])
            case "GET", p if "/tasks/" in p:
                return self._status(unquote(p.split("/")[-2]))
        raise LookupError(path)

    def _task(self, act: str) -> str:
        if act == "start" and not self.running:
            self.boots.append(self.config["boot"])
        self.running = act == "start"
        return _TASK.format("qmstart" if act == "start" else "qmstop")

    def _status(self, task: str) -> dict[str, str]:
        self._polls[task] = self._polls.get(task, 0) + 1
        if self._polls[task] % 2:
            return {"status": "running"}
        return {"status": "stopped", "exitstatus": self.exits.get(task.split(":")[5], "OK")}


def _handler(proxmox: Proxmox) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            values = {name: texts[0] for name, texts in parse_qs(body).items()}
            if self.headers.get("Authorization") != f"PVEAPIToken={TOKEN_ID}={TOKEN}":
                self._send(401, None)
                return
            for end, (status, said) in proxmox.failing.items():
                if self.path.endswith(end):
                    self._send(status, said)
                    return
            self._send(200, {"data": proxmox.answer(self.command, self.path, values)})

        def _send(self, status: int, said: Any) -> None:
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _serve

        def log_message(self, *_: Any) -> None: ...

    return Handler
