"""YAML with one meaning: what is refused, and on which line."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deployer.core.documents import Unreadable, line_of, load_all, load_one, read, read_json
from deployer.errors import Invalid


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "fleet.yaml, line 3: the key 'a' is written twice"),
        ("x:\n  - {k: 1, k: 2}\n", "fleet.yaml, line 2: the key 'k' is written twice"),
        ("a: 1\n---\nb: 1\nb: 2\n", "fleet.yaml, line 4: the key 'b' is written twice"),
        ("a: &x [1]\nb: *x\n", "fleet.yaml, line 2: aliases (*name) are not accepted"),
        ("[a]: 1\n", "fleet.yaml, line 1: a key must be a word, not a list or mapping"),
        ("? {a: 1}\n: 1\n", "fleet.yaml, line 1: a key must be a word, not a list or mapping"),
        ("a: [1\nb: 2\n", "fleet.yaml, line 2: did not find expected ',' or ']'"),
        ("a:\n\tb: 1\n", "fleet.yaml, line 2: a tab indents this line; YAML wants blanks"),
        ("a: 1\nname: [", "fleet.yaml, line 2: did not find expected node content"),
        (
            "a: 1\nb: '\ud800'",
            "fleet.yaml, line 2: half a character (\\ud800 to \\udfff) stands here",
        ),
        (
            "a: !!python/object/apply:os.system [id]\n",
            "fleet.yaml, line 1: could not determine a constructor for the tag"
            " 'tag:yaml.org,2002:python/object/apply:os.system'",
        ),
        ("\n" + "[" * 500, "fleet.yaml, line 2: nested too deeply"),
        ("- " * 500 + "a", "fleet.yaml, line 1: nested too deeply"),
    ],
    ids=lambda text: text[:30],
)
def test_what_has_no_single_meaning_is_refused_with_file_and_line(text: str, message: str) -> None:
    with pytest.raises(Invalid) as refusal:
        load_all(text, "fleet.yaml")
    assert refusal.value.message == message
    assert refusal.value.remedy


def test_every_document_counts_and_an_empty_one_does_not() -> None:
    assert load_all("a: 1\n---\n---\n- b\n", "f") == [{"a": 1}, ["b"]]
    assert load_all("", "f") == []


@pytest.mark.parametrize(("text", "found"), [("", 0), ("a: 1\n---\nb: 1\n", 2)])
def test_one_document_is_one(text: str, found: int) -> None:
    with pytest.raises(Invalid, match=f"f: expected one YAML document, found {found}"):
        load_one(text, "f")


def test_a_bomb_of_aliases_does_not_unfold() -> None:
    bomb = "a: &a [x]\n" + "".join(f"{n}: &{n} [*{p}, *{p}]\n" for p, n in pairwise("abcde"))
    with pytest.raises(Invalid, match="line 2: aliases"):
        load_all(bomb, "f")


@pytest.mark.parametrize(
    "text",
    ["a: 2024-13-45", "a: 0x_", "a: !!int x", "? !!set {a}\n: 1", "a: " + "9" * 5000],
    ids=lambda text: text[:20],
)
def test_a_value_that_yaml_cannot_read_is_a_finding_and_no_crash(text: str) -> None:
    with pytest.raises(Invalid, match=r"^f"):
        load_all(text, "f")


@given(st.text(alphabet="a1:-[]{}&*!?|>'\"#%@ \n\t0x_.eT", max_size=40) | st.text(max_size=30))
@example("a: !!float x")
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        load_all(text, "f")
    except Invalid as refusal:
        assert refusal.message.startswith("f")


def test_a_script_may_be_indented_by_tabs_where_yaml_lets_it() -> None:
    assert load_all("a: |\n  if x\n  \tdo\n", "f") == [{"a": "if x\n\tdo\n"}]


def test_keys_can_be_held_to_text() -> None:
    assert read("12: a")[0].value == {12: "a"}
    with pytest.raises(Unreadable, match="the key 12 is no text") as refusal:
        read("a: {b: 1}\nc:\n  12: x\n", text_keys=True)
    assert refusal.value.line == 3


TEXT = """\
hosts:
  - name: web01
    nics: [{mac: a},
           {mac: b}]
  - name: web02
7: seven
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ((), 1), (("hosts",), 1), (("hosts", 0, "name"), 2), (("hosts", 0, "nics", 1, "mac"), 4),
        (("hosts", 1), 5), ((7,), 6),
        (("hosts", 0, "absent"), 2), (("hosts", 9), 1), (("absent",), 1),
        (("hosts", 0, "a-model-of-pydantic", "nics", 1), 4),
    ],
)  # fmt: skip
def test_a_place_has_the_line_of_its_value_or_of_what_is_around_it(
    place: tuple[str | int, ...], line: int
) -> None:
    assert read(TEXT)[0].line(place) == line


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('{"a": 1,\n "a": 2}', None, "'a' is given twice in one object, and the first would be"),
        ('{"a":\n NaN}', None, "NaN is no JSON"),
        ('{"a":\n 1,}', 2, "Expecting property name enclosed in double quotes"),
        ("[" * 100_000, None, "it is nested too deeply"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_json_with_two_meanings_is_refused(text: str, line: int | None, problem: str) -> None:
    with pytest.raises(Unreadable) as refusal:
        read_json(text)
    assert refusal.value.problem.startswith(problem)
    assert refusal.value.line == line
    assert refusal.value.remedy


def test_lines_of_json_are_told_and_none_where_yaml_does_not_follow() -> None:
    assert line_of('{"a":\n {"b":\n 1}}')(("a", "b")) == 2
    assert line_of("[" * 200)(("a",)) is None
