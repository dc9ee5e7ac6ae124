"""The golden files: what a machine is given, for each OS family and example.

`python -m tests.golden` writes them anew; read the diff as if it were code, because it is what
machines will run.

An example is a host and a profile as operators write them (tests/answers/examples/); OS, release
and arch come from the family. What a family cannot express is golden too: `refused.txt`.
"""

from __future__ import annotations

import shutil
import sys
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from deployer.answers import context, prepare
from deployer.answers.context import Machine, Snapshot
from deployer.answers.families import Catalogue, FoundFamily
from deployer.boot import grub, ipxe
from deployer.core.documents import load_all, load_one
from deployer.core.inventory import Firmware, HostSpec
from deployer.core.profiles import ProfileSpec
from deployer.core.tokens import Purpose
from deployer.errors import Finding, Invalid
from deployer.netboot import sites
from deployer.netboot.loaders import standard

ROOT = Path(__file__).parent.parent
ANSWERFILES = ROOT / "answerfiles"
EXAMPLES = Path(__file__).parent / "answers" / "examples"
OF_EACH_RELEASE = "lvm"
# Where a release has no LVM, so that not only its refusal is seen.
WITHOUT_LVM = "dhcp"
ID = "dep_01k9abcdefghjkmnpqrstvwxyz"
BASE = "http://10.0.0.5:8081"
TOKENS = {purpose: f"TOKEN-{purpose.upper()}" for purpose in Purpose}
SSH_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFEaJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy0c2y6s7k5DEPL deployer"
)
# What a secret holds whose name ends so.
HASH = "$6$0123456789abcdef$" + "Ab1." * 21 + "Zz"
DHCP = Path(__file__).parent / "netboot" / "golden"
SITE = sites.Site("http://10.77.0.1:8081", IPv4Address("10.77.0.1"), standard())
CATALOGUE = Catalogue([ANSWERFILES])


def families() -> list[str]:
    return CATALOGUE.names()


def examples() -> list[str]:
    return sorted(file.stem for file in EXAMPLES.glob("*.yaml"))


def found(family: str) -> FoundFamily:
    family_found = CATALOGUE.get(family)
    assert family_found is not None
    return family_found


def read_example(name: str) -> dict[str, dict[str, Any]]:
    """{"host": ..., "profile": ...} of an example."""
    file = EXAMPLES / f"{name}.yaml"
    documents = load_all(file.read_text(encoding="utf-8"), file.name)
    return {document.pop("kind"): document for document in documents}


def manifest(family: str, name: str, arch: str) -> dict[str, Any]:
    """An image's manifest; a family whose templates read more says so in golden/images.yaml."""
    root = {
        "name": name, "kind": "root-archive", "arch": arch,
        "files": [{"path": "root.tar.zst", "size": 350_000_000, "sha256": "5a" * 32}],
        "unpacked_size": 1_200_000_000, "min_disk_size": 4_000_000_000,
    }  # fmt: skip
    file = ANSWERFILES / family / "golden" / "images.yaml"
    own = load_one(file.read_text(encoding="utf-8"), str(file)) if file.exists() else {}
    return {**root, **own.get(name, {})}


def defaults(family: str, layout: str = "plain") -> dict[str, Any]:
    """What every profile of a family must say (golden/profile.yaml), or one with this layout
    (golden/profile-LAYOUT.yaml). Most need nothing."""
    folder = ANSWERFILES / family / "golden"
    file = folder / f"profile-{layout}.yaml"
    if not file.exists():
        file = folder / "profile.yaml"
    own: dict[str, Any] = (
        load_one(file.read_text(encoding="utf-8"), str(file)) if file.exists() else {}
    )
    if layout == "raid1" and file.name == "profile.yaml":
        own.pop("storage", None)  # one disk is not two, and the profile would not be valid
    return own


def _with_defaults(family: str, profile: dict[str, Any]) -> dict[str, Any]:
    own = defaults(family, profile.get("storage", {}).get("layout", "plain"))
    merged = {**own, **profile}
    for name in own.keys() & profile.keys():
        if isinstance(own[name], dict) and isinstance(profile[name], dict):
            merged[name] = {**own[name], **profile[name]}
    return merged


