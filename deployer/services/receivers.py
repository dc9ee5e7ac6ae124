"""Receivers as people write them, and the drivers that speak to them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from deployer.core.receivers import ReceiverSpec
from deployer.core.workflows import Workflow
from deployer.drivers.chat.base import ChatDriver, ChatSettings, Context
from deployer.drivers.notify.base import NotifyDriver
from deployer.errors import Conflict, DriverRefused, Invalid, NotFound
from deployer.services import driver_settings, secrets
from deployer.services.parts import CHAT_DRIVERS, NOTIFY_DRIVERS, Parts
from deployer.store import deliveries
from deployer.store import receivers as store
from deployer.store.chats import TERMINAL
from deployer.store.tables import Receiver


def find(session: Session, name: str) -> Receiver:
    row = store.get(session, name)
    if row is None:
        raise NotFound(
            f"there is no receiver {name!r}", field="receiver", value=name,
            remedy="`deployer receivers` lists the names",
        )  # fmt: skip
    return row


def enabled(
    session: Session, *, type: str | None = None, types: Collection[str] | None = None
) -> list[Receiver]:
    """Those that are not switched off, by name; of this type, or of these."""
    wanted = [type] if type is not None else types
    return [row for row in store.all_of(session, wanted) if row.spec["enabled"]]


def refuse_missing(session: Session, workflow: Workflow) -> None:
    """Invalid when it tells something to a receiver that is not there."""
    for place, name in workflow.receivers().items():
        if store.get(session, name) is None:
            raise Invalid(
                f"the workflow {workflow.name} names the receiver {name}, which is not there",
                field=place, value=name, remedy="describe it, and `deployer apply` it",
            )  # fmt: skip


def check(spec: ReceiverSpec) -> ChatSettings:
    """Its settings as its driver wants them; Invalid names the type or the setting that is wrong.

    No secret is looked up: a receiver may be written before its secrets are set.
    """
    kinds: dict[str, Any] = {**CHAT_DRIVERS, **NOTIFY_DRIVERS}
    if spec.type not in kinds:
        raise Invalid(
            f"there is no type of receiver {spec.type!r}", field="type", value=spec.type,
            remedy=f"choose one of: {', '.join(sorted(kinds))}",
        )  # fmt: skip
    page = f"docs/chat/{spec.type}.md" if spec.type in CHAT_DRIVERS else "docs/notifications.md"
    settings: ChatSettings = driver_settings.check(
        kinds[spec.type], spec.settings, "settings", "receiver type", page
    )
    return settings


def save(session: Session, parts: Parts, row: Receiver | None, spec: ReceiverSpec) -> Receiver:
    """Create (`row` is None) or replace; Conflict when the name is taken.

    What waits for one that is replaced is tried at once: somebody may have put it right.
    """
    driver_settings.refuse_masks(spec.settings, "settings")
    if spec.name == TERMINAL:
        raise Invalid(
            "'terminal' is what the chat of `deployer chat try` is called", field="name",
            value=spec.name, remedy="choose another name",
        )  # fmt: skip
    check(spec)
    if row is None and store.get(session, spec.name) is not None:
        raise _taken(spec.name)
    try:
        with session.begin_nested():
            deliveries.try_now(session, spec.name, parts.clock())
            return store.save(session, row, spec, parts.clock())
    except IntegrityError:
        raise _taken(spec.name) from None


def _taken(name: str) -> Conflict:
    return Conflict(
        f"there is a receiver {name} already", field="name", value=name,
        remedy=f"change it with PUT /api/v1/receivers/{name}",
    )  # fmt: skip


def delete(session: Session, parts: Parts, name: str) -> Receiver:
    """Conflict while a workflow names it."""
    row = find(session, name)
    for workflow in parts.workflows.values():
        if name in workflow.receivers().values():
            raise Conflict(
                f"the workflow {workflow.name} names the receiver {name}", field="name", value=name,
                remedy="change that workflow first, or switch the receiver off",
            )  # fmt: skip
    session.delete(row)
    session.flush()
    return row


def chat_driver(session: Session, parts: Parts, row: Receiver) -> ChatDriver:
    """Ready to speak; DriverRefused when a secret that it names is not there."""
    settings, context = _lent(session, parts, row)
    return CHAT_DRIVERS[row.type](settings, context)


def notify_driver(session: Session, parts: Parts, row: Receiver) -> NotifyDriver:
    """As `chat_driver`."""
    settings, context = _lent(session, parts, row)
    return NOTIFY_DRIVERS[row.type](settings, context)


def _lent(session: Session, parts: Parts, row: Receiver) -> tuple[ChatSettings, Context]:
    spec = ReceiverSpec.model_validate(row.spec)
    try:
        settings = check(spec)
        found = secrets.values_of(session, parts, spec.secret_fields(), f"the receiver {row.name}")
    except Invalid as error:
        raise DriverRefused(
            error.message, field=error.field, value=error.value, remedy=error.remedy
        ) from None
    return settings, Context(found, parts.settings.chat_networks)
