"""What is done to a machine: what a release is for, and what a workflow leads through."""

from __future__ import annotations

from typing import Literal

Task = Literal["install", "wipe", "rescue", "burn_in"]
