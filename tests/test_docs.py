"""What the documentation says is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deployer.core.documents import load_one
from deployer.core.receivers import ReceiverSpec
from deployer.core.workflows import Workflow
from deployer.drivers import chat
from deployer.plugins import find
from deployer.services import power, receivers
from deployer.services.parts import NOTIFY_DRIVERS, POWER_DRIVERS
from deployer.web import operators
from lab import chat_docs, docs
from tests.support.power import host
from tests.support.routes import walk

PAGES = docs.pages()
EXAMPLES = docs.power_examples()
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_generated_parts_are_current(page: Path) -> None:
    """Otherwise: `make golden`."""
    text = page.read_text(encoding="utf-8")
    assert text == docs.with_current_blocks(text)


@pytest.mark.parametrize("name", chat_docs.DRAWN)
def test_the_payloads_of_chats_are_current(name: str) -> None:
    """Otherwise: `make golden`."""
    file = docs.ROOT / "docs" / "chat" / f"{name}.json"
    assert file.read_text(encoding="utf-8") == chat_docs.payloads(name)


@pytest.mark.parametrize("name", chat_docs.DRAWN)
def test_the_page_of_a_chat_has_a_receiver_that_is_taken(name: str) -> None:
    text = (docs.ROOT / "docs" / "chat" / f"{name}.md").read_text(encoding="utf-8")
    block = re.search(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    given = load_one(block[1], name)
    assert given.pop("kind") == "receiver"
    spec = ReceiverSpec.model_validate(given)
    drivers = find(chat, "DRIVER")
    assert spec.type == name and drivers[name].Settings.model_validate(spec.settings)


def test_every_workflow_is_shown() -> None:
    text = (docs.ROOT / "docs" / "workflows.md").read_text(encoding="utf-8")
    shown = re.findall(r"^<!-- workflow_(\w+): generated", text, re.MULTILINE)
    assert sorted(shown) == sorted(each.name for each in docs.WORKFLOWS)


def test_a_picture_shows_every_step_and_who_moves_it_on() -> None:
    steps = "[{do: approve, with: {by_another: true}}, {do: power.off, on_failure: go_on}]"
    given = {"name": "w", "label": "W", "on": load_one(f"queued: {steps}", "w")}
    drawn = docs.workflow(Workflow.model_validate(given))
    assert drawn.splitlines()[2:5] == [
        "    subgraph queued",
        '        queued1["approve<br>by_another: yes"] --> queued2["power.off<br>may fail"] -->'
        ' queued3(["the machine says start"])',
        "    end",
    ]


def test_the_page_on_power_has_an_example_for_each_driver_that_is_taken() -> None:
    drivers = [power.check(host(**settings)) and settings["driver"] for settings in EXAMPLES]
    assert sorted([*drivers, "fake"]) == sorted(POWER_DRIVERS)


def test_the_page_on_notifications_has_an_example_for_each_type_that_is_taken() -> None:
    text = (docs.ROOT / "docs" / "notifications.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(kind: receiver\n.*?)^```", text, re.DOTALL | re.MULTILINE)
    given = [load_one(block, "notifications.md") for block in blocks]
    specs = [ReceiverSpec.model_validate({k: v for k, v in each.items() if k != "kind"})
             for each in given]  # fmt: skip
    for spec in specs:
        receivers.check(spec)
    assert {spec.type for spec in specs} == set(NOTIFY_DRIVERS)


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (page.parent / link).exists()] == []


def _calls_in_table(text: str) -> set[tuple[str, str]]:
    """(method, path) of what stands before the answer: `GET /a`, or `GET`, `PUT /a` for both."""
    calls, methods = set(), []
    for row in re.findall(r"^\| (.*?`) \|", text, re.MULTILINE):
        for words in re.findall(r"`([^`]+)`", row):
            method, _, path = words.partition(" ")
            methods.append(method)
            if path:
                calls |= {(one, path.partition("?")[0]) for one in methods}
                methods = []
    return calls


def test_the_page_on_the_api_names_every_call_and_no_other() -> None:
    text = (docs.ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    routes = walk(operators.router.routes)
    assert _calls_in_table(text) == {
        (method, path.removeprefix("/api/v1").replace("{id_}", "{id}")) for method, path in routes
    }


@every_page
def test_commands_for_make_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (docs.ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = set(re.findall(r"`make ([a-z0-9-]+)", page.read_text(encoding="utf-8")))
    assert asked <= targets
