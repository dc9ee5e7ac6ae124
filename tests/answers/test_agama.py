"""Agama's profile: what the installer would stumble over is found, and what it takes is not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployer.answers.families import INSTALLERS
from deployer.answers.filters import suse_network
from deployer.errors import Finding
from tests import golden
from tests.answers import suse
from tests.answers.strategies import PROFILES, hosts

FILE = "profile.json"
REAL = Path(__file__).parent / "profiles"
HOST = {"macs": ["52:54:00:12:34:56"], "network": {"interfaces": []}, "name": "web01"}
NOTHING: dict[str, Any] = {"profile": {"scripts": {}}, "host": HOST}
MAC = "52:54:00:12:34:56"


def checked(text: str, context: dict[str, Any] = NOTHING) -> list[Finding]:
    family = golden.found("suse").family.at("sles-16.0")
    return INSTALLERS["agama"].check(family.files()[0], text, context)


def ours(example: str = "dhcp", release: str = "sles-16.0", **profile: Any) -> str:
    return suse.ours(FILE, release, example, **profile)


@pytest.fixture(scope="module")
def profiles() -> dict[str, str]:
    return {example: ours(example) for example in ("dhcp", "static", "lvm", "raid1", "encrypted",
                                                   "bond-vlan")}  # fmt: skip


# Example, what is changed in it, to what, what is found, and a word of the line where it is.
BROKEN: list[tuple[str, str, str, str, str]] = [
    # JSON and keys
    ("dhcp", '"hostname":', "hostname:", "it is no JSON", "hostname:"),
    ("dhcp", '"timeout": 3', '"timeout": NaN', "NaN is no JSON", ""),
    ("dhcp", '"timeout": 3', '"timeout": 3, "timeout": 4', "given twice", ""),
    ("dhcp", '"bootloader"', '"bootlaoder"', "Agama 16.0 has no such key", "bootlaoder"),
    ("dhcp", '"timeout": 3', '"updateNvram": false', "Agama 16.0 has no such key", "updateNvram"),
    ("dhcp", '"hostname":', '"ntp": {}, "hostname":', "Agama 16.0 has no such key", "ntp"),
    ("dhcp", '"timeout": 3', '"timeout": "3"', "valid integer", '"3"'),
    ("dhcp", '"timeout": 3', '"stopOnBootMenu": true', "waits for a key", "bootloader"),
    ("dhcp", '"timeout": 3', '"timeout": 3, "stopOnBootMenu": false', "either stopOnBootMenu",
     "bootloader"),
    ("dhcp", '"id": "SLES"', '"idd": "SLES"', "Agama 16.0 has no such key", "idd"),
    ("dhcp", '"id": "SLES"', '"mode": "standard"', "Field required", "product"),
    ("dhcp", '"name": "deployer-agent.sh"', '"name": "a/b"', "should match pattern", "a/b"),
    ("dhcp", '"name": "deployer-agent.sh", ', '"name": "a", "url": "http://x/", ',
     "either content or url", '"a"'),
    # questions
    ("dhcp", '"policy": "auto"', '"policy": "user"', "Agama would ask, and wait", "questions"),
    ("dhcp", '"policy": "auto"', '"policy": "never"', "'auto' or 'user'", "never"),
    ("dhcp", '"root": {"password": "!", "hashedPassword": true}', '"root": {}',
     "so Agama does not begin", '"root"'),
    ("dhcp", '"hashedPassword": true', '"hashedPassword": false', "in the clear", "password"),
    ("dhcp", '"password": "!"', '"password": "hunter2"', "no crypt(3) hash", "hunter2"),
    # disks
    ("dhcp", '"search": {"condition": {"name": "/dev/disk/by-id/deployer-disk-1"}, "max": 1,'
     ' "ifNotFound": "error"},', "", "Agama would take any", "{"),
    ("dhcp",
     '{"condition": {"name": "/dev/disk/by-id/deployer-disk-1"}, "max": 1, "ifNotFound": "error"}',
     '"*"', "Agama would take any", "{"),
    ("dhcp", '"condition": {"name": "/dev/disk/by-id/deployer-disk-1"}, "max": 1, ', "",
     "finds any disk", "search"),
    ("dhcp", '"name": "/dev/disk/by-id/deployer-disk-1"', '"serial": "S3Z9"', "no such key",
     "S3Z9"),
    ("dhcp", '"name": "/dev/disk/by-id/deployer-disk-1"', '"name": "vda"', "a path in /dev", "vda"),
    ("dhcp", '"name": "/dev/disk/by-id/deployer-disk-1"', '"name": "/dev/vda", "size": 5',
     "write one", "condition"),
    ("dhcp", "disk/by-id/deployer-disk", "disk/by-id/our-disk", "", ""),
    ("dhcp", '"type": {"btrfs"', '"type": {"zfs"', "no such key", "zfs"),
    ("dhcp", '"path": "/"', '"path": "root"', "should match pattern", "root"),
    ("dhcp", '"path": "/"', '"path": "/srv"', "nothing is mounted at /", "storage"),
    ("dhcp", '"size": "2048 MiB"', '"size": "2048 megabytes"', "", "megabytes"),
    ("dhcp", '{"search": "*", "delete": true}', '{"delete": true}', "needs a search", "delete"),
    ("dhcp", '{"search": "*", "delete": true}', '{"search": "*", "delete": true, "id": "linux"}',
     "stands without id", "delete"),
    ("dhcp", '"device": "disk1"', '"device": "disk9"', "no device has the alias 'disk9'", "disk9"),
    ("lvm", '"physicalVolumes": ["pv"]', '"physicalVolumes": ["vp"]', "the alias 'vp'", "vp"),
    ("lvm", '"name": "system"', '"name": "sys/tem"', "should match pattern", "sys/tem"),
    ("raid1", '"devices": ["root-1"', '"devices": ["boot-1"', "the alias 'boot-1'", "boot-1"),
    ("raid1", '"alias": "root-2"', '"alias": "root-1"', "is given twice", "root-1"),
    ("raid1", '"level": "raid1"', '"level": "raid-1"', "'raid0'", "raid-1"),
    ("raid1", '"path": "swap"', '"path": "/"', "/ is mounted twice", '"/"'),
    ("raid1", '"alias": "disk2",', '"alias": "disk2", "filesystem": {"type": "xfs"},',
     "or is formatted as a whole", "{"),
    ("encrypted", '"luks2": {"password": "SECRET-VALUE"}', '"luks2": {"password": ""}',
     "at least 1 character", "luks2"),
    ("encrypted", '"luks2": {"password": "SECRET-VALUE"}', "", "write one of luks1", "encryption"),
    # networks
    ("static", '"10.9.0.7/16"', '"10.9.0.777/16"', "IPv4 or IPv6", "10.9.0.777"),
    ("static", '"gateway4": "10.0.0.1"', '"gateway4": "2001:db8::1"', "Expected 4 octets",
     "gateway4"),
    ("static", '"nameservers": ["10.0.0.53"', '"nameservers": ["ns1"', "IPv4 or IPv6", "ns1"),
    ("static", '"dnsSearchlist"', '"dnsSearchList"', "no such key", "dnsSearchList"),
    ("static", '"addresses": ["10.9.0.7/16"],', "", "no address is IPv4", "{"),
    ("static", '"id": "net1"', '"id": "net0"', "the connection 'net0' is given twice", "{"),
    ("bond-vlan", '"mode": "802.3ad"', '"mode": "lacp"', "balance-rr", "lacp"),
    ("bond-vlan", '"ports": ["net0", "net1"]', '"ports": []', "needs its ports", "bond"),
    ("bond-vlan", '"vlan": {"id": 100', '"vlan": {"id": 5000', "less than or equal to 4094",
     "5000"),
    # scripts, software
    ("dhcp", '"content": "#!/bin/bash', '"content": "', "does not begin with #!", "deployer-agent"),
    ("dhcp", "make_it() { (", "make_it() { ((", "unexpected EOF", "deployer-system"),
    ("dhcp", '"packages": [', '"patterns": ["^minimal"], "packages": [', "SUSE has not",
     "patterns"),
    ("dhcp", '"post": [', '"init": [{"name": "a", "content": "#!/bin/sh"}, {"name": "a", "content":'
     ' "#!/bin/sh"}], "post": [', "which it replaces", ""),
]  # fmt: skip


@pytest.mark.parametrize(("example", "old", "new", "words", "where"), BROKEN, ids=lambda x: x[:30])
def test_what_the_installer_would_trip_over_is_found(
    profiles: dict[str, str], example: str, old: str, new: str, words: str, where: str
) -> None:
    text = profiles[example]
    assert old in text
    broken = text.replace(old, new, 1)
    if not words and not where:  # a link that no script of ours makes is a path like any other
        assert checked(broken) == []
        return
    matching = [f for f in checked(broken) if words in f.message]
    assert matching, [f.message for f in checked(broken)]
    assert matching[0].file == FILE and matching[0].remedy
    assert where in broken.split("\n")[(matching[0].line or 0) - 1]


def test_a_link_that_nobody_makes_is_found(profiles: dict[str, str]) -> None:
    given = json.loads(profiles["dhcp"])
    given["scripts"]["pre"] = []
    assert "no pre script makes this link" in checked(json.dumps(given))[0].message


def test_without_a_drive_agama_would_choose(profiles: dict[str, str]) -> None:
    given = json.loads(profiles["dhcp"])
    del given["storage"]
    assert "Agama would choose" in checked(json.dumps(given))[0].message


def test_what_comes_with_a_later_release_has_its_remedy(profiles: dict[str, str]) -> None:
    text = profiles["dhcp"].replace('"hostname":', '"proxy": {"enabled": true}, "hostname":')
    (finding,) = checked(text)
    assert finding.remedy == "set proxy on the kernel line" and finding.field == "proxy"


@pytest.mark.parametrize("text", [
    "", "{}", "[]", "null", "[" * 100_000, '{"a":' * 100_000, "\ud800", "\x00", '{"product": 5}',
    "1e999",
    '{"product": {"id": "x"}, "storage": {"drives": [{"search": []}]}}',
    '{"product": {"id": "\\ud83d"}, "scripts": []}',
])  # fmt: skip
def test_hostile_text_is_a_finding(text: str) -> None:
    assert checked(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = [
    "product",
    "storage",
    "network",
    "scripts",
    "root",
    "user",
    "software",
    "questions",
    "files",
]


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4))
@settings(max_examples=100)
def test_no_value_breaks_the_check(value: dict[str, Any]) -> None:
    assert all(finding.message for finding in checked(json.dumps({**value, "x": 1})))


@given(st.sampled_from(["storage", "network", "scripts", "software", "root"]), JSON)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_part_breaks_the_check(profiles: dict[str, str], name: str, value: Any) -> None:
    given = json.loads(profiles["dhcp"])
    text = json.dumps({**given, name: value, "scripts": {}})
    assert all(finding.message for finding in checked(text))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["storage", "network", "scripts", "software"])
def test_of_a_thousand_faults_some_are_named(profiles: dict[str, str], name: str) -> None:
    given = json.loads(profiles["dhcp"])
    part = {
        "storage": {"drives": [{"search": "*", "alias": "a", "x": 1}] * 3000},
        "network": {"connections": [{"id": "a", "x": 1}] * 3000},
        "scripts": {"pre": [{"name": "a", "content": "("}] * 3000},
        "software": {"packages": [1] * 30_000},
    }[name]
    text = json.dumps({**given, name: part})
    assert 0 < len(checked(text)) <= 200


# --- whole profiles of an operator's own -------------------------------------------------------

CALLS = "\\n".join(f"curl -d {{}} URL/{call}" for call in (
    "installer_started", "installer_finished", "installer_failed", "first_boot"))  # fmt: skip


@pytest.mark.parametrize("file", sorted(REAL.glob("agama-*.json")), ids=lambda f: f.stem)
@pytest.mark.parametrize("release", ["sles-16.0", "leap-16.0"])
def test_a_profile_of_the_operators_own_passes_with_our_calls(file: Path, release: str) -> None:
    content = file.read_text(encoding="utf-8")
    ours_in = content.replace("# CALLS", CALLS.replace("URL", "{{ urls.phone_home }}"))
    assert ours_in != content
    own = {FILE: {"content": ours_in, "template": True}}
    assert "/phone-home/first_boot" in ours(release=release, answer_files=own)


# --- what is asked for is what stands there ----------------------------------------------------


@given(host=hosts(), profile=PROFILES, firmware=st.sampled_from(["bios", "uefi"]))
@settings(max_examples=60)
@pytest.mark.slow
def test_any_description_becomes_a_profile_without_a_finding(
    host: dict[str, Any], profile: dict[str, Any], firmware: Any
) -> None:
    snapshot, text = suse.described(FILE, "sles-16.0", host, profile, firmware)
    given = json.loads(text)
    assert given["hostname"] == {"static": snapshot.host.name.split(".")[0]}
    addresses = [a for c in given["network"]["connections"] for a in c.get("addresses", [])]
    wanted = [a for nic in snapshot.host.network.interfaces for a in nic.addresses]
    assert sorted(addresses) == sorted(wanted)
    assert set(snapshot.profile.packages) <= set(given["software"]["packages"])
    assert given["root"]["password"] == (snapshot.profile.root.password_hash or "!")
    system = given["scripts"]["post"][0]["content"]
    for user in snapshot.profile.users:
        assert f"\n  user {user.name} " in system
        assert all(key.replace("'", "'\"'\"'") in system for key in user.ssh_keys)
        assert user.password_hash is None or user.password_hash in system


def test_no_two_mount_points_share_a_name() -> None:
    mounts = ["/root", "/swap", "/a/b", "/a-b", "/a_b", "/a.b", "/a--b"]
    volumes = [{"mount": mount, "size": "1GiB"} for mount in mounts]
    given = json.loads(ours(storage={"layout": "raid1", "volumes": volumes}))
    names = [raid["name"] for raid in given["storage"]["mdRaids"]]
    assert len(set(names)) == len(names) == len(mounts) + 2  # root and swap


def test_package_sources_are_known_by_their_keys() -> None:
    keyed = {"name": "ours", "url": "http://own.example.org/r", "key": suse.KEY}
    open_one = {"name": "nightly", "url": "http://builds.example.org/today"}
    given = json.loads(ours(repositories=[keyed, open_one]))["software"]["extraRepositories"]
    assert given == [
        {"alias": "ours", "url": keyed["url"], "gpgFingerprints": [suse.FINGERPRINT]},
        {"alias": "nightly", "url": open_one["url"], "allowUnsigned": True},
    ]


def test_nics_have_one_name_on_the_kernel_line_in_the_profile_and_in_the_new_system() -> None:
    files = golden.golden("suse", "static")
    assert "ifname=net1:52:54:00:12:34:57" in files["boot.ipxe"]
    given = json.loads(files[FILE])
    assert [c["interface"] for c in given["network"]["connections"]] == ["net0", "net1"]
    system = given["scripts"]["post"][0]["content"]
    assert "PermanentMACAddress=52:54:00:12:34:57\n\n[Link]\nName=net1\n" in system


@pytest.mark.parametrize(("nic", "argument"), [
    ({"address": None, "netmask": None, "gateway": None, "dns": []}, "ip=net0:dhcp"),
    ({"address": "10.0.0.7", "netmask": "255.255.252.0", "gateway": None, "dns": []},
     "ip=10.0.0.7:::255.255.252.0:web01:net0:none"),
    ({"address": "2001:db8::7/64", "netmask": None, "gateway": "2001:db8::1", "dns": []},
     "ip=[2001:db8::7]::[2001:db8::1]:64:web01:net0:none"),
])  # fmt: skip
def test_dracut_is_told_how_to_reach_us(nic: dict[str, Any], argument: str) -> None:
    assert suse_network.dracut_ip(HOST, MAC, nic) == argument


def test_a_nic_that_is_only_booted_from_has_a_name_too() -> None:
    entry = {"mac": "52:54:00:12:34:57", "bond": None, "vlan": None}
    host = {**HOST, "network": {"interfaces": [entry]}}
    assert suse_network.dracut_ifname(host, MAC, 0) == f"ifname=boot0:{MAC}"
    assert suse_network.dracut_ifname(host, MAC, 1) == "ifname=net0:52:54:00:12:34:57"
    assert suse_network.dracut_ifname(host, MAC, 2) == ""


def test_more_nics_than_can_be_named_are_refused() -> None:
    macs = [f"02:00:00:00:00:{number:02x}" for number in range(9)]
    host = {
        "name": "web01",
        "macs": macs,
        "network": {"interfaces": [{"mac": mac} for mac in macs]},
    }
    found = golden.found("suse")
    snapshot = golden.snapshot(found, host, {"name": "web", "release": "sles-16.0"})
    _, findings = golden.rendered(found, snapshot)
    assert [f.field for f in findings] == ["network.interfaces"]


# --- the agent, in a bash whose surroundings are made up ---------------------------------------

Agent = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    source = json.loads(ours("raid1"))["scripts"]["pre"][0]["content"]
    functions = source.replace("/run/udev", f"{tmp_path}/udev")
    functions = functions.replace("/tmp/deployer", f"{tmp_path}/own")
    fakes = """
