"""Flatcar and Fedora CoreOS: what is put in comes out, and what Ignition would not say is said."""

from __future__ import annotations

import configparser
import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployer.answers import prepare
from deployer.answers.filters import coreos
from deployer.answers.grammars.ignition_rules import contents_of, data_url
from deployer.answers.installers.ignition import INSTALLER
from deployer.core.profiles import ProfileSpec
from deployer.errors import Invalid
from tests import golden
from tests.answers import strategies

FAMILIES = ["flatcar", "fedora-coreos"]
OPERATORS = Path(__file__).parent / "operators"
HOST = {"name": "web01", "macs": ["52:54:00:12:34:56", "52:54:00:12:34:57"]}
PROFILE = {"name": "web"}
often = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
both = pytest.mark.parametrize("family", FAMILIES)


def rendered(family: str, host: Any = HOST, profile: Any = PROFILE) -> dict[str, Any]:
    """target.ign as a value, of files that the check finds nothing in."""
    found = golden.found(family)
    files, findings = golden.rendered(found, golden.snapshot(found, host, profile))
    assert findings == []
    target: dict[str, Any] = json.loads(files["target.ign"])
    return target


def written(target: dict[str, Any]) -> dict[str, str]:
    """What each file of a target holds, by its path."""
    return {
        file["path"]: contents_of(file["contents"]["source"]).decode()
        for file in target["storage"]["files"]
    }


def findings(text: str, path: str = "target.ign", family: str = "fedora-coreos") -> list[Any]:
    found = golden.found(family)
    context = golden.context_of(golden.snapshot(found, HOST, PROFILE))
    context["release"] |= found.family.releases[-1].facts
    (answer,) = [answer for answer in found.family.answers if answer.path == path]
    return INSTALLER.check(answer, text, context)


# --- what is put in comes out -----------------------------------------------------------------


# What no installer of images can: the rest of a description is any.
NOT_THERE = ("storage", "locale", "packages", "keyboard", "scripts")
IMAGE_PROFILES = st.builds(
    lambda profile, script: {
        **{name: value for name, value in profile.items() if name not in NOT_THERE},
        "scripts": {"first_boot": f": {shlex.quote(script)}"},
    },
    strategies.PROFILES,
    strategies.BLOCKS,
)


@both
@often
@given(host=strategies.hosts(), profile=IMAGE_PROFILES)
@pytest.mark.slow
def test_any_description_makes_a_target_that_says_the_same(
    family: str, host: dict[str, Any], profile: dict[str, Any]
) -> None:
    target = rendered(family, host, profile)
    spec = ProfileSpec.model_validate({**profile, "os": family, "release": "x"})
    files = written(target)
    assert files["/etc/hostname"] == f"{host['name']}\n"
    accounts = {user["name"]: user for user in target["passwd"]["users"]}
    for user in spec.users:
        made = accounts.pop(user.name)
        assert made.get("sshAuthorizedKeys", []) == user.ssh_keys
        assert made.get("passwordHash") == user.password_hash
        assert made["shell"] == user.shell
        assert ("sudo" in made.get("groups", [])) == user.sudo
        assert (f"/etc/sudoers.d/90-deployer-{user.name}" in files) == user.sudo
    root = accounts.pop("root", {})
    assert root.get("sshAuthorizedKeys", []) == spec.root.ssh_keys
    assert root.get("passwordHash") == spec.root.password_hash
    assert list(accounts) == ([] if spec.verify is False else ["deployer"])
    assert files.get("/etc/deployer/first-boot-script") == spec.scripts.first_boot
    (link,) = [n for n in target["storage"]["links"] if n["path"] == "/etc/localtime"]
    assert link["target"] == f"../usr/share/zoneinfo/{spec.timezone}"


