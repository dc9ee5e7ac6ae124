"""The table of moves, written out by hand once more, and what it promises as a whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.core.lifecycle import (
    PATIENCE,
    RESTING,
    TRANSITIONS,
    UNFINISHED,
    Event,
    MachineEvent,
    State,
    expected_events,
    next_state,
)

MOVES = """
event                queued     booting     installing  first_boot  verifying
start                booting    .           .           .           .
answers_fetched      .          installing  .           .           .
installer_started    .          installing  .           .           .
installer_finished   .          first_boot  first_boot  .           .
installer_failed     .          failed      failed      .           .
first_boot           .          verifying   verifying   verifying   .
verified             .          .           .           .           ready
verification_failed  .          .           .           .           failed
effect_failed        failed     failed      failed      failed      failed
timed_out            failed     failed      failed      failed      failed
cancel               cancelled  cancelled   cancelled   cancelled   cancelled
"""


def moves() -> dict[tuple[str, str], str]:
    """(state, event) → where it leads; what the table does not name leads nowhere."""
    head, *lines = [line.split() for line in MOVES.strip().splitlines()]
    cells = {(s, line[0]): to for line in lines for s, to in zip(head[1:], line[1:], strict=True)}
    return {pair: to for pair, to in cells.items() if to != "."}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_event_leads_from_every_state_where_the_table_says(
    state: State, event: Event
) -> None:
    assert next_state(state, event) == moves().get((state, event))


def successors(state: State) -> set[State]:
    return {to for (before, _), to in TRANSITIONS.items() if before is state}


@pytest.mark.parametrize("state", sorted(RESTING))
def test_nothing_leads_out_of_a_state_of_rest(state: State) -> None:
    assert successors(state) == set()


@pytest.mark.parametrize("state", sorted(UNFINISHED))
def test_whatever_is_unfinished_can_fail_time_out_and_be_cancelled(state: State) -> None:
    assert next_state(state, Event.EFFECT_FAILED) is State.FAILED
    assert next_state(state, Event.TIMED_OUT) is State.FAILED
    assert next_state(state, Event.CANCEL) is State.CANCELLED


@pytest.mark.parametrize("state", sorted(UNFINISHED))
def test_whatever_is_unfinished_has_a_patience_and_expects_something(state: State) -> None:
    assert PATIENCE[state].total_seconds() > 0
    assert expected_events(state)


def test_only_booting_leads_to_installing() -> None:
    assert {s for s in State if State.INSTALLING in successors(s)} == {State.BOOTING}


def test_only_our_own_start_leads_to_booting() -> None:
    assert [k for k, to in TRANSITIONS.items() if to is State.BOOTING] == [
        (State.QUEUED, Event.START)
    ]


def test_only_our_own_verdict_leads_to_ready() -> None:
    assert {event for (_, event), to in TRANSITIONS.items() if to is State.READY} == {
        Event.VERIFIED
    }


def test_a_machine_may_say_only_what_a_machine_can_know() -> None:
    assert set(MachineEvent) == {
        "installer_started", "installer_finished", "installer_failed", "first_boot",
    }  # fmt: skip


@given(st.lists(st.sampled_from(Event)))
def test_no_order_of_events_leads_back(events: list[Event]) -> None:
    order = list(State)
    state = State.QUEUED
    for event in events:
        to = next_state(state, event)
        if to is not None:
            assert order.index(to) > order.index(state) and state not in RESTING
            state = to


@pytest.mark.parametrize("state", sorted(UNFINISHED))
def test_the_happy_path_is_open_from_every_unfinished_state(state: State) -> None:
    seen: set[State] = set()
    ahead = {state}
    while ahead:
        seen |= ahead
        ahead = {to for before in ahead for to in successors(before)} - seen
    assert State.READY in seen
