"""`deployer image`: boot media and roots; building and adding is done on the server's machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from deployer.cli import image_add, output
from deployer.cli.connection import complete_image, connect
from deployer.cli.image_add import Mirror
from deployer.cli.options import AsJson
from deployer.core.sizes import show_size
from deployer.errors import DeployerError, Invalid

app = typer.Typer(no_args_is_help=True, help="Boot media and roots: list, show, build, add.")

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+", re.ASCII)
_NAME = re.compile(
    r"(live|(debian|fai)-(?P<release>[0-9]+))(-(?P<arch>x86_64|arm64))?|loaders(-(?P<loaders>[0-9]+))?",
    re.ASCII,
)


@app.command("list")
def list_images(ctx: typer.Context, json: AsJson = False) -> None:
    """Images that the service knows."""
    with connect(ctx) as api:
        found = list(api.items("/images"))
    if json:
        output.show_list(found)
    elif found:
        output.show(_table(found))
    else:
        output.say("there are no images yet; `deployer image build live` makes the first")


def _table(images: list[dict[str, Any]]) -> Any:
    made = output.table("name", "kind", "arch", "size", "registered")
    for image in images:
        size = sum(file["size"] for file in image["files"])
        made.add_row(
            output.safe(image["name"]), output.safe(image["kind"]), output.safe(image["arch"]),
            show_size(size), image["created_at"][:10],
        )  # fmt: skip
    return made


@app.command()
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(autocompletion=complete_image)],
    json: AsJson = False,
) -> None:
    """One image: what it is, its files and their checksums."""
    from deployer.cli.client import segment

    with connect(ctx) as api:
        found = api.get(f"/images/{segment(name)}")
    if json:
        output.show_json(found)
    else:
        output.show_yaml(found)


@app.command()
def build(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="live, debian-12, debian-12-x86_64, loaders, ...")
    ],
    mirror: Mirror = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="PACKAGE", help="A package that the image shall have; repeatable."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Build in this folder, and do not register it.")
    ] = None,
) -> None:
    """Build an image from Debian's packages and register it. Needs root, and a minute."""

    make, full_name = _builder(name, mirror, include or [])
    image_add.place(make, full_name, folder)


def _builder(
    name: str, mirror: str | None, include: list[str]
) -> tuple[Callable[[Path], None], str]:
    """What builds the image called `name`, and its name in full."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise Invalid(
            f"there is no recipe for {name!r}", field="name", value=name,
            remedy="choose live, debian-12 or fai-12, with -x86_64 if you like, or loaders",
        )  # fmt: skip
    from deployer.media import build

    release, arch = match["release"], match["arch"] or "x86_64"
    for package in include:
        if not name.startswith("debian") or not _PACKAGE.fullmatch(package):
            raise Invalid(
                f"{package!r} cannot be included", field="include", value=package,
                remedy="name packages for a Debian root; the live system and the loaders take none",
            )  # fmt: skip

    def make(target: Path) -> None:
        try:
            if name.startswith("loaders"):
                build.build_loaders(
                    target, release=match["loaders"] or "12", mirror=mirror, log=output.note
                )
            elif name.startswith("fai"):
                build.build_fai(
                    target, release=release or "12", arch=arch, mirror=mirror, log=output.note
                )
            elif release is None:
                build.build_live(target, arch=arch, mirror=mirror, log=output.note)
            else:
                build.build_debian_root(
                    target, release=release, arch=arch, mirror=mirror, include=include,
                    log=output.note,
                )  # fmt: skip
        except build.BuildError as error:
            raise DeployerError(str(error), remedy=error.remedy) from None

    if name.startswith("loaders"):
        return make, "loaders"  # a machine's DHCP answer names it, whatever it was made from
    return make, f"{name.partition('-')[0]}-{release}-{arch}" if release else f"live-{arch}"


app.command()(image_add.add)
