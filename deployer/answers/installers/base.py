"""What an installer technology must know: how to check the files that it will be given."""

from __future__ import annotations

from typing import Any, Protocol

from deployer.core.families import Answer
from deployer.errors import Finding


class Installer(Protocol):
    """Checks an answer file in the installer's own grammar, before any machine is touched.

    It may have `filters` for templates: they quote a value for its format, or raise ValueError.
    """

    name: str

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]: ...
