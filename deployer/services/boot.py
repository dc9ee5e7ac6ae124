"""What does this machine boot? Looks up, lets `boot.decide` judge, and remembers who asked."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from sqlmodel import Session

from deployer.answers import prepare
from deployer.answers.context import Machine, Snapshot
from deployer.boot.decide import IDLE, UNKNOWN, BootRequest, Claim, Limits, Verdict, decide
from deployer.core.bootspec import BootDecision, InstallerBoot, LocalBoot
from deployer.core.inventory import Firmware, HostSpec, LocalBootMethod
from deployer.core.lifecycle import State
from deployer.observe import boot_count, log
from deployer.services import deployments, local_boot, network_boot, people, rendering
from deployer.services.parts import Parts
from deployer.store import boots, hosts, images
from deployer.store import deployments as store
from deployer.store.tables import Deployment

_LIVE_IMAGE: dict[str, str] = {"x86_64": "live-x86_64", "arm64": "live-arm64"}
_LOADER_FILE = "local.efi"
_LOADER_SECONDS = 2.0
_WAYS_KEPT = 10  # lines in the history, however often a machine comes back


Arch = Literal["x86_64", "arm64"]


@dataclass(frozen=True)
class Asking:
    """A boot request with what only the loader needs to know."""

    request: BootRequest
    firmware: Firmware
    arch: Arch
    product: str = ""  # as it shows itself; empty where it does not


class Answer(NamedTuple):
    """`served` and `reason` are for our log and metrics; the machine never sees them."""

    decision: BootDecision
    served: Literal["installer", "local"]
    reason: str


@lru_cache(maxsize=1024)
def _own_disk(method: Any, firmware: Firmware, reason: str, loader: str | None) -> Answer:
    return Answer(LocalBoot(method, firmware, reason, loader), "local", reason)


class Glances:
    """The local disk for a machine without a deployment, which is nearly every one that asks.

    Fast enough for the event loop. None in every other case, and in doubt: then ask `answer`.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._loaders: dict[Arch, tuple[float, str | None]] = {}
        self.proven = local_boot.Proven(parts)

    def __call__(self, mac: str, firmware: Firmware, arch: Arch, product: str) -> Answer | None:
        try:
            found = boots.glance(self.parts.database, mac)
            if found is None or found.state is not None:
                return None
            loader = self._loader(arch)
        except Exception:  # `answer` meets it again, writes it down and lets them boot
            return None
        method = found.local_boot
        if isinstance(method, dict):
            method = method.get(firmware, "auto")
        if method == "auto":
            method = self.proven.ways.get(product, "auto")
        answer = _own_disk(method, firmware, (IDLE if found.known else UNKNOWN).reason, loader)
        boot_count("local", answer.reason).inc()
        return answer

    def _loader(self, arch: Arch) -> str | None:
        """Looked up every few seconds: a script goes on without a loader that is gone."""
        now = time.monotonic()
        until, url = self._loaders.get(arch, (0.0, None))
        if now >= until:
            found = images.glance_at_checksum(
                self.parts.database, _LIVE_IMAGE[arch], _LOADER_FILE
            )  # fmt: skip
            url = _loader_url(self.parts, arch) if found and found[0] else None
            self._loaders[arch] = (now + _LOADER_SECONDS, url)
        return url


def answer(parts: Parts, asking: Asking) -> Answer:
    """The decision. Whatever goes wrong on our side, the machine boots its own disk."""
    try:
        decision, reason = _answer(parts, asking)
    except Exception as error:  # a fault of ours must not leave a machine at a prompt
        log.error("boot_fallback", mac=asking.request.mac, error=str(error), exc_info=True)
        decision, reason = LocalBoot("auto", asking.firmware, "error"), "error"
    return _counted(decision, reason)


def _counted(decision: BootDecision, reason: str) -> Answer:
    served: Literal["installer", "local"] = (
        "installer" if isinstance(decision, InstallerBoot) else "local"
    )
    boot_count(served, reason).inc()
    return Answer(decision, served, reason)


def _answer(parts: Parts, asking: Asking) -> tuple[BootDecision, str]:
    with parts.database.reading() as session:
        host = hosts.by_mac(session, asking.request.mac)
        live = store.unfinished_of(session, host.id) if host else None
        spec = HostSpec.model_validate(host.spec) if host else None
        method = spec.local_boot_method(asking.firmware) if spec else "auto"
        if method == "auto":
            method = local_boot.proven_way(session, asking.product)
        local = _local(session, parts, asking, method)
    if host is None or live is None or live.state != State.BOOTING:
        verdict = decide(
            asking.request, spec, State(live.state) if live else None, None, None,
            parts.clock(), _limits(parts),
        )  # fmt: skip
        if live is not None:
            _write_down_return(parts, live, asking.request)
            if live.state == State.FIRST_BOOT and spec and _is_ours_to_choose(spec, asking):
                local.method = _next_way(parts, live, asking)
        return local(verdict.reason), verdict.reason
    with parts.database.writing() as session:
        return _claim(session, parts, asking, host.id, local)


