"""Finds OS families: the operator's own folder first, then the one that ships with the code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from deployer import plugins
from deployer.answers import installers
from deployer.answers.installers.base import Installer
from deployer.core.documents import line_of, load_one
from deployer.core.families import Family
from deployer.errors import ConfigurationError, Invalid

SHARED = "_shared"
INSTALLERS: dict[str, Installer] = plugins.find(installers, "INSTALLER")
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class FoundFamily:
    """A family, and the folders in which its templates are looked up, in that order."""

    family: Family
    folders: tuple[Path, ...]


class Catalogue:
    """All families, by name; read once at the start, so a broken file stops the start."""

    def __init__(self, roots: list[Path]) -> None:
        self._found: dict[str, FoundFamily] = {}
        for root in roots:
            for file in sorted(root.glob("*/family.yaml")):
                name = file.parent.name
                if name not in self._found:
                    family = load_model(Family, file, name=name)
                    _refuse_unknown_installer(family, file)
                    self._found[name] = FoundFamily(family, _template_folders(roots, name))

    def names(self) -> list[str]:
        return sorted(self._found)

    def instead_of_entry(self, user_agent: str) -> str | None:
        """What this installer is given when it fetches the entry script as if it were its own."""
        for found in self._found.values():
            mistaken = found.family.not_my_answers
            if mistaken is not None and mistaken.user_agent == user_agent:
                return mistaken.text
        return None

    def get(self, name: str) -> FoundFamily | None:
        return self._found.get(name)


def _refuse_unknown_installer(family: Family, file: Path) -> None:
    if family.installer not in INSTALLERS:
        raise ConfigurationError(
            f"{file}: installer: there is no installer {family.installer!r}",
            field="installer",
            value=family.installer,
            remedy=f"choose one of: {', '.join(sorted(INSTALLERS))}",
        )


def _template_folders(roots: list[Path], name: str) -> tuple[Path, ...]:
    own = [root / name for root in roots]
    shared = [root / SHARED for root in roots]
    return tuple(folder for folder in own + shared if folder.is_dir())


def load_model(model: type[Model], file: Path, **extra: Any) -> Model:
    """A YAML file as `model`; ConfigurationError names file, field, value and remedy."""
    try:
        content = load_one(file.read_text(encoding="utf-8"), str(file))
        return model.model_validate({**content, **extra})
    except Invalid as error:
        raise ConfigurationError(error.message, remedy=error.remedy) from None
    except (ValidationError, TypeError, UnicodeDecodeError) as error:
        if not isinstance(error, ValidationError):
            raise ConfigurationError(f"{file}: must be a mapping in UTF-8") from None
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        line = line_of(file.read_text(encoding="utf-8"))(first["loc"])
        problem = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(
            f"{file}, line {line}: {field}: {problem}", field=field, value=first["input"],
            remedy="correct it there",
        ) from None  # fmt: skip
