"""AutoYaST's profile: what the installer would stumble over is found, and what it takes is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployer.answers import prepare
from deployer.answers.families import INSTALLERS
from deployer.answers.filters import openpgp, suse_network
from deployer.answers.grammars.autoyast_profile import elements
from deployer.answers.render import environment
from deployer.errors import Finding
from tests import golden
from tests.answers import suse
from tests.answers.strategies import PROFILES, hosts

FILE = "autoinst.xml"
REAL = Path(__file__).parent / "profiles"
Y = "{http://www.suse.com/1.0/yast2ns}"
NOTHING: dict[str, Any] = {"profile": {"scripts": {}}}


def checked(text: str, context: dict[str, Any] = NOTHING) -> list[Finding]:
    family = golden.found("suse").family.at("sles-15-sp7")
    return INSTALLERS["autoyast"].check(family.files()[0], text, context)


def ours(example: str = "dhcp", release: str = "sles-15-sp7", **profile: Any) -> str:
    return suse.ours(FILE, release, example, **profile)


@pytest.fixture(scope="module")
def profiles() -> dict[str, str]:
    examples = ("dhcp", "static", "lvm", "raid1", "encrypted", "bond-vlan", "accounts")
    return {example: ours(example) for example in examples}


# Example, what is changed in it, to what, what is found, and a word of the line where it is.
BROKEN: list[tuple[str, str, str, str, str]] = [
    # XML
    ("dhcp", "</general>", "</genera>", "it is no XML", "</genera>"),
    ("dhcp", "<profile xmlns", "<!DOCTYPE profile>\n<profile xmlns", "DOCTYPE", "DOCTYPE"),
    ("dhcp", "<profile xmlns", '<!DOCTYPE profile [<!ENTITY a "b">]>\n<profile xmlns', "DOCTYPE",
     "DOCTYPE"),
    ("dhcp", "<hwclock>UTC<", "<hwclock>&utc;<", "it is no XML: undefined entity", "&utc;"),
    ("dhcp", 'xmlns="http://www.suse.com/1.0/yast2ns"', 'xmlns="urn:x"', "another namespace",
     "<profile"),
    ("dhcp", 'xmlns="http://www.suse.com/1.0/yast2ns" ', "", "needs xmlns", "<profile"),
    # elements and types
    ("dhcp", "<bootloader>", "<bootloder/>\n  <bootloader>", "knows no <bootloder>",
     "<bootloder/>"),
    ("dhcp", "<append>quiet", "<append2>x</append2>\n<append>quiet",
     "knows no <append2> in <global>",
     "<append2>"),
    ("dhcp", '<confirm t="boolean">', "<confirm>", 'needs t="boolean"', "<confirm>"),
    ("dhcp", '<confirm t="boolean">', '<confirm type="boolean" t="boolean">', "its type twice",
     "<confirm"),
    ("dhcp", '<confirm t="boolean">', '<confirm t="boolean" why="x">', "the attribute 'why'",
     "<confirm"),
    ("dhcp", '<forceboot t="boolean">true', '<forceboot t="boolean">yes',
     "true or false, not 'yes'",
     "<forceboot"),
    ("dhcp", '<timeout t="integer">3<', '<timeout t="integer">three<', "is a number", ">three<"),
    ("dhcp", '<filesystem t="symbol">btrfs', '<filesystem t="symbol">zfs', "not 'zfs'", "zfs"),
    ("dhcp", '<filesystem t="symbol">btrfs', '<filesystem t="symbol">', "is empty", 'symbol"><'),
    ("dhcp", '<filesystem t="symbol">btrfs', "<filesystem>btrfs", 'needs t="symbol"',
     "<filesystem>b"),
    ("dhcp", '<partitioning t="list">', "<partitioning>", 'needs t="list"', "<partitioning>"),
    ("dhcp", '<partitioning t="list">', '<partitioning t="map">', 't="list", not', "<partitioning"),
    ("dhcp", "<drive>", "<disk/>\n<drive>", "<disk> is no entry of <partitioning>", "<disk/>"),
    ("dhcp", "<hwclock>UTC<", "<hwclock>utc<", "not 'utc'",
     "utc"),
    ("dhcp", "<hwclock>UTC<", "<hwclock><a/></hwclock>\n<hwclock>UTC<", "holds a value", "<a/>"),
    ("dhcp", "<hwclock>UTC</hwclock>", "<hwclock>UTC</hwclock>\n<hwclock>UTC</hwclock>",
     "already, and YaST keeps one", "<hwclock>"),
    ("dhcp", "<timezone>\n    <hw", "<timezone>\n    text\n    <hw", "this text is none",
     "<timezone>"),
    ("dhcp", '<packages t="list">', '<packages t="list">curl', "this text is no entry",
     "<packages"),
    ("dhcp", "<bootloader>", '<mail><x t="what">1</x></mail>\n<bootloader>', "of type 'what'",
     "<mail>"),
    ("dhcp", "<bootloader>", "<mail><x>a<y/></x></mail>\n<bootloader>", "both text and elements",
     "<mail>"),
    # questions
    ("dhcp", '<confirm t="boolean">false', '<confirm t="boolean">true', "wait for a yes",
     "<confirm"),
    ("dhcp", '      <confirm t="boolean">false</confirm>\n', "", "wait for a yes", "<mode>"),
    ("dhcp", "<forceboot", '<confirm_base_product_license t="boolean">true'
     "</confirm_base_product_license>\n<forceboot", "ask for the licence", "<confirm_base"),
    ("dhcp", "<forceboot", '<halt t="boolean">true</halt>\n<forceboot', "switch itself off",
     "<halt"),
    ("dhcp", 'final_reboot t="boolean">false</final_reboot>\n      <final_halt t="boolean">false',
     'final_reboot t="boolean">true</final_reboot>\n      <final_halt t="boolean">true',
     "choose one",
     "<final_halt"),
    ("dhcp", "<signature-handling>", '<semi-automatic t="list"><module>networking</module>'
     "</semi-automatic>\n<signature-handling>", "shows dialogues", "<semi-automatic"),
    ("dhcp", '<errors><show t="boolean">true</show><timeout t="integer">60',
     '<errors><show t="boolean">true</show><timeout t="integer">0', "would wait for ever",
     "<errors"),
    ("dhcp", "<report>", "<!-- <report>", "it is no XML", "--"),
    ("dhcp", '<ask_on_error t="boolean">false', '<ask_on_error t="boolean">true', "would ask",
     "<ask_on_error"),
    # accounts
    ("dhcp", '<encrypted t="boolean">true', '<encrypted t="boolean">false', "in the clear",
     "<user_password>"),
    ("dhcp", "<user_password>!<", "<user_password>hunter2<", "no crypt(3) hash", "<user_password>"),
    ("dhcp", "<username>root<", "<username>toor<", "there is no <user> root", "<users"),
    ("accounts", "<username>guest<", "<username>ops<", "the user 'ops' stands in line", "<user>"),
    # disks
    ("dhcp", "<device>/dev/disk/by-id/deployer-disk-1</device>\n", "\n", "would take any disk",
     "<drive>"),
    ("dhcp", "/tmp/profile/modified.xml", "/tmp/modified.xml", "no pre-script writes", "<device>"),
    ("dhcp", "<device>/dev/disk/by-id/deployer-disk-1", "<device>sda", "a path in /dev",
     "<device>"),
    ("dhcp", "<use>all", "<use>everything", "<use> is all", "<use>"),
    ("dhcp", "<disklabel>gpt", "<disklabel>mbr", "gpt, msdos, none, not 'mbr'", "mbr"),
    ("dhcp", "<size>512M", "<size>512 megabytes", "<size> is such as", "<size>"),
    ("dhcp", "<mount>/<", "<mount>root<", "is an absolute path", "<mount>"),
    ("dhcp", "<mount>/<", "<mount>/srv<", "no partition is mounted at /", "<drive>"),
    ("dhcp", "<mount>/boot/efi<", "<mount>/<", "/ is mounted in line", "<partition>"),
    ("lvm", "<lvm_group>system<", "<lvm_group>vg0<",
     "no <drive> of type CT_LVM has the device /dev/vg0",
     "<partition>"),
    ("lvm", "<device>/dev/system<", "<device>/dev/vg0<",
     "no partition has the <lvm_group> of /dev/vg0",
     "<drive>"),
    ("lvm", "<lv_name>root<", "<lv_name>-root<", "the name of a logical volume", "<lv_name>"),
    ("raid1", "<raid_type>raid1<", "<raid_type>mirror<", "not 'mirror'", "<raid_type>"),
    ("raid1", "<device>/dev/md/1<", "<device>/dev/md/7<", "has the device /dev/md/1",
     "<partition>"),
    ("encrypted", "<crypt_key>SECRET-VALUE</crypt_key>", "", "needs its <crypt_key>",
     "<partition>"),
    ("encrypted", '"symbol">luks2', '"symbol">luks9', "not 'luks9'", "luks9"),
    ("encrypted", "<crypt_key>", '<crypt_fs t="boolean">true</crypt_fs><crypt_key>', "the old word",
     "<crypt_fs"),
    # networks
    ("static", "<ipaddr>10.0.0.7", "<ipaddr>10.0.0.777", "<ipaddr> is an address", "<ipaddr>"),
    ("static", "<prefixlen>24", "<prefixlen>42", "is none of 10.0.0.7", "<prefixlen>"),
    ("static", "<ipaddr>10.9.0.7</ipaddr>", "", "there is no <ipaddr>", "<interface>"),
    ("static", "<bootproto>static", "<bootproto>fixed", "not 'fixed'", "fixed"),
    ("static", "<gateway>10.0.0.1", "<gateway>router", "<gateway> is an address", "<gateway>"),
    ("static", "<nameserver>10.0.0.53", "<nameserver>ns1", "<nameserver> is an address", "ns1"),
    ("static", "<value>52:54:00:12:34:57", "<value>52-54-00", "<value> is a MAC", "<value>"),
    ("static", "<name>net1</name>\n        <start", "<name>net0</name>\n        <start",
     "the interface 'net0' stands", "<interface>"),
    ("static", "<name>net1</name>\n        <start", "<start", "<interface> needs a <name>",
     "<interface>"),
    ("bond-vlan", "<vlan_id>100", "<vlan_id>5000", "from 1 to 4094", "<vlan_id>"),
    ("bond-vlan", "<etherdevice>bond0</etherdevice>", "", "needs its <etherdevice>", "<interface>"),
    ("bond-vlan", "<bonding_slave0>net0</bonding_slave0>", "", "needs its <bonding_slave0>",
     "<interface>"),
    # scripts, software
    ("dhcp", "<filename>deployer-system.sh", "<filename>deployer-agent.sh",
     "already, which it replaces",
     "<script>"),
    ("dhcp", "<filename>deployer-system.sh", "<filename>../x", "a name, not a path", "<filename>"),
    ("dhcp", '<feedback t="boolean">false', '<feedback t="boolean">true', "would be shown",
     "<feedback"),
    ("dhcp", "<filename>deployer-system.sh", "<location>http://x/</location><filename>x",
     "either <source> or <location>", "<script>"),
    ("dhcp", "<chroot-scripts", '<post-scripts t="list"><script><source>a</source></script>'
     "</post-scripts>\n<chroot-scripts", "so no post-script runs", "<post-scripts"),
    ("dhcp", "make_it() { (", "make_it() { ((", "unexpected EOF", ""),
    ("dhcp", "<pattern>base", "<pattern>^minimal", "SUSE has not", "^minimal"),
]  # fmt: skip


EVERYWHERE = {"/tmp/profile/modified.xml"}


@pytest.mark.parametrize(("example", "old", "new", "words", "where"), BROKEN, ids=lambda x: x[:30])
def test_what_the_installer_would_trip_over_is_found(
    profiles: dict[str, str], example: str, old: str, new: str, words: str, where: str
) -> None:
    text = profiles[example]
    assert old in text
    broken = text.replace(old, new) if old in EVERYWHERE else text.replace(old, new, 1)
    matching = [f for f in checked(broken) if words in f.message]
    assert matching, [f.message for f in checked(broken)]
    assert matching[0].file == FILE and matching[0].remedy
    assert where in broken.split("\n")[(matching[0].line or 0) - 1]


def test_a_shell_error_has_the_line_in_the_file(profiles: dict[str, str]) -> None:
    broken = profiles["dhcp"].replace(
        "  systemctl enable sshd", "  if then\n  systemctl enable sshd"
    )
    (finding,) = [f for f in checked(broken) if "syntax error" in f.message]
    assert broken.split("\n")[(finding.line or 0) - 1] == "  if then"


def test_a_report_without_a_timeout_waits_for_ever(profiles: dict[str, str]) -> None:
    text = re.sub(r"<report>.*</report>", "", profiles["dhcp"], flags=re.DOTALL)
    assert len([f for f in checked(text) if "wait for ever" in f.message]) == 4
    quiet = profiles["dhcp"].replace(
        '<errors><show t="boolean">true</show><timeout t="integer">60',
        '<errors><show t="boolean">false</show><timeout t="integer">0',
    )
    assert checked(quiet) == []


def test_without_a_drive_the_installer_would_choose(profiles: dict[str, str]) -> None:
    text = re.sub(r"<partitioning.*</partitioning>", "", profiles["dhcp"], flags=re.DOTALL)
    # Whatever a pre-script would write: should it fail, a disk would be gone.
    assert ["no <drive> says which disk" in f.message for f in checked(text)] == [True]


def test_a_registration_needs_a_code_or_a_server() -> None:
    text = ours(registration={"email": "ops@example.org", "server": "rmt.example.org"})
    assert "<reg_server>https://rmt.example.org</reg_server>" in text
    assert "add_on_products" not in text  # the modules come with the registration
    broken = re.sub(r" *<reg_server>.*\n", "", text)
    assert ["neither <reg_code>" in f.message for f in checked(broken)] == [True]


@pytest.mark.parametrize("text", [
    "", "<", "<profile", "\ud800", "\x00", "<profile/>", "<a xmlns='http://www.suse.com/1.0/yast2ns'/>",
    "<profile xmlns='http://www.suse.com/1.0/yast2ns'>" + "<a>" * 5000,
    "<?xml version='1.0' encoding='utf-16'?><profile/>",
    "<!DOCTYPE a [<!ENTITY b 'bbbbbbbbbb'><!ENTITY c '&b;&b;&b;&b;&b;'>]><a>&c;</a>",
    "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
    "<profile xmlns='http://www.suse.com/1.0/yast2ns'><users t='list'><user><username/></user>"
    "</users><scripts><pre-scripts t='list'><script/><listentry/></pre-scripts>"
    "</scripts></profile>",
])  # fmt: skip
def test_hostile_text_is_a_finding(text: str) -> None:
    assert checked(text)


@given(st.text(max_size=60), st.integers(0, 3000))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_breaks_the_check(profiles: dict[str, str], piece: str, place: int) -> None:
    text = profiles["dhcp"]
    cut = text[: place * 2] + piece + text[place * 2 :]
    assert all(finding.message for finding in checked(cut[:6000]))


@pytest.mark.parametrize("piece", [
    "<a/>", "<general><mode><confirm>x</confirm></mode></general>", "<!-- -->\n", "text ",
    "<users t='list'><user/></users>",
    "<scripts><pre-scripts t='list'><script><source>(</source></script></pre-scripts></scripts>",
])  # fmt: skip
def test_of_a_thousand_faults_some_are_named(piece: str) -> None:
    many = piece * (200_000 // len(piece))
    text = f"<profile xmlns='http://www.suse.com/1.0/yast2ns'>{many}</profile>"
    assert len(checked(text)) <= 200


def test_only_so_many_scripts_are_parsed(profiles: dict[str, str]) -> None:
    more = "<script><source>(</source></script>" * 100
    text = profiles["dhcp"].replace("</pre-scripts>", f"{more}</pre-scripts>")
    messages = [finding.message for finding in checked(text)]
    assert sum("syntax error" in message for message in messages) == 39
    assert "there are 102 scripts, and 40 at most are looked into" in messages[-1]


# --- whole profiles of an operator's own -------------------------------------------------------

CALLS = """
    <pre-scripts t="list">
      <script>
        <filename>deployer.sh</filename>
        <interpreter>/bin/bash</interpreter>
        <source><![CDATA[
curl -d '{}' URL/installer_started
trap 'curl -d "{}" URL/installer_failed' ERR
]]></source>
      </script>
    </pre-scripts>
    <chroot-scripts t="list">
      <script>
        <filename>deployer-end.sh</filename>
        <chrooted t="boolean">true</chrooted>
        <source>curl -d '{}' URL/installer_finished
