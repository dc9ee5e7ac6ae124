"""What the demo can install: each profile with the images that it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.demo.places import IMAGES
from lab.machine import KERNEL_ARGS

Json = dict[str, Any]


@dataclass(frozen=True)
class DemoProfile:
    """`spec` is given the address of a Debian mirror when `needs_mirror`."""

    name: str
    images: tuple[str, ...]
    patience: int  # seconds
    spec: Callable[[str], Json]
    needs_mirror: bool = False

    @property
    def folders(self) -> list[Path]:
        return [IMAGES / name for name in self.images]

    def described(self, mirror: str, public_key: str) -> Json:
        """As an operator writes it."""
        return {
            "name": self.name, "users": [{"name": "ops", "sudo": True, "ssh_keys": [public_key]}],
            "storage": {"disk": {"min_size": "2G"}}, "kernel_args": KERNEL_ARGS,
            "verify": {"release": "12", "packages": ["openssh-server"]}, **self.spec(mirror),
        }  # fmt: skip


PROFILES = {
    profile.name: profile
    for profile in (
        DemoProfile(
            "debian-12-image", ("live-x86_64", "debian-12-x86_64"), 900,
            lambda _: {"os": "image", "release": "debian-12", "locale": "C.UTF-8"},
        ),
        DemoProfile(
            "debian-12", ("live-x86_64", "debian-installer-12-x86_64"), 3600,
            lambda mirror: {"os": "debian", "release": "12", "mirror": mirror},
            needs_mirror=True,
        ),
    )
}  # fmt: skip
