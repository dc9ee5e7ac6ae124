"""What deploy/compose.yaml describes, as processes of this machine: no container engine is needed.

Its commands, settings and configuration files are used as they stand; only addresses, ports and
folders are others.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

import yaml
from sqlalchemy import text

from benchmarks import nginx
from benchmarks.peers import running
from deployer.app import build_parts
from deployer.settings import Settings
from deployer.store import effects
from tests.support.live import Child, Remote, answers, make_ready, run_command, until
from tests.support.postgres import free_port

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose.yaml"
_VARIABLE = re.compile(r"\$\{(\w+):[?-]([^}]*)\}")


def compose(**variables: str) -> dict[str, Any]:
    """The file, its variables filled in; one that is not given is its default, or its message."""
    content = COMPOSE.read_text(encoding="utf-8")
    filled = _VARIABLE.sub(lambda match: variables.get(match[1], match[2]), content)
    found: dict[str, Any] = yaml.safe_load(filled)
    return found


class Site(Remote):
    """Context manager: nginx, and `services` and `workers` by name, which a test may kill.

    `more`: settings for all of them.
    """

    def __init__(self, folder: Path, database_url: str, **more: str) -> None:
        self.folder, self.more = folder, more
        self.database = database_url.rpartition("@")[2]
        people, self.machine_port = free_port(), free_port()
        machine_url = f"http://127.0.0.1:{self.machine_port}"
        self.described = compose(MACHINE_URL=machine_url)["services"]
        self.ports = {name: (free_port(), free_port()) for name in self._named("serve")}
        self.services = {name: self._child(name) for name in self.ports}
        self.workers = {name: self._child(name) for name in self._named("worker")}
        environment = self.environment("serve1")
        self.parts = build_parts(Settings(
            data_dir=folder / "data", database_url=environment["DEPLOYER_DATABASE_URL"],
            machine_url=machine_url,
        ))  # fmt: skip
        self._nginx = nginx.peer("nginx", folder / "nginx", self._site(people), {})
        self._open = ExitStack()
        token = make_ready(self.parts, "site")
        super().__init__(f"http://127.0.0.1:{people}", machine_url, token, folder / "power.log")

    def _named(self, command: str) -> list[str]:
        """Which do this."""
        all_ = self.described.items()
        return [name for name, one in all_ if one.get("command", [""])[0] == command]

    def _child(self, name: str) -> Child:
        words, power_log = self.described[name]["command"], self.folder / "power.log"
        return Child(run_command, words, self.environment(name), self.log(name), power_log)

    def _address(self, name: str) -> str:
        address: str = self.described[name]["networks"]["default"]["ipv4_address"]
        return address

    def environment(self, name: str) -> dict[str, str]:
        """As described, for this machine."""
        found = {
            "HOME": str(self.folder), "PATH": "/usr/sbin:/usr/bin:/bin",
            "DEPLOYER_DATA_DIR": str(self.folder / "data"),
            **self.described[name]["environment"], **self.more,
        }  # fmt: skip
        other = {
            "DEPLOYER_DATABASE_URL": (f"{self._address('database')}/deployer", self.database),
            "DEPLOYER_TRUSTED_PROXIES": (self._address("nginx"), "127.0.0.1"),
        }
        if name in self.ports:
            people, machines = self.ports[name]
            other["DEPLOYER_LISTEN"] = ("0.0.0.0:8080", f"127.0.0.1:{people}")
            other["DEPLOYER_MACHINE_LISTEN"] = ("0.0.0.0:8081", f"127.0.0.1:{machines}")
        for setting, (old, new) in other.items():
            assert old in found[setting], f"{setting} of {name} has no {old}"
            found[setting] = found[setting].replace(old, new)
        return found

    def _site(self, port: int) -> str:
        other = {
            "listen 8080": f"listen 127.0.0.1:{port}", "listen 8081": "listen 127.0.0.1:$port",
            "/var/lib/deployer/images": str(self.folder / "data" / "images"),
        }  # fmt: skip
        for name, (people, machines) in self.ports.items():
            other[f"{self._address(name)}:8080"] = f"127.0.0.1:{people}"
            other[f"{self._address(name)}:8081"] = f"127.0.0.1:{machines}"
        return nginx.changed(nginx.SITES / "replicas.conf", other)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def __enter__(self) -> Self:
        for name in (*self.services, *self.workers):
            self._open.callback(self.child(name).kill)
            self.child(name).launch()
        for name in self.services:
            self.waits_until_ready(name)
        self._open.enter_context(running(self._nginx, self.folder / "front", self.machine_port))
        return self

    def __exit__(self, *_: object) -> None:
        self.api.close()
        self._open.close()
        self.parts.database.dispose()

    def child(self, name: str) -> Child:
        return self.services.get(name) or self.workers[name]

    def waits_until_ready(self, service: str) -> None:
        """Until it says so itself."""
        url = f"http://127.0.0.1:{self.ports[service][0]}/readyz"
        until(partial(answers, url), 30, lambda: self.log(service).read_text()[-3000:])

    # --- to look behind it --------------------------------------------------------------------

    def who_answered(self, client: str) -> set[str]:
        """The services that had a request from this address."""
        asked = f'"client": "{client}"'
        return {name for name in self.services if asked in self.log(name).read_text()}

    def workers_at_work(self) -> list[str]:
        """Those who have an effect in hand, as the engine knows it."""
        query = "SELECT DISTINCT executor_id FROM dbos.workflow_status WHERE status = 'PENDING'"
        with self.parts.database.reading() as session:
            return [str(name) for name in session.execute(text(query)).scalars()]

    def unfinished_effects(self, id_: str) -> list[str]:
        with self.parts.database.reading() as session:
            return [e.name for e in effects.of_deployment(session, id_) if e.ended_at is None]
