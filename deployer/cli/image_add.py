"""`deployer image add`: whatever SOURCE is becomes an image, checked and registered."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer
from rich.text import Text

from deployer.cli import output
from deployer.core.profiles import Arch
from deployer.core.text import check_name
from deployer.errors import DeployerError, Invalid

Mirror = Annotated[
    str | None, typer.Option(help="Debian mirror; otherwise the one that apt here uses.")
]
_INSTALLER = re.compile(
    r"debian-(?P<release>[0-9]+)(-(?P<arch>x86_64|arm64|armhf|i386))?", re.ASCII
)


def add(
    source: Annotated[
        str,
        typer.Argument(
            metavar="ISO|URL|DIR|FILE|NAME",
            help="A vendor's medium, a folder with an image.json, a disk, or debian-12, ...",
        ),
    ],
    mirror: Mirror = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Put it into this folder, and do not register it.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What the image is called; unset, what its recipe looks for.")
    ] = None,
    arch: Annotated[
        str | None, typer.Option(help="Its processor, where SOURCE does not say it.")
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="Its release, where SOURCE does not say it.")
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="What SOURCE must be.")] = None,
    keyring: Annotated[
        Path | None, typer.Option(help="The vendor's keys: SOURCE must be signed by one of them.")
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option("--with", help="A file that no medium has, such as wimboot; repeatable."),
    ] = None,
) -> None:
    """Bring in an image, every file checked, and register it.

    ISO, URL or DIR is a vendor's medium: docs/media.md says which. It is recognised, compared with
    --sha256 or a list of checksums beside it, and what machines need of it becomes an image.
    DIR may also be what `deployer image build` made. FILE is the image of a disk (qcow2 or raw),
    such as distributions publish for clouds; a profile of `os: image`, `release: custom` names it
    in `vars.image`. NAME is a distribution's own installer for the network, fetched from its
    packages or its mirror, signatures checked.
    """
    from deployer.media import vendors

    asked = vendors.Asked(
        source, name, _arch(arch), release, sha256, keyring, tuple(beside or ())
    )  # fmt: skip
    path = Path(source)
    unpacked = path.is_dir() and not (path / "image.json").exists()
    if vendors.is_url(source) or unpacked or (path.is_file() and vendors.is_medium(path)):
        _add_medium(asked, folder)
    elif path.is_file():
        _refuse(asked, "release", "beside")
        _add_disk(asked, folder)
    else:
        _refuse(asked, "release", "sha256", "keyring", "beside")
        _add_ours(source, folder, mirror)


def _refuse(asked: Any, *fields: str) -> None:
    """What was said though it means nothing for this kind of source."""
    for field in fields:
        if getattr(asked, field):
            option = "--with" if field == "beside" else f"--{field}"
            raise Invalid(
                f"{option} is for vendors' media, and {asked.source} is none", field=field,
                remedy=f"leave {option} out, or name an ISO, a URL or a folder",
            )  # fmt: skip


def _arch(arch: str | None) -> Arch | None:
    if arch is not None and arch not in get_args(Arch):
        raise Invalid(
            f"there is no arch {arch!r}", field="arch", value=arch,
            remedy=f"choose {', '.join(get_args(Arch))}",
        )  # fmt: skip
    return cast("Arch | None", arch)


def _add_medium(asked: Any, folder: Path | None) -> None:
    from deployer.app import load_catalogue
    from deployer.cli import local
    from deployer.services import vendor_media

    if folder is not None:
        settings = local.load_settings()
        vendor_media.take_in(settings, load_catalogue(settings), asked, folder, output.note)
        _say_how_to_add(folder)
        return
    with local.parts() as parts:
        image = vendor_media.take_in(parts.settings, parts.catalogue, asked, None, output.note)
        _save(parts, image.manifest)
    output.say("profiles install it with:")
    output.show_yaml(image.profile)


def _add_ours(source: str, folder: Path | None, mirror: str | None) -> None:
    """A folder that `deployer image build` made, or Debian's installer."""
    from deployer.cli import local

    match = _INSTALLER.fullmatch(source)
    if match is None or Path(source).is_dir():
        with local.parts() as parts:
            _register(parts, Path(source))
        return
    release, arch = match["release"], match["arch"] or "x86_64"
    from deployer.media.build import installer_name

    def make(target: Path) -> None:
        _fetch(target, release, arch, mirror)

    place(make, installer_name(release, arch), folder)


def place(make: Callable[[Path], None], name: str, folder: Path | None) -> None:
    """Make an image where the service keeps its own, and register it; or just in `folder`."""
    from deployer.cli import local

    if folder is not None:
        make(folder)
        _say_how_to_add(folder)
        return
    with local.parts() as parts:
        target = parts.settings.images_dir / name
        make(target)
        _register(parts, target)


def _say_how_to_add(folder: Path) -> None:
    output.say(output.safe(f"add it with: deployer image add {folder}"))


def _add_disk(asked: Any, folder: Path | None) -> None:
    """The image of a disk, converted and checked."""
    from deployer.media import build, vendors

    source = Path(asked.source)
    try:
        name = check_name(asked.name or source.stem)
    except ValueError as error:
        raise Invalid(
            f"the image's name {error}", field="name", remedy="give it by --name"
        ) from None

    def make(target: Path) -> None:
        try:
            vendors.check_file(source, asked, output.note)
            build.import_disk_image(
                target, source=source, name=name, arch=asked.arch or "x86_64", log=output.note
            )
        except build.BuildError as error:
            raise DeployerError(str(error), remedy=error.remedy) from None

    place(make, name, folder)


def _fetch(target: Path, release: str, arch: str, mirror: str | None) -> None:
    from deployer.media import build

    try:
        build.fetch_debian_installer(
            target, release=release, arch=arch, mirror=mirror, log=output.note
        )
    except build.BuildError as error:
        raise DeployerError(str(error), remedy=error.remedy) from None


def _register(parts: Any, folder: Path) -> None:
    from deployer.media import library

    _save(parts, library.add(parts.settings.images_dir, folder))


def _save(parts: Any, manifest: dict[str, Any]) -> None:
    from deployer.cli import local
    from deployer.services import people
    from deployer.store import images

    with parts.database.writing() as session:
        images.save(session, manifest, parts.clock())
        people.audit(session, parts.clock(), local.actor(), "image.add", manifest["name"], None)
    output.say(Text.assemble(output.safe(manifest["name"]), " is registered"))
