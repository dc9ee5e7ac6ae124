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
        ({"queued": [{**DO, "when": "moon"}]}, "must be verify, power_control, label:KEY=VALUE"),
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
    ("step", "holding", "applies"),
    [
        (DO, {"verify"}, True),
        (DO, set(), True),
        ({**DO, "when": "verify"}, {"verify"}, True),
        ({**DO, "when": "verify"}, set(), False),
        ({**DO, "unless": "verify"}, {"verify"}, False),
        ({**DO, "unless": "verify"}, set(), True),
        ({**DO, "when": "verify", "unless": "verify"}, {"verify"}, False),
        ({**DO, "when": "label:a=b", "unless": "verify"}, {"label:a=b"}, True),
    ],
    ids=str,
)
def test_a_condition_may_skip_a_step(
    step: dict[str, Any], holding: set[str], applies: bool
) -> None:
    steps = workflow({"booting": [step]}).steps(State.BOOTING, holding)
    assert len(steps) == applies


def test_steps_keep_their_order_and_their_arguments() -> None:
    on = {"verifying": [{"do": "wait", "with": {"for": 5}}, {"say": "verified"}]}
    (_, first), (number, second) = workflow(on).steps(State.VERIFYING, set())
    assert (first.do, first.with_, number, second.say) == ("wait", {"for": 5}, 1, "verified")


def test_a_step_keeps_its_number_whatever_is_skipped() -> None:
    made = workflow({"booting": [{**DO, "when": "verify"}, DO]})
    assert [number for number, _ in made.steps(State.BOOTING, set())] == [1]
    assert made.step(State.BOOTING, 1) is not None
    assert made.step(State.BOOTING, 2) is None and made.step(State.READY, 0) is None


def test_it_says_what_it_needs_to_know() -> None:
    steps = [{**DO, "when": "label:a=b"}, {**DO, "unless": "var:x"}]
    assert workflow({"booting": steps}).conditions() == {"label:a=b", "var:x"}


def test_a_state_that_is_not_named_asks_for_nothing() -> None:
    assert workflow({"booting": [DO]}).steps(State.READY, set()) == []
