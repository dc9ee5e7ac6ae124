"""Templates: strict, sandboxed, and an operator's own folder is searched first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployer.answers import context, prepare
from deployer.answers.families import Catalogue, FoundFamily
from deployer.errors import ConfigurationError, Finding, Invalid
from tests import golden

FAMILY = """\
label: Test
installer: live_image
arches: [x86_64]
layouts: [plain]
boot: {image: live, kernel: vmlinuz, args: ["a={{ host.name }}"]}
answers: [{path: answer.txt, template: answer.j2, format: text}]
releases: [{version: "1"}]
"""


class Folder:
    """An operator's own folder of OS families."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def family(self, name: str = "test") -> FoundFamily:
        found = Catalogue([self.root, golden.ANSWERFILES]).get(name)
        assert found is not None
        return found

    def renders(self, template: str, **profile: Any) -> str:
        self.write("test/family.yaml", FAMILY)
        self.write("test/answer.j2", template)
        values = golden.context_of(self.snapshot(self.family(), **profile))
        return prepare.answers(self.family(), values)["answer.txt"]

    @staticmethod
    def snapshot(found: FoundFamily, **profile: Any) -> Any:
        host = {"name": "web01", "macs": ["52:54:00:12:34:56"]}
        return golden.snapshot(found, host, {"name": "web", **profile})

    def finding(self, template: str, **profile: Any) -> Finding:
        with pytest.raises(Invalid) as refusal:
            self.renders(template, **profile)
        (finding,) = refusal.value.findings
        return finding


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# --- strictness -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "line", "words"),
    [
        ("a\nb {{ rack }}\n", 2, "'rack' is undefined"),
        ("{{ vars.rack }}\n", 1, "has no attribute 'rack'"),
        ("\n\n{{ profile.colour | upper }}", 3, "has no attribute 'colour'"),
        ("{% for x in vars.list %}\n{% endfor %}", 1, "has no attribute 'list'"),
        ("ok\n{% if vars.rack %}x{% endif %}", 2, "has no attribute 'rack'"),
        ("{{ host.name }", 1, "unexpected '}'"),
        ("a\n{% endif %}", 2, "unknown tag 'endif'"),
        ("{{ 1 / 0 }}", 1, "division by zero"),
        ("{{ vars | nosuchfilter }}", 1, "No filter named 'nosuchfilter'"),
        ("a\n{{ 'x' + 1 }}", 2, "can only concatenate str"),
        ("{% include 'gone.j2' %}", None, "there is no template gone.j2"),
        ("{{ '%d' % 'x' }}", 1, "%d format"),
        ("{{ 7 | wordwrap }}", 1, "splitlines"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", 1, "recursion"),
    ],
)  # fmt: skip
def test_what_a_template_lacks_is_named_with_file_and_line(
    folder: Folder, template: str, line: int | None, words: str
) -> None:
    finding = folder.finding(template)
    assert words in finding.message
    assert (finding.file, finding.line) == ("answer.j2", line)
    assert "vars of profile, host or request" in finding.remedy


def test_a_file_that_no_installer_would_take_is_refused(folder: Folder) -> None:
    assert "larger than 1048576" in folder.finding("{{ 'x' * 1048577 }}").message


@pytest.mark.parametrize(
    ("call", "text"),
    [("unique", "P p"), ("unique()", "P p"), ("unique(case_sensitive=false)", "P")],
)
def test_names_that_differ_by_their_case_are_two(folder: Folder, call: str, text: str) -> None:
    template = f"{{{{ profile.packages | {call} | join(' ') }}}}"
    assert folder.renders(template, packages=["P", "p", "P"]) == text


def test_an_error_within_an_included_file_names_that_file(folder: Folder) -> None:
    folder.write("test/part.j2", "fine\n{{ vars.rack }}\n")
    finding = folder.finding("{% include 'part.j2' %}")
    assert (finding.file, finding.line) == ("part.j2", 2)


def test_a_later_variable_wins(folder: Folder) -> None:
    folder.write("test/family.yaml", FAMILY)
    folder.write("test/answer.j2", "{{ vars.a }}{{ vars.b }}{{ vars.c }}")
    host = {"name": "web01", "macs": ["52:54:00:12:34:56"], "vars": {"b": "H", "c": "H"}}
    profile = {"name": "web", "vars": {"a": "P", "b": "P", "c": "P"}}
    values = golden.context_of(golden.snapshot(folder.family(), host, profile), c="R")
    assert prepare.answers(folder.family(), values) == {"answer.txt": "PHR"}


# --- the sandbox ------------------------------------------------------------------------------

