"""Which family's medium is this? The signs of each, looked for in what was given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deployer.core.families import Family
from deployer.core.media import Medium, Sign
from deployer.core.text import printable
from deployer.media.build.workshop import BuildError
from deployer.media.vendors.contents import Source


@dataclass(frozen=True)
class Recognised:
    """`told`: what the named groups of its signs matched."""

    family: Family
    medium: Medium
    told: dict[str, str]


class Unseen(Exception):
    """A sign that is not there, in words."""


def texts(families: list[Family]) -> set[str]:
    """Every file that some family looks into."""
    return {text for _, medium in _media(families) for text in medium.texts()}


def recognise(source: Source, families: list[Family]) -> Recognised:
    """The first medium all of whose signs are seen; BuildError lists what was looked for."""
    missing = []
    for family, medium in _media(families):
        try:
            told = look(source, medium.recognise)
        except Unseen as error:
            missing.append(f"  {family.name}, {medium.medium}: {error}")
            continue
        if medium.refuse is not None:
            raise BuildError(
                f"{source.place} is {medium.medium}, which cannot be used", medium.refuse
            )
        return Recognised(family, medium, {**hints(source, medium.hints), **told})
    raise BuildError(
        f"{printable(source.place)} is no medium of these:\n" + "\n".join(missing),
        "docs/media.md says which media to take; a family.yaml of your own can tell of more",
    )


def _media(families: list[Family]) -> Iterator[tuple[Family, Medium]]:
    for family in families:
        yield from ((family, medium) for medium in family.media if medium.recognise)


def look(source: Source, signs: list[Sign]) -> dict[str, str]:
    """What all of the signs tell; Unseen names the first that is not there."""
    told: dict[str, str] = {}
    for sign in signs:
        told.update(_seen(source, sign))
    return told


def hints(source: Source, signs: list[Sign]) -> dict[str, str]:
    """What those of the signs tell that are there."""
    told: dict[str, str] = {}
    for sign in signs:
        try:
            told.update(_seen(source, sign))
        except Unseen:
            continue
    return told


def _seen(source: Source, sign: Sign) -> dict[str, str]:
    if sign.any:
        problems = []
        for each in sign.any:
            try:
                return _seen(source, each)
            except Unseen as error:
                problems.append(str(error))
        raise Unseen(", and ".join(problems))
    if sign.label is not None:
        return _matched(source.label, sign.label, f"the volume's name {source.label!r}")
    if sign.place is not None:
        return _matched(source.place, sign.place, "its name or place")
    names = sign.files()
    file = next((name for name in names if source.has(name)), None)
    if file is None:
        raise Unseen(f"it has no {' or '.join(names)}")
    if sign.find is None:
        return {}
    return _matched(source.text(file) or "", sign.find, file)


def _matched(text: str, pattern: str, what: str) -> dict[str, str]:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise Unseen(f"{printable(what, 200)} does not match {pattern}")
    return {name: value for name, value in found.groupdict().items() if value is not None}


def in_our_words(medium: Medium, told: Mapping[str, str]) -> dict[str, str]:
    """`told` with each group that has `words` in ours; BuildError for a word that has none."""
    ours = dict(told)
    for name, words in medium.words.items():
        if name not in told:
            continue
        word = next((w for each, w in words.items() if re.fullmatch(each, told[name])), None)
        if word is None:
            raise BuildError(
                f"this {medium.medium} has {name} {printable(told[name], 100)!r}, not one of"
                f" {', '.join(words)}",
                "take another medium, or add the word to a family.yaml of your own",
            )
        ours[name] = word
    return ours
