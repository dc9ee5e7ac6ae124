"""The grammar of preseed files, stricter than debconf's own check."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.answers import prepare
from deployer.answers.installers.debian_installer import Selection, judge, parse, questions
from deployer.answers.render import environment
from deployer.errors import Finding
from tests import golden


def found(text: str) -> list[str]:
    """What is wrong with one line, or some."""
    selections, findings = parse(text, "preseed.cfg")
    judged = [judge(selection) for selection in selections]
    return [f.message for f in findings] + [problem for problem in judged if problem]


def test_a_line_is_owner_question_type_and_value() -> None:
    text = "# comment\n\nd-i netcfg/hostname string web01\nd-i finish-install/note note\n"
    selections, findings = parse(text, "preseed.cfg")
    assert findings == []
    assert selections == [
        Selection(3, "d-i", "netcfg/hostname", "string", "web01"),
        Selection(4, "d-i", "finish-install/note", "note", ""),
    ]


def test_a_continued_line_is_one_answer_with_its_first_line() -> None:
    selections, findings = parse("d-i a/b \\\n   string \\\n   one two\n", "preseed.cfg")
    assert findings == []
    assert selections == [Selection(1, "d-i", "a/b", "string", "one two")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("d-i netcfg/hostname", "needs owner, question, type and value"),
        ("web01", "needs owner, question, type and value"),
        ("d-i netcfg/hostname text web01", "there is no type 'text'"),
        ("d-i passwd/make-user boolean yes", "a boolean is true or false, not 'yes'"),
        ("d-i passwd/make-user boolean false # none", "a boolean is true or false"),
        ("d-i netcfg/hostname string web01 # its name", "a comment after a value"),
        ("d-i netcfg/hostnam string web01", "the installer has no such question"),
        ("d-i passwd/make-user string false", "its type is boolean, not string"),
        ("d-i netcfg/hostname  string  web01", "the value has blanks around it"),
        ("d-i netcfg/hostname string web01\r", "carriage return"),
        ("d-i netcfg/hostname string web01 \\", "a backslash continues this line"),
        ("d-i netcfg/hostname string \\\n# a comment\nd-i a/b string c", "a backslash continues"),
        ("d-i netcfg/hostname string \\\n\nd-i a/b string c", "a backslash continues"),
        ("d-i netcfg/hostname seen maybe", "seen is true or false"),
    ],
)  # fmt: skip
def test_what_the_installer_would_trip_over_is_found(text: str, problem: str) -> None:
    assert any(problem in message for message in found(text)), found(text)


@pytest.mark.parametrize(
    "text",
    [
        "d-i netcfg/hostname string web01",
        "d-i\tnetcfg/hostname\tstring\tweb01",
        "d-i mirror/country string manual",  # a select, as Debian's own example writes it
        "d-i preseed/late_command string echo '# not a comment'; true",
        "d-i apt-setup/local3/repository string http://example.org/ stable main",
        "tasksel tasksel/first multiselect standard, ssh-server",
        "postfix postfix/main_mailer_type select Local only",  # known to that package alone
        "d-i debian-installer/locale seen true",
        "d-i mirror/http/proxy string",
    ],
)
def test_what_it_takes_is_no_finding(text: str) -> None:
    assert found(text) == []


def checked(text: str, *groups: str) -> list[Finding]:
    family = golden.found("debian")
    answer = family.family.answers[0]
    installer = prepare.INSTALLERS["debian_installer"]
    profile = {"scripts": {}, "package_groups": list(groups)}
    return installer.check(answer, text, {"profile": profile})


def preseed() -> str:
    return golden.golden("debian", "static")["preseed.cfg"]


def test_our_own_has_no_finding() -> None:
    assert checked(preseed()) == []


def test_a_finding_has_file_line_and_remedy() -> None:
    text = preseed().replace("passwd/make-user boolean false", "passwd/make-user boolean no")
    (finding,) = checked(text)
    assert finding.file == "preseed.cfg"
    assert text.split("\n")[(finding.line or 0) - 1] == "d-i passwd/make-user boolean no"
    assert finding.message.endswith("passwd/make-user: a boolean is true or false, not 'no'")
    assert "template" in str(finding.remedy)


def test_a_group_of_packages_that_is_no_task_is_found() -> None:
    assert checked(preseed(), "web-server", "standard") == []
    (finding,) = checked(preseed(), "web-server", "^minimal-environment")
    assert "'^minimal-environment' is no task of Debian's" in finding.message


def test_a_question_that_would_wait_is_found() -> None:
    text = preseed().replace("d-i partman/confirm_nooverwrite boolean true\n", "")
    messages = [finding.message for finding in checked(text)]
    assert messages == [
        "preseed.cfg: partman/confirm_nooverwrite is not answered, so the installer would ask"
    ]


def test_the_same_question_answered_twice_is_found_with_both_lines() -> None:
    text = preseed() + "d-i clock-setup/utc boolean false\n"
    (finding,) = checked(text)
    assert "clock-setup/utc was answered in line 8 already" in finding.message


def test_a_command_that_is_no_shell_is_found() -> None:
    text = preseed().replace("sh /tmp/agent.sh late", "if sh /tmp/agent.sh late")
    (finding,) = checked(text)
    assert "preseed/late_command" in finding.message


@pytest.mark.skipif(not shutil.which("debconf-set-selections"), reason="Debian's debconf only")
def test_debconfs_own_check_agrees_with_what_we_write() -> None:
    command = ["debconf-set-selections", "--checkonly"]
    done = subprocess.run(command, input=preseed(), capture_output=True, text=True, check=False)
    assert done.stderr == "", "its status is 1 too while apt holds debconf's database"


@given(st.text(max_size=40))
def test_a_value_comes_out_as_it_went_in_or_is_refused(value: str) -> None:
    line = "d-i netcfg/hostname string {{ value | preseed }}"
    template = environment(golden.found("debian")).from_string(line)
    try:
        text = template.render(value=value)
    except ValueError:
        return
    selections, findings = parse(text + "\n", "preseed.cfg")
    assert findings == []
    assert [selection.value for selection in selections] == [value]


def test_every_question_has_a_type_that_can_be_answered() -> None:
    assert len(questions()) > 400
    types = frozenset({"string", "boolean", "select", "multiselect", "password", "note", "error"})
    assert all(known and known <= types for known in questions().values())
