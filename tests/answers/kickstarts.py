"""What the tests of kickstarts share."""

from __future__ import annotations

import subprocess
from tempfile import TemporaryDirectory
from typing import Any

from deployer.answers import prepare
from deployer.answers.grammars.kickstart import read
from deployer.errors import Finding
from tests import golden

HOST: dict[str, Any] = {"name": "web01", "macs": ["52:54:00:12:34:56"]}


class Given:
    """What a host is given by a family: its ks.cfg, and the context of it."""

    def __init__(self, family: str, host: dict[str, Any], **profile: Any) -> None:
        self.found = golden.found(family)
        snapshot = golden.snapshot(self.found, host, {"name": "web", **profile})
        self.context = golden.context_of(snapshot)
        self.text = prepare.answers(self.found, self.context)["ks.cfg"]

    def findings(self, text: str | None = None) -> list[Finding]:
        return prepare.findings(self.found, self.context, {"ks.cfg": text or self.text})

    def problems(self, text: str | None = None) -> list[str]:
        return [finding.message for finding in self.findings(text)]

    def section(self, name: str, number: int = 0) -> str:
        sections = [s for s in read(self.text, "ks.cfg").sections if s.name == name]
        return "\n".join(sections[number].body) + "\n"

    def disks(self, firmware: str, *disks: str) -> str:
        """What %pre writes when the server names these disks, on such a machine."""
        agent = self.section("%pre").replace("OWN=/tmp/deployer", "OWN=$1")
        script = f"firmware() {{ echo {firmware}; }}\nlayout {' '.join(disks)}\n"
        return runs_bash(agent.replace("\ncase ${1:-pre} in", f"\n{script}\nexit\ncase x in"))

    def with_disks(self, firmware: str, *disks: str) -> str:
        """The kickstart as the installer reads it in the end."""
        lines = self.disks(firmware, *disks)
        assert "%include /tmp/disk.ks\n" in self.text
        return self.text.replace("%include /tmp/disk.ks\n", lines)


def runs_bash(script: str) -> str:
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            ["bash", "-s", folder],
            input=script,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout
