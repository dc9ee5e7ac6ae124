"""Alpine: what setup-alpine would trip over, and the start script with stand-ins for its tools."""

from __future__ import annotations

import os
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployer.answers import prepare
from deployer.answers.families import INSTALLERS
from deployer.answers.installers.setup_alpine import parse
from deployer.errors import Finding
from tests import golden
from tests.answers.strategies import PROFILES, hosts

FOUND = golden.found("alpine")
START = "host.apkovl.tar.gz/etc/local.d/deployer.start"


def context(**profile: Any) -> dict[str, Any]:
    scripts = {"pre": None, "post": None, "first_boot": None}
    return {
        "release": {"version": "3.23"},
        "profile": {"repositories": [], "scripts": scripts, **profile},
    }


def checked(text: str, path: str = "answers") -> list[Finding]:
    answer = next(file for file in FOUND.family.files() if file.path == path)
    return INSTALLERS["setup_alpine"].check(answer, text, context())


def answers(old: str = "", new: str = "") -> str:
    text = golden.golden("alpine", "dhcp")["answers"]
    assert old in text
    return text.replace(old, new)


def test_our_own_has_no_finding() -> None:
    assert checked(answers()) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("DISKOPTS=", "DISKOPT=", "reads no variable DISKOPT; did you mean DISKOPTS?"),
        ("NTPOPTS=chrony\n", "", "NTPOPTS is not set, so setup-alpine would ask"),
        ("NTPOPTS=chrony", "NTPOPTS=", "NTPOPTS is empty"),
        ("export ERASE_DISKS", "ERASE_DISKS", "ERASE_DISKS is not exported"),
        ('ERASE_DISKS="$DISKS_CHOSEN"', "ERASE_DISKS=/dev/sdb", "unless they are the same"),
        ("-m sys", "-m data", "mode 'data' installs no system"),
        ("-m sys ", "", "has no -m"),
        ("-m sys", "-e -m sys", "asks for its passphrase"),
        ("-m sys", "-m cryptsys", "asks for its passphrase"),
        ("-m sys", "-z -m sys", "setup-disk has no option -z"),
        ("-m sys", "-s much -m sys", "-s needs the size of swap"),
        ("-m sys $DISKS_CHOSEN", "-m sys", "names no disk"),
        ("-m sys $DISKS_CHOSEN", "-m sys sda", "sda is no device"),
        ("-m sys $DISKS_CHOSEN", "-m sys /dev/sda /dev/sdb /dev/sdc", "makes a RAID 5"),
        ("v3.23/main", "v3.22/main", "is of v3.22, and the profile installs v3.23"),
        ("http://dl-cdn.alpinelinux.org/alpine/v3.23/main", "main", "is no repository"),
        ("DEVDOPTS=mdev", "DEVDOPTS=mdev\nDEVDOPTS=none", "was set in line 5 already"),
        ("DEVDOPTS=mdev", "DEVDOPTS=mdev\nreboot", "'reboot' is a command"),
        ("DEVDOPTS=mdev", "DEVDOPTS=mdev; reboot", "';' begins a command"),
        ("DEVDOPTS=mdev", "DEVDOPTS='mdev", "nterminated"),
        ("inet dhcp", "inet static\n\taddress 10.0.0", "has no such address"),
        ("auto $NIC_1", "gateway 10.0.0.1\nauto\naddress 1.2.3.4", "auto names no interface"),
        ("auto lo", "address 1.2.3.4", "stands in no iface stanza"),
        ("export KERNELOPTS=", "export ROOTFS=zfs KERNELOPTS=", "ROOTFS must be one of"),
        ("export KERNELOPTS=", "export SWAP_SIZE=1G KERNELOPTS=", "must be a number of MB"),
    ],
)  # fmt: skip
def test_what_setup_alpine_would_trip_over_is_found(old: str, new: str, problem: str) -> None:
    found = checked(answers(old, new))
    assert any(problem in finding.message for finding in found), found


