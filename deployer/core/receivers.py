"""Who is told of deployments: a chat, a mailbox, a program; as operators describe it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from deployer.core.lifecycle import State
from deployer.core.profiles import named_in
from deployer.core.text import Line, Name

APPROVAL = "approval"
Event = State | Literal["approval"]
USUAL: list[Event] = [State.READY, State.FAILED, State.CANCELLED, "approval"]


class When(BaseModel):
    """Which deployments, by the labels of their hosts (all must fit; empty: all), and what of
    them: arrival in a state, or that a person's approval is waited for."""

    model_config = ConfigDict(extra="forbid")

    labels: dict[Name, Line] = Field(default_factory=dict, max_length=32)
    events: list[Event] = Field(default_factory=lambda: list(USUAL), max_length=16)

    def fits(self, labels: dict[str, str]) -> bool:
        return all(labels.get(key) == value for key, value in self.labels.items())


class ReceiverSpec(BaseModel):
    """`type` names a driver, which says what `settings` it takes; secrets in them by reference,
    as {secret: NAME}."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    type: Name
    settings: dict[str, Any] = Field(default_factory=dict)
    when: When = Field(default_factory=When)
    enabled: Annotated[bool, Field(description="Off: it is told nothing, and hears nothing.")] = (
        True
    )

    def secret_fields(self) -> dict[str, str]:
        """Setting → name of the secret that it names."""
        return named_in(self.settings, "settings")
