"""The family `image`: whatever is described arrives in the plan as it was put in."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from deployer.answers import prepare
from deployer.answers.installers.live_image import Plan
from deployer.core.profiles import ProfileSpec
from deployer.errors import Invalid
from tests import golden
from tests.answers import strategies

IMAGE = golden.found("image")
HOST = {"name": "web01", "macs": ["52:54:00:12:34:56"]}
PROFILE = {"name": "web"}
FIRST_BOOT = "/usr/lib/deployer/first-boot"
often = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def plan(host: Any = HOST, profile: Any = PROFILE) -> dict[str, Any]:
    """The plan that the machine would fetch, checked by its own model."""
    values = golden.context_of(golden.snapshot(IMAGE, host, profile))
    text = prepare.answers(IMAGE, values)["plan.json"]
    Plan.model_validate_json(text)
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def file(plan: dict[str, Any], path: str) -> str:
    (content,) = [f["content"] for f in plan["system"]["files"] if f["path"] == path]
    return str(content)


def bash(script: str) -> str:
    """What bash itself has to say about a script."""
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    return done.stderr


def findings(host: Any = HOST, **profile: Any) -> list[str]:
    snapshot = golden.snapshot(IMAGE, host, {**PROFILE, **profile})
    refused = prepare.unsupported(IMAGE.family, snapshot.profile)
    return [f.message for f in refused or golden.rendered(IMAGE, snapshot)[1]]


# --- what is put in comes out -----------------------------------------------------------------


@often
@given(strategies.hosts(), strategies.PROFILES)
def test_any_description_makes_a_plan_that_says_the_same(
    host: dict[str, Any], profile: dict[str, Any]
) -> None:
    made = plan(host, profile)
    spec = ProfileSpec.model_validate({**profile, "os": "image", "release": "x"})
    system = made["system"]
    assert (made["host"], system["hostname"]) == (host["name"], host["name"])
    assert made["expect"]["macs"] == host["macs"]
    assert (made["expect"]["uuid"], made["expect"]["serial"]) == (
        host.get("uuid"), host.get("serial"),
    )  # fmt: skip
    assert made["storage"]["layout"] == spec.storage.layout
    assert [system[f] for f in ("locale", "keyboard", "timezone", "packages")] == [
        spec.locale, spec.keyboard, spec.timezone, list(dict.fromkeys(spec.packages)),
    ]  # fmt: skip
    shown = [{**user, "system": False} for user in spec.model_dump(mode="json")["users"]]
    assert [user for user in system["users"] if not user["system"]] == shown
    assert system["root"] == spec.root.model_dump()
    assert [u["name"] for u in system["users"] if u["system"]] == ["deployer"][
        spec.verify is False :
    ]


@often
@given(strategies.hosts())
def test_every_nic_gets_a_file_that_says_the_same(host: dict[str, Any]) -> None:
    nics = host.get("network", {}).get("interfaces") or [{"mac": host["macs"][0]}]
    made = plan(host)
    for number, nic in enumerate(nics, 1):
        text = file(made, f"/etc/systemd/network/10-deployer-{number}.network")
        lines = [line for line in text.splitlines() if "=" in line]
        static = bool(nic.get("addresses"))
        dhcp = nic["dhcp"] if nic.get("dhcp") is not None else not static
        assert lines == [
            f"MACAddress={nic['mac']}",
            *([f"MTUBytes={nic['mtu']}"] if "mtu" in nic else []),
            f"DHCP={'yes' if dhcp else 'no'}",
            *(f"Address={address}" for address in nic.get("addresses", [])),
            *(f"DNS={server}" for server in nic.get("dns", [])),
            *([f"Domains={' '.join(nic['search'])}"] if nic.get("search") else []),
            "ClientIdentifier=mac",
        ]


@often
@given(strategies.BLOCKS.filter(bool))
def test_the_profiles_first_boot_script_is_a_file_of_its_own_unchanged(script: str) -> None:
    made = plan(profile={**PROFILE, "scripts": {"first_boot": script}})
    assert file(made, FIRST_BOOT + "-script") == script
    assert bash(file(made, FIRST_BOOT)) == ""


def test_the_first_boot_script_without_one_of_the_profiles_is_fine_too() -> None:
    assert bash(file(plan(), FIRST_BOOT)) == ""


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["pre", "post", "first_boot"])
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("if true; then\n  echo\n", "syntax error: unexpected end of file"),
        ("echo 'open\n", "unexpected EOF while looking for matching `''"),
        ("a\nfi\n", "syntax error near unexpected token `fi'"),
    ],
)
def test_a_script_that_bash_cannot_read_is_named(field: str, script: str, words: str) -> None:
    (finding,) = findings(scripts={field: script})
    assert finding.startswith(f"scripts.{field}: ") and words in finding


@pytest.mark.parametrize(
    ("profile", "refused"),
    [
        (
            {"release": "debian-7"},
            ["release: Image of a disk or a Debian root cannot do 'debian-7'"],
        ),
        ({"arch": "arm64"}, ["arch: Image of a disk or a Debian root cannot do 'arm64'"]),
        (
            {"package_groups": ["web-server"]},
            ["package_groups: Image of a disk or a Debian root cannot do 'web-server'"],
        ),
        (
            {"kernel_args": ["quiet", "init=/bin/sh", "rd.break"]},
            [
                "kernel_args: Image of a disk or a Debian root cannot do 'init'",
                "kernel_args: Image of a disk or a Debian root cannot do 'rd.break'",
            ],
        ),
    ],
    ids=str,
)
def test_what_the_agent_cannot_do_is_refused_by_name(
    profile: dict[str, Any], refused: list[str]
) -> None:
    assert findings(**profile) == refused


def _refused(**profile: Any) -> list[str | None]:
    """Fields that a family refuses which can do without four of them."""
    family = IMAGE.family.model_copy(
        update={"unsupported": ["repositories", "proxy", "ntp", "mirror"]}
    )
    spec = golden.snapshot(IMAGE, HOST, {**PROFILE, **profile}).profile
    return [finding.field for finding in prepare.unsupported(family, spec)]


def test_a_field_that_a_family_cannot_express_is_refused_by_name() -> None:
    assert _refused(ntp=["a.example"], mirror="http://m/") == ["ntp", "mirror"]
    assert _refused(repositories=[], proxy=None, ntp=[], mirror=None) == [], "nothing asked for"


def test_a_mirror_for_an_image_that_does_not_say_its_suite_is_no_guess() -> None:
    """`custom` may be anything; somebody has to say what its mirror holds."""
    with pytest.raises(Invalid, match="'suite'"):
        findings(release="custom", vars={"image": "golden"}, mirror="http://m/")


@pytest.mark.parametrize(
    ("variables", "finding"),
    [
        ({"esp_mib": 1}, "storage.esp_mib: Input should be greater than or equal to 64"),
        ({"boot_mib": None}, "storage.boot_mib: Input should be a valid integer"),
    ],
    ids=str,
)
def test_a_variable_that_makes_no_plan_is_named(variables: dict[str, Any], finding: str) -> None:
    (found,) = findings(vars=variables)
    assert found.startswith(finding)


@often
@given(strategies.VOLUMES, st.integers(0, 2**34), st.sampled_from(["plain", "lvm", "raid1"]))
def test_any_volumes_make_a_plan_in_which_each_can_be_made_and_mounted(
    volumes: list[dict[str, Any]], swap: int, layout: str
) -> None:
    storage = {"volumes": volumes, "swap": swap, "layout": layout}
    try:
        ProfileSpec.model_validate({"name": "x", "os": "image", "release": "x", "storage": storage})
    except ValidationError:
        assume(False)  # it is the description that is wrong
    made = plan(profile={**PROFILE, "storage": storage})["storage"]
    given = {v["mount"]: (v["size"] // 2**20, v["fs"]) for v in volumes}
    shown = {v["mount"]: (v["size_mib"], v["fs"]) for v in made["volumes"]}
    assert shown == {"/": (None, "ext4"), **given}
    assert made["swap_mib"] == swap // 2**20
    mounts = list(shown)
    assert mounts == sorted(mounts), "what is mounted within another comes after it"
    names = [volume["name"] for volume in made["volumes"]]
    assert len({*names, "swap", "boot"}) == len(names) + 2


@pytest.mark.parametrize(
    ("storage", "packages"),
    [
        ({}, []),
        ({"layout": "lvm"}, []),
        ({"layout": "raid1"}, ["mdadm"]),
        ({"layout": "encrypted", "passphrase": {"secret": "disk"}}, ["cryptsetup-initramfs"]),
        ({"volumes": [{"mount": "/a", "size": "1GB", "fs": "btrfs"},
                      {"mount": "/", "fs": "xfs"}]}, ["xfsprogs", "btrfs-progs"]),
    ],
    ids=str,
)  # fmt: skip
def test_what_its_storage_needs_is_installed_before_the_profiles_packages(
    storage: dict[str, Any], packages: list[str]
) -> None:
    made = plan(profile={**PROFILE, "storage": storage, "packages": ["figlet", *packages]})
    assert made["system"]["packages"] == [*packages, "figlet"]


def test_the_passphrase_is_in_the_plan_and_nowhere_else() -> None:
    encrypted = {"layout": "encrypted", "passphrase": {"secret": "disk"}}
    made = plan(profile={**PROFILE, "storage": encrypted})
    assert made["storage"].pop("passphrase") == "SECRET-VALUE"
    assert "SECRET-VALUE" not in json.dumps(made)


@pytest.mark.parametrize(
    ("volumes", "finding"),
    [
        ([{"mount": "/srv", "size": "100MiB", "fs": "xfs"}],
         "storage.volumes: /srv has 100 MiB, and xfs needs 300"),
        ([{"mount": "/srv", "size": "100MiB", "fs": "btrfs"}],
         "storage.volumes: /srv has 100 MiB, and btrfs needs 128"),
        ([{"mount": "/", "size": "1GB"}, {"mount": "/srv"}],
         "storage.volumes: / has 953 MiB, and the image 1144"),
        ([{"mount": "/srv", "size": "64MiB"}], None),
    ],
    ids=str,
)  # fmt: skip
def test_a_volume_that_cannot_be_made_or_filled_is_named(
    volumes: list[dict[str, Any]], finding: str | None
) -> None:
    assert findings(storage={"volumes": volumes}) == ([finding] if finding else [])


@pytest.mark.parametrize(
    "storage",
    [{"layout": "lvm"}, {"swap": "1GB"}, {"volumes": [{"mount": "/srv", "size": "1GB"}]}],
    ids=str,
)
def test_an_image_of_a_whole_disk_is_not_divided_anew(storage: dict[str, Any]) -> None:
    snapshot = golden.snapshot(IMAGE, HOST, {**PROFILE, "storage": storage})
    image = {**(snapshot.image or {}), "kind": "raw-zst"}
    (finding,) = golden.rendered(IMAGE, replace(snapshot, image=image))[1]
    assert "this image is one of a whole disk" in finding.message


@pytest.mark.parametrize("verify", [{}, False], ids=["verified", "unverified"])
def test_a_profile_cannot_take_the_account_that_we_verify_with(verify: Any) -> None:
    """It would get our key beside its own rights, or we its rights beside our key."""
    try:
        refused = findings(users=[{"name": "deployer", "sudo": True}], verify=verify)
    except ValueError as error:
        refused = [str(error)]
    assert bool(refused) == (verify is not False)


@pytest.mark.parametrize(
    "serial", ["S 1", "CN'7", 'S"1', "S\\1", "S${1}", "Ü-1", "a\xa0b", "`id`", "x||y", ""]
)
def test_a_machine_with_any_serial_is_given_its_installer(serial: str) -> None:
    """Only the machine shows it; no check before can have seen it."""
    snapshot = golden.snapshot(IMAGE, HOST, PROFILE)
    values = golden.context_of(snapshot)
    values["machine"]["serial"] = serial
    assert prepare.boot(IMAGE, values).kernel_url
