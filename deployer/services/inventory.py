"""Hosts, profiles and images as people write and read them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from deployer.answers import prepare
from deployer.core.inventory import HostSpec
from deployer.core.profiles import ProfileSpec
from deployer.errors import Conflict, Forbidden, Invalid, NotFound
from deployer.services import driver_settings, power, rendering
from deployer.services.parts import Parts
from deployer.store import deployments as deployment_store
from deployer.store import hosts, images, profiles
from deployer.store.tables import Host, Image, Profile


def find_host(session: Session, name: str) -> Host:
    host = hosts.by_name(session, name)
    if host is None:
        raise NotFound(
            f"there is no host {name!r}", field="host", value=name,
            remedy="`deployer hosts` lists the names",
        )  # fmt: skip
    return host


def save_host(session: Session, parts: Parts, host: Host | None, spec: HostSpec) -> Host:
    """Create (`host` is None) or change; Conflict names whose name, MAC or UUID it is already."""
    driver_settings.refuse_masks(spec.power.model_dump(), "power")
    power.check(spec)
    own = host.id if host else None
    holder = hosts.by_name(session, spec.name)
    if holder is not None and holder.id != own:
        raise _taken("name", spec.name, holder.name)
    for mac, other in hosts.macs_of_others(session, spec.macs, own).items():
        raise _taken("macs", mac, other)
    holder = hosts.by_uuid(session, spec.uuid) if spec.uuid else None
    if holder is not None and holder.id != own:
        raise _taken("uuid", spec.uuid, holder.name)
    try:
        with session.begin_nested():
            return hosts.save(session, host, spec, parts.clock())
    except IntegrityError:
        raise Conflict(
            f"another host took the name, a MAC or the UUID of {spec.name} at the same moment",
            field="name", value=spec.name, remedy="look at `deployer hosts` and try again",
        ) from None  # fmt: skip


def _taken(field: str, value: Any, holder: str) -> Conflict:
    return Conflict(
        f"{field}: {value} belongs to the host {holder}", field=field, value=value,
        remedy=f"correct it here, or change the host {holder} first",
    )  # fmt: skip


def patch_host(session: Session, parts: Parts, name: str, changes: dict[str, Any]) -> Host:
    """Change the given fields only. Lifting protection is an act of its own, never a side effect.

    Invalid names the field; Forbidden when protection would be lifted along with other changes,
    or a protected host would lose a MAC: whoever got that MAC next would be wiped in its place.
    """
    host = find_host(session, name)
    try:
        spec = HostSpec.model_validate({**host.spec, **changes})
    except ValidationError as error:
        raise as_invalid(error) from None
    # Judged by the outcome: `0`, "no" and "off" mean false as well.
    if host.protected and not spec.protected and set(changes) != {"protected"}:
        raise Forbidden(
            f"{name} is protected; its protection is not lifted along with other changes",
            field="protected", value=False,
            remedy=f"lift it by itself: `deployer hosts unprotect {name}`",
        )  # fmt: skip
    lost = sorted(set(host.spec["macs"]) - set(spec.macs))
    if host.protected and lost:
        raise Forbidden(
            f"{name} is protected; {', '.join(lost)} cannot be taken from it", field="macs",
            value=lost[0], remedy=f"lift its protection first: `deployer hosts unprotect {name}`",
        )  # fmt: skip
    return save_host(session, parts, host, spec)


def delete_host(session: Session, name: str) -> Host:
    host = find_host(session, name)
    if host.protected:
        raise Forbidden(
            f"{name} is protected", field="host", value=name,
            remedy=f"lift it first: `deployer hosts unprotect {name}`",
        )  # fmt: skip
    live = deployment_store.unfinished_of(session, host.id)
    if live is not None:
        raise Conflict(
            f"{name} has an unfinished deployment, {live.id}", field="host", value=name,
            remedy=f"cancel it first: `deployer cancel {name}`", deployment=live.id,
        )  # fmt: skip
    session.delete(host)
    session.flush()
    return host


def find_profile(session: Session, name: str) -> Profile:
    profile = profiles.by_name(session, name)
    if profile is None:
        raise NotFound(
            f"there is no profile {name!r}", field="profile", value=name,
            remedy="`deployer profiles` lists the names",
        )  # fmt: skip
    return profile


def save_profile(
    session: Session, parts: Parts, profile: Profile | None, spec: ProfileSpec
) -> Profile:
    """Create or replace; Invalid with findings for all that its installer cannot do."""
    if profile is None and profiles.by_name(session, spec.name) is not None:
        raise Conflict(
            f"there is a profile {spec.name} already", field="name", value=spec.name,
            remedy=f"change it with PUT /api/v1/profiles/{spec.name}",
        )  # fmt: skip
    found = rendering.family_of(parts, spec)
    rendering.refuse_findings(prepare.unsupported(found.family, spec))
    rendering.refuse_unfit_workflow(parts, found.family, spec)
    try:
        with session.begin_nested():
            return profiles.save(session, profile, spec, parts.clock())
    except IntegrityError:
        raise Conflict(
            f"there is a profile {spec.name} already", field="name", value=spec.name,
            remedy="change it with PUT",
        ) from None  # fmt: skip


def delete_profile(session: Session, name: str) -> Profile:
    profile = find_profile(session, name)
    if profiles.has_unfinished_deployments(session, name):
        raise Conflict(
            f"unfinished deployments use the profile {name}", field="profile", value=name,
            remedy=f"wait for them, or cancel them: `deployer status --profile {name}`",
        )  # fmt: skip
    session.delete(profile)
    session.flush()
    return profile


def find_image(session: Session, name: str) -> Image:
    image = images.by_name(session, name)
    if image is None:
        raise NotFound(
            f"there is no image {name!r}", field="image", value=name,
            remedy="`deployer image list` lists the names",
        )  # fmt: skip
    return image


def as_invalid(error: ValidationError) -> Invalid:
    """The first broken rule as our own error: field, value, rule."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or None
    message = first["msg"].removeprefix("Value error, ")
    return Invalid(
        f"{field or 'the input'}: {message}", field=field, value=shown_value(field, first["input"]),
        remedy="correct this field",
    )  # fmt: skip


def shown_value(field: str | None, value: Any) -> Any:
    """The bad value as an error may repeat it: one scalar, and nothing that may be a secret."""
    names = (field or "").lower()
    secret = any(word in names for word in ("password", "secret", "token"))
    return None if secret or not isinstance(value, str | int | float | bool) else value
