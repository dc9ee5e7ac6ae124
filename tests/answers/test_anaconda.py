"""Kickstarts: what %pre writes for each layout, and what a release's installer would trip over."""

from __future__ import annotations

import subprocess
from configparser import ConfigParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployer.answers import prepare
from deployer.answers.grammars.kickstart import read
from deployer.errors import Finding
from tests import golden
from tests.answers import strategies

HOST: dict[str, Any] = {"name": "web01", "macs": ["52:54:00:12:34:56"]}
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


class Given:
    """What a host is given by a family: its ks.cfg, and the context of it."""

    def __init__(self, family: str, host: dict[str, Any], **profile: Any) -> None:
        self.found = golden.found(family)
        snapshot = golden.snapshot(self.found, host, {"name": "web", **profile})
        self.context = golden.context_of(snapshot)
        self.text = prepare.answers(self.found, self.context)["ks.cfg"]

    def findings(self, text: str | None = None) -> list[Finding]:
        return prepare.findings(self.found, self.context, {"ks.cfg": text or self.text})

    def problems(self, text: str | None = None) -> list[str]:
        return [finding.message for finding in self.findings(text)]

    def section(self, name: str, number: int = 0) -> str:
        sections = [s for s in read(self.text, "ks.cfg").sections if s.name == name]
        return "\n".join(sections[number].body) + "\n"

    def disks(self, firmware: str, *disks: str) -> str:
        """What %pre writes when the server names these disks, on such a machine."""
        agent = self.section("%pre").replace("OWN=/tmp/deployer", "OWN=$1")
        script = f"firmware() {{ echo {firmware}; }}\nlayout {' '.join(disks)}\n"
        return runs_bash(agent.replace("\ncase ${1:-pre} in", f"\n{script}\nexit\ncase x in"))

    def with_disks(self, firmware: str, *disks: str) -> str:
        """The kickstart as the installer reads it in the end."""
        lines = self.disks(firmware, *disks)
        assert "%include /tmp/disk.ks\n" in self.text
        return self.text.replace("%include /tmp/disk.ks\n", lines)


def runs_bash(script: str) -> str:
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            ["bash", "-s", folder],
            input=script,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


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


def test_btrfs_is_made_where_the_installer_can() -> None:
    storage = {"layout": "plain", "volumes": [{"mount": "/", "fs": "btrfs"}]}
    fedora = Given("fedora", HOST, storage=storage)
    assert fedora.problems(text := fedora.with_disks("uefi", "/dev/vda")) == []
    assert "part btrfs.1 --grow --size=3072 --ondisk=vda\nbtrfs / btrfs.1\n" in text
    (message,) = Given("redhat", HOST, storage=storage).problems()
    assert message == "storage.volumes./.fs: this release's installer makes no btrfs"
    (message,) = Given("fedora", HOST, storage={**storage, "layout": "lvm"}).problems()
    assert message == "storage.volumes./.fs: the installer makes btrfs on partitions only"


# --- what is found ------------------------------------------------------------------------------

