"""A module that defines the agreed name is a part: there is nothing to register."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any


def find(package: ModuleType, attribute: str) -> dict[str, Any]:
    """`attribute` of every module in `package` that has one, by the part's own `name`."""
    found = {}
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        part = getattr(importlib.import_module(module.name), attribute, None)
        if part is not None:
            found[part.name] = part
    return found
