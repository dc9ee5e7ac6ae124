"""What a family.yaml may say of its vendor's boot media: how one is known, what is taken from it.

Templates (Jinja2) see the named groups of all signs, `arch` and `release` as ours, `vendor_arch` as
it was found, and `machine_url`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from deployer.core.profiles import Arch
from deployer.core.text import Block, Line, Name, is_plain_line

# How vendors call processors.
ARCHES: dict[str, Arch] = {
    "x86_64": "x86_64", "amd64": "x86_64", "x64": "x86_64", "arm64": "arm64", "aarch64": "arm64",
    "armhf": "armhf", "armv7": "armhf", "i386": "i386", "i686": "i386", "x86": "i386",
}  # fmt: skip
_LONGEST_PATH = 1024


def check_file_path(text: str) -> str:
    """A file of a medium: names as vendors choose them, and no way out of its folder."""
    parts = text.split("/")
    if not text or len(text) > _LONGEST_PATH or not is_plain_line(text) or "\\" in text:
        raise ValueError(f"must be a plain path of at most {_LONGEST_PATH} characters")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("must be relative, without empty parts, '.' and '..'")
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"must be a regular expression: {error}") from None
    return text


FilePath = Annotated[str, AfterValidator(check_file_path)]
Pattern = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_pattern)]
Template = Annotated[str, Field(min_length=1, max_length=1000)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Sign(_Model):
    """One thing to see in a medium; what the named groups of its pattern match is kept.

    `file`: it is there (the first of several that is), and `find` matches a line of it. `label`
    and `place` are patterns for the volume's name, and for the path or URL that was given. `any`:
    one of these is enough.
    """

    file: FilePath | list[FilePath] | None = None
    find: Pattern | None = None
    label: Pattern | None = None
    place: Pattern | None = None
    any: list[Sign] = Field(default_factory=list, max_length=8)

    @model_validator(mode="after")
    def _one_of_them(self) -> Sign:
        given = [self.file, self.label, self.place, self.any or None]
        if sum(each is not None for each in given) != 1:
            raise ValueError("a sign has a file, a label, a place or any; name one")
        if self.find is not None and self.file is None:
            raise ValueError("find looks into a file; name it")
        return self

    def files(self) -> list[str]:
        """Those that it looks at."""
        own = [self.file] if isinstance(self.file, str) else self.file or []
        return [*own, *(file for sign in self.any for file in sign.files())]


class Taken(_Model):
    """A file of the medium (the first of several that is there), and its name in the image.

    `*` in a path stands for any text without a slash, `FOLDER/**` for all that is in a folder.
    `source`: no medium has it, and this is where people get it.
    """

    path: Template | Annotated[list[Template], Field(min_length=1, max_length=8)]
    name: FilePath | None = None
    arch: Arch | None = None
    optional: bool = False
    source: Line | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_path_alone(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    def paths(self) -> list[str]:
        return [self.path] if isinstance(self.path, str) else self.path


class Unpack(_Model):
    """A file that may be compressed, as it is without: some loaders cannot start it."""

    unpack: FilePath


class Gzip(_Model):
    """A compressed file, compressed by gzip instead: another archive may then follow it."""

    gzip: FilePath


class Insert(_Model):
    """A text as the file `insert` of an ISO."""

    insert: FilePath
    into: FilePath
    text: Block


class Cpio(_Model):
    """A file, alone in an archive as initrds are, under the same name; the archive replaces it."""

    cpio: FilePath
    of: FilePath


class FromWim(_Model):
    """A file out of the first image of a WIM, the first of `wim` that is there."""

    wim: list[FilePath] = Field(min_length=1)
    take: Line
    name: FilePath


Step = Unpack | Gzip | Insert | Cpio | FromWim


class Reading(_Model):
    """What the group of `find` matches in a file of the image: text, or a list.

    `split`: at this text, `strip` off each part. `each`: all matches, not the first alone.
    Of a WIM, its XML is read.
    """

    file: FilePath | list[FilePath]
    find: Pattern
    split: str | None = None
    strip: str | None = None
    each: bool = False


_Value = Annotated[Reading | Template | int, Field(union_mode="left_to_right")]
Fact = Annotated[_Value | dict[Name, _Value], Field(union_mode="left_to_right")]
_OURS = {"name", "kind", "arch", "os", "files", "built_at", "made_of", "verified"}


class Note(_Model):
    """What to say of a medium that has no file like this (`*` stands for any text)."""

    without: Line
    say: Line


class Medium(_Model):
    """One kind of medium: `medium` is what people call it, `example` what they say after
    `deployer image add`, and `url` where they get it.

    `made_by`: nothing is taken in, a command makes it. `refuse`: it is known, and of no use.
    """

    medium: Line
    example: Line | None = None
    url: Line | None = None
    made_by: Line | None = None
    refuse: Line | None = None
    recognise: list[Sign] = Field(default_factory=list, max_length=16)
    # Signs that tell more where they are seen.
    hints: list[Sign] = Field(default_factory=list, max_length=16)
    # What they tell, in our words: GROUP: {PATTERN: ours}; one without a word of ours is unknown.
    words: dict[Name, dict[Pattern, Line]] = Field(default_factory=dict)
    release: Template | None = None
    files: list[Taken] = Field(default_factory=list, max_length=64)
    tree: bool = False  # all other files too
    # Unless it is on a web server, which lists none; this is then said. Unset: it must be listed.
    files_suffice: Line | None = None
    lower: bool = False  # all names in small letters
    keep_as: FilePath | None = None  # the ISO itself, under this name
    steps: list[Step] = Field(default_factory=list, max_length=16)
    # Signs to be seen in what was taken: some files are too large to look into before.
    details: list[Sign] = Field(default_factory=list, max_length=16)
    facts: dict[Name, Fact] = Field(default_factory=dict)
    notes: list[Note] = Field(default_factory=list, max_length=8)

    @model_validator(mode="after")
    def _complete(self) -> Medium:
        if (self.made_by is None) == (not self.recognise):
            raise ValueError("a medium is recognised by something, or made_by a command")
        if self.refuse is None and self.recognise and not (self.files or self.tree):
            raise ValueError("say what is taken from it: files, or tree")
        if self.recognise and (self.example is None) != (self.refuse is not None):
            raise ValueError("say an example of it, or refuse it")
        if taken := _OURS & self.facts.keys():
            raise ValueError(f"facts: {', '.join(sorted(taken))} is not for a family to say")
        return self

    def command(self) -> str:
        """What makes an image of it."""
        return self.made_by or f"deployer image add {self.example}"

    def texts(self) -> set[str]:
        """The files that are looked into before anything is taken."""
        return {file for sign in (*self.recognise, *self.hints) for file in sign.files()}


def our_arch(text: str) -> Arch | None:
    return ARCHES.get(text.lower())
