"""What every OS family gives a machine, compared whole with golden/ and read in its own format."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from deployer.answers.checks import check_shell
from tests import golden

CASES = [(family, case) for family in golden.families() for case in golden.cases(family)]


@pytest.mark.parametrize(("family", "case"), CASES)
def test_a_machine_is_given_what_golden_says(family: str, case: str) -> None:
    """When the change is meant: `make golden`, then read the diff."""
    assert golden.current(family, case) == golden.golden(family, case)


@pytest.mark.parametrize("family", golden.families())
def test_golden_holds_no_case_that_nobody_makes(family: str) -> None:
    folders = (golden.ANSWERFILES / family / "golden").glob("*/")
    assert sorted(folder.name for folder in folders) == sorted(golden.cases(family))


@pytest.mark.parametrize("family", golden.families())
def test_every_release_and_arch_is_rendered_without_a_finding(family: str) -> None:
    found = golden.found(family)
    example = golden.read_example("dhcp")
    for release in found.family.releases:
        for arch in found.family.at(release.version).arches:
            own = {"image": "of-ones-own"}  # a family may let the profile name the image
            wanted = {"release": release.version, "arch": arch, "vars": own}
            profile = {**example["profile"], **wanted}
            snapshot = golden.snapshot(found, example["host"], profile)
            for firmware in ("bios", "uefi"):
                _, findings = golden.rendered(found, snapshot, firmware)
                assert findings == [], f"{release.version} on {arch}, {firmware}"


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


@pytest.mark.parametrize(("family", "case"), CASES)
def test_every_answer_file_can_be_read_in_its_own_format(family: str, case: str) -> None:
    files = golden.golden(family, case)
    found = golden.found(family).family
    for answer in found.at(case.partition("@")[2] or found.releases[-1].version).files():
        if "refused.txt" not in files:
            PARSERS[answer.format](files[answer.path])
