"""Brings a finished image folder into the library: checks every file, then links or copies it."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployer.core.media import FilePath
from deployer.core.text import Name
from deployer.errors import Invalid
from deployer.media.build.workshop import sha256

MANIFEST = "image.json"


class _File(BaseModel):
    path: FilePath
    size: int = Field(ge=0)  # vendors have empty files in their trees
    sha256: str = Field(pattern=re.compile(r"^[0-9a-f]{64}$"))


class _Manifest(BaseModel):
    """What every kind of image says; each kind says more."""

    model_config = ConfigDict(extra="allow")

    name: Name
    kind: Name
    arch: Name
    files: list[_File] = Field(min_length=1)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder; Invalid when there is none, or when it is wrong."""
    file = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        _Manifest.model_validate(manifest)
    except FileNotFoundError:
        raise Invalid(
            f"{folder} is no image: it has no {MANIFEST}", field="folder", value=str(folder),
            remedy="give the folder that `deployer image build --dir` made",
        ) from None  # fmt: skip
    except (ValueError, ValidationError) as error:
        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise Invalid(f"{file}: {problem}", field="image.json", remedy="build it again") from None
    return manifest


def verify(folder: Path, manifest: dict[str, Any]) -> None:
    """Invalid names the first file that is missing, a link, or not what the manifest says."""
    for entry in manifest["files"]:
        file = folder / entry["path"]
        # A link, or a link on the way there, could lead out of the folder.
        if file.resolve() != folder.resolve() / entry["path"] or not file.is_file():
            raise _differs(file, "is missing, or no plain file of this folder")
        if file.stat().st_size != entry["size"]:
            raise _differs(file, f"has {file.stat().st_size} bytes, not {entry['size']}")
        if sha256(file) != entry["sha256"]:
            raise _differs(file, "has another SHA-256 than image.json says")


def _differs(file: Path, problem: str) -> Invalid:
    return Invalid(f"{file} {problem}", field=file.name, remedy="build or copy the image again")


def add(library: Path, folder: Path) -> dict[str, Any]:
    """Put the image into `library`, complete or not at all; its manifest, to be registered."""
    manifest = read_manifest(folder)
    verify(folder, manifest)
    target = library / manifest["name"]
    if target.resolve() != folder.resolve():
        library.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{manifest['name']}-", dir=library))
        try:
            for name in [MANIFEST, *(entry["path"] for entry in manifest["files"])]:
                _link_or_copy(folder / name, partial / name)
            partial.chmod(0o755)
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _link_or_copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