# An operator's own, with the disk written out.
GOOD = """\
cmdline
reboot
lang en_US.UTF-8
keyboard us
timezone Etc/UTC --utc
url --url=http://10.0.0.5/tree
network --device=link --bootproto=static --ip=10.0.0.7 --netmask=255.255.255.0 --gateway=10.0.0.1
rootpw --lock
user --name=ops --groups=wheel --iscrypted --password=$6$abcdefgh$abcdefghijklmnop
zerombr
ignoredisk --only-use=sda
clearpart --all --initlabel --disklabel=gpt --drives=sda
bootloader --boot-drive=sda
part /boot/efi --fstype=efi --size=600 --ondisk=sda
part /boot --size=1024 --ondisk=sda
part pv.1 --size=1 --grow --ondisk=sda
volgroup vg0 pv.1
logvol / --vgname=vg0 --name=root --size=8192
%packages
@core
%end
%pre
curl http://10.0.0.5/installer_started
%end
%post
echo "fine"
%end
%onerror
curl http://10.0.0.5/installer_failed
%end
%post --nochroot
curl http://10.0.0.5/installer_finished # and first_boot
%end
"""
BROKEN = [
    # pykickstart's
    ("firstboot", "cmdline", "cmdlin", 1, "Unknown command: cmdlin"),
    ("a bad option", "--utc", "--utf", 5, "unrecognized arguments: --utf"),
    ("a word that is no number", "--size=600", "--size=big", 14, "invalid int value: 'big'"),
    ("a mount twice", "part /boot --", "part /boot/efi --", 15, "has already been defined"),
    ("autopart and part", "zerombr", "zerombr\nautopart", 15, "can't be used"),
    ("no volume in the group", "vg0 pv.1", "vg0", 17, "must be given a list of partitions"),
    ("a section that nobody knows", "%post --nochroot", "%later", 31, "Unknown kickstart section"),
    ("no %end", "# and first_boot\n%end\n", "# and first_boot\n", 31, "does not end with"),
    ("removed", "--utc", "--isUtc", 5, "unrecognized arguments: --isUtc"),
    ("no more", "cmdline", "cmdline\nmodule --name=x", 2, "no longer has any effect"),
    ("no NTP", "--utc", "--utc --nontp", 5, "unrecognized arguments: --nontp"),
    ("a user twice", "zerombr", "zerombr\nuser --name=ops --lock", 11, "already been defined"),
    # ours
    ("a quote", "link", "'link", 7, "No closing quotation"),
    ("an empty word", "cmdline", "''", 1, "a line cannot begin with an empty word"),
    ("lang", "lang en_US.UTF-8\n", "", None, "there is no lang"),
    ("keyboard", "keyboard us\n", "", None, "there is no keyboard"),
    ("timezone", "timezone Etc/UTC --utc\n", "", None, "there is no timezone"),
    ("nobody may log in", "rootpw --lock\nuser --name=ops --groups=wheel ", "user --name=ops ",
     None, "neither rootpw nor a user in the group wheel"),
    ("no source", "url --url=http://10.0.0.5/tree\n", "", None, "where packages come from"),
    ("no packages", "%packages\n@core\n%end\n", "", None, "there is no %packages"),
    ("two environments", "@core", "@^a\n@core\n@^b", 22, "@^a in line 20 is an environment"),
    ("firstboot", "cmdline", "firstboot --enable", 1, "would ask at its first boot"),
    ("no end", "reboot\n", "", None, "wait for a key"),
    ("two ends", "cmdline", "poweroff", 2, "reboot: poweroff in line 1 says so already"),
    ("off", "reboot", "poweroff", 2, "the machine stays off and never calls first_boot"),
    ("halt", "reboot", "halt", 2, "the machine waits for a key"),
    ("include of a URL", "zerombr", "zerombr\n%include http://10.0.0.5/x", 11, "nobody can check"),
    ("include of a file", "zerombr", "zerombr\n%include /etc/passwd", 11, "nobody can check"),
    ("include that %pre only speaks of", "%pre\n", "%include /tmp/x\n%pre\n# /tmp/x\n", 22,
     "nobody can check /tmp/x"),
    ("a section in another", '"fine"\n%end\n', '"fine"\n', 25, "%post does not end with %end"),
    ("ksappend", "zerombr", "zerombr\n%ksappend http://10.0.0.5/x", 11, "nobody can check"),
    ("include in a section", "@core", "@core\n%include /tmp/x", 21, "include within a section"),
    ("no disk chosen", "ignoredisk --only-use=sda\n", "", None, "no disk is chosen"),
    ("another disk", "--size=1024 --ondisk=sda", "--size=1024 --ondisk=sdb", 15,
     "part --ondisk: sdb is none of the disks that may be used"),
    ("another disk to clear", "--drives=sda", "--drives=sda,vda", 12, "--drives: vda is none"),
    ("another disk to boot", "--boot-drive=sda", "--boot-drive=/dev/sdb", 13, "sdb is none"),
    ("zerombr", "zerombr\n", "", None, "without zerombr"),
    ("no root", "logvol / ", "logvol /srv ", None, "no partition is mounted as /"),
    ("no ESP", "/boot/efi --fstype=efi", "/efi --fstype=vfat", None, "neither UEFI nor BIOS"),
    ("no size", "--size=1024 ", "", 15, "part: it has no size"),
    ("no such volume", "vg0 pv.1", "vg0 pv.1 pv.2", 17, "no part or raid makes pv.2"),
    ("no such group", "--vgname=vg0", "--vgname=vg1", 18, "there is no volgroup vg1"),
    ("a mirror of one", "part /boot --size=1024",
     "raid /boot --device=boot --level=RAID1 raid.1\npart raid.1 --size=9", 15,
     "level 1 needs 2 members, and has 1"),
    ("a mirror of nothing", "part /boot --size=1024 --ondisk=sda",
     "raid /boot --device=boot --level=RAID1 raid.1 raid.2", 15, "no part makes raid.1"),
    ("static without an address", "--ip=10.0.0.7 --netmask=255.255.255.0 --gateway=10.0.0.1", "", 7,
     "static, and it has no --ip"),
    ("no netmask", "--netmask=255.255.255.0 ", "", 7, "--ip=10.0.0.7 has no --netmask"),
    ("no address", "--ip=10.0.0.7", "--ip=10.0.0.777", 7, "10.0.0.777 is no address"),
    ("no IPv6", "--ip=10.0.0.7", "--ip=10.0.0.7 --ipv6=2001::db8::1", 7,
     "2001::db8::1 is no address"),
    ("no mask", "255.255.255.0", "255.255.0.255", 7, "255.255.0.255 is no netmask"),
    ("a gateway elsewhere", "--gateway=10.0.0.1", "--gateway=10.0.1.1", 7, "is not in 10.0.0.0/24"),
    ("no name server", "--device=link", "--device=link --nameserver=dns", 7, "dns is no address"),
    ("clear root", "rootpw --lock", "rootpw secret", 8, "rootpw: a password in the clear"),
    ("clear root by name", "rootpw --lock", "rootpw --plaintext secret", 8, "in the clear"),
    ("clear user", "--iscrypted ", "", 9, "user: a password in the clear"),
    ("no hash", "rootpw --lock", "rootpw --iscrypted secret", 8, "this is no crypt(3) hash"),
    ("clear loader", "--boot-drive=sda", "--boot-drive=sda --password=x", 13,
     "bootloader: a password in the clear"),
    ("no passphrase", "pv.1 --size=1", "pv.1 --encrypted --size=1", 16, "would ask for one"),
    ("erroronfail", "%pre\n", "%pre --erroronfail\n", 22, "%pre --erroronfail"),
    ("no shell", 'echo "fine"', "if true", 27, "syntax error"),
    ("restart in %post", 'echo "fine"', "systemctl reboot", 26, "not finished when it runs"),
    ("no %onerror", "%onerror", "%pre", None, "there is no %onerror"),
    ("a mark", "--name=ops", "--name={{ user }}", 9, "a template's mark is left"),
    ("a call", "/installer_failed", "/", None, "nothing calls installer_failed"),
]  # fmt: skip


