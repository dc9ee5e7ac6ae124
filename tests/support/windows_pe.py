"""Runs deployer.js in a played Windows PE (windows_pe.js), under Node.js."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.support.windows import HOST, MAC, files

PLAYER = Path(__file__).with_name("windows_pe.js")
NODE = shutil.which("node")
DRIVE = {
    "Index": 0,
    "Size": "100027630080",
    "SerialNumber": "  S3Z9NB0K ",
    "Model": 'Disk "A"',
    "MediaType": "Fixed hard disk media",
    "InterfaceType": "SCSI",
    "PNPDeviceID": "SCSI\\DISK&VEN_A\\4",
}
STICK = {**DRIVE, "Index": 1, "MediaType": "Removable Media", "InterfaceType": "USB"}
PROCEED = (
    '{"action":"proceed","disk":{"name":"PhysicalDrive%d"},"disks":[{"name":"PhysicalDrive%d"}]}'
)


def play(host: Any = HOST, profile: Any = None, **world: Any) -> dict[str, Any]:
    """What deployer.js does on a machine like this."""
    made = files(host, **(profile or {}))
    seen = {
        "script": made["deployer.js"],
        "macs": [MAC.upper()],
        "uefi": True,
        "drives": [DRIVE, STICK],
        "answers": {"disks": [200, PROCEED % (0, 0)]},
        "sizes": {"sources/install.wim": 4700000000, "netkvm.inf": 4000, "netkvm.sys": 90000},
        "images": [["ServerStandard", "Server Core"], ["ServerStandard", "Server"]],
        **world,
    }
    done = subprocess.run(
        [NODE or "", str(PLAYER)],
        input=json.dumps(seen),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def calls(done: dict[str, Any]) -> list[str]:
    """What the server heard, progress by its stage."""
    heard = []
    for url, body in done["calls"]:
        name = url.rsplit("/", 1)[-1]
        heard.append(json.loads(body)["stage"] if name == "progress" else name)
    return heard
