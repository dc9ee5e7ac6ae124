"""Ubuntu's autoinstall: what Subiquity would pass over or stumble over is found, with its line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from deployer.answers.grammars import cloud_config
from deployer.answers.installers import subiquity
from deployer.core.families import Answer
from deployer.errors import Finding
from tests import golden
from tests.answers.ubuntu import FAMILY, Json, rendered
from tests.support import packages

USER_DATA = next(a for a in FAMILY.family.answers if a.path == "user-data")
CONTEXT: Json = {
    "release": {"version": "24.04"},
    "profile": {"storage": {"layout": "plain"}, "scripts": {}},
}


def ours(example: str = "static") -> str:
    return golden.golden("ubuntu", example)["user-data"]


def checked(text: str, release: str = "24.04", layout: str = "plain") -> list[Finding]:
    profile = {**CONTEXT["profile"], "storage": {"layout": layout}}
    context = {"release": {"version": release}, "profile": profile}
    return subiquity.INSTALLER.check(USER_DATA, text, context)


def as_sent(content: str) -> str:
    """A template of below, with URLs in it."""
    return re.sub(r"{{ urls\.(\w+) }}", r"http://10.0.0.5/d/TOKEN/\1", content)


@pytest.fixture
def schema(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = packages.cloud_init_schemas()
    if folder is None:
        pytest.skip("apt cannot fetch the package cloud-init, whose schema this needs")
    monkeypatch.setattr(cloud_config, "FOLDERS", [folder])


# --- what is found ----------------------------------------------------------------------------

# (what golden/static says, what it says instead, a part of the line, words of the problem)
DISK = "{type: disk, id: disk1, path: /dev/deployer-disk-1, ptable: gpt,"
ROOT = '{type: mount, id: mount-root, device: fs-root, path: "/"}'
BROKEN = [
    # YAML, as Subiquity's PyYAML would take it without a word
    ("  timezone:", "  locale: C.UTF-8\n  timezone:", "locale: C.UTF-8", "is written twice"),
    ("  timezone:", "\ttimezone:", "timezone", "a tab indents this line"),
    ("  shutdown: reboot", "  shutdown: reboot\n---\na: 1", "a: 1", "a second document"),
    ("  locale:", "  locale: &x C\n  source: *x\n  #", "source", "aliases (*name)"),
    ("version: 1", "version: 1\n  on: x", "on: x", "is no text"),
    ("  timezone:", "  timezone: [", "", ""),
    ("  timezone:", "  2024-13-45: x\n  timezone:", "2024-13-45", "month must be"),
    ("sh /run/deployer/agent.sh late", '"\\ud800"', "ud800", ""),
    # the outermost
    ("#cloud-config\n", "# cloud-config\n", "", "first line must be #cloud-config"),
    ("autoinstall:\n", "auto-install:\n", "", "no mapping `autoinstall`"),
    ("autoinstall:\n", "late-commands: []\nautoinstall:\n", "late-commands", "belongs below"),
    # sections
    ("version: 1", "version: 2", "version", "Input should be 1"),
    ("late-commands", "late_commands", "late_commands", "Extra inputs are not permitted"),
    ("  version: 1", "  version: 1\n  interactive-sections: [network]", "interactive-sections",
     "would stop and ask"),
    ("{layout: \"ch\", variant: \"\"}", "{variant: \"\"}", "keyboard", "Field required"),
    ("install-server: true", "install_server: true", "install_server", "Extra inputs"),
    ("allow-pw: false", "allow-pw: \"no\"", "allow-pw", "valid boolean"),
    ("shutdown: reboot", "shutdown: halt", "shutdown", "'reboot' or 'poweroff'"),
    ("  error-commands:\n", "  x-commands:\n", "x-commands", "Extra inputs"),
    ("type: webhook, ", "type: print, ", "", "no webhook in reporting"),
    ("endpoint: \"http://", "endpoint: \"ftp://", "deployer: {", "must be a URL"),
    ("fallback: abort", "fallback: offline", "fallback", "'abort', 'offline-install'"),
    ("  apt:\n", "  kernel: {package: a, flavor: b}\n  apt:\n", "kernel", "name one"),
    ("  apt:\n", "  ubuntu-pro: {token: hunter2}\n  apt:\n", "ubuntu-pro", "token of Ubuntu Pro"),
    ("  apt:\n", "  oem: {install: maybe}\n  apt:\n", "oem", "'auto'"),
    # identity and secrets
    ("  apt:\n", "  identity: {hostname: a, username: b, password: hunter2}\n  apt:\n", "identity",
     "crypt(3) hash"),
    ("  apt:\n", "  identity: {hostname: a, username: b}\n  apt:\n", "identity", "Field required"),
    ("users: [{name: nobody}]", "users: [{name: a, plain_text_passwd: b}]", "users",
     "in the clear"),
    ("users: [{name: nobody}]", "users: [{name: a, passwd: b}]", "users", "in the clear"),
    ("users: [{name: nobody}]", "password: hunter2", "password", "in the clear"),
    ("users: [{name: nobody}]", "chpasswd: {list: \"a:hunter2\"}", "chpasswd", "in the clear"),
    ("users: [{name: nobody}]", "chpasswd: {users: [{name: a, password: b, type: text}]}",
     "chpasswd", "in the clear"),
    # commands
    ("sh /run/deployer/agent.sh late", "if sh /run/deployer/agent.sh late", "agent.sh late",
     "Syntax error"),
    ("sh /run/deployer/agent.sh late", "[sh, 7]", "[sh, 7]", "valid string"),
    # disks
    ("path: /dev/deployer-disk-1, ", "", "type: disk", "would take any free disk"),
    ("path: /dev/deployer-disk-1, ", "path: /dev/sda, ", "config:", "in whose place"),
    ("path: /dev/deployer-disk-1, ", "match: {}, ", "type: disk", "would take any free disk"),
    ("path: /dev/deployer-disk-1, ", "match: {wwn: x}, ", "type: disk", "Extra inputs"),
    ("path: /dev/deployer-disk-1, ", "match: {size: huge}, ", "type: disk", "'largest' or"),
    ("device: disk1, size: -1", "device: disk9, size: -1", "part1-root", "no action 'disk9'"),
    ("device: fs-root", "device: part1-root", "mount-root", "'part1-root' is a partition"),
    ("id: part1-root, device", "id: efi1, device", "size: -1", "two actions are called 'efi1'"),
    ("size: 1024M", "size: -1", "efi1", "must be the last one on 'disk1'"),
    ("size: 1024M", "size: 1 GB", "efi1", "must be a size"),
    ("size: 1024M", "size: -2", "efi1", "must be -1"),
    ("grub_device: true, ", "", "config:", "nothing could start this system"),
    (f"      - {ROOT}\n", "", "config:", "nothing is mounted at /"),
    (ROOT, f"{ROOT}\n      - {ROOT.replace('mount-root', 'm2')}", "id: m2", "/ is mounted already"),
    (ROOT, ROOT.replace('"/"', "root"), "mount-root", "path must begin with '/'"),
    ("fstype: ext4", "fstype: ext5", "fs-root", "Input should be 'ext2'"),
    ("type: mount, id: mount-root", "type: mout, id: mount-root", "mout", "'mout' found"),
    (DISK, DISK.replace("disk, id: disk1", "raid, id: disk1"), "raid", ""),
    ("    config:\n", "    layout: {name: lvm}\n    config:\n", "config:", "passes this list over"),
    # network
    ('"52:54:00:12:34:56"', "52:54:00:12:34:56", "macaddress", "valid string"),
    ('"52:54:00:12:34:56"', '"52:54:00:12:34:AB"', "macaddress", "MAC in lower case"),
    ('"52:54:00:12:34:57"', '"52:54:00:12:34:56"', "macaddress", "matches this MAC already"),
    ("        match: {macaddress: \"52:54:00:12:34:57\"}\n", "", "set-name: nic1", "needs a match"),
    ("dhcp4: false", "dhcp4: \"yes\"", "dhcp4", "valid boolean"),
    ("dhcp4: false", "dhcpv4: false", "dhcpv4", "Extra inputs"),
    ("10.0.0.7/24", "10.0.0.7", "addresses", "with its prefix length"),
    ("10.0.0.7/24", "10.0.0.700/24", "addresses", "does not appear to be"),
    ('via: "10.0.0.1"', 'via: "gateway"', "routes", "does not appear to be"),
    ('to: "0.0.0.0/0"', 'to: "everywhere"', "routes", "does not appear to be"),
    ("mtu: 9000", "mtu: 90000", "mtu", "less than or equal"),
    ("set-name: nic0", "set-name: a-name-that-is-long", "set-name", "at most 15"),
    ("    ethernets:\n", "    bonds: {b: {interfaces: [nic9]}}\n    ethernets:\n", "bonds",
     "no device 'nic9'"),
    ("    ethernets:\n", "    vlans: {v: {id: 7, link: nic9}}\n    ethernets:\n", "vlans",
     "no device 'nic9'"),
    ("    ethernets:\n", "    bonds: {nic0: {interfaces: [nic1]}}\n    ethernets:\n", "",
     "two devices are called 'nic0'"),
    ("    ethernets:\n", "    bonds: {b: {interfaces: [nic1]}, c: {interfaces: [nic1]}}\n"
     "    ethernets:\n", "bonds", "is a member of 'b' already"),
    ("version: 2", "version: 1", "version: 1", "Input should be 2"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "part", "words"), BROKEN)
def test_what_the_installer_would_stumble_over_is_found(
    old: str, new: str, part: str, words: str
) -> None:
    text = ours()
    assert old in text
    broken = text.replace(old, new, 1)
    found = checked(broken)
    assert any(words in finding.message for finding in found), found
    finding = next(f for f in found if words in f.message)
    assert finding.file == "user-data" and finding.remedy
    if part:
        assert part in broken.split("\n")[(finding.line or 0) - 1]


@pytest.mark.parametrize("case", golden.cases("ubuntu"))
def test_our_own_has_no_finding(case: str, schema: None) -> None:
    files = golden.golden("ubuntu", case)
    if "user-data" in files:
        release = case.partition("@")[2] or "26.04"
        layout = {"raid1": "raid1"}.get(case, "plain")
        assert checked(files["user-data"], release, layout) == []


@pytest.mark.parametrize(
    ("line", "release", "words"),
    [
        ("source: {id: ubuntu-server}", "20.04", "source: the installer of 20.04 passes it over"),
        ("shutdown: poweroff", "20.04", "it came with 22.04"),
        ("ubuntu-pro: {token: C1NWcZTHLteJXGVMM6YhvHDpGrhyy7}", "20.04", "it came with 22.04"),
        ("oem: {install: auto}", "22.04", "it came with 24.04"),
        ("apt: {fallback: abort}", "22.04", "apt.fallback: the installer of 22.04"),
        ("apt: {mirror-selection: {primary: [country-mirror]}}", "20.04", "with 24.04"),
    ],
)
def test_a_section_that_a_release_does_not_know_yet_is_found(
    line: str, release: str, words: str
) -> None:
    text = as_sent(MINIMAL_LVM).replace("  version: 1\n", f"  version: 1\n  {line}\n")
    assert any(words in finding.message for finding in checked(text, release))
    assert checked(text, "26.04") == []


def test_a_file_that_cloud_init_would_not_keep_is_found() -> None:
    (finding,) = checked(ours() + "#" * 64 * 1024)
    assert "larger than 65536 bytes" in finding.message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  storage:\n    layout: {name: lvm, match: {size: smallest}}\n", ""),
        ("    layout: {name: lvm, match: {size: smallest}}\n", "    swap: {size: 0}\n"),
        (", match: {size: smallest}", ""),
        ("match: {size: smallest}", "match: {}"),
        ("match: {size: smallest}", "match: []"),
    ],
)
def test_where_no_disk_is_named_the_installer_would_take_the_largest(old: str, new: str) -> None:
    text = as_sent(MINIMAL_LVM)
    assert old in text and checked(text) == []
    (finding,) = checked(text.replace(old, new))
    assert "would take the largest disk" in finding.message


# --- cloud-init's own schema --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("users: [{name: nobody}]", "users: []", "non-empty"),
        ("users: [{name: nobody}]", "users: [{name: a, lock_passwd: maybe}]", "not valid"),
        ("disable_root: true", "disable_rot: true", "knows no such key"),
        ("disable_root: true", "disable_root: \"x\"", "is not of type 'boolean'"),
        ("autoinstall:\n", "package_update: 7\nautoinstall:\n", "not of type 'boolean'"),
        ("autoinstall:\n", "pakages: [vim]\nautoinstall:\n", "knows no such key"),
    ],
)  # fmt: skip
def test_cloud_config_is_judged_by_cloud_init(schema: None, old: str, new: str, words: str) -> None:
    broken = ours().replace(old, new)
    found = checked(broken)
    assert any(words in finding.message for finding in found), found
    part = new.strip("\n").split("\n")[0]
    assert any(part in broken.split("\n")[(finding.line or 0) - 1] for finding in found), found


def test_a_finding_does_not_show_what_may_be_a_secret(schema: None) -> None:
    secret = "hunter2" * 3
    for broken in (
        f"users: [{{name: a, passwd: {secret}, lock_passwd: x}}]",
        f"users: [{{name: nobody, ssh_import_id: {{a: {secret}}}}}]",
        f"chpasswd: {{users: [{{name: a, password: {secret}, type: {secret}}}]}}",
    ):
        found = checked(ours().replace("users: [{name: nobody}]", broken))
        assert found and secret not in str(found)


def test_without_the_schema_the_rest_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_config, "FOLDERS", [])
    assert checked(ours().replace("disable_root: true", "disable_rot: true")) == []
    assert checked(ours().replace("name: nobody", "name: a, plain_text_passwd: b"))


# --- the other files ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("meta-data", "instance-id: x\n", None),
        ("meta-data", "", "instance-id is missing"),
        ("meta-data", "instance-id: 7\n", "instance-id is missing"),
        ("vendor-data", "#cloud-config\n{}\n", None),
        ("vendor-data", "- a\n", "must be a mapping"),
        ("network-config", "# none\n", None),
        ("network-config", "a: [\n", "did not find"),
    ],
)
def test_the_seed_is_judged_too(path: str, text: str, words: str | None) -> None:
    found = subiquity.INSTALLER.check(Answer(path=path, template=path), text, CONTEXT)
    assert [words in finding.message for finding in found] == [True] * bool(words), found


@pytest.mark.parametrize(("script", "file"), [("pre", "agent.sh"), ("first_boot", "system.sh")])
def test_a_script_of_the_profile_that_is_no_shell_is_found(script: str, file: str) -> None:
    _, findings = rendered({"scripts": {script: "if true"}})
    assert {(f.file, f.field) for f in findings} == {(file, f"scripts.{script}")}


# --- files of other people, with our calls added -----------------------------------------------

OUR_CALLS = """\
  reporting:
    deployer: {type: webhook, endpoint: "{{ urls.progress }}"}
  early-commands:
    - curl -fsS -X POST {{ urls.phone_home }}/installer_started
  late-commands:
    - cp /etc/hosts /target/etc/hosts.live
    - curtin in-target --target=/target -- systemctl enable phone-first_boot.service
    - curl -fsS -X POST {{ urls.phone_home }}/installer_finished
  error-commands:
    - curl -fsS -X POST {{ urls.phone_home }}/installer_failed
