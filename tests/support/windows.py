"""The family `windows`: what it renders for a description, and how it judges a file."""

from __future__ import annotations

from typing import Any

from deployer.answers import prepare
from deployer.answers.installers.windows_setup import INSTALLER
from deployer.errors import Finding, Invalid
from tests import golden

WINDOWS = golden.found("windows")
MAC, SECOND = "52:54:00:12:34:56", "52:54:00:12:34:57"
HOST: dict[str, Any] = {"name": "web01", "macs": [MAC]}
PROFILE: dict[str, Any] = {"name": "web"}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy0c2y6s7k5p1gk0wU"


def files(host: Any = HOST, **profile: Any) -> dict[str, str]:
    """What the machine would fetch; nothing is wrong with it."""
    snapshot = golden.snapshot(WINDOWS, {**HOST, **host}, {**PROFILE, **profile})
    assert prepare.unsupported(WINDOWS.family, snapshot.profile, snapshot.host) == []
    rendered, findings = golden.rendered(WINDOWS, snapshot, "uefi")
    assert findings == []
    return rendered


def findings(host: Any = HOST, **profile: Any) -> list[Finding]:
    """What is wrong with a description, wherever it is seen."""
    snapshot = golden.snapshot(WINDOWS, {**HOST, **host}, {**PROFILE, **profile})
    try:
        refused = prepare.unsupported(WINDOWS.family, snapshot.profile, snapshot.host)
        return refused or golden.rendered(WINDOWS, snapshot, "uefi")[1]
    except Invalid as error:
        return error.findings


def judged(text: str, path: str = "unattend.xml", **profile: Any) -> list[tuple[int | None, str]]:
    """(line, message) of what is wrong with an operator's own file."""
    snapshot = golden.snapshot(WINDOWS, HOST, {**PROFILE, **profile})
    answer = next(a for a in WINDOWS.family.answers if a.path == path)
    values = golden.context_of(snapshot, "uefi")
    full = {**values, "release": {**values["release"], **_facts(snapshot.profile.release)}}
    return [(f.line, f.message) for f in INSTALLER.check(answer, text, full)]


def _facts(version: str) -> dict[str, Any]:
    release = WINDOWS.family.release(version)
    assert release is not None
    return release.facts