udevadm() { echo "udevadm $*" >&3; }
journalctl() { echo "$JOURNAL"; }
systemctl() { ${UNIT_FAILED:-false}; }
"""
    return partial(suse.run_agent, functions, fakes)


def test_the_links_that_the_profile_names_are_made(agent: Agent, tmp_path: Path) -> None:
    done = agent('readlink() { echo "/dev/sd${2: -1}"; }\nhand_over /dev/sd1 /dev/sd2')
    assert done.returncode == 0, done.stderr + done.stdout
    assert (tmp_path / "udev/rules.d/99-deployer.rules").read_text().splitlines() == [
        'KERNEL=="sd1", SYMLINK+="disk/by-id/deployer-disk-1"',
        'KERNEL=="sd2", SYMLINK+="disk/by-id/deployer-disk-2"',
    ]
    assert "udevadm settle" in done.stdout


def test_a_link_that_does_not_come_up_ends_it(agent: Agent) -> None:
    done = agent('readlink() { echo "$2"; }\nhand_over /dev/sda /dev/sdb')
    assert "deployer-disk-1 does not become /dev/sda" in done.stdout and "RESTART" in done.stdout


@pytest.mark.parametrize(("set_up", "words"), [
    ("JOURNAL='all is well'", None),
    ("JOURNAL='Skipping the auto-installation'", "Agama refuses the profile"),
    ("UNIT_FAILED=true", "unattended installation has failed"),
    ("""agama() { echo '[{"text": "Which disk?"}]'; }""", "Agama asks and waits"),
    ("agama() { echo '[]'; }", None),
    ("""agama() { echo "[{\\"text\\": \\"Question $RANDOM\\"}]"; }""", None),
])  # fmt: skip
def test_what_stops_agama_is_told(agent: Agent, set_up: str, words: str | None) -> None:
    done = agent(f"{set_up}\nfor i in {{1..12}}; do look_for_failure; done")
    assert ("CALL installer_failed" in done.stdout) == (words is not None), done.stdout
    assert (words or "") in done.stdout