@pytest.fixture(scope="module")
def rhel() -> Given:
    return Given("redhat", HOST, answer_files={"ks.cfg": {"content": GOOD}})


def test_an_operators_own_kickstart_is_fine(rhel: Given) -> None:
    assert rhel.text == GOOD
    assert rhel.problems() == []


@pytest.mark.parametrize(
    ("old", "new", "line", "words"), [case[1:] for case in BROKEN], ids=[c[0] for c in BROKEN]
)
def test_what_the_installer_would_trip_over_is_found(
    rhel: Given, old: str, new: str, line: int | None, words: str
) -> None:
    assert GOOD.count(old) >= 1
    found = rhel.findings(GOOD.replace(old, new, 1))
    assert [f for f in found if words in f.message and f.line == line], found
    assert all(f.file == "ks.cfg" and f.remedy for f in found)


# --- kickstarts that others have written: the calls are added, and nothing else -----------------

CALLS = """\
%pre
curl -fsS http://10.0.0.5/phone-home/installer_started
%end
%onerror
curl -fsS http://10.0.0.5/phone-home/installer_failed
%end
%post
echo 'curl http://10.0.0.5/phone-home/first_boot' >> /etc/rc.d/rc.local
curl -fsS http://10.0.0.5/phone-home/installer_finished
%end
"""
# What Anaconda leaves in /root of a small server.
MINIMAL = """\
# Generated by Anaconda 34.25.5.9
# Generated by pykickstart v3.32
#version=RHEL9
text
reboot

%addon com_redhat_kdump --enable --reserve-mb='auto'

%end

# Keyboard layouts
keyboard --xlayouts='us','de (nodeadkeys)'
# System language
lang en_US.UTF-8

# Network information
network  --bootproto=dhcp --device=enp1s0 --ipv6=auto --activate
network  --hostname=small.example.org

# Use network installation
url --url="http://mirror.example.org/rocky/9/BaseOS/x86_64/os/"
repo --name="AppStream" --baseurl=http://mirror.example.org/rocky/9/AppStream/x86_64/os/

%packages
@^minimal-environment
-iwl*-firmware

%end

# Run the Setup Agent on first boot
firstboot --disable

# Generated using Blivet version 3.6.0
ignoredisk --only-use=vda
autopart --nohome
# Partition clearing information
zerombr
clearpart --all --initlabel

# System timezone
timezone Europe/Zurich --utc
timesource --ntp-server=0.pool.ntp.org --ntp-server=1.pool.ntp.org

# Root password
rootpw --iscrypted --allow-ssh $6$PjzQXWgWYt1Aqm1A$1xvA4hTfYXjYzk3Zn2dKy9vZp0b3eJ0mD5sZ4Cq6xQ1
"""
# As people wrote them for EL7.
LVM = """\
#version=RHEL7
install
auth --enableshadow --passalgo=sha512
url --url http://mirror.example.org/centos/7/os/x86_64
repo --name=epel --baseurl=http://mirror.example.org/epel/7/x86_64
cmdline
eula --agreed
skipx
firstboot --disabled
lang en_US.UTF-8
keyboard --vckeymap=us --xlayouts='us'
timezone --isUtc Etc/UTC --ntpservers=ntp1.example.org,ntp2.example.org
network --bootproto=static --device=eth0 --ip=192.0.2.10 --netmask=255.255.255.0 \
--gateway=192.0.2.1 --nameserver=192.0.2.2,192.0.2.3 --noipv6 --hostname=db.example.org --activate
rootpw --iscrypted $6$rounds=4096$saltsalt$0qWp5QoZ6bXbH6wQm2rEo9Zt
user --name=dba --uid=1500 --groups=wheel,dba --gecos="Data base" --lock
selinux --enforcing
firewall --enabled --service=ssh --port=5432:tcp
services --enabled="chronyd,sshd" --disabled=postfix
ignoredisk --only-use=sda
bootloader --append=" crashkernel=auto rhgb quiet" --location=mbr --boot-drive=sda
zerombr
clearpart --all --initlabel --drives=sda
part /boot --fstype="xfs" --size=1024 --ondisk=sda
part pv.008 --fstype="lvmpv" --size=10240 --grow --ondisk=sda
volgroup vg_sys --pesize=4096 pv.008
logvol / --fstype="xfs" --size=8192 --name=root --vgname=vg_sys
logvol /var --fstype="xfs" --size=8192 --grow --maxsize=51200 --name=var --vgname=vg_sys
logvol swap --fstype="swap" --recommended --name=swap --vgname=vg_sys
reboot --eject
%packages --nobase --ignoremissing
@core
@"Development Tools"
chrony
-postfix
-aic94xx-firmware*
%end
%anaconda
pwpolicy root --minlen=6 --minquality=50 --notstrict --nochanges --notempty
%end
%post --log=/root/ks-post.log
cat > /etc/motd << EOF
100% of $(hostname) is monitored
EOF
grub2-set-default 0 || :
%end
"""
# Two disks that %pre finds.
RAID = """\
text --non-interactive
reboot
lang de_CH.UTF-8
keyboard 'ch'
timezone Europe/Zurich
nfs --server=nfs.example.org --dir=/srv/tree
rootpw --lock
sshkey --username=root "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy root@x"
network --device=bond0 --bondslaves=eno1,eno2 --bondopts=mode=802.3ad,miimon=100 --bootproto=dhcp
network --device=bond0 --vlanid=42 --interfacename=vlan42 --bootproto=static --ip=10.4.2.9 \
--netmask=255.255.254.0 --gateway=10.4.3.254 --ipv6=2001:db8::9/64
%include /tmp/raid.ks
%pre --interpreter=/usr/bin/bash
set -- $(lsblk -dnbo NAME,TYPE,RM | awk '$2 == "disk" && $3 == 0 {print $1}')
[ $# -eq 2 ] || exit 1
{
  echo "zerombr"
  echo "ignoredisk --only-use=$1,$2"
  echo "clearpart --all --initlabel --drives=$1,$2"
  for n in 1 2; do echo "part raid.$n --size=2048 --grow --ondisk=${!n}"; done
  echo "raid / --device=root --level=RAID1 --fstype=xfs raid.1 raid.2"
} > /tmp/raid.ks
%end
%packages --excludeWeakdeps
@^minimal-environment
mdadm
%end
"""


