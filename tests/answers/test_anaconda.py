"""Kickstarts: what %pre writes for each layout, and what is asked for is what stands there."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployer.answers import prepare
from deployer.answers.grammars.kickstart import read
from tests import golden
from tests.answers import strategies
from tests.answers.kickstarts import HOST, Given, runs_bash

RELEASES = [
    (family, release.version)
    for family in ("redhat", "fedora")
    for release in golden.found(family).family.releases
]
# One of each grammar.
GRAMMARS = [
    ("redhat", "centos-7"), ("redhat", "rocky-8"), ("redhat", "alma-9"), ("redhat", "rhel-10"),
    ("fedora", "44"), ("fedora", "45"),
]  # fmt: skip


# --- the disks ----------------------------------------------------------------------------------

LAYOUTS = [
    {"layout": "plain"}, {"layout": "lvm"}, {"layout": "raid1"},
    {"layout": "encrypted", "passphrase": {"secret": "disk"}},
]  # fmt: skip
VOLUMES: list[dict[str, Any]] = [
    {},
    {"swap": 0, "volumes": [{"mount": "/home", "size": "10GiB"}]},
    {"swap": "4GiB", "volumes": [
        {"mount": "/", "size": "20GiB", "fs": "ext4"}, {"mount": "/var/log", "size": "8GiB"},
        {"mount": "/var-log", "size": "1GiB"}, {"mount": "/srv"},
        {"mount": "/root", "size": "1GiB"}, {"mount": "/snapshots", "size": "1GiB"},
    ]},
]  # fmt: skip


@pytest.mark.parametrize(("family", "release"), GRAMMARS)
@pytest.mark.parametrize("firmware", ["uefi", "bios"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout["layout"])
@pytest.mark.parametrize("volumes", VOLUMES, ids=["usual", "no-swap", "volumes"])
def test_every_layout_is_a_kickstart_of_every_grammar(
    family: str, release: str, firmware: str, layout: dict[str, Any], volumes: dict[str, Any]
) -> None:
    web01 = Given(family, HOST, release=release, storage={**layout, **volumes})
    disks = ["/dev/sda", "/dev/nvme0n1"][: 2 if layout["layout"] == "raid1" else 1]
    text = web01.with_disks(firmware, *disks)
    assert web01.problems(text) == []
    commands = [c for c in read(text, "ks.cfg").commands if c.name in ("part", "raid", "logvol")]
    made = [c.operands[0] for c in commands]
    assert ("/boot/efi" in made, "biosboot" in made) == (firmware == "uefi", firmware == "bios")
    wanted = {volume["mount"] for volume in volumes.get("volumes", [])} | {"/", "/boot"}
    assert {mount for mount in made if mount.startswith("/")} - {"/boot/efi"} == wanted
    assert ("swap" in made) == (volumes.get("swap") != 0)
    names = [name for c in commands if (name := c.value("--name"))]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("family", "release"), RELEASES)
def test_every_release_takes_what_pre_writes(family: str, release: str) -> None:
    web01 = Given(family, HOST, release=release, storage={"layout": "lvm"})
    assert web01.problems(web01.with_disks("uefi", "/dev/vda")) == []


def test_a_mirror_is_written_whole() -> None:
    storage = {"layout": "raid1", "swap": "2GiB", "volumes": [{"mount": "/srv", "size": "5GiB"}]}
    web01 = Given("redhat", HOST, storage=storage, kernel_args=["console=ttyS1,115200n8", "quiet"])
    assert (
        web01.disks("uefi", "/dev/sda", "/dev/sdb")
        == """\