"""
MINIMAL_LVM = (
    """\
#cloud-config
autoinstall:
  version: 1
  identity:
    hostname: ubuntu-server
    password: "$6$exDY1mhS4KUYCE/2$zmn9ToZwTKLhCw.b4/b.ZRTIZM30JZ4QrOQ2aOXJ8yk96xpcCof0"
    username: ubuntu
  storage:
    layout: {name: lvm, match: {size: smallest}}
  ssh:
    install-server: yes
    authorized-keys:
      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy0c2y6s7k5p1gk0wU me
"""
    + OUR_CALLS
)
RAID = (
    """\
#cloud-config
autoinstall:
  version: 1
  locale: en_US
  keyboard:
    layout: us
  identity: {hostname: raid, username: admin, password: "$6$abcdefgh$Ab1.Ab1.Ab1.Ab1.Ab1.Ab1.Ab1."}
  apt:
    geoip: true
    preserve_sources_list: false
    primary:
      - arches: [amd64, i386]
        uri: http://archive.ubuntu.com/ubuntu
      - arches: [default]
        uri: http://ports.ubuntu.com/ubuntu-ports
  storage:
    swap:
      size: 0
    config:
      - ptable: gpt
        serial: QEMU_HARDDISK_A
        wipe: superblock
        preserve: false
        name: ''
        grub_device: true
        type: disk
        id: disk-a
      - {ptable: gpt, serial: QEMU_HARDDISK_B, wipe: superblock, preserve: false, type: disk,
         id: disk-b, grub_device: true}
      - {device: disk-a, size: 1048576, flag: bios_grub, number: 1, type: partition, id: a1}
      - {device: disk-a, size: 1G, wipe: superblock, flag: '', preserve: false,
         number: 2, type: partition, id: a2}
      - {device: disk-a, size: -1, wipe: superblock, flag: '', preserve: false,
         number: 3, type: partition, id: a3}
      - {device: disk-b, size: 1048576, flag: bios_grub, number: 1, type: partition, id: b1}
      - {device: disk-b, size: 1G, wipe: superblock, flag: '', preserve: false,
         number: 2, type: partition, id: b2}
      - {device: disk-b, size: -1, wipe: superblock, flag: '', preserve: false,
         number: 3, type: partition, id: b3}
      - {name: md0, raidlevel: raid1, devices: [a2, b2], spare_devices: [], type: raid, id: boot}
      - {name: md1, raidlevel: 1, devices: [a3, b3], spare_devices: [], type: raid, id: pv}
      - {name: vg0, devices: [pv], preserve: false, type: lvm_volgroup, id: vg0}
      - {name: root, volgroup: vg0, size: 50%, preserve: false, type: lvm_partition, id: root}
      - {name: swap, volgroup: vg0, size: 4G, preserve: false, type: lvm_partition, id: swap}
      - {fstype: ext4, volume: boot, preserve: false, type: format, id: boot-fs}
      - {fstype: ext4, volume: root, preserve: false, type: format, id: root-fs}
      - {fstype: swap, volume: swap, preserve: false, type: format, id: swap-fs}
      - {device: root-fs, path: /, type: mount, id: root-mount}
      - {device: boot-fs, path: /boot, type: mount, id: boot-mount}
      - {device: swap-fs, path: '', type: mount, id: swap-mount}
