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
            _add(made, source, medium, taken, fill(taken.path), beside)
    _refuse_strangers(made, beside)
    if medium.tree:
        _add_tree(made, source, medium)
    made.notes += [note.say for note in medium.notes if not _any(made.files, note.without)]
    return made


def _any(names: dict[str, str], pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def _add(
    made: Plan, source: Source, medium: Medium, taken: Taken, path: str, beside: Sequence[Path]
) -> None:
    found = _found(source, path)
    for name, real in found.items():
        name = taken.name or (name.lower() if medium.lower else name)
        made.files[name] = real
        made.named.add(name)
    name = taken.name or path
    given = next((file for file in beside if file.name == name), None)
    if given is not None and not found:
        made.beside[name] = given
    elif not found and taken.source:
        raise BuildError(
            f"its recipe needs {name}, which no such medium has",
            f"get it from {taken.source}, and give it too: --with {name}",
        )
    elif not found and not taken.optional:
        raise BuildError(
            f"{source.place} has no {path}, which its recipe needs",
            f"take the whole medium: {medium.medium}",
        )


def _found(source: Source, path: str) -> dict[str, str]:
    contents = source.contents
    if contents is None:  # nothing can be listed: what has a star in its name is not to be had
        return {path: path} if "*" not in path and source.has(path) else {}
    if "*" in path:
        return contents.matching(path)
    real = contents.find(path)
    return {path: real} if real else {}


def _refuse_strangers(made: Plan, beside: Sequence[Path]) -> None:
    used = set(made.beside.values())
    for file in beside:
        if file not in used:
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
