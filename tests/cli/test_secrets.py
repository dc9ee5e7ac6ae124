"""`deployer secret`, from the shell: the value comes from standard input, and is never printed."""

from __future__ import annotations

import io

import pytest

from tests.cli.conftest import Run, Server

VALUE = "correct horse battery staple"


class Pipe(io.StringIO):
    def isatty(self) -> bool:
        return False


@pytest.mark.slow
def test_a_secret_is_set_from_standard_input_listed_and_deleted(
    server: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("secret", "list").out == "there are no secrets yet\n"
    monkeypatch.setattr("sys.stdin", Pipe(f"{VALUE}\n"))
    assert run("secret", "set", "luks").out == "the secret luks is set\n"
    listed = run("secret", "list")
    assert "luks" in listed.out
    assert VALUE not in listed.out + run("secret", "list", "--json").out
    assert run("secret", "delete", "luks").out == "the secret luks is deleted\n"
    gone = run("secret", "delete", "luks")
    assert gone.code != 0
    assert "there is no secret 'luks'" in gone.err


def test_a_value_that_no_installer_takes_is_refused_and_not_repeated(
    server: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Pipe("tüür\n"))
    refused = run("secret", "set", "luks")
    assert refused.code != 0
    assert "the secret luks: it must be 8 to 1000 printable ASCII characters" in refused.err
    assert "tüür" not in refused.err
