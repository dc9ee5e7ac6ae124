"""What a family.yaml may say: one OS family, how it boots and what its installer asks for."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from deployer.core.media import Medium
from deployer.core.profiles import HASHES, Arch, Hash, Layout
from deployer.core.tasks import Task
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


class Initrd(_Model):
    """A file that is loaded beside the kernel: out of the image, or an answer file.

    `name`: what the loaded program knows it by; unset: initrd0.img and so on.
    """

    path: Template | None = None
    answer: RelativePath | None = None
    name: Line | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_path_alone(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_of_them(self) -> Initrd:
        if (self.path is None) == (self.answer is None):
            raise ValueError("an initrd has a path in the image, or an answer; name one")
        return self


class Boot(_Model):
    """Kernel, initrds and arguments; each string may hold Jinja2 expressions."""

    image: Template  # the image that holds kernel and initrd
    kernel: Template
    initrd: list[Initrd] = Field(default_factory=list, max_length=16)
    args: list[Template] = Field(default_factory=list, max_length=64)
    # False for another program than Linux (wimboot, ESXi's mboot): it takes no `initrd=`.
    linux: bool = True
    # Loaders that can start it; asked by another one, we say so and boot the local disk.
    loaders: list[Literal["ipxe", "grub"]] = Field(default=["ipxe", "grub"], min_length=1)


Format = Literal["json", "yaml", "xml", "toml", "text", "shell"]


class Member(_Model):
    """A file of an archive, or a symbolic link in it; all of them belong to root."""

    path: RelativePath
    template: RelativePath | None = None
    format: Format = "text"
    link: Line | None = None
    mode: Annotated[str, Field(pattern="^0[0-7]{3}$")] = "0644"

    @model_validator(mode="after")
    def _one_of_them(self) -> Member:
        if (self.template is None) == (self.link is None):
            raise ValueError("a member has a template or a link; name one")
        return self


class Answer(_Model):
    """One file that the installer asks us for; an archive of several where it has `members`.

    `readable_until`: when the file is gone for good. Most installers read everything at the
    start; one that comes back later for more says `installer_finished`.
    """

    path: RelativePath
    template: RelativePath | None = None
    format: Format | Literal["tar.gz"] = "text"
    members: list[Member] = Field(default_factory=list, max_length=200)
    line_ends: Literal["lf", "crlf"] = "lf"
    readable_until: Literal["installer_started", "installer_finished"] = "installer_started"
    # The installer asks for it at one URL for every host, and shows its MACs instead of a token.
    found_by_mac: bool = False

    @model_validator(mode="after")
    def _a_template_or_members(self) -> Answer:
        is_archive = self.format == "tar.gz"
        if is_archive != bool(self.members) or is_archive != (self.template is None):
            raise ValueError("an answer has a template; one of format tar.gz has members instead")
        return self

    def files(self) -> list[Answer]:
        """Each text that is rendered for it: itself, or ARCHIVE/MEMBER for those of an archive."""
        if not self.members:
            return [self]
        return [
            Answer(path=f"{self.path}/{m.path}", template=m.template, format=m.format)
            for m in self.members
            if m.template
        ]


Call = Literal["installer_started", "installer_finished", "installer_failed", "first_boot"]


class Proof(_Model):
    """What has seen what we render: for docs/os-support.md, in a few words."""

    ran: Line | None = None  # where a real installer was run with it
    checked: Line  # what judges it before it is accepted


class Release(_Model):
    """One version, with the image that it installs from.

    What else is set here stands in place of the family's own, for this version.
    """

    version: Line
    image: Template | None = None
    label: Line | None = None
    task: Task | None = None
    installer: Name | None = None
    arches: list[Arch] | None = Field(default=None, min_length=1)
    boot: Boot | None = None
    answers: list[Answer] | None = Field(default=None, min_length=1)
    layouts: list[Layout] | None = Field(default=None, min_length=1)
    unsupported: list[Line] | None = None
    calls: list[Call] | None = None
    hashes: list[Hash] | None = None
    kernel_args: list[Line] | None = None
    proof: Proof | None = None
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
    # A profile's workflow must be for the same.
    task: Task = "install"
    installer: Name
    arches: list[Arch] = Field(min_length=1)
    boot: Boot
    answers: list[Answer] = Field(min_length=1)
    releases: list[Release] = Field(min_length=1)
    layouts: list[Layout] = Field(min_length=1)
    # What `deployer image add` makes its image of.
    media: list[Medium] = Field(default_factory=list, max_length=16)
    not_my_answers: NotMyAnswers | None = None
    # Fields of a profile that this installer cannot express; a profile that sets one is refused.
    # Of a host's fields: `network.interfaces.bond` and the like.
    unsupported: list[Line] = Field(default_factory=list)
    # What to write in place of such a field, where "remove it" is not all that can be said.
    instead: dict[Line, Line] = Field(default_factory=dict)
    # What its answer files must say to us; an operator's own files are held to it too.
    calls: list[Call] = Field(default=["installer_started", "installer_finished"])
    proof: Proof | None = None
    # Kinds of password hash that the installed system's crypt(3) knows; another is a locked door.
    hashes: list[Hash] = Field(default=sorted(set(HASHES.values())))
    # Whether we can log in to what it installs, as an account of ours in a shell of Linux. Where
    # not, the first boot's call is the last word, and a profile's `verify` is refused.
    verifies: bool = True
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

    def at(self, version: str) -> Family:
        """The family as this version has it; unchanged for one that is unknown."""
        release = self.release(version)
        if release is None:
            return self
        own = {name: getattr(release, name) for name in _OF_A_RELEASE}
        return self.model_copy(update={k: v for k, v in own.items() if v is not None})

    def files(self) -> list[Answer]:
        """Each text that is rendered; the members of an archive by their own."""
        return [file for answer in self.answers for file in answer.files()]


_OF_A_RELEASE = (
    "task", "installer", "arches", "boot", "answers", "layouts", "unsupported", "calls", "hashes",
    "kernel_args", "proof",
)  # fmt: skip
