"""Every OS family keeps the same contract. A new folder in answerfiles/ is found by itself."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, get_args

import pytest

from deployer.answers import prepare
from deployer.answers.prepare import INSTALLERS
from deployer.answers.render import environment
from deployer.boot import grub, ipxe
from deployer.core.inventory import HostSpec
from deployer.core.profiles import ProfileSpec
from deployer.errors import Finding
from tests import golden

every_family = pytest.mark.parametrize("name", golden.families())
MAC, SECOND = "52:54:00:12:34:56", "52:54:00:12:34:57"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy0c2y6s7k5p1gk0wU"
HASH = golden.HASH  # SHA-512, which every system here knows
HOST: dict[str, Any] = {"name": "web01", "macs": [MAC, SECOND]}
PROFILE: dict[str, Any] = {"name": "web", "users": [{"name": "ops"}]}
STATIC = {"mac": MAC, "addresses": ["10.0.0.7/24"]}


def usual(name: str) -> dict[str, Any]:
    """A profile such as most are, without what this family refuses anyway."""
    refused = golden.found(name).family.unsupported
    return {field: value for field, value in PROFILE.items() if field not in refused}


def test_there_are_families() -> None:
    assert golden.families()


@every_family
def test_its_installer_and_its_templates_exist(name: str) -> None:
    found = golden.found(name)
    for family in [found.family.at(release.version) for release in found.family.releases]:
        assert family.installer in INSTALLERS
        for file in family.files():
            environment(found).get_template(file.template or "")


@every_family
def test_a_profile_field_that_it_cannot_express_is_a_field_of_profiles(name: str) -> None:
    family = golden.found(name).family
    for path in [path for r in family.releases for path in family.at(r.version).unsupported]:
        model: Any = HostSpec if path.startswith("network.") else ProfileSpec
        for part in path.split("."):
            assert part in model.model_fields, path
            model = _inner(model.model_fields[part].annotation)


def _inner(annotation: Any) -> Any:
    """The model in `list[Model]` and `Model | None`."""
    inner = [a for a in get_args(annotation) if hasattr(a, "model_fields") or get_args(a)]
    return _inner(inner[0]) if inner else annotation


@every_family
def test_it_says_what_has_seen_its_files(name: str) -> None:
    family = golden.found(name).family
    assert all(family.at(release.version).proof for release in family.releases)


@every_family
def test_its_boot_line_carries_the_profiles_arguments_last(name: str) -> None:
    found = golden.found(name)
    if not found.family.kernel_args:
        pytest.skip("its kernel takes none, so a profile may set none")
    argument = f"{found.family.kernel_args[0]}=7"
    snapshot = golden.snapshot(found, HOST, {**usual(name), "kernel_args": [argument]})
    assert str(prepare.boot(found, golden.context_of(snapshot)).arguments[-1]) == argument


@every_family
def test_a_name_that_could_take_over_the_boot_cannot_be_set(name: str) -> None:
    found = golden.found(name)
    dangerous = ["init", "rd.break", "inst.ks", "ds", "url", "autoinstall", "deployer.plan", "root"]
    assert not set(dangerous) & set(found.family.kernel_args)


@every_family
def test_its_boot_script_and_files_are_the_same_however_often_they_are_asked_for(name: str) -> None:
    found = golden.found(name)
    again = _everything.__wrapped__(name, json.dumps(HOST), json.dumps(usual(name)))
    assert everything(name, HOST, usual(name)) == again
    assert golden.snapshot(found, HOST, usual(name)) == golden.snapshot(found, HOST, usual(name))


@every_family
def test_no_answer_file_holds_a_key_of_the_service(name: str) -> None:
    text = everything(name, HOST, usual(name))
    assert "PRIVATE KEY" not in text


# --- one description, every installer ---------------------------------------------------------


def everything(name: str, host: dict[str, Any], profile: dict[str, Any]) -> str:
    """All that the machine is given, as one text."""
    return _everything(name, json.dumps(host), json.dumps(profile))


@lru_cache(maxsize=64)
def _everything(name: str, host_json: str, profile_json: str) -> str:
    host, profile = json.loads(host_json), json.loads(profile_json)
    found = golden.found(name)
    snapshot = golden.snapshot(found, host, profile)
    boot = prepare.boot(found, golden.context_of(snapshot))
    files, findings = golden.rendered(found, snapshot)
    assert findings == []
    return "\n".join([ipxe.script(boot), grub.script(boot), *files.values()])


def user(**fields: Any) -> dict[str, Any]:
    return {"users": [{"name": "ops", **fields}]}


def nic(**fields: Any) -> dict[str, Any]:
    return {"network": {"interfaces": [{**STATIC, **fields}]}}


# Each with what must turn up in what the machine is given; None: it must differ from before.
PROFILE_FIELDS: list[tuple[dict[str, Any], str | None]] = [
    ({"locale": "de_CH.UTF-8"}, "de_CH"),
    ({"keyboard": "ch"}, None),
    ({"timezone": "Europe/Zurich"}, "Europe/Zurich"),
    ({"ntp": ["ntp.example.org"]}, "ntp.example.org"),
    ({"storage": {"layout": "lvm"}}, None),
    ({"storage": {"layout": "raid1"}}, None),
    ({"storage": {"layout": "encrypted", "passphrase": {"secret": "disk"}}}, None),
    (user(sudo=True), None),
    (user(ssh_keys=[KEY]), KEY.split()[1]),
    (user(password_hash=HASH), HASH),
    (user(shell="/bin/fish"), "/bin/fish"),
    ({"root": {"ssh_keys": [KEY]}}, KEY.split()[1]),
    ({"root": {"password_hash": HASH}}, HASH),
    ({"packages": ["figlet"]}, "figlet"),
    ({"mirror": "http://mirror.example.org/os"}, "mirror.example.org"),
    ({"proxy": "http://proxy.example.org:3128"}, "proxy.example.org"),
    ({"repositories": [{"name": "own", "url": "http://own.example.org/r"}]}, "own.example.org"),
    ({"scripts": {"pre": "echo PRE-MARK"}}, "PRE-MARK"),
    ({"scripts": {"post": "echo POST-MARK"}}, "POST-MARK"),
    ({"scripts": {"first_boot": "echo FIRST-MARK"}}, "FIRST-MARK"),
    ({"verify": False}, None),
    ({"storage": {"swap": "3GiB"}}, None),
    ({"storage": {"volumes": [{"mount": "/srv/data", "size": "5GiB", "fs": "xfs"}]}}, "/srv/data"),
    ({"storage": {"layout": "lvm", "volumes": [
        {"mount": "/", "size": "9GiB"}, {"mount": "/srv/data"}]}}, "/srv/data"),
    (user(password_hash={"secret": "ops-hash"}), golden.HASH),
    ({"root": {"password_hash": {"secret": "root-hash"}}}, golden.HASH),
    ({"package_groups": ["figlet-group"]}, "figlet-group"),
    ({"registration": {"key": {"secret": "key"}, "organization": "example"}}, "SECRET-VALUE"),
]  # fmt: skip
HOST_FIELDS: list[tuple[dict[str, Any], str | None]] = [
    ({"name": "db09"}, "db09"),
    ({"network": {"interfaces": [STATIC]}}, "10.0.0.7"),
    (nic(gateway="10.0.0.1"), "10.0.0.1"),
    (nic(dns=["10.0.0.53"]), "10.0.0.53"),
    (nic(search=["lab.example.org"]), "lab.example.org"),
    (nic(mtu=9000), "9000"),
    (nic(dhcp=True), None),
    ({"network": {"interfaces": [STATIC, {"mac": SECOND, "mtu": 1300}]}}, "1300"),
    ({"network": {"interfaces": [STATIC], "domain": "corp.example.org"}}, "corp.example.org"),
    (nic(addresses=["10.0.0.7/24", "2001:db8::7/64"]), "2001:db8::7"),
    ({"network": {"interfaces": [{"name": "bond7", "bond": {"members": [MAC, SECOND]}}]}}, "bond7"),
    ({"network": {"interfaces": [
        STATIC, {"name": "vlan42", "vlan": {"id": 42, "link": MAC}, "addresses": ["10.9.0.7/24"]},
    ]}}, "vlan42"),
]  # fmt: skip


@every_family
@pytest.mark.parametrize(("change", "mark"), PROFILE_FIELDS, ids=str)
def test_what_a_profile_asks_for_is_done_or_refused_by_name(
    name: str, change: dict[str, Any], mark: str | None
) -> None:
    found = golden.found(name)
    refused = prepare.unsupported(
        found.family, golden.snapshot(found, HOST, {**usual(name), **change}).profile
    )
    if refused:
        assert all((f.field or "").split(".")[0] in change for f in refused)
        return
    if change.items() <= golden.defaults(name).items():
        return  # it cannot be otherwise, and its check says so
    if refused := _hashes_refused(name, change):
        assert all((f.field or "").split(".")[0] in change for f in refused)
        return
    given = everything(name, HOST, {**usual(name), **change})
    assert given != everything(name, HOST, usual(name)) and (mark or "") in given


def _hashes_refused(name: str, change: dict[str, Any]) -> list[Finding]:
    """A hash that a secret holds is seen when the files are rendered."""
    found = golden.found(name)
    _, findings = golden.rendered(found, golden.snapshot(found, HOST, {**usual(name), **change}))
    return [f for f in findings if (f.field or "").endswith("password_hash")]


@every_family
@pytest.mark.parametrize(("change", "mark"), HOST_FIELDS, ids=str)
def test_what_a_host_asks_for_is_done_or_refused_by_name(
    name: str, change: dict[str, Any], mark: str | None
) -> None:
    found = golden.found(name)
    if found.family.releases[-1].task and "network" in change:
        pytest.skip("it installs nothing that would have a network; its own is DHCP's")
    asked = golden.snapshot(found, {**HOST, **change}, usual(name))
    if refused := prepare.unsupported(found.family, asked.profile, asked.host):
        assert all((f.field or "").startswith("network.") for f in refused)
        return
    before = nic() if "network" in change and change != nic() else {}
    given = everything(name, {**HOST, **change}, usual(name))
    assert given != everything(name, {**HOST, **before}, usual(name)) and (mark or "") in given
