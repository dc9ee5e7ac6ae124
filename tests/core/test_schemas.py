"""What editors are told of our files is what we read."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from deployer import resources
from deployer.cli.schema import Kind
from deployer.core.documents import load_all, load_one
from deployer.core.schemas import SCHEMAS
from tests import golden

MAC = "52:54:00:12:34:56"
HOST: dict[str, Any] = {"kind": "host", "name": "web01", "macs": [MAC]}
PROFILE: dict[str, Any] = {"kind": "profile", "name": "web", "os": "image", "release": "debian-12"}
WORKFLOW: dict[str, Any] = {"name": "w", "label": "W", "on": {}}


@cache
def validator(kind: str) -> Draft202012Validator:
    schema = SCHEMAS[kind]()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def problems(kind: str, document: Any) -> list[str]:
    errors = validator(kind).iter_errors(document)
    return [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in errors]


def test_the_command_has_them_all() -> None:
    assert list(Kind) == list(SCHEMAS)


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        *(("workflow", file) for file in sorted(resources.folder("workflows").glob("*.yaml"))),
        *(("family", file) for file in sorted(golden.ANSWERFILES.glob("*/family.yaml"))),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.parent.name}/{value.stem}",
)
def test_all_that_ships_is_fine(kind: str, file: Path) -> None:
    assert problems(kind, load_one(file.read_text(encoding="utf-8"), str(file))) == []


@pytest.mark.parametrize("example", golden.examples())
def test_hosts_and_profiles_as_people_write_them_are_fine(example: str) -> None:
    file = golden.EXAMPLES / f"{example}.yaml"
    for document in load_all(file.read_text(encoding="utf-8"), str(file)):
        given = {**PROFILE, **document} if document["kind"] == "profile" else document
        assert problems("fleet", given) == []


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("fleet", {**PROFILE, "storage": {"swap": "2GiB", "disk": {"min_size": 8 * 10**9}}}),
        ("fleet", {**PROFILE, "verify": False}),
        ("fleet", {**PROFILE, "answer_files": {"ks.cfg": {"file": "web.ks", "template": True}}}),
        ("fleet", {**HOST, "power": {"driver": "redfish", "url": "https://10.0.9.1"}}),
        ("fleet", {"kind": "receiver", "name": "noc", "type": "json", "settings": {"url": "x"},
                   "when": {"labels": {"env": "a"}, "events": ["ready", "approval"]}}),
        ("workflow", {**WORKFLOW, "patience": {"booting": "2h"}, "longest": 90}),
        ("workflow", {**WORKFLOW, "on": {"ready": [
            {"do": "http.request", "with": {"url": "https://a.example", "json": [1]}}]}}),
    ],
)  # fmt: skip
def test_what_we_read_is_not_called_wrong(kind: str, document: Any) -> None:
    assert problems(kind, document) == []


@pytest.mark.parametrize(
    ("kind", "document", "words"),
    [
        ("fleet", {"kind": "hots", "name": "a"}, "kind: 'hots' is not one of"),
        ("fleet", {"name": "web01", "macs": [MAC]}, "'kind' is a required property"),
        ("fleet", {**HOST, "maccs": []}, "'maccs' was unexpected"),
        ("fleet", {"kind": "host", "name": "web01"}, "'macs' is a required property"),
        ("fleet", {**PROFILE, "arch": "x86"}, "arch: 'x86' is not one of"),
        ("fleet", {**PROFILE, "storage": {"swap": "two"}}, "storage.swap: 'two'"),
        ("fleet", {**PROFILE, "storage": {"disk": {"pick": "any"}}}, "storage.disk.pick: 'any'"),
        ("fleet", {**PROFILE, "answer_files": {"a": {}}}, "answer_files.a: "),
        ("fleet", {"kind": "receiver", "name": "a", "type": "json", "when": {"events": ["redy"]}},
         "when.events.0: 'redy'"),
        ("workflow", {**WORKFLOW, "on": {"queued": [{"do": "power.kick"}]}}, "'power.kick'"),
        ("workflow", {**WORKFLOW, "on": {"queued": [{"do": "wait"}]}}, "'with' is a required"),
        ("workflow", {**WORKFLOW, "on": {"queued": [{"do": "wait", "with": {"for": "soon"}}]}},
         "on.queued.0.with.for: 'soon'"),
        ("workflow", {**WORKFLOW, "on": {"queued": [{"do": "power.off", "with": {"a": 1}}]}},
         "'a' was unexpected"),
        ("workflow", {**WORKFLOW, "on": {"queued": [{"do": "power.off", "say": "start"}]}},
         "valid under each of"),
        ("workflow", {**WORKFLOW, "task": "dance"}, "task: 'dance' is not one of"),
        ("family", {"label": "Mine", "installer": "preseed"}, "'boot' is a required property"),
    ],
)  # fmt: skip
def test_a_mistake_is_seen_while_it_is_written(kind: str, document: Any, words: str) -> None:
    assert any(words in problem for problem in problems(kind, document)), problems(kind, document)
