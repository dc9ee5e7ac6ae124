"""Every file in workflows/ can be followed to the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer import resources
from deployer.answers.families import load_model
from deployer.app import load_workflows
from deployer.core.lifecycle import RESTING, Event, State, next_state
from deployer.core.workflows import Workflow
from deployer.errors import ConfigurationError
from deployer.services.effects import KINDS
from deployer.settings import Settings

FILES = sorted(resources.folder("workflows").glob("*.yaml"))
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
STEP = "name: w\nlabel: W\n'on': {%s: [%s]}\n"


@every_file
def test_a_workflow_is_called_as_its_file(file: Path) -> None:
    workflow = load_model(Workflow, file)
    assert workflow.name == file.stem and workflow.label


@every_file
@pytest.mark.parametrize("verify", [True, False])
def test_it_asks_for_known_work_and_says_what_makes_sense_there(file: Path, verify: bool) -> None:
    workflow = load_model(Workflow, file)
    for state in State:
        for step in workflow.steps(state, {"verify": verify}):
            assert step.do is None or step.do in KINDS
            assert step.say is None or next_state(state, step.say) is not None


@every_file
def test_it_gets_out_of_every_state_that_is_our_turn(file: Path) -> None:
    """Nobody but us ends `queued` and `verifying`."""
    reports = {"power.boot_once": Event.START, "ssh.verify": Event.VERIFIED}
    workflow = load_model(Workflow, file)
    for state in (State.QUEUED, State.VERIFYING):
        for verify in (True, False):
            steps = workflow.steps(state, {"verify": verify})
            said = {step.say for step in steps} | {reports.get(step.do or "") for step in steps}
            assert any(event and next_state(state, event) for event in said), (state, verify)


@every_file
def test_it_orders_nothing_for_a_deployment_that_has_ended(file: Path) -> None:
    """Such work would not be carried out: see services.effects."""
    assert not RESTING & set(load_model(Workflow, file).on)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (STEP % ("booting", "{do: power.kick}"), "on.booting: there is no effect 'power.kick'"),
        (STEP % ("asleep", "{do: power.off}"), "on.asleep"),
        (STEP % ("ready", "{do: power.off}"), "ready"),
        ("name: w\nlabel: W\non: {}\n", "on: Field required"),
    ],
    ids=lambda text: text[-36:],
)
def test_a_workflow_that_cannot_work_stops_the_start(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "w.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as refusal:
        load_workflows(Settings(workflows=tmp_path))
    assert words in refusal.value.message


def test_an_operators_workflow_wins_over_ours(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: install\nlabel: Mine\n'on': {}\n")
    assert load_workflows(Settings(workflows=tmp_path))["install"].label == "Mine"
