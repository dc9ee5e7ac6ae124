"""The part that installers with curl share: real sh and bash, real curl, the real machine side."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployer.answers.families import FoundFamily
from deployer.answers.render import environment, render_file
from tests import golden
from tests.support.server import RunningServer
from tests.support.service import MAC, Service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("backend", ["sqlite"], indirect=True),
    pytest.mark.parametrize("shell", ["dash", "bash"]),
]
GIB = 2**30
# What a test machine must not do, and what it cannot have.
FAKES = """\
restart() {{ echo restarted; exit 9; }}
macs() {{ echo {mac}; }}
dmi() {{ case $1 in product_serial) echo 'S "1"' ;; *) printf '%s' 'Some\\thing' ;; esac; }}
list_disks() {{ printf '%s' '{disks}'; }}
FAIL_SECONDS=0
"""


def disk(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "path": f"/dev/{name}", "size": 8 * GIB, "type": "ssd", **more}


class Installer:
    """A machine in its installer; `says` runs a line of shell after the shared part."""

    def __init__(self, service: Service, server: RunningServer, folder: Path) -> None:
        self.service, self.folder = service, folder
        self.url = f"http://127.0.0.1:{server.port}"

    def is_armed(self, **profile: Any) -> None:
        self.service.knows(storage={"disk": {"min_size": "1G"}}, **profile)
        self.id = self.service.deploys()
        self.service.machine().asks()

    def says(
        self, shell: str, line: str, disks: list[dict[str, Any]] | None = None, mac: str = MAC
    ) -> subprocess.CompletedProcess[str]:
        found = golden.found("image")
        shared = FoundFamily(found.family, (golden.ANSWERFILES / "_shared",))
        snapshot = golden.snapshot(found, {"name": "web01", "macs": [MAC]}, {"name": "p"})
        tokens = {f"TOKEN-{p.upper()}": t for p, t in self.service.parts.tokens(self.id).items()}
        context = golden.context_of(snapshot)
        context["urls"] = {
            name: self._own(url, tokens) for name, url in context["urls"].items()
        }  # fmt: skip
        script = render_file(environment(shared), "agent-curl.sh.j2", context)
        fakes = FAKES.format(mac=mac, disks=json.dumps(disks or [])[1:-1])
        text = f"set -u\n{script}\n{fakes}\n{line}\n"
        return subprocess.run(
            [shell, "-c", text], capture_output=True, text=True, timeout=60, check=False,
            env={"PATH": "/usr/bin:/bin", "OWN": str(self.folder), "LOG": str(self.folder / "log")},
        )  # fmt: skip

    def _own(self, url: str, tokens: dict[str, str]) -> str:
        for name, token in tokens.items():
            url = url.replace(name, token)
        return url.replace("http://10.0.0.5:8081", self.url)


@pytest.fixture
def installer(service: Service, tmp_path: Path) -> Iterator[Installer]:
    with RunningServer(service.machines) as server:
        yield Installer(service, server, tmp_path)


def test_it_says_that_it_has_begun_and_what_it_is(installer: Installer, shell: str) -> None:
    installer.is_armed()
    done = installer.says(
        shell, "check_identity; started; progress disks 8 'a \"b\" \\ c'; echo on"
    )
    assert done.stdout == "on\n", done.stderr
    assert installer.service.state(installer.id) == "installing"
    facts = installer.service.row(installer.id).reported["facts"]
    assert facts["serial"] == 'S "1"' and facts["product"] == "Some\\thing"
    assert facts["macs"] == [MAC]
    (progress,) = [e for e in installer.service.history(installer.id) if e["event"] == "progress"]
    assert progress["detail"]["message"] == 'a "b" \\ c'


def test_another_machine_is_stopped(installer: Installer, shell: str) -> None:
    installer.is_armed()
    done = installer.says(shell, "check_identity; echo on", mac="52:54:00:99:99:99")
    assert (done.stdout, done.returncode) == ("restarted\n", 9)
    assert installer.service.cause(installer.id).startswith("none of this machine's NICs is one of")


def test_the_disk_that_the_rule_means_is_named(installer: Installer, shell: str) -> None:
    installer.is_armed()
    disks = [disk("sda", removable=True), disk("nvme0n1", serial="x y")]
    done = installer.says(shell, 'ask_for_disks; echo "<$DISKS_CHOSEN>"', disks)
    assert done.stdout == "</dev/nvme0n1>\n", done.stderr


def test_where_none_is_meant_nothing_goes_on(installer: Installer, shell: str) -> None:
    installer.is_armed()
    done = installer.says(shell, "ask_for_disks; echo on", [disk("sda"), disk("sdb")])
    assert done.stdout == "restarted\n"
    assert "2 disks fit" in installer.service.cause(installer.id)


def test_a_failure_brings_the_end_of_the_log_without_secrets(
    installer: Installer, shell: str
) -> None:
    installer.is_armed()
    (installer.folder / "log").write_text(
        "one\npassword=geheim\nfetching http://s/d/abcdef0123/answers/x\nrootpw $6$aa$bb\nlast\n"
    )
    done = installer.says(shell, "fail writing 'it \"broke\"'; echo on")
    assert done.stdout == "restarted\n"
    assert installer.service.cause(installer.id) == 'it "broke" (while writing)'
    text = json.dumps(installer.service.history(installer.id))
    assert "last" in text and "/d/.../answers" in text
    assert "geheim" not in text and "$6$" not in text and "abcdef0123" not in text


def test_a_cancelled_deployment_restarts_the_machine(installer: Installer, shell: str) -> None:
    installer.is_armed()
    assert installer.service.api.post(f"/api/v1/deployments/{installer.id}/cancel").is_success
    for line in ("started", "progress writing 20 x", "ask_for_disks"):
        assert installer.says(shell, f"{line}; echo on").stdout == "restarted\n", line


def test_a_server_that_is_away_stops_no_installation(installer: Installer, shell: str) -> None:
    installer.is_armed()
    installer.url = "http://127.0.0.1:9"
    assert installer.says(shell, "set -e; progress writing 20 x; echo on").stdout == "on\n"
