"""From a description to everything a machine will be given: boot values and answer files.

`boot()` and `answers()` render; `findings()` says all that is wrong with a description, before
a machine is touched.
"""

from __future__ import annotations

from typing import Any

from deployer.answers.families import INSTALLERS, FoundFamily
from deployer.answers.render import environment, render_file, render_string
from deployer.core.bootspec import InstallerBoot, KernelArgument
from deployer.core.families import Family
from deployer.core.profiles import ProfileSpec
from deployer.errors import Finding, Invalid


def image_names(found: FoundFamily, profile: ProfileSpec) -> tuple[str, str | None]:
    """(image with kernel and initrd, image to install or None) for this profile."""
    env = environment(found)
    facts = {"arch": profile.arch, "release": profile.release, "vars": profile.vars}
    release = found.family.release(profile.release)
    boot = render_string(env, found.family.boot.image, facts, "family.yaml", "boot.image")
    if release is None or release.image is None:
        return boot, None
    return boot, render_string(env, release.image, facts, "family.yaml", "releases.image")


def boot(found: FoundFamily, context: dict[str, Any]) -> InstallerBoot:
    """What the machine boots; Invalid when an argument cannot be carried by a boot loader."""
    env, spec = environment(found), found.family.boot
    context = _with_release(found, context)
    host, profile, deployment = context["host"], context["profile"], context["deployment"]

    def fill(text: str, field: str) -> str:
        return render_string(env, text, context, f"{found.family.name}/family.yaml", field)

    # An argument that comes out empty is left out: a fact that is not known is not passed.
    texts = [text for arg in spec.args if (text := fill(arg, "boot.args"))]
    base = context["urls"]["boot_image"]
    return InstallerBoot(
        title=f"{host['name']} becomes {profile['name']}",
        short_id=deployment["short_id"],
        kernel_url=f"{base}/{fill(spec.kernel, 'boot.kernel')}",
        initrd_urls=tuple(f"{base}/{fill(name, 'boot.initrd')}" for name in spec.initrd),
        arguments=tuple(_argument(text) for text in texts + profile["kernel_args"]),
    )


def _argument(text: str) -> KernelArgument:
    try:
        return KernelArgument.parse(text)
    except ValueError as error:
        finding = Finding(str(error), "correct it in the profile or the family", field="boot.args")
        raise Invalid(str(error), findings=[finding], remedy=finding.remedy) from None


def answers(found: FoundFamily, context: dict[str, Any]) -> dict[str, str]:
    """Every answer file, by the path under which the installer asks for it."""
    env, full = environment(found), _with_release(found, context)
    return {a.path: render_file(env, a.template, full) for a in found.family.answers}


def _with_release(found: FoundFamily, context: dict[str, Any]) -> dict[str, Any]:
    """`context`, completed with what the family knows of the profile's release."""
    release = found.family.release(context["release"]["version"])
    return {**context, "release": {**context["release"], **(release.facts if release else {})}}


def findings(found: FoundFamily, context: dict[str, Any], files: dict[str, str]) -> list[Finding]:
    """All that the installer would stumble over in the rendered `files`."""
    installer = INSTALLERS[found.family.installer]
    return [
        finding
        for answer in found.family.answers
        for finding in installer.check(answer, files[answer.path], context)
    ]


def unsupported(family: Family, profile: ProfileSpec) -> list[Finding]:
    """What this profile asks for and this family cannot express, each by name."""
    found = []

    def refuse(field: str, value: Any, remedy: str) -> None:
        message = f"{field}: {family.label} cannot do {value!r}"
        found.append(Finding(message, remedy, file="family.yaml", field=field, value=value))

    versions = [release.version for release in family.releases]
    if profile.release not in versions:
        refuse("release", profile.release, f"choose one of: {', '.join(versions)}")
    if profile.arch not in family.arches:
        refuse("arch", profile.arch, f"choose one of: {', '.join(family.arches)}")
    if profile.storage.layout not in family.layouts:
        refuse("storage.layout", profile.storage.layout, f"use {', '.join(family.layouts)}")
    given = profile.model_dump(mode="json", exclude_defaults=True)
    for field in family.unsupported:
        value: Any = given
        for part in field.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value:
            refuse(field, value, "remove it from the profile")
    for text in profile.kernel_args:
        if (name := KernelArgument.parse(text).name) not in family.kernel_args:
            allowed = ", ".join(family.kernel_args)
            refuse("kernel_args", name, f"it could take over the boot; allowed are: {allowed}")
    return found
