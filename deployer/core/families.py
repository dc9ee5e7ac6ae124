"""What a family.yaml may say: one OS family, how it boots and what its installer asks for."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from deployer.core.profiles import Arch, Layout
from deployer.core.text import Block, Line, Name

_PATH = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", re.ASCII)


def _relative_path(text: str) -> str:
    if not _PATH.fullmatch(text) or ".." in text.split("/"):
        raise ValueError("must be a relative path of plain names, such as casper/vmlinuz")
    return text


RelativePath = Annotated[str, AfterValidator(_relative_path)]
Template = Annotated[str, Field(min_length=1, max_length=500)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Boot(_Model):
    """Kernel, initrds and arguments; each string may hold Jinja2 expressions."""

    image: Template  # the image that holds kernel and initrd
    kernel: Template
    initrd: list[Template] = Field(default_factory=list, max_length=8)
    args: list[Template] = Field(default_factory=list, max_length=64)


class Answer(_Model):
    """One file that the installer asks us for.

    `readable_until`: when the file is gone for good. Most installers read everything at the
    start; one that comes back later for more says `installer_finished`.
    """

    path: RelativePath
    template: RelativePath
    format: Literal["json", "yaml", "xml", "toml", "text", "shell"]
    readable_until: Literal["installer_started", "installer_finished"] = "installer_started"


class Release(_Model):
    """One version, with the image that it installs from."""

    version: Line
    image: Template | None = None
    label: Line | None = None
    # What templates need to know of it, as `release.NAME`.
    facts: dict[Name, Any] = Field(default_factory=dict)


class NotMyAnswers(_Model):
    """For an installer that takes the boot file of DHCP, a URL, for an answer file of its own.

    Asked by this `user_agent`, the entry script is this `text` instead, which does nothing there.
    """

    user_agent: Line
    text: Block


class Family(_Model):
    """A folder in answerfiles/."""

    name: Name
    label: Line
    installer: Name
    arches: list[Arch] = Field(min_length=1)
    boot: Boot
    answers: list[Answer] = Field(min_length=1)
    releases: list[Release] = Field(min_length=1)
    layouts: list[Layout] = Field(min_length=1)
    not_my_answers: NotMyAnswers | None = None
    # Fields of a profile that this installer cannot express; a profile that sets one is refused.
    unsupported: list[Line] = Field(default_factory=list)
    # Kernel arguments that a profile may set, by name; everything else could take over the boot.
    kernel_args: list[Line] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Family:
        paths = [a.path for a in self.answers]
        versions = [r.version for r in self.releases]
        for what, names in (("answers", paths), ("releases", versions)):
            if len(names) != len(set(names)):
                raise ValueError(f"{what} names one entry twice; remove one")
        return self

    def release(self, version: str) -> Release | None:
        return next((r for r in self.releases if r.version == version), None)
