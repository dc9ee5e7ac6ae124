"""What every OS family gives a machine, compared whole with golden/ and read in its own format."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from deployer.answers.installers.base import check_shell
from tests import golden

CASES = [(family, example) for family in golden.families() for example in golden.examples()]


@pytest.mark.parametrize(("family", "example"), CASES)
def test_a_machine_is_given_what_golden_says(family: str, example: str) -> None:
    """When the change is meant: `make golden`, then read the diff."""
    assert golden.current(family, example) == golden.golden(family, example)


@pytest.mark.parametrize("family", golden.families())
def test_golden_holds_no_case_that_nobody_makes(family: str) -> None:
    folders = (golden.ANSWERFILES / family / "golden").glob("*/")
    assert sorted(folder.name for folder in folders) == golden.examples()


@pytest.mark.parametrize("family", golden.families())
def test_every_release_and_arch_is_rendered_without_a_finding(family: str) -> None:
    found = golden.found(family)
    example = golden.read_example("dhcp")
    for release in found.family.releases:
        for arch in found.family.arches:
            own = {"image": "of-ones-own"}  # a family may let the profile name the image
            wanted = {"release": release.version, "arch": arch, "vars": own}
            profile = {**example["profile"], **wanted}
            _, findings = golden.rendered(found, golden.snapshot(found, example["host"], profile))
            assert findings == [], f"{release.version} on {arch}"


PARSERS: dict[str, Callable[[str], Any]] = {
    "json": json.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
    "xml": ElementTree.fromstring,
    "toml": tomllib.loads,
    "shell": lambda text: _shell(text),
    "text": str.encode,
}


def _shell(text: str) -> None:
    assert check_shell(text, "bash" if "bash" in text.split("\n")[0] else "sh", "", "") == []


@pytest.mark.parametrize(("family", "example"), CASES)
def test_every_answer_file_can_be_read_in_its_own_format(family: str, example: str) -> None:
    files = golden.golden(family, example)
    for answer in golden.found(family).family.answers:
        if "refused.txt" not in files:
            PARSERS[answer.format](files[answer.path])
