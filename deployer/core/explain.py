"""Why a deployment stands where it stands: last seen, expected next, likely causes in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from deployer.core.lifecycle import State, expected_events


@dataclass(frozen=True)
class Explanation:
    """For people: `str()` is the text that goes into a failed deployment's cause."""

    state: State
    last_seen: str
    expected: str
    causes: tuple[str, ...]

    def __str__(self) -> str:
        ranked = "; ".join(f"({n}) {cause}" for n, cause in enumerate(self.causes, 1))
        return f"Last seen: {self.last_seen}. Expected next: {self.expected}. Likely: {ranked}"


# History lines that tell of a boot request which was not given its installer.
_REFUSED = {"boot_refused", "other_uuid", "other_serial", "second_claimant"}

# History lines that say more about what is wrong than the state alone, the most telling first.
_MARKS = ("boot_script", "restarted", "boot_refused")

# By what was seen within the state, most likely first. Written for the person at the rack.
_CAUSES: dict[tuple[State, str | None], tuple[str, ...]] = {
    (State.QUEUED, None): (
        "no worker runs: look at /readyz and start `deployer worker`",
        "the BMC does not answer: try its address and login by hand",
    ),
    (State.BOOTING, None): (
        "the machine was not switched on or not restarted: with the manual driver a person must",
        "it boots from its disk: set the next boot to network (PXE) in its firmware or BMC",
        "its DHCP answer names no boot file, or another server's (PXE-E53, PXE-E55): it must be"
        " the /boot.ipxe of MACHINE_URL",
        "it boots from a NIC whose MAC is not among the host's macs",
    ),
    (State.BOOTING, "boot_script"): (
        "kernel or initrd could not be loaded: look at its console; is MACHINE_URL reachable"
        " from there?",
        "the kernel has no driver for its NIC, so the answer file was never fetched",
        "the machine has too little memory for the live system (1 GiB is the least)",
    ),
    (State.BOOTING, "boot_refused"): (
        "the machine asked, but was refused: see the reason in the history",
    ),
    (State.INSTALLING, None): (
        "the installer stopped or waits for an answer: look at its console",
        "it lost its network after the kernel started",
        "a mirror or image does not answer",
    ),
    (State.INSTALLING, "restarted"): (
        "the machine was restarted in mid-installation, and nothing installs twice by itself:"
        " look why (its log, a watchdog, a person), then `deployer retry`",
    ),
    (State.FIRST_BOOT, None): (
        "the installed system does not boot: wrong boot disk, or the firmware has no entry for it",
        "the local-boot method does not suit this firmware: try another `local_boot` for the host",
        "it boots, but its network does not reach MACHINE_URL",
    ),
    (State.VERIFYING, None): (
        "SSH is not reachable from here: firewall, route, or an address that changed",
        "no worker runs: look at /readyz",
    ),
}


def explain(
    state: State, history: Sequence[tuple[datetime, str]], since: datetime, now: datetime
) -> Explanation:
    """`history`: (time, event name), oldest first; `since`: arrival in `state`."""
    here = {name for at, name in history if at >= since}
    if here & _REFUSED:
        here.add("boot_refused")
    seen = [mark for mark in _MARKS if mark in here and (state, mark) in _CAUSES]
    causes = _CAUSES.get((state, seen[0] if seen else None), ())
    if history:
        at, name = history[-1]
        last_seen = f"{name} {show_duration(now - at)} ago"
    else:
        last_seen = "nothing"
    expected = " or ".join(e.value for e in expected_events(state)) or "nothing; it has ended"
    return Explanation(state, last_seen, expected, causes)


def show_duration(span: timedelta) -> str:
    """`75 s`, `12 min`, `3 h 5 min`: as coarse as a person would say it."""
    seconds = int(span.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
