"""Vendors' boot media made images of ours: ISOs, archives, folders, and the same on web servers."""

from deployer.media.vendors.open import is_medium, is_url
from deployer.media.vendors.take import Asked, Image, Recipes, check_file, take_in

__all__ = ["Asked", "Image", "Recipes", "check_file", "is_medium", "is_url", "take_in"]
