"""What a person orders, by whatever way: API, command line, page or chat. The act and its line in
the audit trail are one commit, and so is what `also` adds to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from deployer.services import deployments, people, shown
from deployer.services.deployments import Request
from deployer.services.parts import Parts
from deployer.store import people as people_store
from deployer.store.tables import Deployment

Also = Callable[[Session, Deployment], None]
Json = dict[str, Any]


@dataclass(frozen=True)
class Orderer:
    """Whose word it is (a token's name and id), and where from, for the audit trail."""

    name: str
    token_id: str
    address: str


def _nothing(session: Session, deployment: Deployment) -> None:
    pass


def create(
    parts: Parts, by: Orderer, request: Request, key: str | None, body: Json, also: Also = _nothing
) -> Json:
    """The new deployment; with a `key` that was used before for this `body`, the one of then."""
    # Rendered and checked before the write lock is taken: others' machines must not wait for that.
    if key is None or not _was_answered(parts, by.token_id, key):
        with parts.database.reading() as session:
            checked = deployments.check(session, parts, request)
    with parts.database.writing() as session:

        def act() -> Json:
            deployment = deployments.create(session, parts, checked, request)
            _audit(session, parts, by, "create", deployment.id,
                   host=request.host, profile=request.profile)  # fmt: skip
            also(session, deployment)
            return shown.deployment(deployment)

        return people.once(session, by.token_id, key, body, parts.clock(), act)


def _was_answered(parts: Parts, token_id: str, key: str) -> bool:
    with parts.database.reading() as session:
        return people_store.reply(session, token_id, key) is not None


def retry(parts: Parts, by: Orderer, id_: str, key: str | None, also: Also = _nothing) -> Json:
    """A new deployment of the same host and profile; `retry_of` names the old one."""
    with parts.database.reading() as session:
        request = deployments.retry_request(session, id_, by=by.name)
    return create(parts, by, request, key, {"retry_of": id_}, also)


def cancel(session: Session, parts: Parts, by: Orderer, id_: str) -> Deployment:
    """Once this is committed, no script, answer file or token of it works any more."""
    deployment = deployments.cancel(session, parts, id_, by=by.name)
    session.add(deployment)
    _audit(session, parts, by, "cancel", id_)
    return deployment


def approve(session: Session, parts: Parts, by: Orderer, id_: str) -> Deployment:
    """It goes on with the next step of its workflow."""
    deployment = deployments.approve(session, parts, id_, by=by.name)
    session.add(deployment)
    _audit(session, parts, by, "approve", id_)
    return deployment


def _audit(
    session: Session, parts: Parts, by: Orderer, act: str, target: str, **detail: Any
) -> None:
    people.audit(
        session, parts.clock(), by.name, f"deployment.{act}", target, by.address, **detail
    )  # fmt: skip
