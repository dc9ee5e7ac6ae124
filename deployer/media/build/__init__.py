"""Builds the live system and Debian roots, and fetches Debian's own installer."""

from deployer.media.build.debian import build_debian_root
from deployer.media.build.debian_installer import fetch_debian_installer, installer_name
from deployer.media.build.live import build_live
from deployer.media.build.workshop import BuildError

__all__ = [
    "BuildError",
    "build_debian_root",
    "build_live",
    "fetch_debian_installer",
    "installer_name",
]
