"""What a file in workflows/ may say: which effects follow arrival in which state."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deployer.core.lifecycle import RESTING, Event, State
from deployer.core.text import Line, Name

Condition = Literal["verify"]


class Step(BaseModel):
    """Either an effect to `do`, or an event to `say` at once; `when`/`unless` may skip it."""

    model_config = ConfigDict(extra="forbid")

    do: Name | None = None
    say: Event | None = None
    # Names of booleans that a profile answers; answered in `services.deployments._arrive`.
    when: Condition | None = None
    unless: Condition | None = None
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")

    @model_validator(mode="after")
    def _does_one_thing(self) -> Step:
        if (self.do is None) == (self.say is None):
            raise ValueError("a step has either `do: <effect>` or `say: <event>`; write one")
        return self

    def applies(self, conditions: dict[str, bool]) -> bool:
        wanted = self.when is None or conditions[self.when]
        unwanted = self.unless is not None and conditions[self.unless]
        return wanted and not unwanted


class Workflow(BaseModel):
    """A file in workflows/."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    label: Line
    on: dict[State, list[Step]]

    @model_validator(mode="after")
    def _ends_at_the_end(self) -> Workflow:
        ended = [state for state in self.on if state in RESTING and self.on[state]]
        if ended:
            raise ValueError(f"on.{ended[0]}: nothing is done once a deployment has ended")
        return self

    def steps(self, state: State, conditions: dict[str, bool]) -> list[Step]:
        return [step for step in self.on.get(state, []) if step.applies(conditions)]
