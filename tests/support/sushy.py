"""OpenStack's Redfish emulator, with TLS and a password, and a process as its machine."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import bcrypt
import httpx

from tests.support.certificates import SelfSigned, self_signed
from tests.support.live import until
from tests.support.postgres import free_port

USER, PASSWORD = "operator", "s3cret-of-the-bmc"
UUID = "11111111-1111-1111-1111-111111111111"
# The emulator throws dice for how long a machine takes, up to eleven seconds. And it finds what a
# machine in QEMU calls 10.0.2.2, which is this one's loopback.
_RUN = """\
import random, socket
random.randint = lambda low, high: 0
found = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **named: found(
    "127.0.0.1" if host == "10.0.2.2" else host, *more, **named
)
from sushy_tools.emulator.main import main; main()
"""


class Machine:
    """Runs while its power is on; `starts` counts how often it was started, `cd` is what is in its
    virtual drive."""

    def __init__(self) -> None:
        self.starts = 0
        self.cd: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def switch(self, on: bool) -> None:
        if on and not self.runs:
            self._process = subprocess.Popen(["sleep", "600"])
            self.starts += 1
        if not on and self._process is not None:
            self._process.kill()
            self._process.wait()

    def holds(self, cd: Path | None) -> None:
        self.cd = cd


class SushyEmulator:
    """Context manager; `url` is where it answers, `image_url` an image that it can fetch."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificate: SelfSigned = self_signed(folder)
        self.machine = Machine()
        self._notices = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.image_url = f"http://127.0.0.1:{self._notices.server_port}/live.iso"
        self._process: subprocess.Popen[bytes] | None = None

    def _handler(emulator) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                cd = (told.get("boot_image") or {}).get("Cd", [None])[0]
                emulator.machine.holds(Path(cd) if cd else None)
                pending = told.get("pending_power")
                if pending is None and "power_state" in told:
                    emulator.machine.switch(told["power_state"] == "On")
                elif pending and "Restart" in pending["power_state"]:
                    emulator.machine.switch(False)
                self._answer(204, b"")
                if pending:  # it comes to pass when somebody looks
                    threading.Timer(0.3, lambda: emulator.boot).start()

            def do_GET(self) -> None:
                self._answer(200, b"an image")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        return Handler

    def __enter__(self) -> SushyEmulator:
        threading.Thread(target=self._notices.serve_forever, args=(0.02,), daemon=True).start()
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        (self.folder / "users").write_text(f"{USER}:{hashed}\n")
        (self.folder / "state").mkdir()
        system = {
            "uuid": UUID, "name": "web01", "power_state": "Off", "external_notifier": True,
            "nics": [{"mac": "52:54:00:12:34:56", "ip": "10.0.2.15"}],
        }  # fmt: skip
        config = {
            "SUSHY_EMULATOR_FAKE_DRIVER": True,
            "SUSHY_EMULATOR_LISTEN_IP": "127.0.0.1",
            "SUSHY_EMULATOR_LISTEN_PORT": self.port,
            "SUSHY_EMULATOR_STATE_DIR": str(self.folder / "state"),
            "SUSHY_EMULATOR_AUTH_FILE": str(self.folder / "users"),
            "SUSHY_EMULATOR_SSL_CERT": str(self.certificate.certificate_file),
            "SUSHY_EMULATOR_SSL_KEY": str(self.certificate.key_file),
            "SUSHY_EMULATOR_FAKE_SYSTEMS": [system],
            "EXTERNAL_NOTIFICATION_URL": f"http://127.0.0.1:{self._notices.server_port}/",
        }
        file = self.folder / "sushy.conf"
        file.write_text("".join(f"{name} = {value!r}\n" for name, value in config.items()))
        self.log = (self.folder / "log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-c", _RUN, "--config", file], stdout=self.log, stderr=self.log
        )
        until(self._answers, 20, "the emulator")
        return self

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/redfish/v1/", verify=False).is_success
        except httpx.HTTPError:
            return False

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.machine.switch(False)
        self._notices.shutdown()
        self.log.close()

    @property
    def boot(self) -> dict[str, Any]:
        """What the emulator shows of the next boot."""
        system = f"{self.url}/redfish/v1/Systems/{UUID}"
        shown = httpx.get(system, verify=False, auth=(USER, PASSWORD)).json()["Boot"]
        assert isinstance(shown, dict)
        return shown

    @property
    def settings(self) -> dict[str, Any]:
        """What a host says under `power:`."""
        return {
            "driver": "redfish", "url": self.url, "username": USER, "password": {"secret": "bmc"},
            "verify": {"fingerprint": self.certificate.fingerprint},
        }  # fmt: skip
