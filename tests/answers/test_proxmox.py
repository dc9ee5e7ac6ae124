"""Proxmox: what its installer would refuse, and that what we write says what was asked for."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployer.answers import prepare
from deployer.answers.filters import proxmox_words
from deployer.answers.installers import proxmox
from deployer.core.profiles import Storage
from deployer.errors import Finding, Invalid
from tests import golden
from tests.answers import strategies

FOUND = golden.found("proxmox")
HASH = golden.HASH
MAC, SECOND = "52:54:00:12:34:56", "52:54:00:12:34:57"
HOST: dict[str, Any] = {"name": "pve01.example.org", "macs": [MAC, SECOND]}
FILES = {file.path: file for file in FOUND.family.answers}
SERIAL = {"disk": {"serial": "S3Z9NB0K"}}


def context_of(release: str, iso: str | None = None) -> Any:
    spec = {"name": "pve", "release": release}
    context = golden.context_of(golden.snapshot(FOUND, HOST, spec))
    return {**context, "image": {**context["image"], **({"release": iso} if iso else {})}}


def check(text: str, release: str = "9", iso: str | None = None) -> list[Finding]:
    return proxmox.INSTALLER.check(FILES["answer.toml"], text, context_of(release, iso))


def rendered(release: str = "9", host: dict[str, Any] | None = None, **profile: Any) -> Any:
    spec = {"name": "pve", "release": release, **profile}
    snapshot = golden.snapshot(FOUND, {**HOST, **(host or {})}, spec)
    assert prepare.unsupported(FOUND.family, snapshot.profile, snapshot.host) == []
    files, findings = golden.rendered(FOUND, snapshot)
    assert findings == []
    return {**files, "answer": tomllib.loads(files["answer.toml"])}


# --- whole files of other hands ----------------------------------------------------------------

CALLS = """
[post-installation-webhook]
url = "http://10.0.0.5:8081/d/t/phone-home/installer_finished"

[first-boot]
source = "from-url"
url = "http://10.0.0.5:8081/d/t/answers/first-boot.sh"
"""
# A home server, as 8.3's own wiki writes it.
HOME = f"""\
[global]
keyboard = "de"
country = "at"
fqdn = "pveauto.testinstall"
mailto = "mail@no.invalid"
timezone = "Europe/Vienna"
root_password_hashed = "{HASH}"
root_ssh_keys = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy0c2y6s7k5p1gk0wU"
]

[network]
source = "from-dhcp"

[disk-setup]
filesystem = "zfs"
zfs.raid = "raid1"
disk_list = ["sda", "sdb"]
{CALLS}"""
# A node of a cluster, 9.
NODE = f"""\
[global]
keyboard = "en-us"
country = "us"
fqdn = "node1.cluster.example.org"
mailto = "ops@example.org"
timezone = "UTC"
root-password-hashed = "{HASH}"
reboot-mode = "power-off"

[network]
source = "from-answer"
cidr = "10.10.10.10/24"
dns = "10.10.10.1"
gateway = "10.10.10.1"
filter.ID_NET_NAME_MAC = "*525400123456"

[disk-setup]
filesystem = "xfs"
filter.ID_SERIAL = "*S3Z9NB0K"