echo "curl URL/first_boot" > /etc/init.d/after.local</source>
      </script>
    </chroot-scripts>"""


@pytest.mark.parametrize("file", sorted(REAL.glob("autoyast-*.xml")), ids=lambda f: f.stem)
@pytest.mark.parametrize("release", ["sles-15-sp6", "leap-15.6"])
def test_a_profile_of_the_operators_own_passes_with_our_calls(file: Path, release: str) -> None:
    content = file.read_text(encoding="utf-8")
    without = content
    content = content.replace("<!-- CALLS -->", CALLS.replace("URL", "{{ urls.phone_home }}"))
    assert content != without
    own = {FILE: {"content": content, "template": True}}
    assert "/phone-home/first_boot" in ours(release=release, answer_files=own)


def test_a_profile_without_our_calls_is_told_which() -> None:
    found = golden.found("suse")
    content = (REAL / "autoyast-raid.xml").read_text(encoding="utf-8")
    given = golden.read_example("dhcp")
    own = {"release": "sles-15-sp6", "answer_files": {FILE: {"content": content}}}
    given["profile"] |= own
    _, findings = golden.rendered(found, golden.snapshot(found, **given))
    assert [f.message.split(" calls ")[1].split(",")[0] for f in findings] == [
        "installer_started", "installer_finished", "installer_failed", "first_boot",
    ]  # fmt: skip


# --- what is asked for is what stands there ----------------------------------------------------


def value(root: ElementTree.Element, path: str) -> str | None:
    found = root.find("/".join(Y + part for part in path.split("/")))
    return None if found is None else found.text


@given(host=hosts(), profile=PROFILES, firmware=st.sampled_from(["bios", "uefi"]))
@settings(max_examples=60)
@pytest.mark.slow
def test_any_description_becomes_a_profile_without_a_finding(
    host: dict[str, Any], profile: dict[str, Any], firmware: Any
) -> None:
    snapshot, text = suse.described(FILE, "sles-15-sp7", host, profile, firmware)
    root = ElementTree.fromstring(text)
    assert value(root, "networking/dns/hostname") == snapshot.host.name.split(".")[0]
    names = [user.name for user in snapshot.profile.users]
    users = root.findall(f"{Y}users/{Y}user")
    assert [user.findtext(f"{Y}username") for user in users] == ["root", *names]
    hashes = [str(snapshot.profile.root.password_hash or "!")]
    hashes += [str(user.password_hash or "!") for user in snapshot.profile.users]
    assert [user.findtext(f"{Y}user_password") for user in users] == hashes
    given = [a for nic in snapshot.host.network.interfaces for a in nic.addresses]
    assert sorted(_addresses(root)) == sorted(given)
    system = root.findtext(f"{Y}scripts/{Y}chroot-scripts/{Y}script/{Y}source") or ""
    for user in snapshot.profile.users:
        assert all(key.replace("'", "'\"'\"'") in system for key in user.ssh_keys)
    packages = [p.text for p in root.findall(f"{Y}software/{Y}packages/{Y}package")]
    assert set(snapshot.profile.packages) <= set(packages)


def _addresses(root: ElementTree.Element) -> list[str]:
    found = []
    for nic in root.findall(f"{Y}networking/{Y}interfaces/{Y}interface"):
        pairs = [(nic.findtext(f"{Y}ipaddr"), nic.findtext(f"{Y}prefixlen"))]
        pairs += [(a.findtext(f"{Y}IPADDR"), a.findtext(f"{Y}PREFIXLEN"))
                  for a in nic.findall(f"{Y}aliases/*")]  # fmt: skip
        found += [f"{address}/{prefix}" for address, prefix in pairs if address]
    return found


def test_volumes_swap_and_firmware() -> None:
    text = ours("volumes")
    root = ElementTree.fromstring(text)
    disk, group = root.findall(f"{Y}partitioning/{Y}drive")
    sizes = [p.findtext(f"{Y}size") for p in group.iter(f"{Y}partition")]
    assert sizes == ["4096M", "20480M", "8192M", "max"]
    names = [p.findtext(f"{Y}lv_name") for p in group.iter(f"{Y}partition")]
    assert names == ["swap", "root", "var-log", "srv"]
    assert disk.findtext(f"{Y}partitions/{Y}partition/{Y}partition_id") == "259"
    bios = golden.golden("suse", "plain-volumes-bios")  # Agama's: the newest release
    assert '"path": "swap"' not in bios["profile.json"]


def test_no_two_mount_points_share_a_name() -> None:
    mounts = ["/root", "/swap", "/a/b", "/a-b", "/a_b", "/a.b", "/a--b"]
    volumes = [{"mount": mount, "size": "1GiB"} for mount in mounts]
    names = re.findall(
        "<lv_name>(.*)</lv_name>", ours(storage={"layout": "lvm", "volumes": volumes})
    )
    assert len(set(names)) == len(names) == len(mounts) + 2  # root and swap


@pytest.mark.parametrize(("release", "method"), [("sles-15-sp5", "luks1"), ("leap-15.6", "luks2")])
def test_the_encryption_is_what_the_release_can_do(release: str, method: str) -> None:
    assert f'<crypt_method t="symbol">{method}</crypt_method>' in ours("encrypted", release)


def test_leap_cannot_be_registered() -> None:
    found = golden.found("suse")
    given = golden.read_example("dhcp")
    given["profile"] |= {"release": "leap-15.6", "registration": {"key": {"secret": "k"}}}
    spec = golden.snapshot(found, **given).profile
    assert [f.field for f in prepare.unsupported(found.family, spec)] == ["registration"]


# --- filters -----------------------------------------------------------------------------------


@given(st.text(max_size=30))
def test_what_is_in_cdata_comes_out_as_it_went_in_or_is_refused(text: str) -> None:
    template = environment(golden.found("suse")).from_string("<a>{{ value | cdata }}</a>")
    try:
        xml = template.render(value=text)
    except ValueError:
        return
    # XML knows one kind of line end.
    assert ElementTree.fromstring(xml).text == (
        text.replace("\r\n", "\n").replace("\r", "\n") or None
    )


# Made by GnuPG 2.2 for this test, and its fingerprint as `gpg --show-keys` prints it.


def test_a_key_is_known_by_its_fingerprint() -> None:
    assert openpgp.fingerprint(suse.KEY) == suse.FINGERPRINT
    assert openpgp.key_id(suse.KEY) == suse.FINGERPRINT[-16:]
    repository = {"name": "own", "url": "http://own.example.org/r", "key": suse.KEY}
    assert f"<keyid>{suse.FINGERPRINT[-16:]}</keyid>" in ours(repositories=[repository])


@pytest.mark.parametrize(
    "text", ["", "no key", suse.KEY.replace("mDME", "!!!!"), suse.KEY.replace("mDME", "AAAA")]
)
def test_what_is_no_key_has_no_fingerprint(text: str) -> None:
    with pytest.raises(ValueError, match="no armoured OpenPGP public key"):
        openpgp.fingerprint(text)


def test_every_element_that_is_known_stands_in_one_that_is() -> None:
    for path, (kind, words) in elements().items():
        parent = path.rpartition("/")[0]
        assert not parent or parent in elements(), path
        if kind == "list":
            assert any(f"{path}/{name}" in elements() for name in (*words, "listentry")), path


@pytest.mark.parametrize(("nic", "argument"), [
    ({"address": None, "netmask": None, "gateway": None, "dns": []},
     "ifcfg=02:00:00:00:00:01=dhcp"),
    ({"address": "10.0.0.7", "netmask": "255.255.252.0", "gateway": "10.0.0.1",
     "dns": ["10.0.0.53"]},
     "ifcfg=02:00:00:00:00:01=10.0.0.7/22,10.0.0.1,10.0.0.53"),
    ({"address": "10.0.0.7", "netmask": "255.255.252.0", "gateway": None, "dns": []},
     "ifcfg=02:00:00:00:00:01=10.0.0.7/22"),
    ({"address": "2001:db8::7/64", "netmask": None, "gateway": "2001:db8::1", "dns": []},
     "ifcfg=02:00:00:00:00:01=2001:db8::7/64,2001:db8::1"),
])  # fmt: skip
def test_linuxrc_is_told_how_to_reach_us(nic: dict[str, Any], argument: str) -> None:
    assert suse_network.linuxrc_network(nic, "02:00:00:00:00:01") == argument
    assert suse_network.linuxrc_network(nic, None) == "netsetup=dhcp"
