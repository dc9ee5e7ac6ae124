"""Makes images of vendors' media, as the families' data says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from deployer.answers import prepare
from deployer.answers.families import Catalogue
from deployer.answers.render import environment, render_string
from deployer.core.families import Family
from deployer.errors import DeployerError
from deployer.media import vendors
from deployer.media.build import BuildError
from deployer.settings import Settings


def take_in(
    settings: Settings, catalogue: Catalogue, asked: vendors.Asked, folder: Path | None,
    log: Callable[[str], None],
) -> vendors.Image:  # fmt: skip
    """In `folder`, or where the service keeps its own; DeployerError when it cannot be."""
    found = {name: each for name in catalogue.names() if (each := catalogue.get(name))}

    def fill(family: Family, template: str, known: dict[str, str]) -> str:
        env, file = environment(found[family.name]), f"{family.name}/family.yaml"
        return render_string(env, template, known, file, "media")

    def image_name(family: Family, release: str, arch: str, vars_: dict[str, str]) -> str:
        return prepare.boot_image_name(found[family.name], release, arch, vars_)

    recipes = vendors.Recipes(
        [each.family for each in found.values()], fill, image_name, settings.effective_machine_url
    )
    try:
        return vendors.take_in(settings.images_dir, folder, asked, recipes, log)
    except BuildError as error:
        raise DeployerError(str(error), remedy=error.remedy) from None
    except OSError as error:
        raise DeployerError(
            f"{asked.source} could not be taken in: {error}",
            remedy="look after the disk and its permissions, and try again",
        ) from None
