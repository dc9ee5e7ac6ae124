"""States of a deployment, what can happen to it, and the table of moves. Start reading here.

queued → booting → installing → first_boot → verifying → ready; any unfinished one may fail or
be cancelled. Nothing else in the code decides where a deployment goes next.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum


class State(StrEnum):
    QUEUED = "queued"  # accepted; no machine touched yet
    BOOTING = "booting"  # the machine may fetch its installer
    INSTALLING = "installing"  # the installer has the disks
    FIRST_BOOT = "first_boot"  # installer done; the new system has not called yet
    VERIFYING = "verifying"  # we are logged in, running the checks
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Event(StrEnum):
    START = "start"
    ANSWERS_FETCHED = "answers_fetched"
    INSTALLER_STARTED = "installer_started"
    INSTALLER_FINISHED = "installer_finished"
    INSTALLER_FAILED = "installer_failed"
    FIRST_BOOT = "first_boot"
    VERIFIED = "verified"
    VERIFICATION_FAILED = "verification_failed"
    EFFECT_FAILED = "effect_failed"
    TIMED_OUT = "timed_out"
    CANCEL = "cancel"


class MachineEvent(StrEnum):
    """What a machine may say; cancelling is a person's word, verifying is ours."""

    INSTALLER_STARTED = Event.INSTALLER_STARTED
    INSTALLER_FINISHED = Event.INSTALLER_FINISHED
    INSTALLER_FAILED = Event.INSTALLER_FAILED
    FIRST_BOOT = Event.FIRST_BOOT


# How long we wait in a state before the deployment fails; each is a setting, PATIENCE_<STATE>.
# Queued and verifying are our own turn, but a turn that never ends is a wait too.
PATIENCE = {
    State.QUEUED: timedelta(minutes=10),
    State.BOOTING: timedelta(minutes=30),
    State.INSTALLING: timedelta(minutes=60),
    State.FIRST_BOOT: timedelta(minutes=20),
    State.VERIFYING: timedelta(minutes=10),
}
# A person who walks to a rack needs longer than a BMC.
PATIENCE_WITHOUT_POWER_CONTROL = timedelta(hours=4)

RESTING = frozenset({State.READY, State.FAILED, State.CANCELLED})
UNFINISHED = frozenset(State) - RESTING

# An installer that reports progress is slow, not stuck; still it may not take longer than this
# many times its patience.
PROGRESS_LIMIT = 4

TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.QUEUED, Event.START): State.BOOTING,
    (State.BOOTING, Event.ANSWERS_FETCHED): State.INSTALLING,
    (State.BOOTING, Event.INSTALLER_STARTED): State.INSTALLING,
    # The first phone-home of any kind ends `booting`: what called has run our installer.
    (State.BOOTING, Event.INSTALLER_FINISHED): State.FIRST_BOOT,
    (State.BOOTING, Event.INSTALLER_FAILED): State.FAILED,
    (State.BOOTING, Event.FIRST_BOOT): State.VERIFYING,
    (State.INSTALLING, Event.INSTALLER_FINISHED): State.FIRST_BOOT,
    (State.INSTALLING, Event.INSTALLER_FAILED): State.FAILED,
    # The call "finished" may be lost; the new system's own call proves as much.
    (State.INSTALLING, Event.FIRST_BOOT): State.VERIFYING,
    (State.FIRST_BOOT, Event.FIRST_BOOT): State.VERIFYING,
    (State.VERIFYING, Event.VERIFIED): State.READY,
    (State.VERIFYING, Event.VERIFICATION_FAILED): State.FAILED,
    **{(state, Event.EFFECT_FAILED): State.FAILED for state in UNFINISHED},
    **{(state, Event.TIMED_OUT): State.FAILED for state in UNFINISHED},
    **{(state, Event.CANCEL): State.CANCELLED for state in UNFINISHED},
}


def next_state(state: State, event: Event) -> State | None:
    """Where `event` leads from `state`; None when it leads nowhere.

    None from a machine is an echo or a late call: recorded, and answered kindly. None from a
    person is a conflict.
    """
    return TRANSITIONS.get((state, event))


def expected_events(state: State) -> list[Event]:
    """What would move a deployment on from `state`, in the order of the happy path."""
    unhappy = {Event.EFFECT_FAILED, Event.TIMED_OUT, Event.CANCEL, Event.INSTALLER_FAILED}
    return [e for (s, e) in TRANSITIONS if s is state and e not in unhappy]
