"""Kickstarts: what %pre writes for each disk layout, and what a release's installer would trip over."""

from __future__ import annotations

import subprocess
from configparser import ConfigParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployer.answers import prepare
from deployer.answers.installers.kickstart import Command, read
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
    with subprocess.Popen(["mktemp", "-d"], stdout=subprocess.PIPE, text=True) as made:
        folder = made.communicate()[0].strip()
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
