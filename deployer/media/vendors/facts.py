"""What an image's manifest says of its medium, read from its files as the family's data tells."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deployer.core.media import Fact, Reading, Sign
from deployer.core.text import printable
from deployer.media.build.workshop import BuildError
from deployer.media.vendors.steps import first_of, text_of


def facts(given: Mapping[str, Fact], image: Path, fill: Callable[[str], str]) -> dict[str, Any]:
    return {
        name: facts(value, image, fill) if isinstance(value, dict) else _value(value, image, fill)
        for name, value in given.items()
    }


def _value(value: Reading | int | str, image: Path, fill: Callable[[str], str]) -> Any:
    if isinstance(value, Reading):
        return _read(value, image)
    return fill(value) if isinstance(value, str) else value


def _read(reading: Reading, image: Path) -> Any:
    files = [reading.file] if isinstance(reading.file, str) else reading.file
    file = first_of(image, files)
    if file is None:
        raise BuildError(f"the medium has no {' or '.join(files)}", "take the whole medium")
    found = list(re.finditer(reading.find, text_of(file), re.MULTILINE))
    if not found:
        raise BuildError(
            f"{file.name} does not match {reading.find}", "take the vendor's own medium, unchanged"
        )
    if reading.each:
        return [list(match.groups()) if match.re.groups > 1 else match[1] for match in found]
    text = found[0][1]
    parts = text.split(reading.split) if reading.split else [text]
    parts = [part.strip().strip(reading.strip or " ") for part in parts]
    return parts if reading.split else parts[0]


def details(signs: list[Sign], image: Path) -> dict[str, str]:
    """What the signs tell that are seen only in what was taken."""
    told: dict[str, str] = {}
    for sign in signs:
        file = first_of(image, sign.files())
        if file is None:
            raise BuildError(
                f"the medium has no {' or '.join(sign.files())}", "take the whole medium"
            )
        found = re.search(sign.find or "", text_of(file), re.MULTILINE)
        if found is None:
            raise BuildError(
                f"{printable(file.name)} does not match {sign.find}",
                "take the vendor's own medium, unchanged",
            )
        told.update({k: v for k, v in found.groupdict().items() if v is not None})
    return told
