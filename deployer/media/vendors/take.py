"""A vendor's medium becomes an image: recognised, checked, its files taken; whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployer.core.families import Family
from deployer.core.media import our_arch
from deployer.core.profiles import Arch
from deployer.core.text import check_name, printable
from deployer.errors import Invalid
from deployer.media.build.workshop import BuildError, Log, check_room, finish, run, workspace
from deployer.media.library import read_manifest
from deployer.media.vendors import facts, steps, vouch
from deployer.media.vendors.folders import BesideFile
from deployer.media.vendors.open import Opened, opened
from deployer.media.vendors.plan import plan
from deployer.media.vendors.recognise import Recognised, in_our_words, recognise

# UEFI 2.10, 3.5.1.1: what firmware looks for on a medium, by its own processor.
_REMOVABLE: dict[str, Arch] = {
    "efi/boot/bootx64.efi": "x86_64", "efi/boot/bootaa64.efi": "arm64",
}  # fmt: skip

_NOBODY = (
    "nothing vouches for {name}: no --sha256 was given, and no list of checksums lies beside it"
)


@dataclass(frozen=True)
class Asked:
    """What the operator said; `beside` are files that no medium has."""

    source: str
    name: str | None = None
    arch: Arch | None = None
    release: str | None = None
    sha256: str | None = None
    keyring: Path | None = None
    beside: Sequence[Path] = ()


@dataclass(frozen=True)
class Recipes:
    """What is known of families, and how templates of theirs are filled.

    `image_name(family, release, arch, vars)` is the image that their boot recipe looks for.
    """

    families: list[Family]
    fill: Callable[[Family, str, dict[str, str]], str]
    image_name: Callable[[Family, str, Arch, dict[str, str]], str]
    machine_url: str


@dataclass(frozen=True)
class Image:
    """An image that is complete. `profile`: the fields of a profile that install it."""

    manifest: dict[str, Any]
    folder: Path
    profile: dict[str, Any]


def take_in(library: Path, folder: Path | None, asked: Asked, recipes: Recipes, log: Log) -> Image:
    """Make an image of a medium in `folder`, or in `library` under the name that its recipe looks
    for. BuildError or Invalid names what is wrong; then nothing is left behind."""
    with workspace(folder or library / "medium") as work:
        terms = vouch.Terms(asked.sha256, asked.keyring, work)
        given = opened(asked.source, recipes.families, terms, log)
        found = recognise(given.source, recipes.families)
        taking = _Taking(asked, recipes, found, given, work / "image")
        log(f"{given.source.name} is {found.family.label}: {found.medium.medium}")
        taking.files(terms, log)
        dest = folder or library / taking.name
        finish(taking.image, dest, taking.manifest())
    return Image(read_manifest(dest), dest, taking.profile())


class _Taking:
    """One medium on its way; `release` and `name` are known at the latest when it is taken."""

    def __init__(
        self, asked: Asked, recipes: Recipes, found: Recognised, given: Opened, image: Path
    ) -> None:
        self.asked, self.recipes, self.given, self.image = asked, recipes, given, image
        self.family, self.medium = found.family, found.medium
        self.told = in_our_words(found.medium, found.told)
        self.arch = self._arch()
        self.release, self.name, self.verified = "", "", given.verified
        self.variables: dict[str, str] = {}
        if not self.medium.details:  # what is wrong is better said before the work
            self._find_name()

    def files(self, terms: vouch.Terms, log: Log) -> None:
        """Take them, have them checked, and make of them what machines can use."""
        source, beside = self.given.source, self.given.beside
        chosen = plan(source, self.medium, self.arch, self._fill, self.asked.beside)
        self.image.mkdir()
        source.fetch(chosen.files, self.image)
        if beside is not None:
            self.verified = vouch.for_folder(
                beside, terms, self.image, chosen.files, chosen.named
            )  # fmt: skip
        for name, file in chosen.beside.items():
            (self.image / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, self.image / name)
        self._keep_medium()
        if self.medium.details:
            told = facts.details(self.medium.details, self.image)
            self.told = in_our_words(self.medium, {**self.told, **told})
            self._find_name()
        for step in self.medium.steps:
            steps.do(step, self.image, self._fill)
        for note in chosen.notes:
            log(note)
        if self.verified is None:
            log(_NOBODY.format(name=source.name))

    def profile(self) -> dict[str, Any]:
        fields = {"os": self.family.name, "release": self.release, "arch": self.arch}
        return {**fields, "vars": self.variables} if self.variables else fields

    def manifest(self) -> dict[str, Any]:
        return {
            "name": self.name, "kind": "medium", "os": self.family.name, "release": self.release,
            "arch": self.arch, "made_of": self.given.source.name, "verified": self.verified,
            **facts.facts(self.medium.facts, self.image, self._fill),
        }  # fmt: skip

    def _keep_medium(self) -> None:
        if self.medium.keep_as is None:
            return
        if self.given.file is None:
            raise BuildError(
                f"{self.medium.medium} is needed itself, not only what is in it",
                "give the ISO, or its URL",
            )
        target = self.image / self.medium.keep_as
        if self.given.fetched:
            self.given.file.replace(target)
        else:
            check_room(self.image, self.given.file.stat().st_size, self.given.file.name)
            run("cp", "--reflink=auto", str(self.given.file), str(target))
        target.chmod(0o644)

    def _fill(self, template: str) -> str:
        known = {
            **self.told, "arch": self.arch, "vendor_arch": self.told.get("arch", self.arch),
            "machine_url": self.recipes.machine_url,
        }  # fmt: skip
        if self.release:
            known["release"] = self.release
        return self.recipes.fill(self.family, template, known)

    def _arch(self) -> Arch:
        told, asked = self.told.get("arch"), self.asked.arch
        if told is not None and our_arch(told) is None:
            raise BuildError(
                f"{self.given.source.name} is for {printable(told, 100)}, and nothing here is",
                f"take the medium for {' or '.join(self.family.arches)}",
            )
        seen = our_arch(told) if told else self._arch_of_firmware()
        if seen and asked not in (None, seen):
            raise BuildError(f"{self.given.source.name} is for {seen}, not {asked}",
                             f"leave --arch out, or take the medium for {asked}")  # fmt: skip
        only = self.family.arches[0] if len(self.family.arches) == 1 else None
        arch = asked or seen or only
        if arch is None:
            raise BuildError(
                f"{self.given.source.name} does not say which processor it is for",
                f"say it: --arch {' or '.join(self.family.arches)}",
            )
        return arch

    def _arch_of_firmware(self) -> Arch | None:
        contents = self.given.source.contents
        if contents is None:
            return None
        seen = {arch for name, arch in _REMOVABLE.items() if contents.find(name)}
        return seen.pop() if len(seen) == 1 else None

    def _find_name(self) -> None:
        """Its release, and the name that the recipe of that looks for, or one that it may have."""
        self.release = self.asked.release or self._release()
        known = [release.version for release in self.family.releases]
        family = self.family.at(self.release)
        if self.release not in known or self.arch not in family.arches:
            raise BuildError(
                f"{self.given.source.name} is {self.family.name} {printable(self.release, 100)} for"
                f" {self.arch}, and there is no recipe for that",
                f"releases: {', '.join(known)}; processors: {', '.join(family.arches)}; a"
                " family.yaml of your own may know more",
            )
        usual = self.recipes.image_name(self.family, self.release, self.arch, {})
        try:
            self.name = check_name(self.asked.name or usual)
        except ValueError as error:
            raise BuildError(f"the image's name {error}", "give another --name") from None
        if self.name == usual:
            return
        self.variables = {"image": self.name}
        if (
            self.recipes.image_name(self.family, self.release, self.arch, self.variables)
            != self.name
        ):
            raise BuildError(
                f"recipes of {self.family.name} look for the image {usual}, and would not find"
                f" {self.name}", "leave --name out",
            )  # fmt: skip

    def _release(self) -> str:
        with suppress(Invalid):  # a value is missing
            if self.medium.release and (release := self._fill(self.medium.release)):
                return release
        versions = " or ".join(release.version for release in self.family.releases)
        raise BuildError(
            f"{self.given.source.name} does not say which release it is",
            f"say it: --release {versions}",
        )


def check_file(file: Path, asked: Asked, log: Log) -> None:
    """BuildError when a file that is taken as it is, the image of a disk, is not what it should
    be."""
    with tempfile.TemporaryDirectory() as work:
        terms = vouch.Terms(asked.sha256, asked.keyring, Path(work))
        if vouch.for_file(file, BesideFile(file), terms) is None:
            log(_NOBODY.format(name=file.name))
