"""Imports point one way, as the map in STYLE.md says: who is lower does not know who is above."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "deployer"

# From the bottom to the top; those in one row do not know each other.
LAYERS = [
    ["errors", "resources", "plugins", "observe"],
    ["core"],
    ["store", "settings"],
    ["answers", "media"],
    ["boot", "netboot"],
    ["drivers"],
    ["services"],
    ["engine", "web"],
    ["app"],
    ["serve"],
    ["cli"],
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

# The command line speaks to the API like anybody else, and describes things in the words of core.
# On the server's own machine some commands work on the data itself; they load what they need only
# when they run, so that `deployer status` starts fast.
CLI_KNOWS = {"errors", "core"}
CLI_ON_THE_SERVER = {
    "app", "boot", "serve", "settings", "services", "store", "media", "netboot", "observe",
}  # fmt: skip

# What rules may be made of: no database, no network, no clock, no files.
CORE_THIRD_PARTY = {"pydantic", "yaml"}
NOT_IN_CORE = {
    "asyncio", "glob", "http", "io", "multiprocessing", "os", "pathlib", "random", "shutil",
    "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib",
}  # fmt: skip


@dataclass(frozen=True)
class Import:
    """`module` of `file` imports `target`; `lazy`: within a function or only for types."""

    file: Path
    line: int
    target: str
    lazy: bool

    @property
    def part(self) -> str:
        """`core` for deployer/core/disks.py, `app` for deployer/app.py."""
        return self.file.relative_to(ROOT).parts[0].removesuffix(".py")

    @property
    def other(self) -> str | None:
        """The part of deployer that is imported, if it is one."""
        package, _, rest = self.target.partition(".")
        return rest.split(".")[0] if package == "deployer" and rest else None

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT.parent)}:{self.line} imports {self.target}"


def _targets(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert isinstance(node, ast.ImportFrom)
    assert node.level == 0, "relative imports are not used here"
    if node.module == "deployer":
        return [f"deployer.{alias.name}" for alias in node.names]
    return [node.module or ""]


def _imports(file: Path) -> Iterator[Import]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for target in _targets(node):
                yield Import(file, node.lineno, target, lazy=node not in top)


@cache
def imports() -> list[Import]:
    return [found for file in sorted(ROOT.rglob("*.py")) for found in _imports(file)]


def test_every_part_is_on_the_map() -> None:
    parts = {found.part for found in imports()} - {"__init__", "__main__"}
    assert parts <= set(RANK)


@pytest.mark.parametrize("part", [part for part in RANK if part != "cli"])
def test_a_part_knows_only_those_below_it(part: str) -> None:
    """Not within a function either, and not for types only."""
    wrong = [
        str(found)
        for found in imports()
        if found.part == part
        and found.other not in (None, part, "__version__")
        and RANK[found.other] >= RANK[part]
    ]
    assert wrong == []


def test_the_command_line_knows_the_api_and_the_words_of_core() -> None:
    wrong = [
        str(found)
        for found in imports()
        if found.part == "cli"
        and not found.lazy
        and found.other not in (None, "cli", "__version__", *CLI_KNOWS)
    ]
    assert wrong == []


def test_on_the_server_it_loads_what_it_needs_when_it_needs_it() -> None:
    wrong = [
        str(found)
        for found in imports()
        if found.part == "cli"
        and found.lazy
        and found.other not in (None, "cli", "__version__", *CLI_KNOWS, *CLI_ON_THE_SERVER)
    ]
    assert wrong == []


def test_core_is_made_of_values_and_rules() -> None:
    ours_or_python = {"deployer", *sys.stdlib_module_names}
    wrong = [
        str(found)
        for found in imports()
        if found.part == "core"
        and (package := found.target.split(".")[0])
        and (package in NOT_IN_CORE or package not in ours_or_python | CORE_THIRD_PARTY)
    ]
    assert wrong == []


def test_core_does_not_look_at_the_clock() -> None:
    calls = {"now", "utcnow", "today", "open", "monotonic"}
    wrong = [
        f"{file.name}:{node.lineno} calls {name}"
        for file in sorted((ROOT / "core").glob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (name := getattr(node.func, "attr", getattr(node.func, "id", ""))) in calls
    ]
    assert wrong == []


@pytest.mark.slow
def test_nobody_asks_for_one_os_family_by_name() -> None:
    """A fact that is missing belongs into family.yaml."""
    names = {file.parent.name for file in (ROOT.parent / "answerfiles").glob("*/family.yaml")}
    wrong = [
        f"{file.relative_to(ROOT.parent)}:{node.lineno} compares with {const.value!r}"
        for file in sorted(ROOT.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        for const in [node.left, *node.comparators]
        if isinstance(const, ast.Constant) and const.value in names
    ]
    assert wrong == []


@pytest.mark.slow
def test_the_state_of_a_deployment_is_written_in_one_place() -> None:
    wrong = [
        f"{file.relative_to(ROOT.parent)}:{node.lineno}"
        for file in sorted(ROOT.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Attribute)
        and target.attr == "state"
        and getattr(target.value, "id", "") == "deployment"
    ]
    assert len(wrong) == 1 and wrong[0].startswith("deployer/services/deployments.py"), wrong
