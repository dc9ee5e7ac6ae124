"""Scripts that Windows runs: what breaks one is found, and no text makes the check fail or wait."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployer.answers.grammars import windows_scripts as scripts
from deployer.answers.installers.windows_setup import INSTALLER
from deployer.core.families import Answer
from tests.support.windows import KEY, WINDOWS, files, judged

often = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("path", "text", "line", "words"),
    [
        ("startnet.cmd", "echo a\ngoto nowhere\n", 2, "there is no label :nowhere"),
        ("startnet.cmd", "call :gone\n", 1, "there is no label :gone"),
        ("startnet.cmd", ":a\ngoto a\n:A\n", 3, "the label :A stands in line 1 already"),
        ("startnet.cmd", 'echo "open\n', 1, "a quote is not closed"),
        ("startnet.cmd", "if a==b (\necho\n", 1, "a parenthesis that is opened here"),
        ("startnet.cmd", "echo x & pause\n", 1, "`pause` waits for a key"),
        ("startnet.cmd", "echo ä\n", 1, "'ä' is no printable ASCII"),
        ("startnet.cmd", "echo " + "x" * 8200, 1, "longer than the 8191 characters"),
        ("SetupComplete.cmd", "a\r\n", 1, "carriage return"),
        ("winpeshl.ini", "[LaunchApps]\n", None, "Windows PE starts Setup"),
        ("winpeshl.ini", "x\n[LaunchApps]\ny\n", 1, "'x' stands in no section"),
        ("deployer.js", "var a = 1;\nlet b = 2;\n", 2, "a later word"),
        ("deployer.js", "var a = () => 1;\n", 1, "an arrow function"),
        ("deployer.js", "var a = `x`;\n", 1, "a template text"),
        ("deployer.js", "var a = JSON.parse(b);\n", 1, "JSON, which JScript does not have"),
        ("deployer.js", "console.log(1);\n", 1, "console"),
        ("deployer.js", "a.trim();\n", 1, "a later method, which JScript does not have"),
        ("deployer.js", "a(Object.keys(b));\n", 1, "a later function"),
        ("deployer.js", "var a = [1, 2,];\n", 1, "a comma before a closing bracket"),
        ("deployer.js", 'var a = "open;\n', 1, "a text begins here and does not end"),
        ("deployer.js", "var a;\n/* open\n", 2, "a comment begins here and does not end"),
        ("deployer.js", "x = /open\n", 1, "a pattern begins here and does not end"),
        ("deployer.js", "f(\n[1)\n", 2, "')' closes nothing that is open here, and '[' of line 2"),
        ("deployer.js", "function a() {\n", 1, "'{' that is opened here is never closed"),
        ("deployer.ps1", "if ($a) {\n", 1, "'{' that is opened here is never closed"),
        ("deployer.ps1", "a\n}\n", 2, "'}' closes nothing that is open here"),
        ("deployer.ps1", "$a = 'it''s\n", 1, "a text begins here and does not end"),
        ("deployer.ps1", '$a = "x`"\n', 1, "a text begins here and does not end"),
        ("deployer.ps1", "$a = @'\nx'@\n", 1, "a here-string begins here and does not end"),
        ("deployer.ps1", "<# x\n", 1, "a comment begins here and does not end"),
        ("deployer.ps1", "Read-Host 'name'\n", 1, "it waits for a person"),
        ("deployer.ps1", "'\u2019'\n", 1, "is no printable ASCII"),
    ],
)
def test_what_breaks_a_script_is_found_with_its_line(
    path: str, text: str, line: int | None, words: str
) -> None:
    found = judged(text, path)
    assert any(where == line and words in message for where, message in found), found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("startnet.cmd", ':: (\nrem "\n@echo off\nif a==b (echo x) else (\necho y)\ngoto :eof\n'),
        ("startnet.cmd", "set x=end\ngoto %x%\n:end\n"),
        ("deployer.js", "var a = b / 2, c = /[/\"]/.test(d); // it's\nvar e = 'x\\'y';\n"),
        ("deployer.js", 'return /"/.test(a);\n'),
        ("deployer.ps1", "$a = @'\nit's }\n'@\n$b = \"$($c) `\"{\" # (\n$d = 'x''y' <# [ #>\n"),
        ("deployer.ps1", "$c[`\n1] # it's\n"),
    ],
)
def test_what_only_looks_broken_is_no_finding(path: str, text: str) -> None:
    assert judged(text, path) == []


HOSTILE = [
    "(" * 300_000,
    "'" * 299_999,
    '"' * 299_999,
    "`" * 300_000,
    "/" * 300_000,
    "<a " * 100_000,
    "\n" * 300_000,
    "<#" * 150_000,
    "@'\n" * 100_000,
    "goto x\n" * 40_000,
    "\\" * 300_000,
    "\x00" * 1000,
    "&" * 300_000,
    "<a>" * 100_000,
    "\ud800",
]


@pytest.mark.parametrize("path", [answer.path for answer in WINDOWS.family.answers])
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:4]))
def test_no_text_makes_the_check_fail_or_wait(path: str, text: str) -> None:
    assert isinstance(judged(text, path), list)


@often
@given(st.text(max_size=200))
@pytest.mark.slow
def test_any_text_is_judged(text: str) -> None:
    for answer in WINDOWS.family.answers:
        judged(text, answer.path)


def test_files_of_many_users_are_right() -> None:
    made = files(users=[{"name": f"u{i}", "ssh_keys": [KEY]} for i in range(60)])
    for path, text in made.items():
        assert judged(text, path) == []


def test_lints_know_every_file_that_is_no_xml() -> None:
    suffixes = {Path(a.path).suffix for a in WINDOWS.family.answers if a.format != "xml"}
    assert suffixes == set(scripts.LINTS)
    assert INSTALLER.check(Answer(path="x.y", template="t"), "a", {}) == []
