"""Ids sort by time and carry their kind; a token opens one door of one deployment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.core.ids import kind_of, new_id, short
from deployer.core.tokens import Purpose, deployment_of, derive

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = bytes(range(32))
ID = "dep_01k9abcdefghjkmnpqrstvwxyz"


@given(st.lists(st.integers(0, 10**10), min_size=2, max_size=20, unique=True))
def test_ids_sort_by_the_time_they_were_made(milliseconds: list[int]) -> None:
    made = [new_id("dep", NOW + timedelta(milliseconds=ms)) for ms in sorted(milliseconds)]
    assert made == sorted(made)


def test_two_ids_of_one_moment_differ() -> None:
    assert len({new_id("dep", NOW) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("kind", ["dep", "host", "eff"])
def test_an_id_says_what_it_is_the_id_of(kind: str) -> None:
    assert kind_of(new_id(kind, NOW)) == kind


@pytest.mark.parametrize(
    "text", ["", "web01", "dep_", "dep_01k9", ID + "x", ID[:-1] + "l", ID + "\n"]
)
def test_what_is_no_id_has_no_kind(text: str) -> None:
    assert kind_of(text) is None


def test_people_tell_ids_apart_by_their_end() -> None:
    assert short(ID) == "rstvwxyz"


@pytest.mark.parametrize("made_for", Purpose)
@pytest.mark.parametrize("used_for", Purpose)
def test_a_token_opens_only_the_door_it_was_made_for(made_for: Purpose, used_for: Purpose) -> None:
    opened = deployment_of(KEY, derive(KEY, ID, made_for), used_for)
    assert opened == (ID if made_for is used_for else None)


def test_the_same_question_gets_the_same_token() -> None:
    assert derive(KEY, ID, Purpose.LOGS) == derive(KEY, ID, Purpose.LOGS)


def test_another_servers_token_opens_nothing() -> None:
    assert deployment_of(KEY, derive(b"x" * 32, ID, Purpose.LOGS), Purpose.LOGS) is None


@given(st.integers(0, 57), st.characters())
def test_a_token_with_one_other_character_opens_nothing(at: int, other: str) -> None:
    token = derive(KEY, ID, Purpose.ANSWERS)
    forged = token[:at] + other + token[at + 1 :]
    assert deployment_of(KEY, forged, Purpose.ANSWERS) == (ID if forged == token else None)


@pytest.mark.parametrize(
    "text",
    ["", "null", "0", "-1", "[]", "{}", "a" * 10000, "ä" * 58, "\0" * 58, "０" * 58, ID],
    ids=lambda t: ascii(t[:9]),
)
def test_rubbish_opens_nothing(text: str) -> None:
    assert deployment_of(KEY, text, Purpose.ANSWERS) is None


def test_a_token_is_not_opened_by_blanks_or_capitals() -> None:
    token = derive(KEY, ID, Purpose.ANSWERS)
    for text in (token + "\n", " " + token, token.upper(), token + token):
        assert deployment_of(KEY, text, Purpose.ANSWERS) is None


def test_a_token_is_short_enough_for_a_kernel_line_and_long_enough_for_a_secret() -> None:
    token = derive(KEY, ID, Purpose.ANSWERS)
    assert len(token) == 58 and token.isalnum() and token.islower()
    assert len(token.removeprefix(ID.removeprefix("dep_"))) * 5 >= 128
