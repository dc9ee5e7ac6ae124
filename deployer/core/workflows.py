"""What a file in workflows/ may say: which effects follow arrival in which state, in what order."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from deployer.core.durations import Duration
from deployer.core.effects import KINDS, NOTIFY, secrets_in
from deployer.core.lifecycle import RESTING, Event, State
from deployer.core.tasks import Task
from deployer.core.text import Line, Name

_CONDITION = re.compile(r"verify|power_control|label:[^=]+=.*|var:.+")


def _condition(text: str) -> str:
    if not _CONDITION.fullmatch(text):
        raise ValueError("must be verify, power_control, label:KEY=VALUE or var:NAME")
    return text


# What holds for a deployment is worked out in `services.flow`.
Condition = Annotated[str, AfterValidator(_condition)]


class Step(BaseModel):
    """Either an effect to `do`, or an event to `say` at once; `when`/`unless` may skip it.

    The next step begins when this one has ended. An effect that fails is tried `tries` times, with
    a pause that begins at `pause` and doubles; then the deployment fails, or goes on all the same.
    """

    model_config = ConfigDict(extra="forbid")

    do: Name | None = None
    say: Event | None = None
    when: Condition | None = None
    unless: Condition | None = None
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")
    tries: int = Field(default=6, ge=1, le=100)
    pause: Duration = timedelta(seconds=1)
    on_failure: Literal["fail", "go_on"] = "fail"

    @model_validator(mode="after")
    def _does_one_thing(self) -> Step:
        if (self.do is None) == (self.say is None):
            raise ValueError("a step has either `do: <effect>` or `say: <event>`; write one")
        if self.say is not None and self.with_:
            raise ValueError("`with` is for an effect; an event takes none")
        return self

    @field_validator("do")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        if name is not None and name not in KINDS:
            raise ValueError(f"there is no effect {name!r}; choose one of: {', '.join(KINDS)}")
        return name

    @model_validator(mode="after")
    def _takes_what_it_is_given(self) -> Step:
        if self.do is not None:
            try:
                KINDS[self.do].takes.model_validate(self.with_)
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(("with", *map(str, first["loc"])))
                raise ValueError(f"{place} of {self.do}: {first['msg']}") from None
        return self

    def applies(self, conditions: Collection[str]) -> bool:
        """`conditions`: those that hold."""
        wanted = self.when is None or self.when in conditions
        return wanted and (self.unless is None or self.unless not in conditions)


class Workflow(BaseModel):
    """A file in workflows/.

    `patience`: how long a state may last, where the service's settings do not fit this workflow.
    `longest`: how long `installing` may last while the machine reports progress; four times its
    patience unless set.
    """

    model_config = ConfigDict(extra="forbid")

    name: Name
    label: Line
    task: Task = "install"  # profiles that follow it name a release for the same
    patience: dict[State, Duration] = Field(default_factory=dict)
    longest: Duration | None = None
    on: dict[State, list[Step]]

    @model_validator(mode="after")
    def _leaves_the_machine_alone_in_the_end(self) -> Workflow:
        """It may be somebody's who has deployed anew."""
        for place, state, step in self._all_steps():
            if state in RESTING and (step.do is None or not KINDS[step.do].outward):
                outward = ", ".join(name for name, kind in KINDS.items() if kind.outward)
                raise ValueError(
                    f"{place}: a deployment that has ended moves no more, and no"
                    f" machine is touched for it; only these are done then: {outward}"
                )
        return self

    @model_validator(mode="after")
    def _waits_only_where_somebody_waits(self) -> Workflow:
        ended = [state for state in self.patience if state in RESTING]
        if ended:
            raise ValueError(f"patience.{ended[0]}: a deployment that has ended waits for nothing")
        return self

    def secrets(self) -> dict[str, str]:
        """Place in the file → name of a secret that the step there needs."""
        return {
            f"{place}.with.{field}": name
            for place, _, step in self._all_steps()
            if step.do is not None
            for field, name in secrets_in(step.do, step.with_)
        }

    def receivers(self) -> dict[str, str]:
        """Place in the file → name of a receiver that the step there tells something."""
        return {
            f"{place}.with.receiver": step.with_["receiver"]
            for place, _, step in self._all_steps()
            if step.do == NOTIFY
        }

    def _all_steps(self) -> Iterator[tuple[str, State, Step]]:
        """Each with its place in the file."""
        for state, steps in self.on.items():
            for number, step in enumerate(steps):
                yield f"on.{state}.{number}", state, step

    def conditions(self) -> set[str]:
        """All that its steps ask for."""
        steps = self._all_steps()
        asked = {condition for _, _, step in steps for condition in (step.when, step.unless)}
        return {condition for condition in asked if condition is not None}

    def steps(self, state: State, conditions: Collection[str]) -> list[tuple[int, Step]]:
        """Those of `state` that apply, each with its number."""
        return [
            (number, step)
            for number, step in enumerate(self.on.get(state, []))
            if step.applies(conditions)
        ]

    def step(self, state: State, number: int) -> Step | None:
        """None where an operator has changed the file meanwhile."""
        steps = self.on.get(state, [])
        return steps[number] if number < len(steps) else None
