"""Secrets that profiles, hosts and receivers name: given once, shown to nobody.

They are stored encrypted under a key derived from the server's own (HKDF, RFC 5869), and leave us
only within an answer file, whose token is dead when the installer has it, or towards the BMC or
the receiver that names them.
"""

from __future__ import annotations

import base64
from datetime import datetime

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlmodel import Session, select

from deployer.core.inventory import HostSpec
from deployer.core.profiles import ProfileSpec
from deployer.core.receivers import ReceiverSpec
from deployer.errors import ConfigurationError, Conflict, Finding, Invalid, NotFound
from deployer.services.parts import Parts
from deployer.store import receivers
from deployer.store import secrets as store
from deployer.store.tables import Host, Profile, Secret

_LONGEST = 1000
# What installers read from a line of text, and a person types at a console.
_LONGEST_FOR_INSTALLERS = 128


def _cipher(parts: Parts) -> Fernet:
    key = HKDF(SHA256(), length=32, salt=None, info=b"deployer secrets 1").derive(parts.key)
    return Fernet(base64.urlsafe_b64encode(key))


def save(session: Session, parts: Parts, name: str, value: str, by: str, now: datetime) -> Secret:
    """Keep `value` under `name`, also when there was another; Invalid when no installer takes it,
    which reads it from a line of text."""
    if not (8 <= len(value) <= _LONGEST) or not value.isascii() or not value.isprintable():
        raise _unfit(f"it must be 8 to {_LONGEST} printable ASCII characters", name)
    if value != value.strip() or value.endswith("\\"):
        raise _unfit("it must not begin or end with a blank, nor end with a backslash", name)
    row = store.get(session, name) or Secret(name=name, ciphertext=b"", updated_at=now)
    row.ciphertext = _cipher(parts).encrypt(value.encode())
    row.updated_at, row.updated_by = now, by
    session.add(row)
    session.flush()
    return row


def _unfit(problem: str, name: str) -> Invalid:
    # Without the value, which an error message would carry into logs.
    return Invalid(f"the secret {name}: {problem}", field="value", remedy="choose another one")


def delete(session: Session, parts: Parts, name: str) -> None:
    """Conflict while a profile, a host, a receiver or a workflow names it."""
    row = store.get(session, name)
    if row is None:
        raise NotFound(
            f"there is no secret {name!r}", field="name", value=name,
            remedy="`deployer secret list` lists the names",
        )  # fmt: skip
    for profile in session.exec(select(Profile)).all():
        if name in ProfileSpec.model_validate(profile.spec).secret_names():
            raise _in_use(f"profile {profile.name}", name)
    for host in session.exec(select(Host)).all():
        if name in HostSpec.model_validate(host.spec).secret_fields().values():
            raise _in_use(f"host {host.name}", name)
    for receiver in receivers.all_of(session):
        if name in ReceiverSpec.model_validate(receiver.spec).secret_fields().values():
            raise _in_use(f"receiver {receiver.name}", name)
    for workflow in parts.workflows.values():
        if name in workflow.secrets().values():
            raise _in_use(f"workflow {workflow.name}", name)
    session.delete(row)
    session.flush()


def _in_use(user: str, name: str) -> Conflict:
    return Conflict(
        f"the {user} names the secret {name}", field="name", value=name,
        remedy=f"change or delete that {user.split()[0]} first",
    )  # fmt: skip


def values_for(session: Session, parts: Parts, profile: ProfileSpec) -> dict[str, str]:
    """The secrets that a profile names; Invalid names the first that is not there, or that is
    longer than installers take."""
    fields = profile.secret_fields()
    found = values_of(session, parts, fields, f"the profile {profile.name}")
    for field, name in fields.items():
        if len(found[name]) > _LONGEST_FOR_INSTALLERS:
            raise _invalid(
                f"the secret {name} has {len(found[name])} characters; an installer is given"
                f" {_LONGEST_FOR_INSTALLERS} at most", field, name,
                f"set a shorter one: `deployer secret set {name}`",
            )  # fmt: skip
    return found


def values_of(session: Session, parts: Parts, fields: dict[str, str], owner: str) -> dict[str, str]:
    """By name, for `fields` (field → name of a secret) of `owner`; Invalid as above."""
    found = {}
    for field, name in fields.items():
        row = store.get(session, name)
        if row is None:
            raise _invalid(
                f"{owner} names the secret {name}, which is not there", field, name,
                f"run `deployer secret set {name}`, or POST it to /api/v1/secrets",
            )  # fmt: skip
        found[name] = _decrypted(parts, row)
    return found


def _invalid(message: str, field: str, name: str, remedy: str) -> Invalid:
    finding = Finding(message, remedy, field=field, value=name)
    return Invalid(message, findings=[finding], remedy=remedy, field=field, value=name)


def _decrypted(parts: Parts, row: Secret) -> str:
    try:
        return _cipher(parts).decrypt(row.ciphertext).decode()
    except InvalidToken:
        raise ConfigurationError(
            f"the secret {row.name} was encrypted under another server key",
            field="DEPLOYER_SERVER_KEY_FILE",
            remedy=f"set it again: `deployer secret set {row.name}`",
        ) from None  # fmt: skip
