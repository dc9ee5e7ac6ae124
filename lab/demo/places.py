"""Where the demo keeps its things, and what they are called."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".demo"
IMAGES = [ROOT / ".cache/images" / name for name in ("live-x86_64", "debian-12-x86_64")]
COMMAND = ROOT / ".venv/bin/deployer"
KEY = FOLDER / "key"
HOST, PROFILE, MAC = "demo", "debian-12-image", "52:54:00:de:00:01"


class DemoError(Exception):
    """The demo cannot go on; the message is for the person before the screen."""
