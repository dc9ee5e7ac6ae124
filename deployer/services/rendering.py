"""What a machine gets for a host and a profile: rendered in full and judged before anything is
touched, and once more when the machine asks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlmodel import Session

from deployer.answers import context as answer_context
from deployer.answers import prepare
from deployer.answers.context import Machine, Snapshot
from deployer.answers.families import FoundFamily
from deployer.core.bootspec import InstallerBoot
from deployer.core.families import Family
from deployer.core.ids import new_id
from deployer.core.inventory import Firmware, HostSpec
from deployer.core.profiles import ProfileSpec
from deployer.core.text import MASK
from deployer.core.tokens import Purpose
from deployer.errors import Finding, Invalid
from deployer.services import secrets
from deployer.services.parts import Parts
from deployer.store import images


def family_of(parts: Parts, profile: ProfileSpec) -> FoundFamily:
    found = parts.catalogue.get(profile.os)
    if found is None:
        raise Invalid(
            f"there is no OS family {profile.os!r}",
            field="os",
            value=profile.os,
            remedy=f"choose one of: {', '.join(parts.catalogue.names())}",
        )
    return found


def refuse_unfit_workflow(parts: Parts, family: Family, profile: ProfileSpec) -> None:
    """Invalid when there is none of this name, or when it is for something else than the release:
    an install that is called a rescue would cost somebody a disk."""
    task = family.at(profile.release).task
    workflow = parts.workflows.get(profile.workflow)
    if workflow is not None and workflow.task == task:
        return
    problem = f"there is no workflow {profile.workflow!r}"
    if workflow is not None:
        what = f"{profile.os} {profile.release} is for {task}"
        problem = f"the workflow {workflow.name} is for {workflow.task}, and {what}"
    fitting = sorted(name for name, each in parts.workflows.items() if each.task == task)
    raise Invalid(
        problem, field="workflow", value=profile.workflow,
        remedy=f"choose one of: {', '.join(fitting)}",
    )  # fmt: skip


def snapshot_of(session: Session, parts: Parts, host: HostSpec, profile: ProfileSpec) -> Snapshot:
    """Host, profile and the images it needs; Invalid names what is not there."""
    found = family_of(parts, profile)
    refuse_findings(prepare.unsupported(found.family, profile, host))
    refuse_unfit_workflow(parts, found.family, profile)
    boot_name, root_name = prepare.image_names(found, profile)

    def manifest(name: str, without: Collection[str]) -> dict[str, Any]:
        image = images.by_name(session, name)
        if image is None:
            raise Invalid(
                f"the image {name} is not there",
                field="release",
                value=profile.release,
                remedy=f"run `deployer image build {name}` or `deployer image add` on the server",
            )
        return {k: v for k, v in image.manifest.items() if k not in without}

    # What is long and no template needs is not kept with each deployment: the list of packages, and
    # of what is only booted, the files: a vendor's tree has thousands.
    image = manifest(root_name, {"packages"}) if root_name else None
    return Snapshot(host, profile, image, manifest(boot_name, {"packages", "files"}))


def findings_of(
    session: Session, parts: Parts, snapshot: Snapshot, extra_vars: dict[str, Any]
) -> list[Finding]:
    """Render everything as for a real machine, and let the installer's own grammar judge it."""
    found = family_of(parts, snapshot.profile)
    findings: dict[tuple[str, int | None, str], Finding] = {}
    try:
        known = secrets.values_for(session, parts, snapshot.profile)
        secrets.values_of(
            session, parts, snapshot.host.secret_fields(), f"the host {snapshot.host.name}"
        )
        id_, judged = new_id("dep", parts.clock()), None
        for firmware in _possible_firmware(snapshot.profile):
            context = context_of(
                parts, snapshot, id_, extra_vars, _example_machine(snapshot, firmware),
                secrets=known,
            )  # fmt: skip
            prepare.boot(found, context)
            files = prepare.answers(found, context)
            if files == judged:  # most installers see for themselves which firmware they run on
                continue
            judged = files
            for finding in prepare.findings(found, context, files):
                findings[finding.file or "", finding.line, finding.message] = finding
    except Invalid as error:
        return error.findings
    return list(findings.values())


def _possible_firmware(profile: ProfileSpec) -> tuple[Firmware, ...]:
    """Which one a machine has is seen when it asks for its boot script."""
    return ("bios", "uefi") if profile.arch in ("x86_64", "i386") else ("uefi",)


def _example_machine(snapshot: Snapshot, firmware: Firmware | None = None) -> Machine:
    host = snapshot.host
    firmware = firmware or _possible_firmware(snapshot.profile)[0]
    return Machine(host.macs[0], host.uuid, host.serial, firmware)


def refuse_findings(findings: list[Finding]) -> None:
    if findings:
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        raise Invalid(
            findings[0].message + more, findings=findings, remedy=findings[0].remedy,
            field=findings[0].field, value=findings[0].value,
        )  # fmt: skip


def context_of(
    parts: Parts,
    snapshot: Snapshot,
    deployment_id: str,
    extra_vars: dict[str, Any],
    machine: Machine,
    tokens: dict[Purpose, str] | None = None,
    secrets: dict[str, str] | None = None,
) -> dict[str, Any]:
    base = parts.settings.effective_machine_url
    return answer_context.build(
        snapshot,
        deployment_id=deployment_id,
        addresses=answer_context.urls(base, tokens or parts.tokens(deployment_id), snapshot),
        ssh_key=parts.ssh_public_key,
        extra_vars=extra_vars,
        machine=machine,
        secrets=secrets,
    )


def dry_run(
    parts: Parts, snapshot: Snapshot, extra_vars: dict[str, Any]
) -> tuple[InstallerBoot, dict[str, str]]:
    """(boot values, answer files) exactly as the machine would get them, secrets masked."""
    masked = {purpose: f"TOKEN-{purpose.upper()}" for purpose in Purpose}
    machine = _example_machine(snapshot)
    profile = snapshot.profile
    context = context_of(
        parts, snapshot, new_id("dep", parts.clock()), extra_vars, machine, masked,
        dict.fromkeys(profile.secret_names(), MASK),
    )  # fmt: skip
    found = family_of(parts, profile)
    files = prepare.answers(found, context)
    for secret in profile.secrets():
        files = {path: text.replace(secret, MASK) for path, text in files.items()}
    return prepare.boot(found, context), files
