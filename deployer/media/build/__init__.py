"""Builds the live system, Debian roots, FAI's and the loaders; fetches Debian's installer; takes in
images of disks."""

from deployer.media.build.debian import build_debian_root
from deployer.media.build.debian_installer import fetch_debian_installer, installer_name
from deployer.media.build.disk_image import import_disk_image
from deployer.media.build.fai import build_fai
from deployer.media.build.live import build_live
from deployer.media.build.loaders import build_loaders
from deployer.media.build.workshop import BuildError

__all__ = [
    "BuildError",
    "build_debian_root",
    "build_fai",
    "build_live",
    "build_loaders",
    "fetch_debian_installer",
    "import_disk_image",
    "installer_name",
]
