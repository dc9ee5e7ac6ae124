"""Every file in workflows/ can be followed to the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer import resources
from deployer.answers.families import load_model
from deployer.app import load_workflows
from deployer.core.effects import KINDS
from deployer.core.lifecycle import Event, State, next_state
from deployer.core.workflows import Workflow
from deployer.errors import ConfigurationError
from deployer.services.effects import ACTS
from deployer.settings import Settings
from tests import golden

FILES = sorted(resources.folder("workflows").glob("*.yaml"))
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
STEP = "name: w\nlabel: W\n'on': {%s: [%s]}\n"


@every_file
def test_a_workflow_is_called_as_its_file(file: Path) -> None:
    workflow = load_model(Workflow, file)
    assert workflow.name == file.stem and workflow.label


@every_file
@pytest.mark.parametrize("holding", [{"verify"}, set()], ids=["verified", "unverified"])
def test_it_says_what_makes_sense_there(file: Path, holding: set[str]) -> None:
    workflow = load_model(Workflow, file)
    for state in State:
        for _, step in workflow.steps(state, holding):
            assert step.say is None or next_state(state, step.say) is not None


@every_file
def test_it_gets_out_of_every_state_that_is_our_turn(file: Path) -> None:
    """Nobody but us ends `queued` and `verifying`."""
    reports = {"power.boot_once": Event.START, "ssh.verify": Event.VERIFIED}
    workflow = load_model(Workflow, file)
    for state in (State.QUEUED, State.VERIFYING):
        for holding in ({"verify"}, set[str]()):
            steps = [step for _, step in workflow.steps(state, holding)]
            said = {step.say for step in steps} | {reports.get(step.do or "") for step in steps}
            assert any(event and next_state(state, event) for event in said), (state, holding)


@every_file
def test_where_nothing_is_installed_nobody_waits_for_a_first_boot(file: Path) -> None:
    workflow = load_model(Workflow, file)
    says = [step.say for _, step in workflow.steps(State.FIRST_BOOT, set())]
    assert (Event.FIRST_BOOT in says) is (workflow.task != "install")


@every_file
def test_it_tells_its_operator_what_it_does(file: Path) -> None:
    assert file.read_text().startswith("# ")


@every_file
def test_there_is_a_release_that_it_is_for(file: Path) -> None:
    families = [found.family for name in golden.families() if (found := golden.found(name))]
    tasks = {each.at(release.version).task for each in families for release in each.releases}
    assert load_model(Workflow, file).task in tasks


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (STEP % ("booting", "{do: power.kick}"), "w.yaml, line 3: on.booting.0.do: there is no"),
        (STEP % ("queued", "{do: wait}"), "with.for of wait: Field required"),
        (STEP % ("queued", "{do: wait, with: {for: soon}}"), "a time such as 90s"),
        (STEP % ("queued", "{do: power.off, with: {hard: 1}}"), "with.hard of power.off: Extra"),
        (
            STEP % ("queued", "{do: power.off, when: sunny}"),
            "must be verify, power_control",
        ),
        (STEP % ("queued", "{do: power.off, tries: 0}"), "greater than or equal to 1"),
        (STEP % ("queued", "{do: power.off, say: start}"), "write one"),
        (STEP % ("asleep", "{do: power.off}"), "on.asleep"),
        (STEP % ("ready", "{do: power.off}"), "on.ready.0: a deployment that has ended moves"),
        (STEP % ("failed", "{say: cancel}"), "only these are done then: http.request, webhook"),
        (STEP % ("queued", "{do: webhook, with: {url: 'https://a.example'}}"), "secret of webhook"),
        ("name: w\nlabel: W\non: {}\n", "on: Field required"),
        (
            STEP % ("queued", "{do: http.request, with: {url: 'http://a', headers: {Host: b}}}"),
            "must not be Host, which follows from what is sent",
        ),
        (STEP % ("queued", "{do: ssh.run}"), "a command stands in `command`, or in the variable"),
        ("name: w\nlabel: W\ntask: dance\n'on': {}\n", "w.yaml, line 3: task: Input should be"),
        ("name: w\nlabel: W\npatience: {ready: 1h}\n'on': {}\n", "waits for nothing"),
        ("name: w\nlabel: W\nlongest: 99y\n'on': {}\n", "longest: must be a time such as"),
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


def test_what_a_workflow_may_order_is_what_can_be_done() -> None:
    assert set(ACTS) == set(KINDS)
