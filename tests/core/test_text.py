"""What text from outside may hold: sizes, names, lines, blocks, and how hostile text is shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.core.sizes import parse_size, show_size
from deployer.core.text import check_block, check_host_name, check_line, check_name, printable

BREAKERS = [
    "a\nb",
    "a\rb",
    "a\0",
    "\x1b[2J",
    "a\u2028b",
    "a\u2029b",
    "a\x85b",
    "a\u202eb",
    "\ufeffa",
]


@pytest.mark.parametrize("text", BREAKERS, ids=ascii)
def test_a_line_holds_nothing_that_breaks_or_hides_it(text: str) -> None:
    with pytest.raises(ValueError, match="one line of text; remove"):
        check_line(text)


@pytest.mark.parametrize("text", [t for t in BREAKERS if t != "a\nb"], ids=ascii)
def test_a_block_is_made_of_such_lines(text: str) -> None:
    with pytest.raises(ValueError, match="remove carriage returns"):
        check_block("first\n" + text)


def test_a_block_may_have_line_breaks_and_tabs() -> None:
    assert check_block("if a; then\n\tb\nfi\n") == "if a; then\n\tb\nfi\n"


@pytest.mark.parametrize("text", ["", "-a", ".a", "a b", "a/b", "a\n", "ä", "a" * 101, "a;b"])
def test_a_name_is_plain(text: str) -> None:
    with pytest.raises(ValueError, match="must begin with a letter or digit"):
        check_name(text)


@pytest.mark.parametrize("check", [check_name, check_host_name])
@given(text=st.text())
def test_no_name_can_break_a_line_a_path_or_a_command(
    check: Callable[[str], str], text: str
) -> None:
    try:
        name = check(text)
    except ValueError:
        return
    assert name == text and name.isascii() and not set(name) & set(" \t\r\n/\\'\"$`;&|<>{}()%#")
    assert name not in (".", "..") and not name.startswith("-")


@given(st.text(), st.integers(1, 50))
def test_whatever_is_shown_is_harmless_and_not_endless(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit + 2
    assert all(c == "\n" or unicodedata.category(c) not in {"Cc", "Cf", "Cs"} for c in shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("line\none", "line\none"),
        ("a\tb\r", "a\\tb\\r"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud800", "\\ud800"),
        ("grün ✓", "grün ✓"),
    ],
    ids=ascii,
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


# --- sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8G", 8 * 10**9), ("8GB", 8 * 10**9), ("8 GB", 8 * 10**9), ("8GiB", 8 * 2**30),
        ("8gib", 8 * 2**30), ("1.5T", 15 * 10**11), ("512M", 512 * 10**6), ("1KiB", 1024),
        ("0", 0), ("4096", 4096), (4096, 4096), ("7B", 7), (" 2P ", 2 * 10**15),
    ],
    ids=repr,
)  # fmt: skip
def test_sizes_are_read_as_people_write_them(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "big", "-1G", -1, "8X", "8 G B", "1e9", True, None, 8.5, "８G", "8G\n8G", [8]],
    ids=repr,
)
def test_what_is_no_size_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match=r"such as 8G \(8·10⁹ bytes\), 500GiB or a number"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (8 * 2**30, "8.6 GB"),
        (500 * 10**9, "500.0 GB"), (20 * 10**15, "20000.0 TB"),
    ],
)  # fmt: skip
def test_sizes_are_shown_as_on_the_label(size: int, shown: str) -> None:
    assert show_size(size) == shown


@given(st.integers(0, 2**63))
def test_a_plain_number_of_bytes_stays_what_it_is(size: int) -> None:
    assert parse_size(size) == size
