"""Kickstarts of whomever: what a release's installer would trip over is found, with its line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.answers.kickstarts import HOST, Given

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