[disk-setup.lvm]
hdsize = 100.0
swapsize = 8
maxroot = 40
maxvz = 0
{CALLS}"""


@pytest.mark.parametrize(
    ("text", "release", "iso"),
    [(HOME, "8", None), (HOME, "8", "8.4"), (HOME, "9", None), (NODE, "9", None),
     (NODE, "9", "9.2"), (NODE, "8", "8.4")],
)  # fmt: skip
def test_a_file_of_another_hand_passes(text: str, release: str, iso: str | None) -> None:
    assert check(text, release, iso) == []


def test_it_passes_as_an_answer_file_of_a_profile() -> None:
    spec = {"name": "pve", "answer_files": {"answer.toml": {"content": NODE}}}
    files, findings = golden.rendered(FOUND, golden.snapshot(FOUND, HOST, spec))
    assert findings == [] and files["answer.toml"] == NODE


# --- broken files ------------------------------------------------------------------------------

BROKEN: list[tuple[str, str, int | None, str]] = [
    ('keyboard = "en-us"', 'keyboard = "us"', 2, "Input should be 'de', 'de-ch'"),
    ('keyboard = "en-us"', "keyboard = en-us", 2, "no TOML"),
    ('keyboard = "en-us"', 'keyboard = "en-us"\nkeyboard = "de"', 3, "no TOML"),
    ('country = "us"', 'country = "USA"', 3, "should match pattern"),
    ("node1.cluster.example.org", "node1", 4, "needs a domain part"),
    ("node1.cluster.example.org", "no_de.example.org", 4, "must be a host name"),
    ("node1.cluster.example.org", "10.1", 4, "must not be a number"),
    ("ops@example.org", "ops", 5, "no mail address"),
    ('"UTC"', '"Etc/UTC"', 6, "its list has no Etc/"),
    ('"UTC"', '"CET"', 6, "a place such as"),
    (f'root-password-hashed = "{HASH}"', "", 1, "root must have a password"),
    (f'root-password-hashed = "{HASH}"', 'root-password = "12345678"', 1, "in the clear"),
    (HASH, "12345678", 7, "no crypt(3) hash"),
    ("reboot-mode", "reboot-modus", 8, "there is no such name"),
    ('"power-off"', '"halt"', 8, "Input should be 'reboot' or 'power-off'"),
    ('reboot-mode = "power-off"', "reboot-on-error = true", 8, "hide the error"),
    ('reboot-mode = "power-off"', 'reboot-on-error = "no"', 8, "valid boolean"),
    ('"from-answer"', '"from-dhcp"', 10, "there must be no cidr"),
    ('"from-answer"', '"static"', 11, "Input should be 'from-dhcp' or 'from-answer'"),
    ('dns = "10.10.10.1"', "", 10, "needs dns"),
    ("10.10.10.10/24", "10.10.10.10", 10, "needs its prefix length"),
    ("10.10.10.10/24", "10.10.10.0/24", 10, "is the network itself"),
    ("10.10.10.10/24", "10.10.10.10/33", 10, "is no address"),
    ('gateway = "10.10.10.1"', 'gateway = "10.0.0.1"', 10, "is not in 10.10.10.0/24"),
    ('dns = "10.10.10.1"', 'dns = "ns.example.org"', 10, "is no address"),
    ('filter.ID_NET_NAME_MAC = "*525400123456"', "", 10, "needs filter"),
    ('filter.ID_NET_NAME_MAC = "*525400123456"',
     'filter.ID_NET_NAME_MAC = "*525400123456"\nfilter.ID_BUS = "pci"', 10, "one key for the NIC"),
    ("*525400123456", "*", 10, "fits every device"),
    ('"xfs"', '"ntfs"', 18, "Input should be 'ext4'"),
    ('"*S3Z9NB0K"', '"*"', 17, "fits every device"),
    ('filter.ID_SERIAL = "*S3Z9NB0K"',
     'filter.ID_SERIAL = "*S3Z9NB0K"\nfilter.ID_WWN = "0x5*"', 17, "one key for the disk"),
    ('filter.ID_SERIAL = "*S3Z9NB0K"', "", 17, "either disk-list or filter"),
    ('filter.ID_SERIAL = "*S3Z9NB0K"',
     'filter.ID_SERIAL = "*S3Z9NB0K"\ndisk-list = ["sda"]', 17, "and not both"),
    ('filter.ID_SERIAL = "*S3Z9NB0K"', 'disk-list = ["sda", "sdb"]', 17, "goes on one disk"),
    ('filter.ID_SERIAL = "*S3Z9NB0K"', 'disk-list = ["a"]', 17, "no name such as sda"),
    ('"xfs"', '"zfs"', 17, "lvm does not go with filesystem zfs"),
    ("swapsize = 8", "swapsize = 100", 21, "smaller than hdsize"),
    ("swapsize = 8", 'swapsize = "8G"', 23, "valid number"),
    ("maxvz = 0", "maxvm = 0", 25, "there is no such name"),
    ("maxvz = 0", "maxvz = -1", 25, "greater than or equal to 0"),
    ('url = "http://10.0.0.5:8081/d/t/phone-home/installer_finished"', "", 27, "it is missing"),
    ('url = "http://10.0.0.5:8081/d/t/answers/first-boot.sh"', "", 30, "from-url needs url"),
    ('"http://10.0.0.5:8081/d/t/answers', '"tftp://10.0.0.5/d/t/answers', 32, "must be a URL"),
    ("[first-boot]", "[second-boot]", 30, "there is no such name"),
    ("[first-boot]", "[second-boot]", None, "that the new system runs"),
    ("[post-installation-webhook]", "[post-hook]", None, "that the installation is done"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "words"), BROKEN, ids=lambda v: str(v)[:40])
def test_what_the_installer_would_refuse_is_found(
    old: str, new: str, line: int | None, words: str
) -> None:
    assert old in NODE
    found = check(NODE.replace(old, new, 1))
    matching = [f for f in found if words in f.message]
    assert matching, [f.message for f in found]
    assert line in [f.line for f in matching]
    assert matching[0].file == "answer.toml" and matching[0].remedy


ARRAYS: list[tuple[str, str, str]] = [
    ('["sda", "sdb"]', '["sda"]', "raid1 needs 2 disks"),
    ('["sda", "sdb"]', '["sda", "sda"]', "names one disk twice"),
    ('"raid1"', '"raid10"', "raid10 needs 4 disks"),
    ('"raid1"\ndisk_list = ["sda", "sdb"]', '"raid10"\ndisk_list = ["sda", "sdb", "sdc", "sdd",'
     ' "sde"]', "an even number"),
    ('"raid1"', '"raidz-3"', "raidz-3 needs 5 disks"),
    ('"raid1"', '"mirror"', "Input should be 'raid0'"),
    ('zfs.raid = "raid1"\n', "", "zfs.raid is not set"),
    ('zfs.raid = "raid1"', "zfs.copies = 2", "it is missing"),
    ('"zfs"\nzfs.raid', '"btrfs"\nzfs.raid', "zfs does not go with filesystem btrfs"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words"), ARRAYS, ids=lambda v: str(v)[:30])
def test_an_array_has_the_disks_that_it_needs(old: str, new: str, words: str) -> None:
    assert old in HOME
    assert any(words in f.message for f in check(HOME.replace(old, new, 1)))


def test_pinned_names_are_known_from_9_1_on() -> None:
    pins = NODE.replace(
        "[disk-setup]\n",
        "[network.interface-name-pinning]\nenabled = true\n"
        'mapping."52:54:00:12:34:56" = "mgmt0"\n\n[disk-setup]\n',
    )
    assert check(pins, "9", "9.1") == []
    assert "known from 9.1 on" in check(pins, "9", "9.0")[0].message
    for old, new, words in [
        ("52:54:00:12:34:56\" =", '52:54:00:AB:34:56" =', "must be in lower case"),
        ('"mgmt0"', '"a-name-too-long-for-linux"', "2 to 15 letters"),
        ('= "mgmt0"', '= "mgmt0"\nmapping."52:54:00:12:34:57" = "mgmt0"', "one name"),
    ]:  # fmt: skip
        assert words in check(pins.replace(old, new, 1), "9", "9.1")[0].message


# --- by release --------------------------------------------------------------------------------


def test_8_3_knows_no_dashes_where_8_4_knows_both() -> None:
    dashed = HOME.replace("root_password_hashed", "root-password-hashed")
    (found,) = check(dashed, "8")
    assert "8.3 knows it as root_password_hashed alone" in found.message and found.line == 7
    assert check(dashed, "8", "8.4") == [] and check(dashed, "9") == []
    both = HOME.replace("disk_list =", 'disk-list = ["sda", "sdb"]\ndisk_list =')
    assert any("written twice" in f.message for f in check(both, "8", "8.4"))


def test_what_an_iso_does_not_know_yet_is_named() -> None:
    assert "known from 8.4 on" in check(NODE, "8")[0].message + check(NODE, "8")[-1].message
    key = NODE.replace("reboot-mode =", 'subscription-key = "pve2c-1234567890"\nreboot-mode =')
    assert "known from 9.2 on" in check(key, "9", "9.1")[0].message
    assert check(key, "9", "9.2") == []


def test_each_release_is_written_in_its_own_spelling() -> None:
    older, newer = (rendered(r, root={"password_hash": HASH})["answer"] for r in ("8", "9"))
    assert (
        older["global"]["root_password_hashed"] == newer["global"]["root-password-hashed"] == HASH
    )
    assert "reboot-mode" not in older["global"] and newer["global"]["reboot-mode"] == "reboot"
    for release, suite in (("8", "bookworm"), ("9", "trixie")):
        assert (
            f"Suites: {suite}\nComponents: pve-no-subscription"
            in rendered(release)["first-boot.sh"]
        )


# --- TOML --------------------------------------------------------------------------------------

TABLES = ["global", "network", "disk-setup", "first-boot", "x"]
TREES = st.recursive(
    st.text(max_size=20) | st.booleans() | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@pytest.mark.slow
@given(TREES)
def test_a_value_is_read_back_as_it_was_written(value: Any) -> None:
    assert tomllib.loads(f"x = {proxmox.INSTALLER.filters['toml'](value)}\n") == {"x": value}


def test_toml_has_no_value_for_nothing() -> None:
    for value in (None, "\ud800"):
        with pytest.raises(ValueError, match=r"leave the line out|surrogate"):
            proxmox.INSTALLER.filters["toml"](value)


@given(text=st.text(max_size=300) | st.text("[]=.\"'\n globadisk-setupnwrk_{},1", max_size=300))
@settings(max_examples=100, deadline=None)
def test_hostile_text_is_a_finding_and_never_an_exception(text: str) -> None:
    assert check(text)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(TABLES), TREES))
@settings(max_examples=100, deadline=None)
def test_hostile_tables_are_a_finding_and_never_an_exception(tables: dict[str, Any]) -> None:
    toml = proxmox.INSTALLER.filters["toml"]
    text = "".join(f"{toml(name)} = {toml(value)}\n" for name, value in tables.items())
    assert check(text)


@pytest.mark.parametrize("text", ["[" * 50_000, "a.b = 1\n" * 5_000, '"' * 90_000])
def test_large_hostile_text_has_few_findings(text: str) -> None:
    assert 0 < len(check(text)) <= 200


# --- disks -------------------------------------------------------------------------------------


def chosen(layout: str, **rule: Any) -> Any:
    storage = Storage.model_validate({"layout": layout, "disk": rule})
    return proxmox_words.disks(storage.model_dump(mode="json"))


def test_a_disk_is_found_by_one_property() -> None:
    assert chosen("lvm", serial="S3Z9 NB0K")["filter"] == {"ID_SERIAL": "*S3Z9_NB0K*"}
    assert chosen("plain", wwn="0x5000c500a1b2c3d4")["filter"] == {"ID_WWN": "0x5000c500a1b2c3d4"}
    assert chosen("plain", path="/dev/nvme0n1") == {"list": ["nvme0n1"], "filter": {}}
    assert chosen("raid1", wwn=["0x5000c500a1b2c3d4", "0x5000c500a1b2c3d5"])["filter"] == {
        "ID_WWN": "0x5000c500a1b2c3d4", "DEVLINKS": "*0x5000c500a1b2c3d5*",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("layout", "rule", "words"),
    [
        ("lvm", {}, "neither serial nor wwn"),
        ("lvm", {"serial": "S3Z9NB0K", "wwn": "0x5000c500a1b2c3d4"}, "it has serial and wwn"),
        ("lvm", {"serial": ["S3Z9NB0K", "S3Z9NB1K"]}, "name exactly 1"),
        ("raid1", {"serial": ["S3Z9NB0K", "S3Z9NB1K", "S3Z9NB2K"]}, "name exactly 2"),
        ("lvm", {"serial": "*"}, "by a glob"),
        ("lvm", {"serial": "S3[0-9]"}, "by a glob"),
        ("lvm", {"serial": "S3"}, "by a glob"),
        ("lvm", {"path": "/dev/disk/by-id/ata-x"}, "no device such as /dev/sda"),
    ],
    ids=str,
)
def test_a_rule_that_it_has_no_words_for_is_refused_by_name(
    layout: str, rule: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        chosen(layout, **rule)
    assert "storage.disk" in str(refusal.value)


def test_the_refusal_is_a_finding_before_a_machine_is_touched() -> None:
    spec = {"name": "pve", "storage": {"disk": {"wwn": "a*b*c"}}}
    with pytest.raises(Invalid, match=r"storage\.disk\.wwn") as refusal:
        golden.rendered(FOUND, golden.snapshot(FOUND, HOST, spec))
    assert refusal.value.findings[0].file == "answer.toml.j2"
    mirror = {"layout": "raid1", "swap": "4GiB", "disk": {"serial": ["S3Z9NB0K", "S3Z9NB1K"]}}
    with pytest.raises(Invalid, match=r"storage\.swap"):
        golden.rendered(FOUND, golden.snapshot(FOUND, HOST, {"name": "pve", "storage": mirror}))


def test_swap_is_told_in_gib() -> None:
    answer = rendered(storage={"layout": "lvm", "swap": "1536MiB", **SERIAL})["answer"]
    assert answer["disk-setup"]["lvm"] == {"swapsize": 1.5}


# --- network -----------------------------------------------------------------------------------


def test_one_address_is_the_installers_to_set() -> None:
    nic = {"addresses": ["10.0.0.7/24"], "gateway": "10.0.0.1", "dns": ["10.0.0.53"]}
    files = rendered(host={"network": {"interfaces": [nic]}})
    assert files["answer"]["network"] == {
        "source": "from-answer", "cidr": "10.0.0.7/24", "dns": "10.0.0.53", "gateway": "10.0.0.1",
        "filter": {"ID_NET_NAME_MAC": "*525400123456"},
    }  # fmt: skip
    assert "/etc/network/interfaces" not in files["first-boot.sh"]


FAKE_NICS = {MAC: "eno1", SECOND: "eno2"}


def interfaces(tmp_path: Path, files: dict[str, str]) -> str:
    """What the first boot writes, run in a folder that stands for the new system."""
    script = files["first-boot.sh"]
    start = script.index("network() {")
    body = script[start : script.index("step network network")].replace(
        " /etc/", f" {tmp_path}/etc/"
    )
    helpers = script[script.index("write() {") : script.index("user() {")]
    cases = "".join(f"{mac}) echo {name};;" for mac, name in FAKE_NICS.items())
    nic = f"nic() {{ case $1 in {cases} *) return 1;; esac; }}\nifreload() {{ :; }}\n"
    subprocess.run(["bash", "-euc", f"{helpers}{nic}{body}network"], check=True)
    return (tmp_path / "etc/network/interfaces").read_text()


def test_a_bridge_on_a_bond_and_a_tagged_network(tmp_path: Path) -> None:
    nics = [
        {"name": "bond0", "bond": {"members": [MAC, SECOND], "mode": "active-backup"}, "mtu": 9000,
         "addresses": ["10.0.0.7/24", "2001:db8::7/64"], "gateway": "10.0.0.1"},
        {"name": "storage", "vlan": {"id": 100, "link": "bond0"}, "addresses": ["10.1.0.7/24"]},
    ]  # fmt: skip
    assert (
        interfaces(tmp_path, rendered(host={"network": {"interfaces": nics}}))
        == """\