def ini(text: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[method-assign,assignment]
    parsed.read_string(text)
    return parsed


@pytest.mark.slow
@often
@given(host=strategies.hosts())
def test_every_nic_of_a_coreos_has_a_keyfile_that_says_the_same(host: dict[str, Any]) -> None:
    files = written(rendered("fedora-coreos", host))
    keyfiles = [ini(text) for path, text in files.items() if path.endswith(".nmconnection")]
    nics = host.get("network", {}).get("interfaces") or [{"mac": host["macs"][0]}]
    assert [each["ethernet"]["mac-address"] for each in keyfiles] == [nic["mac"] for nic in nics]
    for each, nic in zip(keyfiles, nics, strict=True):
        assert each["ethernet"].get("mtu") == (str(nic["mtu"]) if "mtu" in nic else None)
        found = [
            value
            for section in ("ipv4", "ipv6")
            for key, value in each[section].items()
            if key.startswith("address")
        ]
        assert sorted(found) == sorted(nic.get("addresses", []))
        servers = (each["ipv4"].get("dns", "") + each["ipv6"].get("dns", "")).split(";")
        assert sorted(filter(None, servers)) == sorted(nic.get("dns", []))
        dhcp = nic["dhcp"] if nic.get("dhcp") is not None else not nic.get("addresses")
        assert (each["ipv4"]["method"] == "auto") == dhcp


@pytest.mark.slow
@often
@given(host=strategies.hosts())
def test_every_nic_of_a_flatcar_has_a_file_that_says_the_same(host: dict[str, Any]) -> None:
    files = written(rendered("flatcar", host))
    made = [text for path, text in files.items() if path.endswith(".network")]
    nics = host.get("network", {}).get("interfaces") or [{"mac": host["macs"][0]}]
    for text, nic in zip(made, nics, strict=True):
        lines = text.splitlines()
        assert f"MACAddress={nic['mac']}" in lines and "Kind=!*" in lines
        addresses = [n.removeprefix("Address=") for n in lines if n.startswith("Address=")]
        assert addresses == nic.get("addresses", [])
        assert [n[4:] for n in lines if n.startswith("DNS=")] == nic.get("dns", [])
        assert [n[9:] for n in lines if n.startswith("MTUBytes=")] == (
            [str(nic["mtu"])] if "mtu" in nic else []
        )
        dhcp = nic["dhcp"] if nic.get("dhcp") is not None else not nic.get("addresses")
        assert f"DHCP={'yes' if dhcp else 'no'}" in lines


BONDED = golden.read_example("bond-vlan")["host"]


def test_a_bond_and_its_vlans_are_links_of_their_own_on_flatcar() -> None:
    files = written(rendered("flatcar", BONDED))
    folder = "/etc/systemd/network/10-deployer-"
    assert files[f"{folder}2.network"] == (
        "[Match]\nMACAddress=52:54:00:12:34:57\nKind=!*\n\n[Link]\nMTUBytes=9000\n\n"
        "[Network]\nBond=bond0\n"
    )
    assert files[f"{folder}4.netdev"] == (
        "[NetDev]\nName=bond0\nKind=bond\nMTUBytes=9000\n\n"
        "[Bond]\nMode=802.3ad\nMIIMonitorSec=100ms\n"
    )
    assert "VLAN=storage\n" in files[f"{folder}4.network"]
    assert "VLAN=mgmt\n" in files[f"{folder}3.network"], "a NIC with nothing but a VLAN"


def test_a_bond_and_its_vlans_are_connections_of_their_own_on_coreos() -> None:
    files = written(rendered("fedora-coreos", BONDED))
    folder = "/etc/NetworkManager/system-connections/deployer-"
    port = ini(files[f"{folder}1.nmconnection"])
    assert dict(port["connection"]) == {
        "id": "deployer-1", "type": "ethernet", "master": "bond0", "slave-type": "bond",
    }  # fmt: skip
    assert "ipv4" not in port
    assert dict(ini(files[f"{folder}storage.nmconnection"])["vlan"]) == {
        "id": "100", "parent": "bond0",
    }  # fmt: skip
    tagged = ini(files[f"{folder}mgmt.nmconnection"])
    assert tagged["ethernet"]["mac-address"] == "52:54:00:12:34:58"
    assert "parent" not in tagged["vlan"], "it is the NIC of that MAC"


@given(st.text(max_size=60))
def test_a_data_url_holds_any_text_unchanged(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert contents_of(data_url(text)).decode() == text


# --- disks of CoreOS --------------------------------------------------------------------------


def storage(**fields: Any) -> dict[str, Any]:
    found = golden.found("fedora-coreos")
    made = golden.snapshot(found, HOST, {**PROFILE, "storage": fields})
    context: dict[str, Any] = golden.context_of(made)["storage"]
    return context


def test_what_takes_the_rest_is_the_last_partition() -> None:
    made = coreos.disks(
        storage(swap="2GiB", volumes=[
            {"mount": "/", "size": "20GiB"}, {"mount": "/srv"},
            {"mount": "/var/log", "size": "8GiB"},
        ]), "plain", "x86_64",
    )  # fmt: skip
    (disk,) = made["disks"]
    parts = [(part["number"], part["label"], part["sizeMiB"]) for part in disk["partitions"]]
    assert parts == [
        (4, "root", 20480), (5, "deployer-swap", 2048), (6, "deployer-var-log", 8192),
        (7, "deployer-var-srv", 0),
    ]  # fmt: skip
    assert made["rest_mib"] is None
    assert [unit["name"] for unit in made["units"]] == [
        r"dev-disk-by\x2dpartlabel-deployer\x2dswap.swap", "var-log.mount", "var-srv.mount",
    ]  # fmt: skip


def test_root_that_takes_the_rest_is_told_at_the_machine_how_much_that_is() -> None:
    made = coreos.disks(storage(volumes=[{"mount": "/home", "size": "10GiB"}]), "plain", "x86_64")
    assert made["rest_mib"] == 10240
    found = golden.found("fedora-coreos")
    profile = {**PROFILE, "storage": {"volumes": [{"mount": "/home", "size": "10GiB"}]}}
    files, _ = golden.rendered(found, golden.snapshot(found, HOST, profile))
    assert '"label": "root", "sizeMiB": 0,' in files["target.ign"], "what install.sh looks for"


@pytest.mark.parametrize("mount", ["/data", "/usr/share/x", "/boot/x", "/tmp"])
def test_a_volume_where_coreos_has_no_place_is_refused(mount: str) -> None:
    with pytest.raises(Invalid, match=f"{mount} cannot be a volume"):
        rendered(
            "fedora-coreos", profile={**PROFILE, "storage": {"volumes": [
                {"mount": mount, "size": "5GiB"}]}},
        )  # fmt: skip


def test_a_mirror_has_no_volumes_beside_it() -> None:
    with pytest.raises(Invalid, match="layout raid1 mirrors CoreOS' own partitions"):
        coreos_storage = {
            "layout": "raid1", "disk": {"serial": ["A1", "A2"]}, "swap": "1GiB",
        }  # fmt: skip
        rendered("fedora-coreos", profile={**PROFILE, "storage": coreos_storage})


@pytest.mark.skipif(shutil.which("systemd-escape") is None, reason="systemd is not installed")
@pytest.mark.parametrize(
    "path", ["/var/home", "/var/lib/docker-data", "/var/a.b/.c", "/dev/disk/by-partlabel/x-y_z"]
)
def test_a_unit_is_called_as_systemd_would_call_it(path: str) -> None:
    done = subprocess.run(["systemd-escape", "--path", path], capture_output=True, text=True)
    assert coreos.escaped(path) == done.stdout.strip()


# --- what an operator brings ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "file"),
    [("flatcar", "flatcar-kubelet.ign"), ("fedora-coreos", "coreos-storage.ign")],
)
def test_a_whole_target_of_an_operators_own_is_accepted(family: str, file: str) -> None:
    found = golden.found(family)
    content = (OPERATORS / file).read_text(encoding="utf-8")
    own = {"target.ign": {"content": content, "template": True}}
    snapshot = golden.snapshot(found, HOST, {**PROFILE, "answer_files": own})
    files, problems = golden.rendered(found, snapshot)
    assert problems == []
    assert json.loads(files["target.ign"])["systemd"]["units"][-1]["enabled"]


def test_a_target_that_never_calls_is_refused() -> None:
    found = golden.found("flatcar")
    own = {"target.ign": {"content": '{"ignition": {"version": "3.3.0"}}'}}
    snapshot = golden.snapshot(found, HOST, {**PROFILE, "answer_files": own})
    (problem,) = golden.rendered(found, snapshot)[1]
    assert "nothing calls first_boot" in problem.message


def test_an_install_script_that_asks_nobody_for_its_disk_is_refused() -> None:
    (problem,) = findings("#!/bin/bash\ncoreos-installer install /dev/sda\n", "install.sh")
    assert problem.message.startswith("install.sh: nobody chooses the disk")


@both
@pytest.mark.parametrize("field", ["pre", "post", "first_boot"])
def test_a_script_that_bash_cannot_read_is_named(family: str, field: str) -> None:
    found = golden.found(family)
    snapshot = golden.snapshot(found, HOST, {**PROFILE, "scripts": {field: "if true; then\n"}})
    (problem,) = golden.rendered(found, snapshot)[1]
    assert problem.message.startswith(f"scripts.{field}: line 2: syntax error")


# --- what is found ----------------------------------------------------------------------------


def config(**parts: Any) -> str:
    """A small target, one key of it a line."""
    head = {"ignition": {"version": "3.4.0"}}
    return json.dumps({**head, **parts}, indent=1)


def node(**fields: Any) -> dict[str, Any]:
    return {"storage": {"files": [{"path": "/etc/x", **fields}]}}


def source(text: str, **fields: Any) -> dict[str, Any]:
    return node(contents={"source": text, **fields})


def unit(contents: str = "[Service]\nExecStart=/bin/true\n", **fields: Any) -> dict[str, Any]:
    return {"systemd": {"units": [{"name": "x.service", "contents": contents, **fields}]}}


def user(**fields: Any) -> dict[str, Any]:
    return {"passwd": {"users": [{"name": "core", **fields}]}}


def disk(*partitions: dict[str, Any], device: str = "/dev/disk/by-id/a") -> dict[str, Any]:
    return {"storage": {"disks": [{"device": device, "partitions": list(partitions)}]}}


def system(**fields: Any) -> dict[str, Any]:
    made = {"device": "/dev/disk/by-partlabel/a", "format": "xfs", **fields}
    return {"storage": {"filesystems": [made]}}


BROKEN: list[tuple[dict[str, Any], int, str]] = [
    ({"storge": {}}, 5, "storge: Ignition knows no such key, and would ignore it"),
    (node(contents={"sauce": "x"}), 10, "files.0.contents.sauce: Ignition knows no such key"),
    ({"ignition": {"version": "2.3.0"}}, 3, "'2.3.0' is no version that is known here"),
    ({"ignition": {"version": "3.6.0"}}, 3, "'3.6.0' is no version that is known here"),
    ({"ignition": {"version": "3.2.0"}, "kernelArguments": {}}, 5,
     "kernelArguments: it came with Ignition 3.3.0, and this file is 3.2.0"),
    (node(mode=644), 9, "mode: 644 is read as a decimal number, and would be 01204"),
    (node(mode="0644"), 9, "mode: a mode is a decimal number from 0 to 4095"),
    (node(mode=4096), 9, "mode: a mode is a decimal number from 0 to 4095"),
    ({"storage": {"files": [{"path": "etc/x"}]}}, 8, "'etc/x' must be an absolute path"),
    ({"storage": {"files": [{"path": "/etc/../x"}]}}, 8, "'/etc/../x' must be a plain path"),
    ({"storage": {"files": [{"path": "/a"}, {"path": "/a"}]}}, 11, "/a is written twice"),
    ({"storage": {"files": [{"path": "/a"}], "links": [{"path": "/a", "target": "b"}]}}, 13,
     "/a is written twice"),
    ({"storage": {"links": [{"path": "/a"}]}}, 7, "a link needs its target"),
    (source("ftp://a/b"), 10, "Ignition cannot fetch 'ftp'"),
    (source("http://a/b"), 10, "the first boot need not have a network"),
    (source("data:;base64,###"), 10, "the data URL cannot be read"),
    (source("data:text"), 10, "the data URL cannot be read: it has no comma"),
    (source("data:,100%"), 10, "it has a '%' that begins no escape"),
    (source("data:,a", verification={"hash": "md5-1"}), 12, "a hash is sha512-, or sha256-"),
    (source("data:,a", verification={"hash": "sha256-" + "0" * 64}), 10, "its hash is another one"),
    ({"ignition": {"version": "3.4.0", "config": {"merge": [{"source": "https://a/b"}]}}}, 7,
     "the first boot need not have a network"),
    (user(passwordHash="hunter2hunter2"), 9, "a password in the clear, or no crypt(3) hash"),
    (user(sshAuthorizedKeys=["ssh-rsa"]), 10, "it is no OpenSSH public key"),
    (user(sshAuthorizedKeys=["ssh-foo AAAAAAAAAAAAAAAAAAAA"]), 10, "it is no OpenSSH public key"),
    ({"passwd": {"users": [{"name": "a"}, {"name": "a"}]}}, 11, "'a' is given twice"),
    (unit(enabled=True), 9, "x.service has no [Install], so it would never be started"),
    (unit("[Unit]\nAfter=a\n"), 9, "x.service has no [Service], so systemd refuses it"),
    (unit("[Service]\nExecStart=/bin/true\nnonsense\n"), 9, "line 3: 'nonsense' is no KEY=VALUE"),
    (unit("[Service]\nExecStart=;rm\n"), 9, "x.service, line 2: ';rm' is no program"),
    (unit(name="x"), 8, "'x' is no name of a unit"),
    (unit(mask=True, enabled=True, contents=""), 10, "x.service is masked, and enabled too"),
    (unit(dropins=[{"name": "a.txt"}]), 12, "systemd reads no 'a.txt'"),
    ({"systemd": {"units": [{"name": "a.service"}, {"name": "a.service"}]}}, 11, "given twice"),
    ({"kernelArguments": {"shouldExist": ["quiet", "quiet"]}}, 8, "'quiet' is given twice"),
    (disk(device="/dev/sdb"), 8, "/dev/sdb may be another disk at the next start"),
    (disk(device="sdb"), 8, "'sdb' is no device"),
    (disk({"sizeMiB": 5}), 10, "a partition needs a number or a label"),
    (disk({"label": "a"}, {"label": "a"}), 11, "label 'a' is given twice"),
    (disk({"number": 1}, {"number": 1}), 11, "number 1 is given twice"),
    (disk({"label": "a:b"}), 11, "sgdisk ends a label at ':'"),
    (disk({"label": "a", "typeGuid": "1"}), 12, "'1' is no GUID"),
    (disk({"label": "a", "startMiB": 1, "sizeMiB": 9}, {"label": "b", "startMiB": 5, "sizeMiB": 9}),
     15, "b and a overlap"),
    (disk({"label": "a" * 37}), 11, "at most 36"),
    ({"storage": {"raid": [{"name": "a", "level": "raid7", "devices": []}]}}, 9,
     "there is no level 'raid7'"),
    ({"storage": {"raid": [{"name": "a", "level": "raid1", "devices": ["/dev/md/x"]}]}}, 10,
     "raid1 needs 2 devices, and has 1"),
    ({"storage": {"luks": [{"name": "a"}]}}, 7, "an encrypted volume needs its device"),
    (system(format="zfs"), 9, "Input should be 'ext4'"),
    (system(format=None), 7, "a file system needs its format"),
    (system(path="srv"), 10, "'srv' must be an absolute path"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "line", "words"), BROKEN, ids=lambda value: str(value)[:60])
def test_what_is_broken_is_named_with_its_line(
    parts: dict[str, Any], line: int, words: str
) -> None:
    found = findings(config(**parts))
    assert found, "nothing was found"
    assert words in found[0].message and found[0].line == line, found[0].message
    assert found[0].file == "target.ign" and found[0].remedy


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "Expecting value"),
        ("variant: fcos\nversion: 1.5.0\n", 1, "Expecting value"),
        ('{"ignition": {"version": "3.3.0"},\n "a": }', 2, "Expecting value"),
        (
            '{"ignition": {"version": "3.3.0", "version": "3.4.0"}}',
            None,
            "'version' is given twice",
        ),
        ('{"ignition": {"version": NaN}}', None, "NaN is no JSON"),
        ("[" * 100_000, None, "nested too deeply"),
        ("[]", None, "Input should be a valid dictionary"),
        ('{"ignition": {}}', 1, "ignition.version: Field required"),
    ],
)
def test_what_is_no_config_at_all_is_named(text: str, line: int | None, words: str) -> None:
    found = findings(text)
    assert words in found[0].message and (line is None or found[0].line == line)