ATTACKS = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''|attr('__class__') }}",
    "{{ ''['__class__'].__base__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__['os'].environ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{{ '{x.__class__}'.format_map({'x': 1}) }}",
    "{{ host.__class__ }}",
    "{{ (host.items).__func__ }}",
    "{% set x = vars.__class__.__base__ %}{{ x }}",
    "{{ [].__class__.__base__.__subclasses__() | map(attribute='__init__') | list }}",
    "{{ vars.update({'a': 1}) }}",
    "{{ profile.packages.append('x') }}",
    "{{ urls.pop('base') }}",
    "{% include '/etc/passwd' %}",
    "{% include '../../../../../../etc/passwd' %}",
    "{% import '../image/plan.json.j2' as x %}",
    "{{ range(1000000) | list | length }}",
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_template_that_reaches_out_is_a_finding_and_gets_nothing(
    folder: Folder, attack: str
) -> None:
    finding = folder.finding(attack)
    assert finding.file == "answer.j2"
    assert not any(word in finding.message for word in ("root:x", "os.environ", "PATH="))


def test_what_a_person_writes_is_text_and_no_template(folder: Folder) -> None:
    attack = "{{ 7 * 7 }}{% include '/etc/passwd' %}"
    assert folder.renders("{{ vars.a }}|{{ profile.scripts.post }}", vars={"a": attack},
                          scripts={"post": attack}) == f"{attack}|{attack}"  # fmt: skip


def test_a_template_sees_the_documented_values_and_no_others(folder: Folder) -> None:
    documented = [
        line.split("`")[1] for line in str(context.__doc__).splitlines() if line.startswith("| `")
    ]
    assert sorted(golden.context_of(folder.snapshot(golden.found("image")))) == sorted(documented)


# --- an operator's own folder -----------------------------------------------------------------


def test_an_operators_template_is_used_in_place_of_ours(folder: Folder) -> None:
    folder.write("image/first-boot.service.j2", "[Unit]\nDescription=ours no more\n")
    found = folder.family("image")
    files, findings = golden.rendered(found, folder.snapshot(found))
    assert "ours no more" in files["plan.json"] and "Tell Deployer" not in files["plan.json"]
    assert findings == []


def test_an_operators_family_stands_beside_ours_and_may_use_its_shared_macros(
    folder: Folder,
) -> None:
    nic = "{'mtu': 9000, 'dhcp': true, 'addresses': [], 'gateway': none, 'dns': [], 'search': []}"
    text = folder.renders("{% import 'networkd.j2' as n %}{{ n.network(" + nic + ", 'M') }}")
    assert text.startswith("[Match]\nMACAddress=M\n\n[Link]\nMTUBytes=9000\n")
    assert {"image", "test"} <= set(Catalogue([folder.root, golden.ANSWERFILES]).names())


def test_an_operators_family_of_the_same_name_replaces_ours(folder: Folder) -> None:
    folder.write("image/family.yaml", FAMILY)
    assert folder.family("image").family.label == "Test"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("label: x\n", "test/family.yaml, line 1: installer: Field required"),
        (FAMILY + "colour: red\n", "test/family.yaml, line 8: colour: Extra inputs"),
        (FAMILY + "label: again\n", "test/family.yaml, line 8: the key 'label' is written twice"),
        (FAMILY.replace("live_image", "nosuch"), "nosuch"),
        ("- a list\n", "must be a mapping"),
        ("", "expected one YAML document, found 0"),
        (FAMILY.replace("answer.txt", "../x"), "must be a relative path of plain names"),
        (FAMILY.replace("answer.txt", "/etc/x"), "must be a relative path of plain names"),
        (FAMILY.replace('"1"}', '"1"}, {version: "1"}'), "releases names one entry twice"),
    ],
    ids=lambda text: text[-40:],
)
def test_a_broken_family_stops_the_start_with_file_and_field(
    folder: Folder, text: str, words: str
) -> None:
    folder.write("test/family.yaml", text)
    with pytest.raises(ConfigurationError) as refusal:
        Catalogue([folder.root])
    assert words in refusal.value.message


@pytest.mark.parametrize(
    ("mounts", "names"),
    [
        (["/var/log", "/var"], ["root", "var", "var_log"]),
        (["/var/log", "/var_log"], ["root", "var_log", "volume1"]),
        (["/root", "/swap"], ["root", "volume1", "volume2"]),
        # lvm(8) keeps names that hold _tdata or begin with snapshot.
        (["/srv/tdata", "/snapshots", "/volume1"], ["root", "volume1", "volume2", "volume3"]),
        (["/srv/" + "a" * 40], ["root", "volume1"]),
    ],
    ids=str,
)
def test_each_volume_has_a_name_of_its_own(mounts: list[str], names: list[str]) -> None:
    volumes = [{"mount": mount, "size": "1GB"} for mount in mounts]
    profile = {"name": "web", "storage": {"volumes": volumes}}
    host = {"name": "web01", "macs": ["52:54:00:12:34:56"]}
    seen = golden.context_of(golden.snapshot(golden.found("image"), host, profile))["storage"]
    assert [volume["name"] for volume in seen["volumes"]] == names
