"""Leads a machine to us, by one way after the other, until it is seen at our door.

A boot override that a BMC accepted proves nothing: only the machine's own boot request does. When
it does not come in time, the next way is tried; which one worked is remembered by product.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from deployer.drivers.power.base import BootMethod, PowerDriver
from deployer.errors import BootMethodRefused, DriverError, DriverRefused
from deployer.services import boot_media, experience, flow
from deployer.services.parts import Parts
from deployer.store.tables import Deployment

PURPOSE: experience.Purpose = "network_boot"
EFFECT, EJECT = "power.boot_once", "power.eject_media"

Try = dict[str, Any]


def boot_once(parts: Parts, deployment: Deployment, driver: PowerDriver) -> list[Try]:
    """Every way that was tried now; the last one is set. DriverRefused when none is left."""
    product = _product(driver, deployment)
    tries: list[Try] = []
    for method in _left(parts, deployment, driver, product):
        try:
            said = _set(parts, deployment, driver, method)
        except BootMethodRefused as refusal:
            tries.append({"method": method, "product": product, "refused": refusal.message})
        else:
            return [*tries, {"method": method, "product": product, "said": said}]
    every = [*deployment.boot_tries, *tries]
    raise DriverRefused(
        f"no way is left to boot {deployment.host_name} from the network: {told(every)}",
        remedy="look at the machine's console, or choose another power driver",
    )


def _set(parts: Parts, deployment: Deployment, driver: PowerDriver, method: BootMethod) -> str:
    url = boot_media.url(parts, deployment, method)
    try:
        return driver.boot_once(method, url)
    except DriverError:
        if method is BootMethod.VIRTUAL_MEDIA:  # the ISO may be in, and nobody boots from it
            with suppress(DriverError):
                driver.eject_media()
        raise


def _left(
    parts: Parts, deployment: Deployment, driver: PowerDriver, product: str
) -> list[BootMethod]:
    tried = {each["method"] for each in deployment.boot_tries}
    with parts.database.reading() as session:
        ways = experience.best_first(session, PURPOSE, product, driver.methods)
    return [BootMethod(way) for way in ways if way not in tried]


def _product(driver: PowerDriver, deployment: Deployment) -> str:
    """As one line; asked once. Empty where it is not known, which stops nothing."""
    if deployment.boot_tries:
        return str(deployment.boot_tries[-1]["product"])
    with suppress(DriverError):
        found = driver.product()
        return " / ".join(filter(None, (found.manufacturer, found.model, found.firmware)))
    return ""


def is_awaited(parts: Parts, deployment: Deployment, driver: PowerDriver) -> datetime | None:
    """Until when the machine's own request is waited for; None where no other way is left."""
    tried = {each["method"] for each in deployment.boot_tries}
    if deployment.boot_count or not set(driver.methods) - tried:
        return None
    return parts.clock() + timedelta(seconds=parts.settings.boot_request_within)


def came(session: Session, parts: Parts, deployment: Deployment) -> None:
    """The machine is at our door: what led it here is worth remembering, once."""
    deployment.boot_awaited_until = None
    if deployment.boot_tries and not deployment.boot_tries[-1].get("seen"):
        _ended(session, parts, deployment, worked=True)


def did_not_come(session: Session, parts: Parts, deployment: Deployment) -> Try:
    """The way that failed."""
    deployment.boot_awaited_until = None
    return _ended(session, parts, deployment, worked=False)


def _ended(session: Session, parts: Parts, deployment: Deployment, *, worked: bool) -> Try:
    """Of the latest try: whether it led the machine here."""
    tidy(session, parts, deployment)
    last = {**deployment.boot_tries[-1], "seen": worked}
    deployment.boot_tries = [*deployment.boot_tries[:-1], last]
    experience.remember(
        session, PURPOSE, last["product"], last["method"], worked=worked, now=parts.clock()
    )
    return last


def tidy(session: Session, parts: Parts, deployment: Deployment) -> None:
    """Have the ISO taken out, once, where the latest try has put it in."""
    last = deployment.boot_tries[-1] if deployment.boot_tries else {}
    if last.get("method") == BootMethod.VIRTUAL_MEDIA and not last.get("ejected"):
        deployment.boot_tries = [*deployment.boot_tries[:-1], {**last, "ejected": True}]
        flow.order(session, deployment, EJECT, parts.clock())


def told(tries: list[Try]) -> str:
    """`pxe: the machine did not come; uefi_http: this BMC knows no HTTP boot`."""
    return "; ".join(
        f"{each['method']}: {each.get('refused') or 'the machine did not come'}" for each in tries
    )