def test_a_release_that_reads_less_says_so() -> None:
    text = json.dumps({"ignition": {"version": "3.5.0"}})
    (found,) = findings(text, family="flatcar")
    assert "this release reads Ignition up to 3.4.0, not 3.5.0" in found.message
    assert findings(text) == []


RUNS = "[Unit]\nOnFailure=a.service\n[Service]\nExecStart=/x\n[Install]\nWantedBy=a.target\n"
SCRIPT = "http://10.0.0.5:8081/d/TOKEN-ANSWERS/answers/install.sh"
ASKS = "http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/disks"


def test_a_live_system_whose_failure_nobody_hears_is_refused() -> None:
    quiet = RUNS.replace("[Unit]\nOnFailure=a.service\n", "")
    parts = {**source(SCRIPT), **unit(quiet, enabled=True)}
    (found,) = findings(config(**parts), "live.ign")
    assert "no enabled service has OnFailure=" in found.message


def test_a_live_system_that_asks_nobody_for_its_disk_is_refused() -> None:
    parts = {**source("http://a/b.sh"), **unit(RUNS, enabled=True)}
    (found,) = findings(config(**parts), "live.ign")
    assert "nothing asks which disk may be written" in found.message


@pytest.mark.parametrize("script", [SCRIPT, data_url(f"#!/bin/sh\ncurl {ASKS}\n")])
def test_a_live_system_of_ones_own_may_be_otherwise(script: str) -> None:
    parts = {**source(script), **unit(RUNS, enabled=True)}
    assert findings(config(**parts), "live.ign") == []


