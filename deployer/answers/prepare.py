"""From a description to everything a machine will be given: boot values and answer files.

`boot()` and `answers()` render; `findings()` says all that is wrong with a description, before
a machine is touched.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from jinja2 import Environment

from deployer.answers.families import INSTALLERS, FoundFamily
from deployer.answers.render import environment, render_file, render_string
from deployer.core.bootspec import Initrd, InstallerBoot, KernelArgument
from deployer.core.families import Answer, Family
from deployer.core.inventory import HostSpec
from deployer.core.profiles import ProfileSpec, is_password_hash, kind_of_hash
from deployer.core.text import MASK
from deployer.errors import Finding, Invalid

MOST_FINDINGS = 100  # that one check shows


def image_names(found: FoundFamily, profile: ProfileSpec) -> tuple[str, str | None]:
    """(image with kernel and initrd, image to install or None) for this profile."""
    boot = boot_image_name(found, profile.release, profile.arch, profile.vars)
    release = found.family.release(profile.release)
    if release is None or release.image is None:
        return boot, None
    facts = {"arch": profile.arch, "release": profile.release, "vars": profile.vars}
    env = environment(found)
    return boot, render_string(env, release.image, facts, "family.yaml", "releases.image")


def boot_image_name(found: FoundFamily, release: str, arch: str, vars_: Mapping[str, Any]) -> str:
    """The image with kernel and initrd that the recipe of this release looks for."""
    facts = {"arch": arch, "release": release, "vars": dict(vars_)}
    template = found.family.at(release).boot.image
    return render_string(environment(found), template, facts, "family.yaml", "boot.image")


def boot(found: FoundFamily, context: dict[str, Any]) -> InstallerBoot:
    """What the machine boots; Invalid when an argument cannot be carried by a boot loader."""
    family = found.family.at(context["release"]["version"])
    env, spec = environment(found), family.boot
    context = _with_release(found, context)
    host, profile, deployment = context["host"], context["profile"], context["deployment"]

    def fill(text: str, field: str) -> str:
        return render_string(env, text, context, f"{family.name}/family.yaml", field)

    # An argument that comes out empty is left out: a fact that is not known is not passed.
    texts = [text for arg in spec.args if (text := fill(arg, "boot.args"))]
    base, answers_url = context["urls"]["boot_image"], context["urls"]["answers"]
    initrds = []
    for number, each in enumerate(spec.initrd):
        path = fill(each.path, "boot.initrd") if each.path else None
        url = f"{answers_url}/{each.answer}" if each.answer else f"{base}/{path}"
        initrds.append(Initrd(url, each.name or f"initrd{number}.img"))
    return InstallerBoot(
        title=f"{host['name']} becomes {profile['name']}",
        short_id=deployment["short_id"],
        kernel_url=f"{base}/{fill(spec.kernel, 'boot.kernel')}",
        initrds=tuple(initrds),
        arguments=tuple(_argument(text) for text in texts + profile["kernel_args"]),
        linux=spec.linux,
        loaders=tuple(spec.loaders),
    )


def _argument(text: str) -> KernelArgument:
    try:
        return KernelArgument.parse(text)
    except ValueError as error:
        finding = Finding(str(error), "correct it in the profile or the family", field="boot.args")
        raise Invalid(str(error), findings=[finding], remedy=finding.remedy) from None


def answers(found: FoundFamily, context: dict[str, Any]) -> dict[str, str]:
    """Every answer file by the path under which the installer asks for it; a file of an archive by
    ARCHIVE/MEMBER. The operator's own stand in place of ours."""
    env, full = environment(found), _with_release(found, context)
    own = context["profile"]["answer_files"]
    return {
        file.path: _own(env, own[file.path], full, file.path)
        if file.path in own
        else render_file(env, file.template or "", full)
        for file in found.family.at(context["release"]["version"]).files()
    }


def _own(env: Environment, given: dict[str, Any], context: dict[str, Any], path: str) -> str:
    content: str = given["content"]
    if not given["template"]:
        return content
    return render_string(env, content, context, path, f"answer_files.{path}")


def packed(answer: Answer, files: dict[str, str]) -> bytes:
    """An answer file as it is sent. An archive is the same bytes each time."""
    if not answer.members:
        text = files[answer.path]
        return (text.replace("\n", "\r\n") if answer.line_ends == "crlf" else text).encode()
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for member in answer.members:
            entry = tarfile.TarInfo(member.path)
            entry.mode, entry.uname, entry.gname = int(member.mode, 8), "root", "root"
            content = b""
            if member.link:
                entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, member.link, 0o777
            else:
                content = files[f"{answer.path}/{member.path}"].encode()
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def _with_release(found: FoundFamily, context: dict[str, Any]) -> dict[str, Any]:
    """`context`, completed with what the family knows of the profile's release."""
    release = found.family.release(context["release"]["version"])
    return {**context, "release": {**context["release"], **(release.facts if release else {})}}