auto lo
iface lo inet loopback

iface eno1 inet manual

iface eno2 inet manual

auto bond0
iface bond0 inet manual
    bond-slaves eno1 eno2
    bond-mode active-backup
    bond-miimon 100
    mtu 9000

auto vmbr0
iface vmbr0 inet static
    address 10.0.0.7/24
    gateway 10.0.0.1
    mtu 9000
    bridge-ports bond0
    bridge-stp off
    bridge-fd 0

iface vmbr0 inet6 static
    address 2001:db8::7/64

auto storage
iface storage inet static
    address 10.1.0.7/24
    vlan-raw-device bond0
    vlan-id 100
"""
    )
    assert "10.0.0.7 pve01.example.org pve01" in (tmp_path / "etc/hosts").read_text()


def test_a_second_nic_has_its_own_address(tmp_path: Path) -> None:
    nics = [{"mac": MAC, "dhcp": True}, {"mac": SECOND, "addresses": ["10.9.0.7/16"], "mtu": 9000}]
    assert (
        interfaces(tmp_path, rendered(host={"network": {"interfaces": nics}}))
        == """\
auto lo
iface lo inet loopback

iface eno1 inet manual

auto vmbr0
iface vmbr0 inet dhcp
    bridge-ports eno1
    bridge-stp off
    bridge-fd 0

