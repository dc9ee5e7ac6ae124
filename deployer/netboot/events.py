"""dnsmasq's log lines as events: what a machine asked DHCP and TFTP for, and what became of it.

The lines are those of dnsmasq 2.90 with `log-dhcp` and `log-facility=-`. What clients send stands
in some of them; dnsmasq drops control characters, and we look at the beginning of a line for what
it is and at its end for whom it tells of, so that no client can make up a line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from deployer.netboot.dnsmasq import PROBE_MAC


class Kind(StrEnum):
    """What happened; also the event's name in a deployment's history."""

    DISCOVER = "dhcp_discover"  # firmware asks, and this is all so far
    IGNORED = "dhcp_ignored"  # not one of the known hosts
    NO_ADDRESS = "dhcp_no_address"  # every address is given out
    OFFER = "dhcp_offer"  # an address and a boot file were offered
    ACK = "dhcp_ack"  # the machine took them
    NO_FILE = "dhcp_no_file"  # it was answered, without a boot file
    PROXY = "proxy_offer"  # told to ask on port 4011, or shown a menu of one entry
    PROXY_FILE = "proxy_file"  # told its boot file beside another server's address
    SCRIPT = "dhcp_script"  # iPXE was told where the boot script is
    READ = "tftp_read"
    MISSING = "tftp_missing"
    TIMEOUT = "tftp_timeout"
    ABORTED = "tftp_aborted"  # every UEFI does so after it has asked for the size
    REFUSED = "tftp_refused"


@dataclass(frozen=True)
class Event:
    """`mac` is None where nobody knows whose `address` it is."""

    kind: Kind
    mac: str | None = None
    address: str | None = None
    arch: int | None = None
    file: str | None = None
    size: int | None = None
    ipxe: bool = False
    pxe: bool = True  # False: DHCP of a running system, nothing to do with booting


_MAC = r"(?P<mac>[0-9a-f]{2}(?::[0-9a-f]{2}){5})"
_ADDRESS = r"(?P<address>[0-9]{1,3}(?:\.[0-9]{1,3}){3})"
_LINE = re.compile(r"dnsmasq-(?P<part>dhcp|tftp)\[[0-9]+\]: (?P<text>.*)", re.ASCII | re.DOTALL)
_DHCP = re.compile(r"(?P<transaction>[0-9]+) (?P<text>.*)", re.ASCII | re.DOTALL)
_STEP = re.compile(
    rf"(?P<step>DHCPDISCOVER|DHCPOFFER|DHCPREQUEST|DHCPACK|DHCPNAK|PXE)\([^)\s]+\) "
    rf"(?:{_ADDRESS} )?{_MAC}(?: (?P<rest>.*))?",
    re.ASCII | re.DOTALL,
)
_ARCH = re.compile(r"(?:PXE|HTTP)Client:Arch:(?P<arch>[0-9]{5})", re.ASCII)
_TAGS = re.compile(r"tags: (?P<tags>.*)", re.ASCII)
_FILE = re.compile(
    r"(?:bootfile name: |sent size: *[0-9]+ option: *67 bootfile-name +)(?P<file>\S+)", re.ASCII
)
_TFTP = {
    Kind.READ: re.compile(rf"sent (?P<file>.*) to {_ADDRESS}", re.ASCII | re.DOTALL),
    Kind.MISSING: re.compile(rf"file (?P<file>.*) not found for {_ADDRESS}", re.ASCII | re.DOTALL),
    Kind.TIMEOUT: re.compile(rf"failed sending (?P<file>.*) to {_ADDRESS}", re.ASCII | re.DOTALL),
    Kind.ABORTED: re.compile(rf"error [0-9]+ .* received from {_ADDRESS}", re.ASCII | re.DOTALL),
    Kind.REFUSED: re.compile(rf"unsupported request from {_ADDRESS}", re.ASCII),
}
_FORBIDDEN = re.compile(r"cannot access (?P<file>.*): [A-Za-z ]+", re.ASCII | re.DOTALL)
# PXELINUX asks for a file per machine before it takes `default`; GRUB for lists of its modules,
# shim for revocations. That they are not there is how it should be.
_OPTIONAL = re.compile(
    r"pxelinux\.cfg/.*|.*\.lst|.*\.mo(\.gz)?|.*revocations.*\.efi|.*shim_certificate.*\.efi"
    r"|.*/grub\.cfg-.*",
    re.ASCII | re.DOTALL,
)
# Whose address: enough for a few networks, and bounded whatever comes.
_ADDRESSES_KEPT = 20_000
# What somebody asks for may be as long as a packet; no loader's name is.
_NAME = 200


@dataclass
class _Exchange:
    """The lines of one answer; they come together, and its end is the next one's begin."""

    transaction: str
    steps: list[str]
    mac: str | None = None
    address: str | None = None
    rest: str = ""
    arch: int | None = None
    pxe: bool = False
    ipxe: bool = False
    file: str | None = None


