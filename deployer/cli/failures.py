"""What can go wrong between a command and the server, as errors that are made to be shown."""

from __future__ import annotations

from typing import Any

from deployer.errors import DeployerError, Finding


class ApiError(DeployerError):
    """The server said no: an RFC 9457 problem."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(
            str(problem.get("detail") or problem.get("title") or f"the server answered {status}"),
            field=problem.get("field"), value=problem.get("value"), remedy=problem.get("remedy"),
        )  # fmt: skip
        self.status = status
        self.findings = [finding(found) for found in problem.get("findings") or []]


def finding(found: dict[str, Any]) -> Finding:
    known = ("file", "line", "field", "value")
    return Finding(
        str(found.get("message", "")), str(found.get("remedy") or ""),
        **{name: found.get(name) for name in known},
    )  # fmt: skip


class Unreachable(DeployerError):
    """Nobody answered."""


class ConnectionLost(Unreachable):
    """Nobody answered for as long as we were ready to wait."""
