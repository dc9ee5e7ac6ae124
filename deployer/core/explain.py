"""Why a deployment stands where it stands: last seen, expected next, likely causes in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

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
# From `dhcp_script` on they come from our own DHCP and TFTP server, and the first is the furthest
# step that the machine was seen to take.
_MARKS = (
    "workflow_missing",
    "approval_needed", "boot_script", "restarted", "boot_refused", "dhcp_script", "tftp_missing",
    "tftp_timeout", "tftp_read", "dhcp_ack", "proxy_file", "dhcp_no_file", "proxy_offer",
    "dhcp_offer", "dhcp_no_address", "dhcp_ignored", "dhcp_discover",
)  # fmt: skip
# No line at all, while our own DHCP server was there to see one.
_NOT_SEEN = "not_seen"
_NO_WORKFLOW = (
    "the file of its workflow, {workflow}, was taken away: put it back, then `deployer retry`",
)

# By what was seen within the state, most likely first. Written for the person at the rack.
_CAUSES: dict[tuple[State, str | None], tuple[str, ...]] = {
    (State.QUEUED, None): (
        "no worker runs: look at /readyz and start `deployer worker`",
        "the BMC does not answer: try its address and login by hand",
    ),
    (State.QUEUED, "workflow_missing"): _NO_WORKFLOW,
    (State.QUEUED, "approval_needed"): (
        "its workflow waits for a person: `deployer approve HOST`",
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
    (State.BOOTING, "dhcp_script"): (
        "iPXE runs and knows where the boot script is, and did not fetch it: a firewall before the"
        " TCP port of MACHINE_URL, or MACHINE_URL names an address that machines do not reach",
        "`deployer serve` does not answer there: try `curl MACHINE_URL/boot.ipxe` from its network",
    ),
    (State.BOOTING, "tftp_missing"): (
        "it was told to fetch {file}, which the TFTP root has not (PXE-E36, PXE-T01, PXE-E23): run"
        " `deployer image build loaders`, then start `deployer netboot` again",
        "another DHCP server names that file: its options 66 and 67 must be those of"
        " `deployer dhcp-config`",
    ),
    (State.BOOTING, "tftp_timeout"): (
        "it began to read {file} by TFTP and its answers stopped coming: a firewall that lets UDP"
        " port 69 pass and not the high ports (PXE-E32, PXE-E18)",
        "blocks are larger than a switch, VLAN or tunnel on the way lets pass: try"
        " `--tftp-block-size 1024`, or 512",
        "it was switched off or restarted meanwhile",
    ),
    (State.BOOTING, "tftp_read"): (
        "{file} was read and does not start: firmware that enforces Secure Boot refuses unsigned"
        " loaders (Access Denied): set `secure_boot: true` for the host",
        "it started and does not reach us over HTTP: a firewall before the TCP port of MACHINE_URL,"
        " or MACHINE_URL names an address that machines do not reach",
        "it has no driver for this NIC: try another `--loader`",
    ),
    (State.BOOTING, "dhcp_ack"): (
        "it has an address and the name {file}, and never asked for the file: a firewall before"
        " UDP port 69 (PXE-E32, PXE-E18), or for UEFI HTTP boot before the TCP port of MACHINE_URL",
        "it shows a menu or waits for a key: look at its console",
    ),
    (State.BOOTING, "proxy_file"): (
        "it was told the name {file}, and never asked for the file: a firewall before UDP port 69"
        " (PXE-E32, PXE-E18)",
        "the other DHCP server gave it no address (PXE-E51, PXE-E52): is its pool empty?",
        "the other DHCP server names a boot file too, and the machine took that one",
    ),
    (State.BOOTING, "dhcp_no_file"): (
        "it was answered without a boot file (PXE-E53): {reason}",
        "its firmware is in the wrong boot mode, UEFI or BIOS",
    ),
    (State.BOOTING, "proxy_offer"): (
        "it was told to ask on UDP port 4011 and did not come (PXE-E55): a firewall before that"
        " port",
        "the other DHCP server gave it no address (PXE-E51, PXE-E52): is its pool empty?",
        "the other DHCP server names a boot file too, and the machine took that one",
    ),
    (State.BOOTING, "dhcp_offer"): (
        "our offer was not taken: another DHCP server in this network answers faster",
        "our answers do not reach it: VLAN, relay, or port security on its switch port",
    ),
    (State.BOOTING, "dhcp_no_address"): (
        "every address is given out (PXE-E51, PXE-E52): enlarge `--range`",
    ),
    (State.BOOTING, "dhcp_ignored"): (
        "it asks by a NIC that is not among the host's macs, and `--known-only` leaves strangers"
        " alone",
        "the host was added only now: within a few seconds it is known",
    ),
    (State.BOOTING, "dhcp_discover"): (
        "it asks for an address and nobody offers one (PXE-E51, PXE-E16): no `--range` fits its"
        " network, or its relay",
    ),
    (State.BOOTING, _NOT_SEEN): (
        "not one DHCP question of it has come: it was not switched on, or boots from its disk; set"
        " the next boot to network (PXE) in its firmware or BMC",
        "its cable, switch port or VLAN is another one (PXE-E61, PXE-E51, PXE-E16), or its router"
        " relays no DHCP to us",
        "it boots from a NIC whose MAC is not among the host's macs",
        "another DHCP server leads it elsewhere (PXE-E53, PXE-E55)",
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
    (State.VERIFYING, "workflow_missing"): _NO_WORKFLOW,
}


_FOREIGN = "foreign_dhcp"


class _Details(dict[str, Any]):
    """What a line says, for a sentence that wants to name it."""

    def __missing__(self, key: str) -> str:
        return f"(no {key})"


def explain(
    state: State,
    history: Sequence[tuple[datetime, str]],
    since: datetime,
    now: datetime,
    *,
    details: Mapping[str, Mapping[str, Any]] | None = None,
    watched: bool = False,
) -> Explanation:
    """`history`: (time, event name), oldest first; `since`: arrival in `state`.

    `details`: what the last line of an event says more. `watched`: a machine's DHCP questions
    would have been seen.
    """
    here = {name for at, name in history if at >= since}
    if here & _REFUSED:
        here.add("boot_refused")
    if watched:
        here.add(_NOT_SEEN)
    seen = [mark for mark in (*_MARKS, _NOT_SEEN) if mark in here and (state, mark) in _CAUSES]
    mark = seen[0] if seen else None
    causes = _told(_CAUSES.get((state, mark), ()), (details or {}).get(mark or "", {}))
    if _FOREIGN in here and state is State.BOOTING and mark != "boot_script":
        what = _Details((details or {}).get(_FOREIGN, {}))["what"]
        causes = (f"{what}: switch it off, or allow it with `--dhcp-server`", *causes)
    if history:
        at, name = history[-1]
        last_seen = f"{name} {show_duration(now - at)} ago"
    else:
        last_seen = "nothing"
    expected = " or ".join(e.value for e in expected_events(state)) or "nothing; it has ended"
    return Explanation(state, last_seen, expected, causes)


def _told(causes: tuple[str, ...], detail: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(cause.format_map(_Details(detail)) for cause in causes)


def show_duration(span: timedelta) -> str:
    """`75 s`, `12 min`, `3 h 5 min`: as coarse as a person would say it."""
    seconds = int(span.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