@pytest.mark.parametrize(
    ("release", "text"),
    [("rocky-9", MINIMAL), ("centos-7", LVM), ("rocky-8", RAID), ("alma-9", RAID)],
    ids=["minimal", "LVM", "RAID", "RAID-9"],
)
def test_what_others_have_written_passes_with_the_calls(release: str, text: str) -> None:
    given = Given("redhat", HOST, release=release, answer_files={"ks.cfg": {"content": text}})
    assert given.problems(text + CALLS) == []
    assert len(given.problems(text)) >= 4  # what the calls are for


def test_what_has_no_effect_any_more_is_told_where_something_is_lost() -> None:
    given = Given("fedora", HOST, answer_files={"ks.cfg": {"content": GOOD}})
    (message,) = given.problems(GOOD.replace("--utc", "--utc --ntpservers=ntp.example.org"))
    assert "The --ntpservers option has been deprecated and no longer has any effect" in message
    eight = Given("redhat", HOST, release="rhel-8", answer_files={"ks.cfg": {"content": GOOD}})
    assert eight.problems(GOOD.replace("cmdline", "install")) == []


def test_an_include_that_pre_writes_is_a_chosen_disk_and_no_other_is(rhel: Given) -> None:
    own = RAID.replace("/tmp/raid.ks\n%pre", "/tmp/other.ks\n%pre") + CALLS
    messages = rhel.problems(own.replace("--excludeWeakdeps", ""))
    assert any("nobody can check /tmp/other.ks" in m for m in messages)
    assert any("no disk is chosen" in m for m in messages)


