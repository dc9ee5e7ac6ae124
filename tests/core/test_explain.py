"""What a person is told about a deployment that does not move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deployer.core.explain import explain, show_duration
from deployer.core.lifecycle import UNFINISHED, State

SINCE = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOW = SINCE + timedelta(minutes=31)


def history(*events: str) -> list[tuple[datetime, str]]:
    return [(SINCE + timedelta(minutes=n), event) for n, event in enumerate(events)]


def test_the_whole_explanation_reads_as_one_sentence_per_question() -> None:
    assert str(explain(State.INSTALLING, history("answers_fetched", "progress"), SINCE, NOW)) == (
        "Last seen: progress 30 min ago. Expected next: installer_finished or first_boot. Likely:"
        " (1) the installer stopped or waits for an answer: look at its console;"
        " (2) it lost its network after the kernel started; (3) a mirror or image does not answer"
    )


@pytest.mark.parametrize(
    ("events", "likely"),
    [
        (["start"], "was not switched on"),
        (["start", "boot_script"], "kernel or initrd could not be loaded"),
        (["start", "boot_refused"], "was refused"),
        (["start", "other_uuid"], "was refused"),
        (["start", "other_serial"], "was refused"),
        (["start", "boot_script", "second_claimant"], "kernel or initrd could not be loaded"),
    ],
    ids=str,
)
def test_the_first_guess_fits_what_was_seen_while_booting(events: list[str], likely: str) -> None:
    assert likely in explain(State.BOOTING, history(*events), SINCE, NOW).causes[0]


def test_a_machine_that_was_restarted_in_mid_installation_is_told_of_first() -> None:
    seen = history("answers_fetched", "progress", "restarted")
    assert "restarted in mid-installation" in explain(State.INSTALLING, seen, SINCE, NOW).causes[0]


def test_what_was_seen_in_an_earlier_state_does_not_count() -> None:
    before = [(SINCE - timedelta(minutes=1), "boot_script")]
    assert "not switched on" in explain(State.BOOTING, before, SINCE, NOW).causes[0]


@pytest.mark.parametrize("state", sorted(UNFINISHED))
def test_every_state_in_which_one_can_be_stuck_has_an_expectation_and_causes(state: State) -> None:
    why = explain(state, [], SINCE, NOW)
    assert why.last_seen == "nothing"
    assert why.causes and why.expected and "ended" not in why.expected


def test_a_deployment_that_has_ended_expects_nothing() -> None:
    assert explain(State.READY, history("verified"), SINCE, NOW).expected == "nothing; it has ended"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (11100, "3 h 5 min")],
)
def test_durations_are_as_coarse_as_people_say_them(seconds: int, shown: str) -> None:
    assert show_duration(timedelta(seconds=seconds)) == shown