def test_without_dhcp_the_name_servers_are_asked_for() -> None:
    text = answers("inet dhcp", "inet static").replace('DNSOPTS="-d localdomain"\n', "")
    assert [f.line for f in checked(text) if "DNSOPTS is not set" in f.message] == [6]


def test_a_finding_has_file_line_and_remedy() -> None:
    (finding,) = checked(answers("-m sys", "-m data"))
    assert finding.file == "answers" and "template" in str(finding.remedy)
    assert answers().split("\n")[(finding.line or 0) - 1].startswith("DISKOPTS=")


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("etc/apk/world", "alpine-base\n", "curl is missing"),
        ("etc/apk/world", "alpine-base\ncurl\n$(reboot)\n", "is no package"),
        ("etc/apk/repositories", "http://m.example.org/alpine/v3.20/main\n", "is of v3.20"),
        ("etc/local.d/deployer.start", "#!/bin/sh\nif\n", "nd of file"),
    ],
)
def test_the_overlay_is_judged_too(path: str, text: str, problem: str) -> None:
    found = checked(text, f"host.apkovl.tar.gz/{path}")
    assert any(problem in finding.message for finding in found), found


def test_the_overlay_holds_files_of_root_under_etc_alone() -> None:
    """The initramfs unpacks it over the whole live system."""
    overlay = FOUND.family.answers[0]
    files = golden.golden("alpine", "static")
    archive = tarfile.open(fileobj=BytesIO(prepare.packed(overlay, files)))  # noqa: SIM115
    members = {member.name: member for member in archive.getmembers()}
    assert all(name.startswith("etc/") for name in members)
    assert {(m.uid, m.gid, m.uname) for m in members.values()} == {(0, 0, "root")}
    links = {name: m.linkname for name, m in members.items() if m.issym()}
    assert links == {"etc/runlevels/default/local": "/etc/init.d/local"}
    # It holds tokens, and runs.
    assert members["etc/local.d/deployer.start"].mode == 0o700


# As people have it for machines of their own, with the disk, accounts and sizes that they like.
REAL = """\
# Use US layout with US variant
KEYMAPOPTS="us us"
# Set hostname to 'alpine'
HOSTNAMEOPTS=alpine
# Set device manager to mdev
DEVDOPTS=mdev

export INTERFACESOPTS="auto lo
iface lo inet loopback

auto eth0
iface eth0 inet dhcp
hostname alpine-test
"
# DNSOPTS="-d example.com 8.8.8.8"
TIMEZONEOPTS="-z UTC"
PROXYOPTS=none
APKREPOSOPTS="-1 -c"
USEROPTS="-a -u -g audio,video,netdev alpineuser"
USERSSHKEY="https://example.com/juser.keys"
SSHDOPTS="-c openssh"
NTPOPTS="openntpd"
DISKOPTS="-s 2048 -m sys /dev/vda"
LBUOPTS=none
APKCACHEOPTS="/var/cache/apk"
"""


def test_a_whole_file_of_an_operators_own_passes() -> None:
    profile = {"name": "own", "answer_files": {"answers": {"content": REAL}}}
    snapshot = golden.snapshot(FOUND, {"name": "own01", "macs": ["52:54:00:12:34:56"]}, profile)
    files, findings = golden.rendered(FOUND, snapshot)
    assert files["answers"] == REAL and findings == []


@pytest.mark.slow
@settings(max_examples=25)  # each runs a shell
@given(hosts(), PROFILES)
def test_whatever_is_described_comes_out_as_it_went_in(
    host: dict[str, Any], profile: dict[str, Any]
) -> None:
    snapshot = golden.snapshot(FOUND, host, profile)
    files, findings = golden.rendered(FOUND, snapshot)
    # Scripts are made up too, and most are none.
    assert [f for f in findings if not (f.field or "").startswith("scripts.")] == []
    values = {name: given.value for name, given in parse(files["answers"]).values.items()}
    assert values["HOSTNAMEOPTS"] == snapshot.host.name.split(".")[0]
    assert values["TIMEZONEOPTS"] == snapshot.profile.timezone
    assert values["KERNELOPTS"] == " ".join(snapshot.profile.kernel_args or ["quiet"])
    text = values["INTERFACESOPTS"]
    for nic in snapshot.host.network.interfaces:
        assert all(f"\taddress {address}\n" in text for address in nic.addresses)
    told = accounts(files["system.sh"])
    for user in snapshot.profile.users:
        assert user.shell in told and user.password_hash in (None, *told)
        if user.ssh_keys:
            assert "\n".join(user.ssh_keys) + "\n" in told


