"""Virtual media: an image at a URL becomes the machine's CD drive."""

from __future__ import annotations

import re
from typing import Any

from deployer.drivers.redfish.bmc import Bmc
from deployer.drivers.redfish.products import Product
from deployer.drivers.redfish.said import Resource, link
from deployer.errors import BootMethodRefused, DriverError, DriverRefused

_INSERT, _EJECT = "#VirtualMedia.InsertMedia", "#VirtualMedia.EjectMedia"
_SECONDS = 20.0
_PAUSE = 0.5
# What some BMCs call missing; the rest of the world leaves it to the URL.
_EXTRAS = {"TransferProtocolType": None, "TransferMethod": "Stream"}


def check_url(url: str) -> None:
    """DriverRefused for what no BMC should be told to fetch."""
    if not re.fullmatch(r"https?://[^\s/@\"'\\<>]+/[^\s\"'\\<>@]{0,900}", url, re.ASCII):
        raise DriverRefused(
            "the image must be at an http:// or https:// URL without user or blank",
            field="url", value=None if "@" in url else url, remedy="correct it",
        )  # fmt: skip


def slots(bmc: Bmc, system: Resource, product: Product) -> list[Resource]:
    """The drives that can hold a CD; BootMethodRefused when there are none."""
    found = []
    for holder in (system, *managers(bmc, system)):
        collection = link(holder, "VirtualMedia")
        for slot in bmc.members(collection) if collection else []:
            fits = re.search(product.media_slots, str(slot.get("Id", "")), re.IGNORECASE)
            if fits and {"CD", "DVD"} & set(_texts(slot.get("MediaTypes"))):
                found.append(slot)
        if found:
            # Beside drives that fetch an image, some BMCs have those of their own web page.
            return [slot for slot in found if _action(slot, _INSERT)] or found
    raise BootMethodRefused(
        "this BMC has no virtual CD",
        remedy="it may need a licence (iLO Advanced, iDRAC Enterprise)",
    )


def managers(bmc: Bmc, system: Resource) -> list[Resource]:
    links = system.get("Links")
    managers = links.get("ManagedBy") if isinstance(links, dict) else None
    given = managers if isinstance(managers, list) else []
    paths = [link({"at": each}, "at") for each in given[:4]]
    return [bmc.get(path) for path in paths if path]


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def insert(bmc: Bmc, system: Resource, product: Product, url: str) -> str:
    """Put the image in, in the place of another; a line for the history."""
    check_url(url)
    drives = slots(bmc, system, product)
    slot = next((d for d in drives if not d.get("Inserted")), drives[0])
    if slot.get("Inserted"):
        _take_out(bmc, slot)
    _put_in(bmc, slot, url)
    _wait(bmc, slot, inserted=True)
    return f"{url} is in the virtual drive {slot.get('Id')}"


def eject(bmc: Bmc, system: Resource, product: Product) -> str:
    """Empty every drive that can hold a CD."""
    full = [slot for slot in slots(bmc, system, product) if slot.get("Inserted")]
    for slot in full:
        _take_out(bmc, slot)
    names = ", ".join(str(slot.get("Id")) for slot in full)
    return f"the virtual drive {names} is empty" if full else "the virtual drives were empty"


def _put_in(bmc: Bmc, slot: Resource, url: str) -> None:
    action = _action(slot, _INSERT)
    if action is None:
        at = str(slot["@odata.id"])
        reply = bmc.patch(at, {"Image": url, "Inserted": True, "WriteProtected": True})
        if reply.status == 400:
            raise bmc.refusal_of(reply, "PATCH", at)
        return
    # Nothing but the image: Supermicro refuses the defaults when they are said.
    body: Resource = {"Image": url}
    reply = bmc.post(action, body)
    while reply.status == 400:
        words = bmc.words(reply)
        missing = [name for name in _EXTRAS if name in words and name not in body]
        if not missing:
            raise bmc.refusal_of(reply, "POST", action)
        body[missing[0]] = _EXTRAS[missing[0]] or url.partition(":")[0].upper()
        reply = bmc.post(action, body)


def _take_out(bmc: Bmc, slot: Resource) -> None:
    action, at = _action(slot, _EJECT), str(slot["@odata.id"])
    reply = bmc.post(action, {}) if action else bmc.patch(at, {"Image": None, "Inserted": False})
    if reply.status == 400:
        raise bmc.error_of(reply, "POST" if action else "PATCH", action or at)
    _wait(bmc, slot, inserted=False)


def _action(slot: Resource, name: str) -> str | None:
    actions = slot.get("Actions")
    action = actions.get(name) if isinstance(actions, dict) else None
    target = action.get("target") if isinstance(action, dict) else None
    return link({"at": {"@odata.id": target}}, "at") if target else None


def _wait(bmc: Bmc, slot: Resource, *, inserted: bool) -> None:
    at = str(slot["@odata.id"])
    for _ in range(int(_SECONDS / _PAUSE)):
        if bool(bmc.get(at).get("Inserted")) is inserted:
            return
        if not bmc.pause(_PAUSE):
            break
    raise DriverError(
        f"the BMC took the order, but the virtual drive {slot.get('Id')} is"
        f" {'empty' if inserted else 'not empty'}",
        remedy="can the BMC reach the image's URL?",
    )
