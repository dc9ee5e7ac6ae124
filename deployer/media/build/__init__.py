"""Builds the live system, Debian root images and the loaders with mmdebstrap."""

from deployer.media.build.debian import build_debian_root
from deployer.media.build.live import build_live
from deployer.media.build.loaders import build_loaders
from deployer.media.build.workshop import BuildError

__all__ = ["BuildError", "build_debian_root", "build_live", "build_loaders"]