zerombr
ignoredisk --only-use=sda,sdb
clearpart --all --initlabel --disklabel=gpt --drives=sda,sdb
bootloader --leavebootorder --append="console=ttyS1,115200n8 quiet" --boot-drive=sda
part raid.11 --size=600 --ondisk=sda
part raid.21 --size=1024 --ondisk=sda
part raid.31 --size=4096 --grow --ondisk=sda
part raid.12 --size=600 --ondisk=sdb
part raid.22 --size=1024 --ondisk=sdb
part raid.32 --size=4096 --grow --ondisk=sdb
raid /boot/efi --device=efi --level=RAID1 --fstype=efi raid.11 raid.12
raid /boot --device=boot --level=RAID1 --fstype=xfs raid.21 raid.22
raid pv.1 --device=pv --level=RAID1 raid.31 raid.32
volgroup vg0 pv.1
logvol / --vgname=vg0 --name=root --fstype=xfs --grow --size=3072
logvol /srv --vgname=vg0 --name=srv --fstype=xfs --size=5120
logvol swap --vgname=vg0 --name=swap --size=2048
"""
    )
    assert "raid.1" not in (bios := web01.disks("bios", "/dev/sda", "/dev/sdb"))
    assert bios.count("part biosboot --fstype=biosboot --size=1 --ondisk=sd") == 2


def test_a_passphrase_reaches_the_installer_as_it_is() -> None:
    storage = {"layout": "encrypted", "passphrase": {"secret": "disk"}}
    web01 = Given("redhat", HOST, storage=storage)
    web01.context["profile"]["storage"]["passphrase"] = (said := 'it\'s a $HOME "q" `x` \\ %end #1')
    web01.text = prepare.answers(web01.found, web01.context)["ks.cfg"]
    parts = read(web01.disks("bios", "/dev/vda"), "disk.ks").named("part")
    (encrypted,) = [part for part in parts if part.has("--encrypted")]
    assert (encrypted.value("--passphrase"), encrypted.value("--luks-version")) == (said, "luks2")
    seven = Given("redhat", HOST, release="centos-7", storage=storage)
    assert "--luks-version" not in seven.disks("bios", "/dev/vda")


@pytest.mark.slow
def test_btrfs_is_made_where_the_installer_can() -> None:
    storage = {"layout": "plain", "volumes": [{"mount": "/", "fs": "btrfs"}]}
    fedora = Given("fedora", HOST, storage=storage)
    assert fedora.problems(text := fedora.with_disks("uefi", "/dev/vda")) == []
    assert "part btrfs.1 --grow --size=3072 --ondisk=vda\nbtrfs / btrfs.1\n" in text
    (message,) = Given("redhat", HOST, storage=storage).problems()
    assert message == "storage.volumes./.fs: this release's installer makes no btrfs"
    (message,) = Given("fedora", HOST, storage={**storage, "layout": "lvm"}).problems()
    assert message == "storage.volumes./.fs: the installer makes btrfs on partitions only"


# --- what was asked for is what the installer reads ---------------------------------------------

# The body of %post with nothing that it could reach: what it would write is printed instead.
STUBS = r"""
PATH=
write() { printf '%s\0' write "$@"; }
keys() { printf '%s\0' keys "$1" "$2" ""; }
for command in rm systemctl id useradd touch sed rpm; do eval "$command() { :; }"; done
"""


def made_in_post(web01: Given) -> dict[str, str]:
    """Path → content, and user → keys, of what %post would write."""
    body = web01.section("%post")
    head, mark, rest = body.partition("# --- network")
    assert mark
    words = runs_bash(f"{head}{STUBS}#{rest}").split("\0")
    calls = [words[at : at + 4] for at in range(0, len(words) - 1, 4)]
    assert {call[0] for call in calls} <= {"write", "keys"}
    return {c[2] if c[0] == "write" else c[1]: c[3] if c[0] == "write" else c[2] for c in calls}


def connections(made: dict[str, str]) -> list[ConfigParser]:
    found = []
    for path, text in made.items():
        if path.endswith(".nmconnection"):
            parser = ConfigParser(interpolation=None, delimiters="=")
            parser.read_string(text)
            found.append(parser)
    return found


@settings(max_examples=40, deadline=None)
@given(strategies.hosts(), strategies.PROFILES, st.sampled_from(["rocky-9", "rhel-10"]))
@pytest.mark.slow
def test_what_was_asked_for_comes_out_as_it_went_in(
    host: dict[str, Any], profile: dict[str, Any], release: str
) -> None:
    web01 = Given("redhat", host, **{**profile, "release": release})
    # A made-up script is seldom one.
    assert {f.field for f in web01.findings()} <= {"scripts.first_boot"}
    ks = read(web01.text, "ks.cfg")
    made = made_in_post(web01)
    (name,) = [c.value("--hostname") for c in ks.named("network")]
    assert name == host["name"]
    users = {c.value("--name"): c for c in ks.named("user")}
    given = web01.context["profile"]["users"]
    assert list(users) == [user["name"] for user in given]
    for user in given:
        command = users[user["name"]]
        assert command.value("--shell") == user["shell"]
        assert command.value("--password") == user["password_hash"]
        assert command.has("--lock") == (user["password_hash"] is None)
        wanted = "".join(f"{key}\n" for key in user["ssh_keys"]) or None
        assert made.get(user["name"]) == wanted
        assert (f"/etc/sudoers.d/90-{user['name']}" in made) == user["sudo"]
    (root,) = ks.named("rootpw")
    hashed = web01.context["profile"]["root"]["password_hash"]
    assert root.args[1:] == (["--iscrypted", hashed] if hashed else ["--lock"])
    (packages,) = [s.body for s in ks.sections if s.name == "%packages"]
    assert set(profile.get("packages", [])) <= set(packages)
    script = profile.get("scripts", {}).get("first_boot")
    assert made.get("/usr/lib/deployer/first-boot-script") == (script or None)
    _addresses_are_those_of(web01, connections(made))


def _addresses_are_those_of(web01: Given, found: list[ConfigParser]) -> None:
    host = web01.context["host"]
    nics = {nic["mac"]: nic for nic in host["network"]["interfaces"]}
    assert {c["ethernet"]["mac-address"] for c in found} == set(nics or {host["macs"][0]})
    for connection in found:
        nic = nics.get(connection["ethernet"]["mac-address"], {"addresses": [], "dns": []})
        sections = [connection["ipv4"], connection["ipv6"]]
        written = [v for s in sections for k, v in s.items() if k.startswith("address")]
        assert sorted(written) == sorted(nic["addresses"])
        servers = [d for s in sections for d in s.get("dns", "").split(";") if d]
        assert sorted(servers) == sorted(nic["dns"])
        if nic.get("mtu"):
            assert connection["ethernet"]["mtu"] == str(nic["mtu"])


ROUGH = st.lists(st.sampled_from(["%end", " %post", "'", "\t%include /etc/x", "ü €", ""]) | st.text(
    "%'\"\\$`a \t", max_size=9), min_size=1, max_size=6).map("\n".join)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(ROUGH)
def test_a_script_with_what_kickstart_takes_for_its_own_runs_as_it_was_written(text: str) -> None:
    web01 = Given("redhat", HOST, scripts={"first_boot": text})
    ks = read(web01.text, "ks.cfg")
    assert [s.name for s in ks.sections] == [
        "%packages", "%pre", "%pre-install", "%onerror", "%post", "%post",
    ]  # fmt: skip
    assert made_in_post(web01).get("/usr/lib/deployer/first-boot-script", "") == text


# --- what differs by release, and what is seldom asked for --------------------------------------


def lines_of(given: Given, *names: str) -> list[str]:
    wanted = tuple(f"{name} " for name in names)
    return [line for line in given.text.splitlines() if line.startswith(wanted)]


SOURCES: dict[str, Any] = {
    "mirror": "http://mirror.example.org/tree", "proxy": "http://proxy.example.org:3128",
    "ntp": ["a.example.org", "b.example.org"],
    "repositories": [
        {"name": "ours", "url": "https://own.example.org/r", "key": "-----BEGIN\n\nxx==\n"},
        {"name": "nightly", "url": "http://builds.example.org/today"},
    ],
}  # fmt: skip


def test_where_packages_and_time_come_from() -> None:
    nine = Given("redhat", HOST, release="rocky-9", **SOURCES)
    assert nine.problems() == []
    assert lines_of(nine, "url", "repo", "timezone", "timesource", "services") == [
        "timezone Etc/UTC --utc",
        "timesource --ntp-server=a.example.org",
        "timesource --ntp-server=b.example.org",
        "url --url=http://mirror.example.org/tree --proxy=http://proxy.example.org:3128",
        "repo --name=ours --baseurl=https://own.example.org/r --proxy=http://proxy.example.org:3128",
        "repo --name=nightly --baseurl=http://builds.example.org/today"
        " --proxy=http://proxy.example.org:3128",
        "services --enabled=sshd,chronyd",
    ]
    body = nine.section("%post")
    assert "printf 'proxy=%s\\n' http://proxy.example.org:3128 >> $conf" in body
    key = "/etc/pki/rpm-gpg/RPM-GPG-KEY-deployer-ours"
    assert (
        f"[ours]\nname=ours\nbaseurl=https://own.example.org/r\nenabled=1\ngpgcheck=1\n"
        f"gpgkey=file://{key}\n'" in body
    )
    # Without a key of its own, packages must be signed with one that the system has.
    assert "baseurl=http://builds.example.org/today\nenabled=1\ngpgcheck=1\n'" in body
    assert f"write 0644 {key} '-----BEGIN\n\nxx==\n'\nrpm --import {key}\n" in body


def test_before_el9_time_servers_are_an_option_of_the_time_zone() -> None:
    for release in ("centos-7", "alma-8"):
        old = Given("redhat", HOST, release=release, ntp=SOURCES["ntp"])
        assert old.problems() == []
        assert lines_of(old, "timezone", "timesource") == [
            "timezone Etc/UTC --utc --ntpservers=a.example.org,b.example.org"
        ]


def test_centos_7_looks_for_its_packages_in_the_vault(tmp_path: Path) -> None:
    body = Given("redhat", HOST, release="centos-7").section("%post")
    at = body.index("sed -i -e 's/^mirrorlist")
    command = body[at : body.index(".repo\n", at) + 6].replace("/etc/yum.repos.d", str(tmp_path))
    (repo := tmp_path / "CentOS-Base.repo").write_text(
        "[base]\nname=CentOS-$releasever - Base\n"
        "mirrorlist=http://mirrorlist.centos.org/?release=$releasever&arch=$basearch\n"
        "#baseurl=http://mirror.centos.org/centos/$releasever/os/$basearch/\ngpgcheck=1\n"
    )
    runs_bash(command)
    assert repo.read_text() == (
        "[base]\nname=CentOS-$releasever - Base\n"
        "#mirrorlist=http://mirrorlist.centos.org/?release=$releasever&arch=$basearch\n"
        "baseurl=http://vault.centos.org/centos/$releasever/os/$basearch/\ngpgcheck=1\n"
    )
    assert "vault.centos.org" not in Given("redhat", HOST, release="rocky-8").text


REGISTERED = {"key": {"secret": "rhsm"}, "organization": "1234567"}


def test_red_hat_alone_is_registered() -> None:
    rhel = Given("redhat", HOST, release="rhel-9", registration=REGISTERED, proxy=SOURCES["proxy"])
    assert rhel.problems() == []
    assert lines_of(rhel, "rhsm") == [
        "rhsm --organization=1234567 --activation-key=SECRET-VALUE"
        " --proxy=http://proxy.example.org:3128"
    ]
    (message,) = Given("redhat", HOST, registration={"organization": "1"}).problems()
    assert message == "registration: key and organization belong together"
    for release, registration, field in [
        ("rocky-9", REGISTERED, "registration"),
        ("rhel-9", {**REGISTERED, "email": "a@example.org"}, "registration.email"),
        ("rhel-9", {**REGISTERED, "server": "sat.example.org"}, "registration.server"),
    ]:
        found = golden.found("redhat")
        profile = {"name": "web", "release": release, "registration": registration}
        asked = golden.snapshot(found, HOST, profile).profile
        assert [f.field for f in prepare.unsupported(found.family, asked)] == [field]


def test_groups_of_packages() -> None:
    own = Given("redhat", HOST, package_groups=["^server-product-environment", "Development Tools"])
    assert own.problems() == []
    (packages,) = [s.body for s in read(own.text, "ks.cfg").sections if s.name == "%packages"]
    assert packages[:2] == ["@^server-product-environment", "@Development Tools"]
    assert "@^minimal-environment" not in packages
    assert len(Given("redhat", HOST, package_groups=["^a", "^b"]).problems()) == 1


@pytest.mark.parametrize(
    ("release", "kind", "known"),
    [
        ("centos-7", "y", False), ("centos-7", "2b", False), ("centos-7", "6", True),
        ("rocky-8", "y", False), ("rocky-8", "2b", True), ("rocky-9", "y", True),
    ],
)  # fmt: skip
def test_a_hash_is_one_that_the_release_knows(release: str, kind: str, known: bool) -> None:
    text = f"${kind}$j9T$abcdefghij$klmnopqrstuv"
    given = Given("redhat", HOST, release=release, users=[{"name": "a", "password_hash": text}])
    problem = f"user: this release knows no hash of type ${kind}$"
    assert [problem in message for message in given.problems()] == [True] * (not known)


@pytest.mark.parametrize(
    ("nic", "arguments"),
    [
        ({"addresses": ["10.0.0.7/22"], "gateway": "10.0.0.1", "dns": ["10.0.0.53"]},
         ["ip=10.0.0.7::10.0.0.1:255.255.252.0:web01::none", "nameserver=10.0.0.53"]),
        ({"addresses": ["10.0.0.7/24"]}, ["ip=10.0.0.7:::255.255.255.0:web01::none"]),
        ({"addresses": ["2001:db8::7/64"], "gateway": "2001:db8::1"},
         ["ip=[2001:db8::7]::[2001:db8::1]:64:web01::none"]),
        ({"addresses": ["2001:db8::7/64"]}, ["ip=[2001:db8::7]:::64:web01::none"]),
        ({"dhcp": True}, ["ip=dhcp"]),
    ],
)  # fmt: skip
def test_the_kernel_line_says_how_the_installer_reaches_us(
    nic: dict[str, Any], arguments: list[str]
) -> None:
    host = {**HOST, "network": {"interfaces": [{"mac": HOST["macs"][0], **nic}]}}
    web01 = Given("redhat", host)
    boot = prepare.boot(web01.found, web01.context)
    said = [str(a) for a in boot.arguments if a.name in ("ip", "nameserver")]
    assert said == arguments