@pytest.mark.skipif(shutil.which("ignition-validate") is None, reason="it is not installed")
def test_what_ignition_validate_warns_of_is_a_finding_too() -> None:
    parts = {"ignition": {"version": "3.3.0"}, **node(user={"id": -5})}
    # Its words; what ours found before is not asked again.
    assert [f.file for f in findings(config(**parts))] in ([], ["target.ign"])
    sample = config(ignition={"version": "3.3.0"}, **node(group={"name": "a", "id": 3}))
    assert any("name" in f.message and "id" in f.message for f in findings(sample))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["ignition", "version", "storage", "files", "path", "mode", "contents", "source",
                 "systemd", "units", "name", "passwd", "users", "disks", "partitions"]
            ),
            inner, max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=80) | ANYTHING.map(json.dumps))
def test_hostile_text_is_a_finding_and_never_an_exception(text: str) -> None:
    for found in findings(text):
        assert found.message


@pytest.mark.slow
def test_in_a_large_file_each_fault_is_found() -> None:
    files = [
        {"path": f"/etc/x{n}", "mode": 420, "contents": {"source": "data:,x"}} for n in range(3000)
    ]
    text = json.dumps({"ignition": {"version": "3.4.0"}, "storage": {"files": files}}, indent=1)
    broken = text.replace('"mode": 420', '"mode": 644', 5)
    assert len(findings(broken)) == 5


def test_no_family_is_given_what_it_would_have_to_guess() -> None:
    """Each field that is refused is one that nothing in the templates reads."""
    family = golden.found("flatcar").family
    assert {"locale", "keyboard", "packages", "storage.volumes"} <= set(family.unsupported)
    refused = prepare.unsupported(
        family,
        golden.snapshot(golden.found("flatcar"), HOST, {**PROFILE, "keyboard": "ch"}).profile,
    )
    assert [finding.field for finding in refused] == ["keyboard"]