class Parser:
    """Feed it lines, in order; it gives events. `counts`: how many of each kind so far.

    `sizes`: size of each file below `root`. `neighbour`: MAC of an address that DHCP did not tell.
    """

    def __init__(
        self, root: str, sizes: Mapping[str, int],
        neighbour: Callable[[str], str | None] = lambda _address: None,
    ) -> None:  # fmt: skip
        self._root, self._sizes, self._neighbour = root.rstrip("/") + "/", sizes, neighbour
        self._open: _Exchange | None = None
        self._just_aborted: str | None = None
        self._macs: dict[str, str] = {}
        self.counts: Counter[Kind] = Counter()

    def feed(self, line: str) -> list[Event]:
        """Events that are complete by this line."""
        match = _LINE.fullmatch(line.rstrip("\n"))
        if match is None:
            return []
        if match["part"] == "tftp":
            return [*self.flush(), *self._tftp(match["text"])]
        self._just_aborted = None
        dhcp = _DHCP.fullmatch(match["text"])
        return self._dhcp(dhcp["transaction"], dhcp["text"]) if dhcp else []

    def flush(self) -> list[Event]:
        """The last exchange, when nothing more has come for a moment."""
        exchange, self._open = self._open, None
        event = _event(exchange) if exchange else None
        return [self._counted(event)] if event else []

    def _dhcp(self, transaction: str, text: str) -> list[Event]:
        done: list[Event] = []
        # Each answer begins with what was available, also when a client repeats its question.
        if self._open is None or self._open.transaction != transaction or _begins(text):
            done = self.flush()
            self._open = _Exchange(transaction, [])
        self._take(self._open or _Exchange(transaction, []), text)
        return done

    def _take(self, open_: _Exchange, text: str) -> None:
        if step := _STEP.fullmatch(text):
            open_.steps.append(step["step"])
            open_.mac, open_.address = step["mac"], step["address"] or open_.address
            open_.rest = step["rest"] or ""
            if open_.address:
                self._remember(open_.address, step["mac"])
        elif text.startswith("vendor class: "):
            arch = _ARCH.match(text, len("vendor class: "))
            open_.pxe, open_.arch = arch is not None, int(arch["arch"]) if arch else None
        elif tags := _TAGS.fullmatch(text):
            open_.ipxe = "ipxe" in tags["tags"].split(", ")
        elif file := _FILE.fullmatch(text):
            open_.file = file["file"]

    def _remember(self, address: str, mac: str) -> None:
        self._macs.pop(address, None)
        self._macs[address] = mac
        while len(self._macs) > _ADDRESSES_KEPT:
            del self._macs[next(iter(self._macs))]

    def _tftp(self, text: str) -> list[Event]:
        # dnsmasq 2.90 says in one breath that a client broke off and that it has sent the file.
        before, self._just_aborted = self._just_aborted, None
        for kind, pattern in _TFTP.items():
            if match := pattern.fullmatch(text):
                found = match.groupdict()
                file = (found.get("file") or "").removeprefix(self._root)[:_NAME] or None
                address = match["address"]
                if kind is Kind.READ and before == address:
                    return []
                self._just_aborted = address if kind is Kind.ABORTED else None
                if kind is Kind.MISSING and file and _OPTIONAL.fullmatch(file):
                    return []
                return [self._counted(Event(
                    kind, self._macs.get(address) or self._neighbour(address), address, file=file,
                    size=self._sizes.get(file or "") if kind is Kind.READ else None,
                ))]  # fmt: skip
        if match := _FORBIDDEN.fullmatch(text):
            file = match["file"].removeprefix(self._root)[:_NAME]
            return [self._counted(Event(Kind.REFUSED, file=file))]
        return []

    def _counted(self, event: Event) -> Event:
        self.counts[event.kind] += 1
        return event


def _begins(text: str) -> bool:
    return text.startswith("available DHCP ")


def _event(exchange: _Exchange) -> Event | None:
    """What became of one question; our own search for foreign servers is none."""
    if exchange.mac in (None, PROBE_MAC) or not exchange.steps:
        return None
    last = exchange.steps[-1]
    event = Event(
        Kind.DISCOVER, exchange.mac, exchange.address, exchange.arch, exchange.file,
        ipxe=exchange.ipxe, pxe=exchange.pxe or exchange.ipxe,
    )  # fmt: skip
    if exchange.rest in ("ignored", "proxy-ignored"):
        return replace(event, kind=Kind.IGNORED)
    if "no address" in exchange.rest:
        return replace(event, kind=Kind.NO_ADDRESS)
    if last == "PXE":
        return replace(event, kind=_proxy_kind(exchange))
    if last in ("DHCPOFFER", "DHCPACK"):
        return replace(event, kind=_answer_kind(exchange, last))
    return event if last == "DHCPDISCOVER" else None


def _answer_kind(exchange: _Exchange, last: str) -> Kind:
    if exchange.ipxe:
        return Kind.SCRIPT
    if exchange.pxe and exchange.file is None:
        return Kind.NO_FILE
    return Kind.OFFER if last == "DHCPOFFER" else Kind.ACK


def _proxy_kind(exchange: _Exchange) -> Kind:
    if exchange.file is None:
        return Kind.PROXY
    return Kind.SCRIPT if exchange.ipxe else Kind.PROXY_FILE
