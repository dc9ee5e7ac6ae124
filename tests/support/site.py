"""What deploy/compose.yaml describes, as processes of this machine: no container engine is needed.

Its commands, settings and configuration files are used as they stand; only addresses, ports and
folders are others.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import yaml

from benchmarks import nginx
from benchmarks.peers import running
from deployer.app import build_parts
from deployer.services.parts import Parts
from deployer.settings import Settings
from tests.support.live import Child, Remote, _command, make_ready, until
from tests.support.postgres import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
_VARIABLE = re.compile(r"\$\{(\w+):[?-]([^}]*)\}")


def compose(**variables: str) -> dict[str, Any]:
    """The file with its variables filled in, each of them given or with a default."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(
        _VARIABLE.sub(lambda match: variables.get(match[1], match[2]), text)
    )
    return found


class Site(Remote):
    """Context manager: nginx, and `services` and `workers` by name, which a test may kill."""

    def __init__(self, folder: Path, database_url: str, **more: str) -> None:
        self.folder, self.more = folder, more
        self.database = database_url.rpartition("@")[2]
        self.people, self.machines = free_port(), free_port()
        machine_url = f"http://127.0.0.1:{self.machines}"
        self.described = compose(DATABASE_PASSWORD="unused", MACHINE_URL=machine_url)["services"]
        self.ports = {name: (free_port(), free_port()) for name in self._named("serve")}
        self.services = {name: self._child(name) for name in self.ports}
        self.workers = {name: self._child(name) for name in self._named("worker")}
        self._open = ExitStack()
        parts = self.parts()
        token = make_ready(parts, "site")
        parts.database.dispose()
        power_log = folder / "power.log"
        super().__init__(f"http://127.0.0.1:{self.people}", machine_url, token, power_log)

    def _named(self, kind: str) -> list[str]:
        return [
            name
            for name, service in self.described.items()
            if service.get("command", [""])[0] == kind
        ]

    def _address(self, name: str) -> str:
        address: str = self.described[name]["networks"]["default"]["ipv4_address"]
        return address

    def environment(self, name: str) -> dict[str, str]:
        found = {
            "HOME": str(self.folder), "PATH": "/usr/bin:/bin",
            "DEPLOYER_DATA_DIR": str(self.folder / "data"), **self.more,
        }  # fmt: skip
        for key, value in self.described[name]["environment"].items():
            found[key] = value.replace(f"{self._address('database')}/deployer", self.database)
        found["DEPLOYER_TRUSTED_PROXIES"] = "127.0.0.1"
        if name in self.ports:
            people, machines = self.ports[name]
            found["DEPLOYER_LISTEN"] = f"127.0.0.1:{people}"
            found["DEPLOYER_MACHINE_LISTEN"] = f"127.0.0.1:{machines}"
        return found

    def _child(self, name: str) -> Child:
        words = self.described[name]["command"]
        return Child(
            _command, words, self.environment(name), self.log(name), self.folder / "power.log"
        )

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def parts(self) -> Parts:
        """To look into its database from here; the caller disposes."""
        environment = self.environment("worker1")
        return build_parts(
            Settings(
                data_dir=Path(environment["DEPLOYER_DATA_DIR"]),
                machine_url=self.described["serve1"]["environment"]["DEPLOYER_MACHINE_URL"],
                database_url=environment["DEPLOYER_DATABASE_URL"],
            )
        )

    def __enter__(self) -> Self:
        for child in (*self.services.values(), *self.workers.values()):
            child.launch()
            self._open.callback(child.kill)
        other = {
            "listen 8080": f"listen 127.0.0.1:{self.people}",
            "listen 8081": "listen 127.0.0.1:$port",
            "/var/lib/deployer/images": str(self.folder / "data" / "images"),
        }
        for name, (people, machines) in self.ports.items():
            other[f"{self._address(name)}:8080"] = f"127.0.0.1:{people}"
            other[f"{self._address(name)}:8081"] = f"127.0.0.1:{machines}"
        site = nginx.changed(nginx.SITES / "replicas.conf", other)
        peer = nginx.peer("nginx", self.folder / "nginx", site, {})
        self._open.enter_context(running(peer, self.folder / "front", self.machines))
        for name in self.services:
            until(
                lambda name=name: self.answers(name),
                30,
                lambda name=name: self.log(name).read_text()[-3000:],
            )
        return self

    def answers(self, name: str) -> bool:
        """Does this service itself say that it is ready?"""
        return Remote.is_ready(
            Remote(f"http://127.0.0.1:{self.ports[name][0]}", "", "", self.power_log)
        )

    def __exit__(self, *_: object) -> None:
        self.api.close()
        self._open.close()