# --- whatever comes -----------------------------------------------------------------------------

PIECES = """
    % %end %pre %post %packages %include %ksappend /etc/passwd http://x --help -h --version @^ @ -
    --nobase ' " \\ # part raid pv.1 --size= --grow network --ip= rootpw user --name= url repo
    %addon %certificate --filename= autopart {{ timezone --utc keyboard bootloader --password=
    ostreesetup volgroup vg0 logvol / swap lang reboot é
"""
WORDS = st.sampled_from([*PIECES.split(), "\x0b", "\x85", "\u2028"])
LINES = st.lists(WORDS | st.text(max_size=6), max_size=6).map(" ".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(LINES, max_size=12).map("\n".join), st.sampled_from(["RHEL7", "RHEL9", "F45"]))
@pytest.mark.slow
def test_hostile_text_is_a_finding_and_no_accident(text: str, grammar: str) -> None:
    given = Given("redhat", HOST)
    given.context["release"] = {**given.context["release"], "version": VERSIONS[grammar]}
    assert given.findings(text or "\n")


VERSIONS = {"RHEL7": "centos-7", "RHEL9": "rocky-9", "F45": "rhel-10"}


def test_no_file_and_no_address_that_a_kickstart_names_is_opened(
    rhel: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykickstart.parser.load_to_str", lambda *_: pytest.fail("opened"))
    evil = "%include /etc/passwd\n%ksappend http://10.0.0.5/x\n%include http://10.0.0.5/y\n"
    assert len(rhel.findings(evil + GOOD.replace("@core", f"@core\n{evil}"))) == 6


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


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("@core", "@core\n" + "".join(f"package{n}\n-not{n}\n" for n in range(8000)), None),
        ("zerombr", "zerombr\n" + "part / --size=1 --ondisk=sda\n" * 2000, "2018 commands"),
        ("%post\n", "%post\ntrue\n%end\n" * 300 + "%post\n", "305 sections are more than the 50"),
    ],
    ids=["packages", "commands", "sections"],
)
def test_a_file_without_measure_costs_no_more_than_another(
    rhel: Given, old: str, new: str, words: str | None
) -> None:
    found = rhel.problems(GOOD.replace(old, new, 1))
    bounds = [message for message in found if "more than the" in message]
    assert bounds == [] if words is None else words in bounds[0]
