"""What DHCP and TFTP saw, on the history of the host that it was about; and is netboot alive?"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import Session

from deployer.core.lifecycle import State
from deployer.netboot.dnsmasq import KnownHost, Plan
from deployer.netboot.events import Event, Kind
from deployer.netboot.loaders import Refusal, choose
from deployer.netboot.rogue import Foreign
from deployer.netboot.supervisor import Health
from deployer.observe import log
from deployer.services import deployments
from deployer.services.parts import Parts
from deployer.store import deployments as store
from deployer.store import hosts, people
from deployer.store.tables import Deployment

_FACT = "netboot:"
STALE = timedelta(seconds=30)
# Lines of one kind in one history: firmware repeats itself, and nobody may fill our disk.
_LINES = 4
# The same again within this time is not even looked up.
_QUIET_SECONDS = 60.0
_REMEMBERED = 10_000
# Kinds that say nothing of a machine's way to its boot script.
_UNREMARKABLE = {Kind.ABORTED}


class Recorder:
    """Writes events down. Of a room of machines that start, only those that are being deployed
    cost more than a look at a set of MACs."""

    def __init__(self, parts: Parts, plan: Plan) -> None:
        self._parts, self._plan = parts, plan
        self._known: dict[str, bool] = {}
        self._stamp = ""
        self._recent: dict[tuple[str, str, str | None], float] = {}

    def hosts(self) -> list[KnownHost]:
        """Every NIC of every host; read again only when one has changed."""
        with self._parts.database.reading() as session:
            stamp = hosts.stamp(session)
            if stamp != self._stamp:
                self._known, self._stamp = dict(hosts.nics(session)), stamp
        return [KnownHost(mac, secure) for mac, secure in self._known.items()]

    def happened(self, events: Iterable[Event]) -> None:
        """In order; each goes to the deployment whose machine is booting, if there is one."""
        for event in (events := list(events)):
            if event.kind in (Kind.MISSING, Kind.TIMEOUT, Kind.REFUSED):
                log.warning("netboot", **_shown(event))
        with self._parts.database.reading() as session:
            booting = hosts.nics_by_deployment(session, State.BOOTING)
        for event in events:
            deployment = booting.get(event.mac or "")
            if deployment and event.pxe and event.kind not in _UNREMARKABLE:
                self._one(event, deployment)

    def _one(self, event: Event, deployment: str) -> None:
        kind, reason = self._judged(event)
        key = (deployment, kind, event.file)
        now = time.monotonic()
        if now - self._recent.get(key, -_QUIET_SECONDS) < _QUIET_SECONDS:
            return
        detail = {k: v for k, v in _shown(event).items() if k != "kind"}
        with self._parts.database.writing() as session:
            row = store.get(session, deployment, lock=True)
            if row is not None and row.state == State.BOOTING:
                more = {"reason": reason} if reason else {}
                _note_once(session, self._parts, row, kind, {**detail, **more})
        self._recent.pop(key, None)
        self._recent[key] = now
        while len(self._recent) > _REMEMBERED:
            del self._recent[next(iter(self._recent))]

    def _judged(self, event: Event) -> tuple[Kind, str | None]:
        """Why a machine was told no file: the table knows."""
        if event.kind not in (Kind.NO_FILE, Kind.PROXY) or event.arch is None or event.ipxe:
            return event.kind, None
        secure = self._known.get(event.mac or "", False)
        choice = choose(event.arch, self._plan.loader, secure, self._plan.loaders)
        if isinstance(choice, Refusal):
            return Kind.NO_FILE, choice.reason
        return event.kind, None


def _note_once(
    session: Session, parts: Parts, row: Deployment, event: str, detail: dict[str, Any]
) -> None:
    before = store.details_of(session, row.id, event)
    if len(before) < _LINES and detail not in before:
        deployments.note(session, row, event, "netboot", parts.clock(), **detail)


def _shown(event: Event) -> dict[str, Any]:
    """The fields that say something."""
    fields = asdict(event)
    shown = {k: fields[k] for k in ("kind", "mac", "address", "arch", "file", "size")}
    return {k: str(v) if k == "kind" else v for k, v in shown.items() if v is not None}


def foreign_server(parts: Parts, interface: str, found: Foreign) -> None:
    """A person should look: a line on every deployment whose machine is booting just now."""
    log.warning("alert", reason="foreign_dhcp", interface=interface, server=found.server,
                file=found.file)  # fmt: skip
    detail = {"server": found.server, "what": str(found)}
    with parts.database.writing() as session:
        for id_ in store.in_state(session, State.BOOTING):
            row = store.get(session, id_, lock=True)
            if row is not None and row.state == State.BOOTING:
                _note_once(session, parts, row, "foreign_dhcp", detail)


# --- health -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Heartbeat:
    """What a netboot said of itself last. `name`: its machine and interface."""

    name: str
    at: datetime
    mode: str
    problems: tuple[str, ...]
    counts: dict[str, int]
    restarts: int


def beat(parts: Parts, plan: Plan, health: Health) -> None:
    value = {"at": parts.clock().isoformat(), "mode": plan.mode, **asdict(health)}
    with parts.database.writing() as session:
        people.save_fact(session, _name(parts, plan), json.dumps(value))


def leave(parts: Parts, plan: Plan) -> None:
    """Stopped on purpose: nobody needs to miss it."""
    with parts.database.writing() as session:
        people.forget_fact(session, _name(parts, plan))


def _name(parts: Parts, plan: Plan) -> str:
    return f"{_FACT}{parts.settings.worker_name}/{plan.interface}"


def heartbeats(session: Session) -> list[Heartbeat]:
    found = []
    for name, text in people.facts_of(session, _FACT).items():
        value = json.loads(text)
        found.append(Heartbeat(
            name.removeprefix(_FACT), datetime.fromisoformat(value["at"]).astimezone(UTC),
            value["mode"], tuple(value["problems"]), value["counts"], value["restarts"],
        ))  # fmt: skip
    return found


def problems(session: Session, now: datetime) -> list[str]:
    """What is wrong with those that were started and not stopped; one never started is none."""
    found = []
    for one in heartbeats(session):
        if now - one.at > STALE:
            seconds = int((now - one.at).total_seconds())
            found.append(
                f"{one.name}: not heard of for {seconds} s; is `deployer netboot` running?"
            )
        found += [f"{one.name}: {problem}" for problem in one.problems]
    return found


def watches(session: Session, now: datetime) -> bool:
    """Would we have seen a machine's DHCP, if it had come?"""
    return any(now - one.at <= STALE and not one.problems for one in heartbeats(session))
