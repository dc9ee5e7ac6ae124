"""Talos: what is put in comes out, and what its own schema lets through is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployer.answers import prepare
from deployer.answers.installers.talos import INSTALLER
from deployer.core.text import MASK
from deployer.errors import Invalid
from tests import golden
from tests.answers import strategies

TALOS = golden.found("talos")
OPERATORS = Path(__file__).parent / "operators"
HOST = {"name": "web01", "macs": ["52:54:00:12:34:56", "52:54:00:12:34:57"]}
PROFILE = {"name": "web"}
often = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# What a profile for Talos may say.
PROFILES = st.fixed_dictionaries(
    {"name": strategies.NAMES},
    optional={
        "ntp": st.lists(strategies.HOST_NAMES.filter(lambda name: not name.isdigit()), max_size=2),
        "kernel_args": st.lists(st.sampled_from(["quiet", "console=tty1", "panic=3"]), max_size=3),
        "storage": st.builds(
            lambda serial: {"disk": {"serial": serial}}, strategies.LINES.filter(bool)
        ),
        "vars": st.fixed_dictionaries(
            {}, optional={name: strategies.LINES.filter(bool) for name in ("cluster_id", "x")}
        ),
    },
)  # fmt: skip


def files(host: Any = HOST, profile: Any = PROFILE) -> dict[str, str]:
    made, findings = golden.rendered(TALOS, golden.snapshot(TALOS, host, profile))
    assert findings == []
    return made


def config(host: Any = HOST, profile: Any = PROFILE) -> dict[str, Any]:
    (made,) = yaml.safe_load_all(files(host, profile)["config.yaml"])
    parsed: dict[str, Any] = made
    return parsed


def findings(text: str, release: str = "1.13", verify: Any = False) -> list[Any]:
    snapshot = golden.snapshot(TALOS, HOST, {**PROFILE, "release": release, "verify": verify})
    return INSTALLER.check(TALOS.family.answers[0], text, golden.context_of(snapshot))


# --- what is put in comes out -----------------------------------------------------------------


@pytest.mark.slow
@often
@given(host=strategies.hosts(), profile=PROFILES)
def test_any_description_makes_a_config_that_says_the_same(
    host: dict[str, Any], profile: dict[str, Any]
) -> None:
    made = config(host, profile)
    machine = made["machine"]
    assert machine["network"]["hostname"] == host["name"]
    assert machine.get("time", {}).get("servers", []) == profile.get("ntp", [])
    assert machine["install"].get("extraKernelArgs", []) == profile.get("kernel_args", [])
    disk = profile.get("storage", {"disk": {"serial": "S3Z9NB0K"}})["disk"]
    assert machine["install"]["diskSelector"] == {"serial": disk["serial"]}
    assert machine["token"] == "SECRET-VALUE", "a variable that names a secret holds its value"
    nics = host.get("network", {}).get("interfaces") or [{"mac": host["macs"][0]}]
    for found, nic in zip(machine["network"]["interfaces"], nics, strict=True):
        assert found["deviceSelector"] == {"permanentAddr": nic["mac"]}
        assert found.get("addresses", []) == nic.get("addresses", [])
        assert found.get("mtu") == nic.get("mtu")
        dhcp = nic["dhcp"] if nic.get("dhcp") is not None else not nic.get("addresses")
        assert found["dhcp"] == dhcp
    servers = dict.fromkeys(server for nic in nics for server in nic.get("dns", []))
    assert machine["network"].get("nameservers", []) == list(servers)


def test_a_vlan_belongs_to_the_link_that_carries_it() -> None:
    made = config(golden.read_example("bond-vlan")["host"])["machine"]["network"]["interfaces"]
    assert made[0] == {
        "deviceSelector": {"permanentAddr": "52:54:00:12:34:58"}, "dhcp": False,
        "vlans": [{"vlanId": 7, "dhcp": True}],
    }  # fmt: skip
    assert made[1]["interface"] == "bond0"
    assert made[1]["vlans"] == [
        {"vlanId": 100, "dhcp": False, "addresses": ["10.1.0.7/24"], "mtu": 9000}
    ]


def test_a_node_with_ipv6_alone_has_a_default_route() -> None:
    nic = {"mac": "52:54:00:12:34:56", "addresses": ["2001:db8::7/64"], "gateway": "2001:db8::1"}
    (made,) = config({**HOST, "network": {"interfaces": [nic]}})["machine"]["network"]["interfaces"]
    assert made["routes"] == [{"network": "::/0", "gateway": "2001:db8::1"}]


@pytest.mark.parametrize(
    ("rule", "install"),
    [
        ({"wwn": "0x5000c500a1b2c3d4"}, {"diskSelector": {"wwid": "naa.5000c500a1b2c3d4"}}),
        ({"wwn": "eui.0025385"}, {"diskSelector": {"wwid": "eui.0025385"}}),
        ({"path": "/dev/disk/by-path/x"}, {"disk": "/dev/disk/by-path/x"}),
        ({"serial": "A", "wwn": "0x5"}, {"diskSelector": {"serial": "A", "wwid": "naa.5"}}),
    ],
    ids=str,
)
def test_a_rule_that_names_one_disk_is_put_into_talos_words(
    rule: dict[str, Any], install: dict[str, Any]
) -> None:
    made = config(profile={**PROFILE, "storage": {"disk": rule}})["machine"]["install"]
    assert made == {**install, "wipe": True}


def test_a_rule_that_names_several_disks_is_refused() -> None:
    with pytest.raises(Invalid, match=r"storage\.disk\.serial names several disks"):
        config(profile={**PROFILE, "storage": {"disk": {"serial": ["A", "B"]}}})


@pytest.mark.parametrize(
    "rule", [{"pick": "largest"}, {"min_size": "8G"}, {"model": "x"}, {"type": "ssd"}], ids=str
)
def test_what_only_the_machine_could_judge_is_refused_by_name(rule: dict[str, Any]) -> None:
    profile = golden.snapshot(TALOS, HOST, {**PROFILE, "storage": {"disk": rule}}).profile
    (refused,) = prepare.unsupported(TALOS.family, profile)
    assert refused.field == f"storage.disk.{next(iter(rule))}"


def test_without_a_named_disk_nothing_is_installed() -> None:
    snapshot = golden.snapshot(TALOS, HOST, {**PROFILE, "storage": {"disk": {}}})
    (found,) = golden.rendered(TALOS, snapshot)[1]
    assert "machine.install: no disk is named" in found.message


def test_a_profile_without_its_cluster_is_told_each_thing_that_is_missing() -> None:
    snapshot = golden.snapshot(
        TALOS, HOST, {**PROFILE, "vars": dict.fromkeys(golden.defaults("talos")["vars"])}
    )
    fields = [finding.field for finding in golden.rendered(TALOS, snapshot)[1]]
    assert fields == [
        "machine.token", "cluster.id", "cluster.secret", "cluster.token",
        "cluster.controlPlane.endpoint", "machine.ca.crt", "cluster.ca.crt",
    ]  # fmt: skip


def test_who_asks_for_a_log_in_hears_that_there_is_none() -> None:
    (found,) = findings(files()["config.yaml"], verify={})
    assert found.field == "verify"


def test_a_masked_config_is_as_good_as_a_real_one() -> None:
    text = files()["config.yaml"].replace("SECRET-VALUE", MASK)
    assert findings(text) == []


def test_a_whole_config_of_an_operators_own_is_accepted() -> None:
    content = (OPERATORS / "talos-controlplane.yaml").read_text(encoding="utf-8")
    own = {"config.yaml": {"content": content, "template": True}}
    profile = {**PROFILE, "release": "1.10", "answer_files": own}
    assert "TOKEN-PHONE-HOME/phone-home/first_boot" in files(profile=profile)["config.yaml"]


# --- what is found ----------------------------------------------------------------------------

GOOD = files()["config.yaml"]
LINES = GOOD.split("\n")


def at(words: str) -> int:
    return next(number for number, line in enumerate(LINES, 1) if words in line)


BROKEN = [
    ("  type: worker", "  type: join", "machine.type: Input should be 'worker' or 'controlplane'"),
    ("  kubelet:", "  kublet:", "machine.kublet: Talos knows no such key"),
    ("version: v1alpha1", "version: v1beta1", "version: Input should be 'v1alpha1'"),
    ('  token: "SECRET-VALUE"', '  token: ""', "machine.token: it is not set"),
    ('    endpoint: "https://10.0.0.10:6443"', "    endpoint: http://10.0.0.10",
     "is no https:// address"),
    ("dhcp: true", "dhcp: sometimes", "dhcp: Input should be a valid boolean"),
    ('    hostname: "web01"', "    nameservers: [10.0.0]", "'10.0.0' does not appear to be"),
    ('    diskSelector: {"serial": "S3Z9NB0K"}', "    diskSelector: {type: ssd}",
     "it fits several disks, and Talos would overwrite the first"),
    ('    diskSelector: {"serial": "S3Z9NB0K"}', "    diskSelector: {colour: red}",
     "diskSelector.colour: Talos knows no such key"),
    ('    diskSelector: {"serial": "S3Z9NB0K"}', "    disk: sda", "'sda' is no device"),
    ('      - deviceSelector: {permanentAddr: "52:54:00:12:34:56"}', "      - mtu: 1500",
     "it needs interface or deviceSelector"),
    ("    wipe: true", "    wipe: true\n    wipe: false", "the key 'wipe' is written twice"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words"), BROKEN, ids=lambda text: str(text)[:40])
def test_what_is_broken_is_named_with_its_line(old: str, new: str, words: str) -> None:
    assert old in GOOD
    found = findings(GOOD.replace(old, new, 1))
    assert found and words in found[0].message, found
    assert abs((found[0].line or 0) - at(old)) <= 1 and found[0].remedy


def added(text: str, release: str = "1.13") -> list[str]:
    return [finding.message for finding in findings(f"{GOOD}---\n{text}", release)]


LAST = len(LINES)


@pytest.mark.parametrize(
    ("text", "release", "words"),
    [
        ("apiVersion: v1alpha1\nkind: HostnameConfg\nhostname: x\n", "1.13",
         f"line {LAST + 2}: kind: there is no kind 'HostnameConfg'"),
        ("apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: x\n", "1.11",
         "HostnameConfig came with Talos 1.12, and 1.11 would refuse the file"),
        ("kind: HostnameConfig\nhostname: x\n", "1.13", "apiVersion is v1alpha1"),
        ("kind: [a]\napiVersion: v1alpha1\n", "1.13", "there is no kind ['a']"),
        ("apiVersion: v1alpha1\nkind: KmsgLogConfig\nname: a\n---\n"
         "apiVersion: v1alpha1\nkind: KmsgLogConfig\nname: a\n", "1.13", "KmsgLogConfig a is"),
        ("version: v1alpha1\nmachine: {type: worker}\n", "1.13", "there is no cluster"),
        ("- a\n", "1.13", "a document is a mapping"),
    ],
)  # fmt: skip
def test_a_document_beside_it_that_would_be_refused_is_named(
    text: str, release: str, words: str
) -> None:
    found = added(text, release)
    assert found and words in found[0], found


def test_a_document_that_the_release_knows_is_fine() -> None:
    assert added("apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: x\n", "1.12") == []


def test_a_key_of_a_later_release_is_named() -> None:
    text = GOOD.replace("    wipe: true", "    wipe: true\n    grubUseUKICmdline: true")
    assert findings(text, "1.12") == []
    (found,) = findings(text, "1.11")
    assert "grubUseUKICmdline: it came with Talos 1.12" in found.message


def test_a_worker_has_no_key_of_the_cluster() -> None:
    (found,) = findings(GOOD.replace('key: ""', 'key: "LS0t"', 1))
    assert "machine.ca.key: a worker must not have the key" in found.message


def test_a_control_plane_without_keys_is_no_control_plane() -> None:
    found = findings(GOOD.replace("type: worker", "type: controlplane"))
    assert [f.field for f in found] == ["machine.ca.key", "cluster.ca.key"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there must be one document with machine and cluster, and there are 0"),
        ("a: [\n", "Talos could not read it"),
        ("a: &x {b: 1}\nc: *x\n", "line 2: Talos could not read it: aliases"),
        ("? [a]\n: b\n", "a key must be a word"),
        ("a: 2024-13-45\n", "Talos could not read it"),
        ("[" * 50_000, "Talos could not read it"),
        ("x" * 500_000, "it is longer than"),
        ("\x00", "Talos could not read it"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_config_at_all_is_named(text: str, words: str) -> None:
    assert words in findings(text)[0].message


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["version", "machine", "cluster", "kind", "apiVersion", "network", "interfaces",
                 "install", "diskSelector", "ca", "controlPlane", "endpoint", "name"]
            ),
            inner, max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=80) | ANYTHING.map(yaml.safe_dump))
def test_hostile_text_is_a_finding_and_never_an_exception(text: str) -> None:
    for found in findings(text):
        assert found.message


def test_a_large_file_is_judged_whole() -> None:
    labels = "".join(f"    label-{n}: value\n" for n in range(5000))
    text = GOOD.replace("  install:\n", f"  nodeLabels:\n{labels}  install:\n")
    assert findings(text) == []


def test_a_refusal_repeats_no_hash() -> None:
    hashed = "$6$salt$" + "a" * 86
    given = {"users": [{"name": "a", "password_hash": hashed}], "root": {"password_hash": hashed}}
    profile = golden.snapshot(TALOS, HOST, {**PROFILE, **given}).profile
    refused = prepare.unsupported(TALOS.family, profile)
    assert {"users", "root"} <= {found.field for found in refused}
    assert hashed not in repr(refused)