def accounts(script: str) -> list[str]:
    """The arguments with which it makes accounts, as its shell sees them."""
    begin, end = script.index("password root"), script.index("# --- the first boot tells")
    tell = 'tell() { printf "%s\\0" "$@"; }\nuser() { tell "$@"; }\n'
    text = tell + 'password() { tell "$@"; }\nkeys() { tell "$@"; }\nwrite() { :; }\n'
    done = subprocess.run(
        ["sh"], input=text + script[begin:end], capture_output=True, text=True, check=True
    )
    return done.stdout.split("\0")


@pytest.mark.slow
@given(st.text(max_size=60) | st.text("\"'\\ \n=#$`;ABERASEDISKOPTS", max_size=60))
def test_no_text_breaks_the_check(text: str) -> None:
    for file in FOUND.family.files():
        INSTALLERS["setup_alpine"].check(file, text.replace("\0", ""), context())


@pytest.mark.parametrize("text", ["A=1\n" * 60_000, '"' * 250_000, "A='\n" * 60_000, "x" * 250_000])
def test_a_large_file_that_is_something_else_has_few_findings(text: str) -> None:
    assert len(checked(text)) <= 200


# --- the start script -----------------------------------------------------------------------------

_CURL = """\
while [ $# -gt 1 ]; do
  [ "$1" != -o ] || out=$2
  [ "$1" != --data-binary ] || body=$(tr '\\n' ' ')
  shift
done
printf '%s %s\\n' "${1##*/}" "$body" >> $ROOT/calls
case $1 in
  */answers/*) cp "$ROOT/${1##*/}" "$out" ;;
  */disks) cp "$ROOT/chosen" "$out" ;;
  *) echo '{}' > "$out" ;;
esac
printf 200
"""
_FAKES = {
    "curl": _CURL,
    "setup-alpine": 'while [ $# -gt 1 ]; do shift; done; . "$1"; echo "$DISKOPTS|$ERASE_DISKS"'
    ' > $ROOT/setup; echo "$INTERFACESOPTS" >> $ROOT/setup; env >> $ROOT/environment\n'
    "echo Installing system on it; mkdir -p $ROOT/mnt/etc $ROOT/mnt/root; echo 3.23.0 >"
    " $ROOT/mnt/etc/alpine-release; echo Installation is complete",
    "chroot": 'echo "$*" >> $ROOT/chrooted',
    "reboot": "echo reboot >> $ROOT/calls; kill $PPID",
    **dict.fromkeys(["mount", "umount", "dd", "vgchange", "mdadm", "sync", "sleep"], "exit 0"),
}


class LiveSystem:
    """The live system as far as the start script looks at it; what would change it is noted."""

    def __init__(self, root: Path, case: str = "static") -> None:
        self.root, files = root, golden.golden("alpine", case)
        text = files[START]
        for path in ("/sys/", "/run/deployer", "/etc/local.d", "/etc/runlevels", "/mnt"):
            text = text.replace(path, f"{root}{path}")
        text = text.replace("/dev/console", "/dev/null").replace("/etc/.def", f"{root}/etc/.def")
        text = text.replace("cp /etc/resolv.conf", "true")
        self.write("etc/local.d/deployer.start", text)
        self.write("answers", files["answers"])
        self.write("system.sh", files["system.sh"])
        for number, mac in enumerate(("52:54:00:12:34:57", "52:54:00:12:34:56")):
            self.write(f"sys/class/net/eth{number}/address", f"{mac}\n")
        self.chooses("/dev/sda")
        for name, body in _FAKES.items():
            self.write(f"bin/{name}", f"#!/bin/sh\n{body}\n", 0o755)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def chooses(self, path: str) -> None:
        disk = f'{{"name":"x","path":"{path}"}}'
        self.write("chosen", f'{{"action":"proceed","disk":{disk},"disks":[{disk}]}}')

    def starts(self) -> None:
        environment = {**os.environ, "ROOT": str(self.root), "FAIL_SECONDS": "0"}
        environment["PATH"] = f"{self.root}/bin:{environment['PATH']}"
        script = self.root / "etc/local.d/deployer.start"
        subprocess.run(["sh", str(script)], env=environment, timeout=30, check=False)

    def calls(self) -> list[str]:
        """Without progress."""
        lines = (self.root / "calls").read_text().splitlines()
        return [line.split()[0] for line in lines if not line.startswith("progress")]

    def said(self, call: str) -> str:
        lines = (self.root / "calls").read_text().split("\n")
        return next(line for line in lines if line.startswith(call))


