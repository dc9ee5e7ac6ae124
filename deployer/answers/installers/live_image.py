"""Our own live system: installs an image, or does something else. The grammar of its plan.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from deployer.answers.checks import check_shell
from deployer.core.families import Answer
from deployer.core.profiles import (
    FileSystem,
    HttpUrl,
    Layout,
    MountPoint,
    PasswordHash,
    SshKey,
    UserName,
)
from deployer.core.text import Block, HostName, Line
from deployer.errors import Finding


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Expect(_Model):
    macs: list[Line] = Field(min_length=1)
    uuid: Line | None
    serial: Line | None
    arch: Line


class Urls(_Model):
    disks: HttpUrl
    phone_home: HttpUrl
    progress: HttpUrl
    logs: HttpUrl


class PlanVolume(_Model):
    """A file system; without a size it takes what the others leave."""

    mount: MountPoint
    name: Line = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=36)
    size_mib: int | None = Field(gt=0)
    fs: FileSystem


class Storage(_Model):
    layout: Layout
    esp_mib: int = Field(ge=64, le=4096)
    boot_mib: int = Field(ge=256, le=8192)
    swap_mib: int = Field(ge=0)
    volume_group: Line
    passphrase: Annotated[Line, Field(min_length=1)] | None
    volumes: list[PlanVolume] = Field(min_length=1)


class Image(_Model):
    url: HttpUrl
    format: Literal["tar.zst", "raw.zst", "raw"]
    size: int = Field(gt=0)
    sha256: Line = Field(pattern="^[0-9a-f]{64}$")
    unpacked_size: int = Field(gt=0)
    min_disk_size: int = Field(gt=0)


class PlanUser(_Model):
    name: UserName
    sudo: bool
    system: bool
    shell: Line
    password_hash: PasswordHash | None
    # The service's own key carries options before the type, so this is any line.
    ssh_keys: list[Line]


class PlanRoot(_Model):
    password_hash: PasswordHash | None
    ssh_keys: list[SshKey]


class File(_Model):
    path: Line = Field(pattern=r"^/[A-Za-z0-9._/@+-]+$")
    mode: Line = Field(pattern="^0[0-7]{3}$")
    content: Block


class Scripts(_Model):
    pre: Block | None
    post: Block | None


class System(_Model):
    hostname: HostName
    timezone: Line
    locale: Line
    keyboard: Line
    kernel_args: Line
    users: list[PlanUser]
    root: PlanRoot
    files: list[File]
    enable: list[Line]
    packages: list[Line]
    scripts: Scripts


class _Plan(_Model):
    """Instructions for live/agent; the agent refuses another version or task."""

    version: Literal[1]
    deployment: Line
    host: HostName
    expect: Expect
    urls: Urls


class Plan(_Plan):
    """An image is written to disk and made this host."""

    task: Literal["install"]
    storage: Storage
    image: Image
    system: System
    cloud_init: dict[Literal["user-data", "meta-data", "network-config"], Block]


class Wipe(_Model):
    """`sampled`: 1 MiB of each 100 MiB is read back."""

    read_back: Literal["whole", "sampled"]


class WipePlan(_Plan):
    """The disks that the server names are overwritten."""

    task: Literal["wipe"]
    wipe: Wipe


class Rescue(_Model):
    ssh_keys: list[SshKey] = Field(min_length=1)


class RescuePlan(_Plan):
    """An SSH server; no disk is touched."""

    task: Literal["rescue"]
    rescue: Rescue


class BurnIn(_Model):
    minutes: int = Field(ge=1, le=14 * 24 * 60)
    write_disks: bool


class BurnInPlan(_Plan):
    """Memory, CPU and disks work; disks are written only where the server names them."""

    task: Literal["burn_in"]
    burn_in: BurnIn


AnyPlan = Plan | WipePlan | RescuePlan | BurnInPlan
PLANS: TypeAdapter[AnyPlan] = TypeAdapter(Annotated[AnyPlan, Field(discriminator="task")])


class LiveImage:
    name = "live_image"

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        try:
            plan = PLANS.validate_json(text)
        except ValidationError as error:
            return [_finding(answer.path, dict(problem)) for problem in error.errors()]
        if not isinstance(plan, Plan):
            return []
        scripts = {
            "scripts.pre": plan.system.scripts.pre,
            "scripts.post": plan.system.scripts.post,
            "scripts.first_boot": context["profile"]["scripts"]["first_boot"],
        }
        found = [
            finding
            for field, script in scripts.items()
            if script
            for finding in check_shell(script, "bash", answer.path, field)
        ]
        return [*found, *_storage(plan, answer.path)]


# What mkfs itself asks for: mkfs.xfs since 5.19, mkfs.btrfs for data and metadata of its own.
_LEAST_MIB = {"ext4": 1, "xfs": 300, "btrfs": 128}


def _storage(plan: Plan, file: str) -> Iterator[Finding]:
    def finding(field: str, problem: str, remedy: str) -> Finding:
        return Finding(f"{field}: {problem}", remedy, file=file, field=field)

    storage, image = plan.storage, plan.image
    if image.format != "tar.zst" and (
        storage.layout != "plain" or storage.swap_mib or len(storage.volumes) > 1
    ):
        problem = "this image is one of a whole disk, which brings its own partitions"
        yield finding(
            "storage", problem, "remove layout, swap and volumes, or name a root archive"
        )  # fmt: skip
    for volume in storage.volumes:
        if volume.size_mib is None:
            continue
        if volume.size_mib < (least := _LEAST_MIB[volume.fs]):
            problem = f"{volume.mount} has {volume.size_mib} MiB, and {volume.fs} needs {least}"
            yield finding("storage.volumes", problem, "make it larger, or use ext4")
        if volume.mount == "/" and volume.size_mib * 2**20 < image.unpacked_size:
            problem = f"/ has {volume.size_mib} MiB, and the image {image.unpacked_size // 2**20}"
            yield finding("storage.volumes", problem, "make it larger")


def _finding(file: str, problem: dict[str, Any]) -> Finding:
    # The first part is the task, by which the model was chosen.
    field = ".".join(str(part) for part in problem["loc"][1:])
    return Finding(
        f"{field or 'the file'}: {problem['msg'].removeprefix('Value error, ')}",
        "correct the value in the profile or the host, or the template that writes this file",
        file=file,
        field=field or None,
    )


INSTALLER = LiveImage()
