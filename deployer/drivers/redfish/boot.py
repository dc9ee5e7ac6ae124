"""The boot override of a ComputerSystem: set for one start, and read back (F012)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deployer.core.inventory import Firmware
from deployer.drivers.power.base import BootMethod
from deployer.drivers.redfish.bmc import Bmc
from deployer.drivers.redfish.products import Product, Sending
from deployer.drivers.redfish.said import Resource, link
from deployer.errors import BootMethodRefused, DriverError, DriverRefused

_ALLOWED = "@Redfish.AllowableValues"
_TARGETS = {BootMethod.PXE: ["Pxe"], BootMethod.UEFI_HTTP: ["UefiHttp"]}
# What a boot option is called, where the override itself knows no such target.
_OPTIONS = {BootMethod.PXE: "PXE IPV4", BootMethod.UEFI_HTTP: "HTTP IPV4"}
_MODES: dict[Firmware, str] = {"uefi": "UEFI", "bios": "Legacy"}
_READ_BACK_SECONDS = 10.0
_PAUSE = 0.5


@dataclass(frozen=True)
class Override:
    """What `Boot` shall say. `at` is the resource that takes it: the system, or its settings."""

    at: str
    now: Resource
    target: str
    mode: str | None = None
    http_uri: str | None = None
    option: str | None = None

    def bodies(self, product: Product) -> Iterator[Resource]:
        """Ways to say it: what a BMC refuses, it may take without the mode, or without `Once`."""
        full = self._properties(product)
        yield {"Boot": full}
        for name in ("BootSourceOverrideMode", "BootSourceOverrideEnabled"):
            if full.pop(name, None) is not None:
                yield {"Boot": dict(full)}

    def _properties(self, product: Product) -> Resource:
        said: Resource = {"BootSourceOverrideTarget": self.target}
        if _is_sent(product.enabled, self.now.get("BootSourceOverrideEnabled"), "Once"):
            said["BootSourceOverrideEnabled"] = "Once"
        shown = self.now.get("BootSourceOverrideMode")
        wanted = self.mode or shown
        known = self.now.get("BootSourceOverrideMode" + _ALLOWED)
        may = not isinstance(known, list) or wanted in known
        if wanted and may and _is_sent(product.mode, shown, wanted):
            said["BootSourceOverrideMode"] = wanted
        if self.option:
            said["BootNext"] = self.option
        if self.target == "UefiHttp" and "HttpBootUri" in self.now:
            said["HttpBootUri"] = self.http_uri  # null: as DHCP says
        return said

    def is_shown_by(self, boot: Resource) -> bool:
        """Continuous is fine: a machine that comes to us again is sent to its disk."""
        return (
            boot.get("BootSourceOverrideTarget") == self.target
            and boot.get("BootSourceOverrideEnabled") in ("Once", "Continuous")
            and (self.option is None or boot.get("BootNext") == self.option)
            and not (self.target == "UefiHttp" and boot.get("BootSourceOverrideMode") == "Legacy")
        )

    def __str__(self) -> str:
        more = self.option or (f"from {self.http_uri}" if self.http_uri else "")
        return f"{self.target} {more}".rstrip()


def _is_sent(sending: Sending, shown: Any, wanted: str) -> bool:
    # A BMC that shows no such property at all does not know it.
    return sending == "send" or (sending == "change" and shown not in (wanted, None))


def plan(
    bmc: Bmc, system: Resource, product: Product, method: BootMethod, url: str | None,
    firmware: Firmware | None, macs: list[str],
) -> Override:  # fmt: skip
    """How this BMC can be told; BootMethodRefused names what it offers instead."""
    at, now = _where(bmc, system)
    allowed = now.get("BootSourceOverrideTarget" + _ALLOWED)
    offered = [str(value) for value in allowed] if isinstance(allowed, list) else None
    mode = "UEFI" if method is BootMethod.UEFI_HTTP else _MODES[firmware] if firmware else None
    targets = _TARGETS.get(method, product.media_targets)
    for target in targets:
        if offered is None or target in offered:
            uri = url if target == "UefiHttp" and "HttpBootUri" in now else None
            return Override(at, now, target, mode, http_uri=uri)
    if offered and "UefiBootNext" in offered and method in _OPTIONS:
        option = _option(bmc, now, _OPTIONS[method], macs)
        if option is not None:
            return Override(at, now, "UefiBootNext", "UEFI", option=option)
    raise BootMethodRefused(
        f"this BMC cannot boot once by {method}; it offers {', '.join(offered or []) or 'nothing'}",
        field="method", value=str(method), remedy="another way is tried, where there is one",
    )  # fmt: skip


def _where(bmc: Bmc, system: Resource) -> tuple[str, Resource]:
    """The resource whose `Boot` can be changed: some take it in their settings alone (AMI)."""
    at, now = str(system["@odata.id"]), system.get("Boot")
    settings = system.get("@Redfish.Settings")
    pending = link(settings, "SettingsObject") if isinstance(settings, dict) else None
    if pending is not None:
        try:
            later = bmc.get(pending).get("Boot")
        except DriverRefused:
            later = None  # named, but not there
        if isinstance(later, dict) and "BootSourceOverrideTarget" in later:
            return pending, later
    return at, now if isinstance(now, dict) else {}


def _option(bmc: Bmc, now: Resource, wanted: str, macs: list[str]) -> str | None:
    """The boot option that loads from the network, on one of the host's own NICs if it says so."""
    collection = link(now, "BootOptions")
    found: dict[bool, str] = {}
    for option in bmc.members(collection) if collection else []:
        name = f"{option.get('DisplayName', '')} {option.get('UefiDevicePath', '')}".upper()
        reference = option.get("BootOptionReference")
        if wanted in name.replace("(", " ").replace("-", " ") and isinstance(reference, str):
            ours = any(mac.upper().replace(":", "") in name.replace(":", "") for mac in macs)
            found.setdefault(ours, reference)
    return found.get(True) or found.get(False)


def set_once(bmc: Bmc, override: Override, product: Product) -> None:
    """DriverError when the BMC does not show in the end what it was told."""
    bodies = override.bodies(product)
    reply = bmc.patch(override.at, next(bodies))
    while reply.status == 400:
        body = next(bodies, None)
        if body is None:
            raise bmc.refusal_of(reply, "PATCH", override.at)
        reply = bmc.patch(override.at, body)
    shown: Resource = {}
    for _ in range(int(_READ_BACK_SECONDS / _PAUSE)):
        boot = bmc.get(override.at).get("Boot")
        shown = boot if isinstance(boot, dict) else {}
        if override.is_shown_by(shown):
            return
        if not bmc.pause(_PAUSE):
            break
    raise DriverError(
        f"the BMC took {override} for the next boot, but shows"
        f" {shown.get('BootSourceOverrideTarget')}, {shown.get('BootSourceOverrideEnabled')}",
        remedy="look whether a BIOS update or a pending job locks it; update the BMC's firmware",
    )
