"""Which files of a medium become which files of its image."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deployer.core.media import Medium, Taken
from deployer.core.profiles import Arch
from deployer.media.build.workshop import BuildError
from deployer.media.vendors.contents import Contents, Source


@dataclass
class Plan:
    """`files`: {name in the image: file of the medium}. `named`: those that the family names.

    `beside`: {name in the image: a file of the operator's}. `notes`: what is to be said.
    """

    files: dict[str, str] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    beside: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def plan(
    source: Source, medium: Medium, arch: Arch, fill: Callable[[str], str], beside: Sequence[Path]
) -> Plan:
    """BuildError for a medium that lacks what its recipe needs."""
    made = Plan()
    for taken in medium.files:
        if taken.arch in (None, arch):
            paths = [fill(path) for path in taken.paths()]
            if not _add(made, source, medium, taken, paths) and not _add_given(
                made, taken.name or paths[0], beside
            ):
                _refuse_without(source, medium, taken, paths)
    _refuse_strangers(made, beside)
    if medium.tree:
        _add_tree(made, source, medium)
    if source.contents is not None:
        made.notes += [each.say for each in medium.notes if not _any(made.files, each.without)]
    return made


def _any(names: dict[str, str], pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def _add(made: Plan, source: Source, medium: Medium, taken: Taken, paths: list[str]) -> bool:
    """Whether the medium has it."""
    found = next((each for path in paths if (each := _found(source, path))), {})
    for path, real in found.items():
        name = taken.name or (path.lower() if medium.lower else path)
        made.files[name] = real
        made.named.add(name)
    return bool(found)


def _found(source: Source, path: str) -> dict[str, str]:
    contents = source.contents
    if contents is None:  # nothing can be listed: what has a star in its name is not to be had
        return {path: path} if "*" not in path and source.has(path) else {}
    if "*" in path:
        return contents.matching(path)
    real = contents.find(path)
    return {path: real} if real else {}


def _add_given(made: Plan, name: str, beside: Sequence[Path]) -> bool:
    """Whether the operator has given it, a file or a folder."""
    given = next((path for path in beside if path.name == name.removesuffix("/**")), None)
    if given is None:
        return False
    if not given.exists() or given.is_dir() != name.endswith("/**"):
        raise BuildError(f"--with {given}: there is no such file", f"give {name}")
    inside = [path for path in given.rglob("*") if path.is_file()] if given.is_dir() else [given]
    made.beside.update({str(path.relative_to(given.parent)): path for path in inside})
    return True


def _refuse_without(source: Source, medium: Medium, taken: Taken, paths: list[str]) -> None:
    name = taken.name or paths[0]
    if taken.source:
        raise BuildError(
            f"its recipe needs {name}, which no such medium has",
            f"get it from {taken.source}, and give it too: --with {name}",
        )
    if not taken.optional:
        raise BuildError(
            f"{source.place} has no {' or '.join(paths)}, which its recipe needs",
            f"take the whole medium: {medium.medium}",
        )


def _refuse_strangers(made: Plan, beside: Sequence[Path]) -> None:
    for file in beside:
        if not any(file in (used, *used.parents) for used in made.beside.values()):
            raise BuildError(
                f"--with {file}: this medium's recipe needs no {file.name}, or the medium has it",
                "leave it out, or give it the name that the recipe looks for",
            )


def _add_tree(made: Plan, source: Source, medium: Medium) -> None:
    contents = source.contents
    if contents is not None:
        for path, real in contents.files():
            name = path.lower() if medium.lower else path
            _refuse_twins(contents, made.files, name, real)
            made.files.setdefault(name, real)
    elif medium.files_suffice is None:
        raise BuildError(
            f"all files of {medium.medium} are needed, and a web server lists none",
            "give the URL of the ISO, or the folder where it is unpacked",
        )
    else:
        made.notes.append(medium.files_suffice)


def _refuse_twins(contents: Contents, files: dict[str, str], name: str, real: str) -> None:
    if files.get(name, real) != real:
        raise contents.refused(real, f"differs from {files[name]} in the size of letters alone")