@pytest.fixture
def system(tmp_path: Path) -> LiveSystem:
    made = LiveSystem(tmp_path)
    # Partitions of the chosen disk are what the kernel makes; here, none is needed but one name.
    start = tmp_path / "etc/local.d/deployer.start"
    start.write_text(start.read_text().replace("/dev/vg0/lv_root ", "/dev/vg0/lv_root /dev/sda3 "))
    return made


@pytest.mark.slow
def test_it_installs_on_the_disk_that_the_server_names(system: LiveSystem) -> None:
    system.starts()
    assert system.calls() == [
        "answers", "system.sh", "installer_started", "disks", "setup.log", "installer_finished",
        "reboot",
    ]  # fmt: skip
    setup = (system.root / "setup").read_text()
    assert setup.startswith("-m sys /dev/sda|/dev/sda\n")
    assert "auto eth1\niface eth1 inet static\n\taddress 10.0.0.7/24\n" in setup
    assert "ERASE_DISKS=/dev/sda\n" in (system.root / "environment").read_text()
    mactab = (system.root / "mnt/etc/mactab").read_text()
    assert mactab == "eth1 52:54:00:12:34:56\neth0 52:54:00:12:34:57\n"
    assert "/bin/sh /root/deployer-system.sh" in (system.root / "chrooted").read_text()


def test_nothing_of_ours_is_where_setup_disk_would_copy_it_from(system: LiveSystem) -> None:
    system.starts()
    assert not (system.root / "etc/local.d/deployer.start").exists()


def test_another_machine_is_stopped_before_anything_is_asked(system: LiveSystem) -> None:
    for nic in ("eth0", "eth1"):
        system.write(f"sys/class/net/{nic}/address", "52:54:00:99:99:99\n")
    system.starts()
    assert system.calls() == ["installer_failed", "reboot"]
    assert "none of this machine's NICs" in system.said("installer_failed")


def test_answers_that_name_another_disk_are_stopped(system: LiveSystem) -> None:
    system.write("answers", 'DISKOPTS="-m sys /dev/sdz"\nexport ERASE_DISKS=/dev/sdz\n')
    system.starts()
    assert "the answers name other disks" in system.said("installer_failed")
    assert not (system.root / "setup").exists()


def test_a_refusal_of_the_server_writes_nothing(system: LiveSystem) -> None:
    system.write("chosen", '{"action":"abort","reason":"two disks fit"}')
    system.starts()
    assert system.calls() == ["answers", "system.sh", "installer_started", "disks", "reboot"]


def test_a_setup_that_leaves_no_system_is_a_failure(system: LiveSystem) -> None:
    """setup-disk ends with 0 where it has found no disk."""
    system.write("bin/setup-alpine", "#!/bin/sh\necho No disks found\n", 0o755)
    system.starts()
    said = system.said("installer_failed")
    assert "has left no system on /dev/sda: No disks found" in said and "log_tail" in said


def test_a_setup_that_fails_is_told_with_its_last_line(system: LiveSystem) -> None:
    system.write("bin/setup-alpine", "#!/bin/sh\necho no route to host\nexit 3\n", 0o755)
    system.starts()
    assert "ended with status 3: no route to host" in system.said("installer_failed")
