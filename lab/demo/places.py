"""Where the demo keeps its things, and what they are called."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".demo"
IMAGES = ROOT / ".cache/images"
MIRROR_CACHE = ROOT / ".cache/lab/mirror"
COMMAND = ROOT / ".venv/bin/deployer"
KEY = FOLDER / "key"
HOST, MAC = "demo", "52:54:00:de:00:01"


class DemoError(Exception):
    """The demo cannot go on; the message is for the person before the screen."""
