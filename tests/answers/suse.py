"""What the tests of SUSE's two installers share."""

from __future__ import annotations

import subprocess
from typing import Any

from deployer.answers.context import Snapshot
from tests import golden

KEY = """-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawYldBYJKwYBBAHaRw8BAQdAH+T4kPe0bJGthUrQUwL2GSmvwK154ziydtmD
AO66S9W0GUV4YW1wbGUgPGtleUBleGFtcGxlLm9yZz6IkAQTFggAOBYhBLkYQ+SD
f2BNgEYxhvohqbMP4K2HBQJrBiV0AhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheA
AAoJEPohqbMP4K2H6foBANCdvxZOUVJYR26A1UKasuKWXum06LV0cPDGZj6585wa
AQCOwoLxj3BxUxS+ps973u0oBZK+lg///+8CaRppfJn3AA==
=kHcc
-----END PGP PUBLIC KEY BLOCK-----
"""
FINGERPRINT = "B91843E4837F604D80463186FA21A9B30FE0AD87"


def ours(file: str, release: str, example: str = "dhcp", **profile: Any) -> str:
    """What this example's machine is given."""
    found = golden.found("suse")
    given = golden.read_example(example)
    given["profile"] |= {"release": release, **profile}
    files, findings = golden.rendered(found, golden.snapshot(found, **given), "uefi")
    assert findings == []
    return files[file]


def described(
    file: str, release: str, host: dict[str, Any], profile: dict[str, Any], firmware: Any
) -> tuple[Snapshot, str]:
    """Any description, and the file that it becomes, which has no finding."""
    found = golden.found("suse")
    snapshot = golden.snapshot(found, host, {**profile, "release": release})
    files, findings = golden.rendered(found, snapshot, firmware)
    # Its scripts may be no shell at all, which is found and said.
    assert [f for f in findings if f.field is None or not f.field.startswith("scripts.")] == []
    return snapshot, files[file]


def run_agent(functions: str, fakes: str, commands: str) -> subprocess.CompletedProcess[str]:
    """Commands with the agent's functions; its calls and restarts are only written down."""
    assert functions.endswith("\nbegin\n")
    fakes = f"""
call() {{ echo "CALL ${{2##*/}} ${{3:-}}" >&3; }}
sleep() {{ :; }}
restart() {{ echo RESTART >&3; exit 9; }}
{fakes}"""
    own = functions.removesuffix("begin\n")
    script = f"exec 3>&1\n{own}{fakes}{commands}\n"
    return subprocess.run(
        ["bash"], input=script, capture_output=True, text=True, timeout=20, check=False
    )