"""
    + OUR_CALLS
)
STATIC = (
    """\
#cloud-config
autoinstall:
  version: 1
  network:
    network:
      version: 2
      renderer: networkd
      ethernets:
        enp1s0:
          dhcp4: no
          addresses: [192.168.10.5/24]
          gateway4: 192.168.10.1
          nameservers:
            addresses: [192.168.10.1, 1.1.1.1]
            search: [lan]
        enp2s0: {dhcp4: true, optional: true}
  storage: {layout: {name: direct, match: {serial: "*S3Z9NB0K*"}}}
  packages: [vim, qemu-guest-agent]
  user-data:
    disable_root: true
    timezone: Europe/Berlin
    users:
      - name: ops
        groups: [adm, sudo]
        lock_passwd: true
        shell: /bin/bash
        sudo: ALL=(ALL) NOPASSWD:ALL
        ssh_authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy0 ops]
    runcmd:
      - [systemctl, restart, ssh]
"""
    + OUR_CALLS
)


@pytest.mark.parametrize("release", [r.version for r in FAMILY.family.releases])
@pytest.mark.parametrize("content", [MINIMAL_LVM, RAID, STATIC], ids=["lvm", "raid", "static"])
def test_a_whole_file_of_the_operators_passes(schema: None, content: str, release: str) -> None:
    own = {"user-data": {"content": content, "template": True}}
    files, findings = rendered({"release": release, "answer_files": own})
    assert findings == []
    assert "/phone-home/installer_failed" in files["user-data"]


@pytest.mark.parametrize(
    ("call", "section"),
    [
        ("installer_started", "early-commands"),
        ("installer_finished", "late-commands"),
        ("installer_failed", "error-commands"),
        ("first_boot", "autoinstall"),
    ],
)
def test_one_that_does_not_call_us_is_refused(call: str, section: str) -> None:
    """Also where our own agent.sh, which lies there and is not run, would."""
    content = MINIMAL_LVM.replace(call, "nothing")
    own = {"user-data": {"content": content, "template": True}}
    files, (finding,) = rendered({"answer_files": own})
    assert call in files["agent.sh"] + files["system.sh"]
    assert call in finding.message and section in finding.message
    assert section in content.split("\n")[(finding.line or 0) - 1]


# --- hostile text --------------------------------------------------------------------------------

SCRAPS = st.sampled_from(
    ["autoinstall:", "\n", "  ", "storage: ", "config: ", "- ", "{", "}", "[", "]", "type: disk",
     ": ", "&a ", "*a", "!!python/object:x ", "!!binary x", "#cloud-config\n", "0x_", "1:2:3",
     "2024-13-45", "\x00", "\ufeff", "---\n", "? ", "<<: ", "'", '"', "network: ", "version: 2",
     "user-data: ", "users: ", "match: ", "null", ".inf", "early-commands: ", "7"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(SCRAPS, max_size=30).map("".join) | st.text(max_size=80))
def test_hostile_text_is_a_finding_and_never_a_crash(text: str) -> None:
    checked(text)
    checked("#cloud-config\nautoinstall:\n  version: 1\n  " + text)


def test_half_a_character_is_a_finding() -> None:
    (finding,) = checked(ours().replace("webhook", "web\ud800hook"))
    assert "half a character" in finding.message and finding.line


@pytest.mark.slow
def test_values_of_any_kind_anywhere_are_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each leaf and branch of our own file, replaced by something else: no crash, and told of."""
    monkeypatch.setattr(subiquity, "check_shell", lambda *_: [])  # a process each time
    text = ours("volumes")
    for place in places(yaml.safe_load(text)):
        for strange in (-7, {"a": [{"b": None}]}):
            changed = yaml.safe_load(text)
            inner = changed
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = strange
            found = checked("#cloud-config\n" + json.dumps(changed))
            assert found or place[:2] == ("autoinstall", "user-data") or strange == -7, place


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*place, key))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 60_000,
        "a: " * 20_000,
        "#cloud-config\n" + "a: &x [*x]\n",
        "#cloud-config\nautoinstall:\n  version: 1\n  storage:\n    config:\n"
        + "    - {type: format, id: a, volume: b, fstype: ext4}\n" * 1000,
        "#cloud-config\nautoinstall:\n  version: 1\n  packages:\n" + "    - x\n" * 7000,
    ],
    ids=["deep", "maps", "alias", "actions", "packages"],
)
def test_large_hostile_text_is_judged(text: str) -> None:
    assert checked(text)
