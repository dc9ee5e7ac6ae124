"""Power over Redfish (DMTF DSP0266): any server with a modern BMC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, model_validator

from deployer.core.profiles import SecretRef
from deployer.core.text import Line
from deployer.drivers import http, tls
from deployer.drivers.power.base import (
    BootMethod,
    DriverSettings,
    PowerDriver,
    PowerState,
    Product,
)
from deployer.drivers.redfish import boot, media, products
from deployer.drivers.redfish.bmc import Account, Bmc
from deployer.drivers.redfish.said import Resource, checked, link
from deployer.errors import BootMethodRefused, DriverError, DriverRefused, DriverUnclear

_STATES = {"On": PowerState.ON, "PoweringOn": PowerState.ON, "Off": PowerState.OFF}
_OFF_SECONDS = 30.0
_PAUSE = 1.0


SystemId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")]


class RedfishSettings(DriverSettings):
    """`system` is needed only where one BMC has several; `verify`: true, false, ca, fingerprint."""

    url: tls.Origin
    username: Line
    password: SecretRef
    system: SystemId | None = None
    verify: tls.Verify = True

    @model_validator(mode="after")
    def _in_the_clear_on_purpose(self) -> RedfishSettings:
        tls.refuse_clear_text(self.url, self.verify)
        return self


@dataclass(frozen=True)
class _Machine:
    """One conversation about one system."""

    bmc: Bmc
    system: Resource
    product: products.Product

    @property
    def at(self) -> str:
        return str(self.system["@odata.id"])

    def state(self) -> str:
        return str(self.bmc.get(self.at).get("PowerState"))


class Redfish(PowerDriver):
    name = "redfish"
    Settings = RedfishSettings
    settings: RedfishSettings
    limits = http.Limits()

    @property
    def methods(self) -> tuple[BootMethod, ...]:
        if self.context.firmware == "bios":
            return (BootMethod.PXE, BootMethod.VIRTUAL_MEDIA)
        return (BootMethod.PXE, BootMethod.UEFI_HTTP, BootMethod.VIRTUAL_MEDIA)

    def state(self) -> PowerState:
        with self._machine() as machine:
            return _STATES.get(str(machine.system.get("PowerState")), PowerState.UNKNOWN)

    def product(self) -> Product:
        """`firmware` is the BMC's and the machine's."""
        with self._machine() as machine:
            managers = media.managers(machine.bmc, machine.system)
            versions = [_text(manager, "FirmwareVersion") for manager in managers[:1]]
            versions.append(_text(machine.system, "BiosVersion"))
            return Product(
                _text(machine.system, "Manufacturer"), _text(machine.system, "Model"),
                ", ".join(filter(None, versions)),
            )  # fmt: skip

    def _boot_once(self, method: BootMethod, url: str | None) -> str:
        with self._machine() as machine:
            bmc, system, product = machine.bmc, machine.system, machine.product
            if method is BootMethod.VIRTUAL_MEDIA:
                self._media_for(machine, url)
            override = boot.plan(
                bmc, system, product, method, url, self.context.firmware, self.context.host.macs
            )
            boot.set_once(bmc, override, product)
            return f"the BMC shows {override} for the next boot{self._caveat()}"

    def _media_for(self, machine: _Machine, url: str | None) -> None:
        if url is not None:
            media.insert(machine.bmc, machine.system, machine.product, url)
            return
        drives = media.slots(machine.bmc, machine.system, machine.product)
        if not any(slot.get("Inserted") for slot in drives):
            raise BootMethodRefused(
                "there is no image in the virtual drive", field="url", remedy="give its URL"
            )

    def insert_media(self, url: str) -> str:
        with self._machine() as machine:
            return media.insert(machine.bmc, machine.system, machine.product, url)

    def eject_media(self) -> str:
        with self._machine() as machine:
            return media.eject(machine.bmc, machine.system, machine.product)

    def off(self) -> str:
        with self._machine() as machine:
            if machine.system.get("PowerState") == "Off":
                return "it was off" + self._caveat()
            self._switch_off(machine)
            return "the BMC switched it off" + self._caveat()

    def cycle(self) -> str:
        with self._machine() as machine:
            now = str(machine.system.get("PowerState"))
            if now == "Off":
                return self._start(machine) + self._caveat()
            if now not in _STATES:
                raise DriverError(f"the BMC says that the machine is {now}: it is on its way off")
            allowed = self._allowed(machine)
            kind = _first(machine.product.restart, allowed)
            if kind is None:  # this BMC has no restart
                self._switch_off(machine)
                return self._start(machine) + self._caveat()
            return self._restart(machine, kind) + self._caveat()

    def _start(self, machine: _Machine) -> str:
        kind = self._chosen(machine, machine.product.start)
        # Twice on is once on, so that nothing is unclear: a broken connection is tried again. But
        # not so the push of a button.
        self._reset(machine, kind, once=kind == "PushPowerButton")
        return f"the BMC switches it on ({kind})"

    def _restart(self, machine: _Machine, kind: str) -> str:
        try:
            self._reset(machine, kind, once=True)
        except DriverUnclear:
            if not self._was_reset(machine):
                raise
        return f"the BMC restarts it ({kind})"

    def _was_reset(self, machine: _Machine) -> bool:
        """True when the BMC itself shows that the machine was reset since we looked first."""
        try:
            after = machine.bmc.get(machine.at)
        except DriverError:
            return False
        before = machine.system.get("LastResetTime")
        if before is not None and after.get("LastResetTime") not in (before, None):
            return True
        return after.get("PowerState") in ("Off", "PoweringOn", "PoweringOff")

    def _switch_off(self, machine: _Machine) -> None:
        self._reset(machine, self._chosen(machine, ["ForceOff"]))
        for _ in range(int(_OFF_SECONDS / _PAUSE)):
            if machine.state() == "Off":
                return
            if not machine.bmc.pause(_PAUSE):
                break
        raise DriverError("the BMC took the order to switch off, but the machine is still on")

    def _chosen(self, machine: _Machine, wanted: list[str]) -> str:
        allowed = self._allowed(machine)
        kind = _first(wanted, allowed)
        if kind is None:
            raise DriverRefused(
                f"the BMC knows none of {', '.join(wanted)}, only {', '.join(allowed or [])}"
            )
        return kind

    def _action(self, machine: _Machine) -> Resource:
        actions = machine.system.get("Actions")
        action = actions.get("#ComputerSystem.Reset") if isinstance(actions, dict) else None
        if not isinstance(action, dict):
            raise DriverRefused("the BMC offers no way to switch this machine")
        return action

    def _allowed(self, machine: _Machine) -> list[str] | None:
        """Kinds of reset that the BMC takes; None when it does not say."""
        action = self._action(machine)
        said: Any = action.get("ResetType@Redfish.AllowableValues")
        about = action.get("@Redfish.ActionInfo")
        if said is None and about is not None:
            given = machine.bmc.get(checked(about)).get("Parameters")
            parameters = [p for p in given if isinstance(p, dict)] if given else []
            values = (p.get("AllowableValues") for p in parameters if p.get("Name") == "ResetType")
            said = next(values, None)
        return [str(kind) for kind in said] if isinstance(said, list) and said else None

    def _reset(self, machine: _Machine, kind: str, *, once: bool = False) -> None:
        target = checked(self._action(machine).get("target"))
        reply = machine.bmc.post(target, {"ResetType": kind}, once=once)
        if reply.status == 400:
            raise machine.bmc.error_of(reply, "POST", target)

    @contextmanager
    def _machine(self) -> Iterator[_Machine]:
        settings = self.settings
        client = http.Client(settings.url, settings.verify, self.context.networks, self.limits)
        account = Account(settings.username, self.context.secret(settings.password))
        with Bmc(client, account) as bmc:
            system = bmc.get(self._system_path(bmc))
            product = products.find(
                _text(system, "Manufacturer"), _text(system, "Model"),
                f"{_text(bmc.root, 'Vendor')} {_text(bmc.root, 'Product')}",
            )  # fmt: skip
            yield _Machine(bmc, system, product)

    def _system_path(self, bmc: Bmc) -> str:
        found = bmc.links(link(bmc.root, "Systems") or "/redfish/v1/Systems")
        ids = [path.rstrip("/").rpartition("/")[2] for path in found]
        wanted = self.settings.system
        matching = [path for path, id_ in zip(found, ids, strict=True) if wanted in (None, id_)]
        if len(matching) != 1:
            raise DriverRefused(
                f"{self.settings.url} has {f'no system {wanted}' if wanted else 'not one system'};"
                f" it has: {', '.join(ids) or 'none'}",
                field="power.system", value=wanted, remedy="write one of these ids as `system`",
            )  # fmt: skip
        return matching[0]

    def _caveat(self) -> str:
        return "" if self.settings.verify is not False else " (whoever it is: verify is false)"


def _first(wanted: list[str], allowed: list[str] | None) -> str | None:
    return next((kind for kind in wanted if allowed is None or kind in allowed), None)


def _text(resource: Resource, name: str) -> str:
    value = resource.get(name)
    return " ".join(value.split())[:200] if isinstance(value, str) else ""


DRIVER = Redfish
