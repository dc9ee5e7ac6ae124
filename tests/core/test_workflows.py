"""What a file in workflows/ may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from deployer.core.lifecycle import State
from deployer.core.workflows import Workflow

DO = {"do": "power.off"}


def workflow(on: dict[str, Any]) -> Workflow:
    return Workflow.model_validate({"name": "w", "label": "A workflow", "on": on})


@pytest.mark.parametrize(
    ("on", "words"),
    [
        ({"queued": [{}]}, "either `do: <effect>` or `say: <event>`; write one"),
        ({"queued": [{**DO, "say": "start"}]}, "either `do: <effect>` or `say: <event>`"),
        ({"asleep": [DO]}, "'queued', 'booting'"),
        ({"queued": [{"say": "hello"}]}, "'start', 'answers_fetched'"),
        ({"queued": [{**DO, "when": "moon"}]}, "'verify'"),
        ({"queued": [{**DO, "retries": 3}]}, "Extra inputs"),
        ({"queued": [{"do": "rm -rf"}]}, "only letters, digits"),
    ],
    ids=str,
)
def test_a_step_does_one_known_thing_in_a_known_state(on: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        workflow(on)
    assert words in refusal.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("step", "verify", "applies"),
    [
        (DO, True, True),
        (DO, False, True),
        ({**DO, "when": "verify"}, True, True),
        ({**DO, "when": "verify"}, False, False),
        ({**DO, "unless": "verify"}, True, False),
        ({**DO, "unless": "verify"}, False, True),
        ({**DO, "when": "verify", "unless": "verify"}, True, False),
    ],
    ids=str,
)
def test_a_condition_may_skip_a_step(step: dict[str, Any], verify: bool, applies: bool) -> None:
    steps = workflow({"booting": [step]}).steps(State.BOOTING, {"verify": verify})
    assert len(steps) == applies


def test_steps_keep_their_order_and_their_arguments() -> None:
    on = {"verifying": [{**DO, "with": {"wait": 5}}, {"say": "verified"}]}
    first, second = workflow(on).steps(State.VERIFYING, {})
    assert (first.do, first.with_, second.say) == ("power.off", {"wait": 5}, "verified")


def test_a_state_that_is_not_named_asks_for_nothing() -> None:
    assert workflow({"booting": [DO]}).steps(State.READY, {}) == []
