"""The command as a process: it starts fast, completes names, and starts safely beside itself."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deployer.cli import local
from tests.cli.conftest import Run, Server


def deployer(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deployer", *arguments], text=True, capture_output=True, timeout=30,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_help_and_client_commands_load_nothing_heavy(folder: Path) -> None:
    code = (
        "import sys, contextlib\nfrom deployer.cli import main\n"
        "with contextlib.suppress(SystemExit): main(sys.argv[1:])\n"
        "print(sorted({'sqlalchemy', 'fastapi', 'dbos', 'httpx', 'yaml'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for arguments, loaded in (["--help"], "[]"), (["hosts", "show", "a/b"], "['httpx']"):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=30,
            env=environment, check=False,
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == loaded


def complete(words: str, **environment: str) -> list[str]:
    done = deployer(
        COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1),
        _DEPLOYER_COMPLETE="complete_bash", **environment,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.slow
def test_host_and_profile_names_are_completed(known: Server, run: Run) -> None:
    assert complete("deployer status web") == ["web01", "web02"]
    assert complete("deployer deploy web01 --profile d") == ["debian-12"]


@pytest.mark.slow
def test_completion_is_quiet_when_nobody_answers(folder: Path) -> None:
    assert complete("deployer status w", DEPLOYER_SERVER="http://127.0.0.1:1") == []


def test_two_commands_may_be_the_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve` and `token create` in one breath: one makes the key, the other waits for it."""
    monkeypatch.setenv("DEPLOYER_DATA_DIR", str(folder / "new"))
    with ThreadPoolExecutor() as threads:
        both = list(threads.map(lambda _number: local.build(), range(2)))
    assert both[0].key == both[1].key
    for parts in both:
        parts.database.dispose()