def findings(found: FoundFamily, context: dict[str, Any], files: dict[str, str]) -> list[Finding]:
    """All that the installer would stumble over in the rendered `files`."""
    family = found.family.at(context["release"]["version"])
    installer = INSTALLERS[family.installer]
    full = _with_release(found, context)
    judged = [
        finding
        for file in family.files()
        for finding in installer.check(file, files[file.path], full)
    ]
    hashes = _unfit_hashes(family, context["profile"])
    return _some_of([*hashes, *judged, *_missing_calls(family, full, files)])


def _some_of(findings: list[Finding]) -> list[Finding]:
    """A person corrects a few and checks again; a file that is another thing has thousands."""
    if len(findings) <= MOST_FINDINGS:
        return findings
    more = Finding(
        f"{len(findings) - MOST_FINDINGS} more findings", "correct these, then check again"
    )
    return [*findings[:MOST_FINDINGS], more]


def _unfit_hashes(family: Family, profile: dict[str, Any]) -> Iterator[Finding]:
    """A hash out of a secret is seen only now; a password in its place would be in the clear."""
    given = {f"users.{user['name']}": user["password_hash"] for user in profile["users"]}
    for owner, text in {**given, "root": profile["root"]["password_hash"]}.items():
        if not isinstance(text, str):
            continue
        field, kind = f"{owner}.password_hash", kind_of_hash(text)
        if kind is not None and kind not in family.hashes:
            yield _unknown_hash(family, field, kind)
        if not is_password_hash(text):
            yield Finding(
                f"{field}: the secret that it names is no crypt(3) hash",
                "set the secret to what `mkpasswd -m yescrypt` prints", field=field,
            )  # fmt: skip


def _unknown_hash(family: Family, field: str, kind: str) -> Finding:
    return Finding(
        f"{field}: {family.label} does not know {kind} hashes, so this password would never fit",
        f"use one of: {', '.join(family.hashes)}", file="family.yaml", field=field,
    )  # fmt: skip


def _missing_calls(
    family: Family, context: dict[str, Any], files: dict[str, str]
) -> Iterator[Finding]:
    """Without these calls we would not know how far a machine got."""
    said = "\n".join(files.values())
    for call in family.calls:
        if call not in said:
            url = f"{context['urls']['phone_home']}/{call}"
            yield Finding(
                f"{', '.join(files)}: nothing calls {call}, so the deployment would time out",
                f"have the installer call {url}; in a template: {{{{ urls.phone_home }}}}/{call}",
                file=next(iter(files)), field="answer_files",
            )  # fmt: skip


def unsupported(
    family: Family, profile: ProfileSpec, host: HostSpec | None = None
) -> list[Finding]:
    """What this profile and host ask for and this family cannot express, each by name."""
    found = []
    family = family.at(profile.release)

    def refuse(field: str, value: Any, remedy: str) -> None:
        value = _masked(value, field.rpartition(".")[2])
        message = f"{field}: {family.label} cannot do {value!r}"
        found.append(Finding(message, remedy, file="family.yaml", field=field, value=value))

    versions = [release.version for release in family.releases]
    if profile.release not in versions:
        refuse("release", profile.release, f"choose one of: {', '.join(versions)}")
    if profile.arch not in family.arches:
        refuse("arch", profile.arch, f"choose one of: {', '.join(family.arches)}")
    if profile.storage.layout not in family.layouts:
        refuse("storage.layout", profile.storage.layout, f"use {', '.join(family.layouts)}")
    if profile.storage.disk.pick == "all" and family.task == "install":
        remedy = "name the disk that is installed; `all` is for what overwrites them"
        refuse("storage.disk.pick", profile.storage.disk.pick, remedy)
    given = profile.model_dump(mode="json", exclude_defaults=True)
    if host is not None:
        given["network"] = host.network.model_dump(mode="json", exclude_defaults=True)
    for field in family.unsupported:
        if values := list(_values_at(given, field.split("."))):
            whose = "host" if field.startswith("network.") else "profile"
            refuse(field, values[0], family.instead.get(field) or f"remove it from the {whose}")
    found += _unfit_hashes(family, profile.model_dump(mode="json"))
    paths = [file.path for file in family.files()]
    for path in profile.answer_files:
        if path not in paths:
            refuse(f"answer_files.{path}", path, f"choose one of: {', '.join(paths)}")
    for text in profile.kernel_args if "kernel_args" not in family.unsupported else []:
        if (name := KernelArgument.parse(text).name) not in family.kernel_args:
            allowed = ", ".join(family.kernel_args)
            refuse("kernel_args", name, f"it could take over the boot; allowed are: {allowed}")
    return found


# An error is logged and shown to whoever asks, so it repeats none of these. (A repository's key is
# public, but that of a registration is not.)
_SECRET_FIELDS = frozenset({"password_hash", "passphrase", "key"})


def _masked(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {inner: _masked(each, inner) for inner, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, name) for each in value]
    return MASK if name in _SECRET_FIELDS and value else value


def _values_at(given: Any, path: list[str]) -> Iterator[Any]:
    """What is set at `path`, in each entry where it leads through a list."""
    if isinstance(given, list):
        for each in given:
            yield from _values_at(each, path)
    elif not path:
        if given:
            yield given
    elif isinstance(given, dict):
        yield from _values_at(given.get(path[0]), path[1:])