def snapshot(found: FoundFamily, host: dict[str, Any], profile: dict[str, Any]) -> Snapshot:
    """What a deployment would be made from; the newest release unless the profile names one."""
    family = found.family
    spec = ProfileSpec.model_validate(
        {
            "os": family.name,
            "release": family.releases[-1].version,
            "arch": family.arches[0],
            **_with_defaults(family.name, profile),
        }
    )
    boot, root = prepare.image_names(found, spec)
    return Snapshot(
        HostSpec.model_validate(host), spec,
        manifest(family.name, root, spec.arch) if root else None,
        manifest(family.name, boot, spec.arch),
    )  # fmt: skip


def context_of(
    snapshot: Snapshot, firmware: Firmware = "bios", **extra_vars: Any
) -> dict[str, Any]:
    host = snapshot.host
    return context.build(
        snapshot, deployment_id=ID, addresses=context.urls(BASE, TOKENS, snapshot),
        ssh_key=SSH_KEY, extra_vars=extra_vars,
        machine=Machine(host.macs[0], host.uuid, host.serial, firmware),
        secrets={
            name: HASH if name.endswith("hash") else "SECRET-VALUE"
            for name in snapshot.profile.secret_names()
        },
    )  # fmt: skip


def rendered(
    found: FoundFamily, snapshot: Snapshot, firmware: Firmware = "bios"
) -> tuple[dict[str, str], list[Finding]]:
    """(answer files by their path, what is wrong with them)."""
    values = context_of(snapshot, firmware)
    files = prepare.answers(found, values)
    return files, prepare.findings(found, values, files)


def cases(family: str) -> list[str]:
    """EXAMPLE for the newest release; `lvm@RELEASE` for the older ones, one file of each suffices
    to see what differs."""
    known = found(family).family
    older = [release.version for release in known.releases[:-1]]
    return [
        *examples(),
        *(
            f"{OF_EACH_RELEASE if 'lvm' in known.at(version).layouts else WITHOUT_LVM}@{version}"
            for version in older
        ),
    ]


def current(family: str, case: str) -> dict[str, str]:
    """The golden files of this case as the code writes them now, by file name.

    Firmware is UEFI, but for the examples whose name ends in `-bios`.
    """
    family_found = found(family)
    example, _, release = case.partition("@")
    given = read_example(example)
    if release:
        given["profile"]["release"] = release
        # A release may let the profile name its image.
        given["profile"]["vars"] = {"image": "of-ones-own", **given["profile"].get("vars", {})}
        given["profile"].get("verify", {}).pop("release", None)
    of_case = snapshot(family_found, **given)
    refused = prepare.unsupported(family_found.family, of_case.profile, of_case.host)
    if refused:
        return {"refused.txt": "".join(f"{f.message}: {f.remedy}\n" for f in refused)}
    firmware: Firmware = "bios" if example.endswith("-bios") else "uefi"
    try:
        files, findings = rendered(family_found, of_case, firmware)
    except Invalid as error:  # what only goes together badly is refused by a template
        return {"refused.txt": f"{error.message}: {error.remedy}\n"}
    assert not findings, findings
    boot = prepare.boot(family_found, context_of(of_case, firmware))
    return {"boot.ipxe": ipxe.script(boot), "boot.grub": grub.script(boot), **files}


def golden(family: str, case: str) -> dict[str, str]:
    """The golden files of this case as they are stored."""
    folder = ANSWERFILES / family / "golden" / case
    return {
        str(file.relative_to(folder)): file.read_text(encoding="utf-8")
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def write(family: str) -> None:
    """All cases of a family; what no example makes any more is removed."""
    for folder in (ANSWERFILES / family / "golden").glob("*/"):
        shutil.rmtree(folder)
    for case in cases(family):
        for name, text in current(family, case).items():
            file = ANSWERFILES / family / "golden" / case / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")


def write_dhcp() -> None:
    """What `deployer dhcp-config` prints for each server."""
    for server in sites.Server:
        text = sites.configuration(server, SITE)
        (DHCP / f"{server}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_dhcp()
    for family in sys.argv[1:] or families():
        write(family)
