"""YAML with one meaning: what is refused, and on which line."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deployer.core.yamlfiles import load_all, load_one
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
        ("a: [1\nb: 2\n", "fleet.yaml, line 2: expected ',' or ']', but got ':'"),
        ("a:\n\tb: 1\n", "fleet.yaml, line 2: found character '\\t' that cannot start any token"),
        (
            "a: !!python/object/apply:os.system [id]\n",
            "fleet.yaml, line 1: could not determine a constructor for the tag"
            " 'tag:yaml.org,2002:python/object/apply:os.system'",
        ),
        ("[" * 500, "fleet.yaml: nested too deeply"),
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
