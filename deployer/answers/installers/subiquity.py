"""Ubuntu's installer: autoinstall in a cloud-config, checked more strictly than Subiquity does."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from deployer.answers import yamllines
from deployer.answers.installers.base import check_shell
from deployer.core.families import Answer
from deployer.errors import Finding

_APT_WORD = re.compile(r"(?=[^$\[#])[!-~]+")


def _apt_source(repository: dict[str, Any]) -> str:
    """One line of sources.list(5); curtin expands `$` in it, and apt splits it at blanks."""
    suite = repository["suite"] or "./"
    folder = suite.endswith("/")  # which has no components
    words = [repository["url"], suite, *([] if folder else repository["components"] or ["main"])]
    for word in words:
        if not _APT_WORD.fullmatch(word) or "$" in word:
            raise ValueError(f"{word!r} cannot be a word of an apt source")
    return " ".join(["deb", *words])


def _device_id(mount: str) -> str:
    """A name for the device under this mount point; no two mount points have the same one."""
    if mount == "/":
        return "root"
    name = mount[1:].replace("-", "--").replace("/", "-")
    return f"{name}+" if name in ("root", "swap") else name


class Subiquity:
    name = "subiquity"
    filters: ClassVar = {
        "cloud_yaml": yamllines.quoted,
        "apt_source": _apt_source,
        "device_id": _device_id,
    }

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        if answer.format == "shell":
            shell = "bash" if text.startswith("#!/bin/bash") else "sh"
            return check_shell(text, shell, answer.path, answer.path)
        return []


INSTALLER = Subiquity()
