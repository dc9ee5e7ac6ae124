"""Our own live system: writes an image to disk and seeds it. The grammar of its plan.json."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployer.answers.installers.base import check_shell
from deployer.core.families import Answer
from deployer.core.profiles import HttpUrl, PasswordHash, SshKey, UserName
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


class Storage(_Model):
    layout: Literal["plain", "lvm"]
    esp_mib: int = Field(ge=64, le=4096)
    boot_mib: int = Field(ge=256, le=8192)
    swap_mib: int = Field(ge=0, le=1024 * 1024)
    volume_group: Line


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


class Plan(_Model):
    """Instructions for live/agent; the agent refuses another version or task."""

    version: Literal[1]
    task: Literal["install"]
    deployment: Line
    host: HostName
    expect: Expect
    urls: Urls
    storage: Storage
    image: Image
    system: System
    cloud_init: dict[Literal["user-data", "meta-data", "network-config"], Block]


class LiveImage:
    name = "live_image"

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        try:
            plan = Plan.model_validate_json(text)
        except ValidationError as error:
            return [_finding(answer.path, dict(problem)) for problem in error.errors()]
        scripts = {
            "scripts.pre": plan.system.scripts.pre,
            "scripts.post": plan.system.scripts.post,
            "scripts.first_boot": context["profile"]["scripts"]["first_boot"],
        }
        return [
            finding
            for field, script in scripts.items()
            if script
            for finding in check_shell(script, "bash", answer.path, field)
        ]


def _finding(file: str, problem: dict[str, Any]) -> Finding:
    field = ".".join(str(part) for part in problem["loc"])
    return Finding(
        f"{field or 'the file'}: {problem['msg'].removeprefix('Value error, ')}",
        "correct the value in the profile or the host, or the template that writes this file",
        file=file,
        field=field or None,
    )


INSTALLER = LiveImage()