def _claim(
    session: Session, parts: Parts, asking: Asking, host_id: str, local: _Local
) -> tuple[BootDecision, str]:
    """Decide again with the row locked: of two that ask at once, one is first."""
    now = parts.clock()
    host = hosts.by_id(session, host_id)
    deployment = store.unfinished_of(session, host_id, lock=True)
    if host is None or deployment is None:
        return local("idle"), "idle"
    network_boot.came(session, parts, deployment)
    session.add(deployment)
    spec = HostSpec.model_validate(host.spec)
    verdict = decide(
        asking.request, spec, State(deployment.state), _claim_of(deployment),
        deployment.deadline, now, _limits(parts),
    )  # fmt: skip
    if not verdict.install:
        _write_down_refusal(session, parts, deployment, asking.request, verdict)
        return local(verdict.reason), verdict.reason
    installer = _installer(parts, deployment, asking)
    if deployment.boot_count == 0:
        deployment.boot_address, deployment.boot_mac = asking.request.address, asking.request.mac
        deployment.boot_first_at = now
        shown = {
            "mac": asking.request.mac,
            "uuid": asking.request.uuid,
            "serial": asking.request.serial,
            "firmware": asking.firmware,
        }
        deployment.reported = {**deployment.reported, "boot": shown}
        hosts.learn(session, host_id, now, boot={**shown, "product": asking.product})
        deployments.note(
            session, deployment, "boot_script", f"machine {asking.request.address}", now,
            mac=asking.request.mac, firmware=asking.firmware,
        )  # fmt: skip
    deployment.boot_count += 1
    session.add(deployment)
    return installer, verdict.reason


def _is_ours_to_choose(spec: HostSpec, asking: Asking) -> bool:
    return spec.local_boot_method(asking.firmware) == "auto"


def _next_way(parts: Parts, live: Deployment, asking: Asking) -> LocalBootMethod:
    """It was to start its new system and is here instead: that way did not lead there."""
    with parts.database.writing() as session:
        deployment = store.get(session, live.id, lock=True)
        if deployment is None or deployment.state != State.FIRST_BOOT:
            return "auto"
        before = len(deployment.local_tries)
        way = local_boot.next_way(session, parts, deployment, asking.product, asking.firmware)
        if before < len(deployment.local_tries) <= _WAYS_KEPT:
            by = f"machine {asking.request.address}"
            deployments.note(session, deployment, "local_boot", by, parts.clock(), way=way)
        session.add(deployment)
        return way


def _claim_of(deployment: Deployment) -> Claim | None:
    if deployment.boot_first_at is None:
        return None
    return Claim(
        deployment.boot_address or "", deployment.boot_mac or "",
        deployment.boot_first_at, deployment.boot_count,
    )  # fmt: skip


def _limits(parts: Parts) -> Limits:
    settings = parts.settings
    return Limits(settings.boot_script_limit, timedelta(seconds=settings.boot_window))


def _installer(parts: Parts, deployment: Deployment, asking: Asking) -> InstallerBoot:
    """The same bytes however often the machine asks: nothing here depends on time or count."""
    snapshot = Snapshot.from_json(deployment.snapshot)
    request = asking.request
    machine = Machine(request.mac, request.uuid, request.serial, asking.firmware)
    context = rendering.context_of(parts, snapshot, deployment.id, deployment.vars, machine)
    return prepare.boot(rendering.family_of(parts, snapshot.profile), context)


def too_many_requests(parts: Parts, address: str) -> None:
    """One line in the audit trail and one alert per burst: somebody may be trying MACs."""
    log.warning("alert", reason="too_many_boot_requests", address=address)
    with parts.database.writing() as session:
        people.audit(
            session, parts.clock(), "machine side", "boot.too_many_requests", address, address
        )


def _write_down_refusal(
    session: Session, parts: Parts, deployment: Deployment, request: BootRequest, verdict: Verdict
) -> None:
    event = verdict.reason if verdict.suspicious else "boot_refused"
    first = _write_down(session, parts, deployment, event, request, reason=verdict.reason)
    if first and verdict.suspicious:
        log.warning(
            "alert", deployment=deployment.id, reason=verdict.reason, address=request.address
        )


# Arrivals at our door while an installation, or the first boot of what it installed, is expected
# to go on from the disk: worth a line, and each has an event of its own for `explain`.
_RETURNS = {State.INSTALLING: "restarted", State.FIRST_BOOT: "network_boot"}


def _write_down_return(parts: Parts, deployment: Deployment, request: BootRequest) -> None:
    event = _RETURNS.get(State(deployment.state))
    if event is None:
        return
    with parts.database.reading() as session:
        if store.count_events(session, deployment.id, event):
            return
    with parts.database.writing() as session:
        row = store.get(session, deployment.id, lock=True)
        if row is not None and row.state == deployment.state:
            _write_down(session, parts, row, event, request, answer="its own disk")


def _write_down(
    session: Session, parts: Parts, deployment: Deployment, event: str, request: BootRequest,
    **detail: str,
) -> bool:  # fmt: skip
    """Once per event: knocking at the door again and again fills no disk. True the first time."""
    if store.count_events(session, deployment.id, event):
        return False
    by = f"machine {request.address}"
    deployments.note(session, deployment, event, by, parts.clock(), mac=request.mac, **detail)
    return True


class _Local:
    """Makes the harmless answer; knows where the small EFI loader of this arch lies."""

    def __init__(self, method: LocalBootMethod, firmware: Firmware, loader_url: str | None):
        self.method, self.firmware, self.loader_url = method, firmware, loader_url

    def __call__(self, reason: str) -> LocalBoot:
        return LocalBoot(self.method, self.firmware, reason, self.loader_url)


def _local(session: Session, parts: Parts, asking: Asking, method: LocalBootMethod) -> _Local:
    image = images.by_name(session, _LIVE_IMAGE[asking.arch])
    has_loader = image is not None and any(
        file["path"] == _LOADER_FILE for file in image.manifest["files"]
    )
    url = _loader_url(parts, asking.arch) if has_loader else None
    return _Local(method, asking.firmware, url)


def _loader_url(parts: Parts, arch: Arch) -> str:
    base = parts.settings.effective_machine_url
    return f"{base}/images/{_LIVE_IMAGE[arch]}/{_LOADER_FILE}"