auto eno2
iface eno2 inet static
    address 10.9.0.7/16
    mtu 9000
"""
    )


# --- what was asked for arrives ----------------------------------------------------------------

NOT_HERE = ("kernel_args", "vars", "scripts")


@pytest.mark.slow
@given(
    host=strategies.hosts(), profile=strategies.PROFILES, release=st.sampled_from(["8", "9"]),
    script=strategies.BLOCKS,
)  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_was_asked_for_arrives(host: Any, profile: Any, release: str, script: str) -> None:
    profile = {name: value for name, value in profile.items() if name not in NOT_HERE}
    profile |= {"release": release, "storage": {**profile.get("storage", {}), **SERIAL}}
    snapshot = golden.snapshot(FOUND, host, {**profile, "scripts": {"first_boot": script}})
    assert prepare.unsupported(FOUND.family, snapshot.profile, snapshot.host) == []
    files, findings = golden.rendered(FOUND, snapshot)
    assert [f for f in findings if f.field != "scripts.first_boot"] == []
    answer, spec = tomllib.loads(files["answer.toml"]), snapshot.profile
    sign = "_" if release == "8" else "-"
    assert answer["global"]["fqdn"].split(".")[0] == snapshot.host.name.split(".")[0]
    assert answer["global"].get(f"root{sign}ssh{sign}keys", []) == spec.root.ssh_keys
    if spec.root.password_hash:
        assert answer["global"][f"root{sign}password{sign}hashed"] == spec.root.password_hash
    assert answer["disk-setup"]["filter"] == {"ID_SERIAL": "*S3Z9NB0K*"}
    given_addresses = [a for i in snapshot.host.network.interfaces for a in i.addresses]
    assert all(address in "\n".join(files.values()) for address in given_addresses)
    for user in spec.users:
        assert f"user {user.name} " in files["first-boot.sh"]
    assert list(answer) == [
        "global", "network", "disk-setup", "post-installation-webhook", "first-boot",
    ]  # fmt: skip
